"""Runs a soak: work at a rate, restarts in between, and measurements."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.db import catalog
from piwheels.db.database import Database
from tests.db.scenario import RULES, make_release
from tests.soak.farm import SoakFarm
from tests.soak.growth import Quantity, Tolerance

REAL_BUILDS_PER_DAY = 6_700
#: A million downloads a day, and 6.4 accesses of index pages for each.
REAL_ACCESSES_PER_DAY = 7_400_000
PROJECTS = 400
_INTERVAL_S = 5.0
_MAX_QUEUED = 50
_BUILD_TIMEOUT_S = 600.0
_ROTATION_S = 60.0
#: Of the whole time: daemons are restarted early, so that they are judged for long, and at the end.
_RESTARTS: Sequence[tuple[float, str, signal.Signals]] = (
    (0.08, "master", signal.SIGTERM),
    (0.12, "builders", signal.SIGTERM),
    (0.14, "reader", signal.SIGTERM),
    (0.18, "master", signal.SIGKILL),
    (0.22, "builders", signal.SIGKILL),
    (0.24, "reader", signal.SIGKILL),
    (0.86, "master", signal.SIGKILL),
    (0.88, "builders", signal.SIGTERM),
    (0.90, "reader", signal.SIGTERM),
)
#: Processes are judged between their restarts, the database over the restarts at the end as well.
_PROCESSES_SINCE, _PROCESSES_UNTIL, _DATABASE_SINCE = 0.4, 0.85, 0.3
#: Tables that hold work to do, which is done, and how many rows more are no growth: row_counts is
#: merged at 2,000 rows, and pages come in batches.
QUEUES = {
    "page_invalidations": 300.0,
    "page_queue": 300.0,
    "upstream_changes": 10.0,
    "file_deletions": 100.0,
    "jobs": 100.0,
    "row_counts": 2500.0,
    "active_log_readers": 2.0,
}
_MB = 1024 * 1024


@dataclass
class Soak:
    """A run of some minutes at a multiple of the real rate."""

    farm: SoakFarm
    db: Database
    minutes: float
    factor: float = 10.0
    report: Callable[[str], None] = print
    quantities: dict[str, Quantity] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _restarting_s: float = 0.0
    _chance: random.Random = field(default_factory=lambda: random.Random(1))
    _releases: int = 0
    _accesses: int = 0

    @property
    def elapsed_s(self) -> float:
        """The time of work, without that of restarts, which a slow machine needs long for."""
        return time.monotonic() - self._began - self._restarting_s

    async def run(self) -> None:
        """Work and measure until the time is over."""
        await self._add_projects()
        restarts = list(_RESTARTS)
        measured = rotated = 0.0
        with self.farm.running():
            await self._until_builds_go_on()
            self._began = time.monotonic()
            while self.elapsed_s < 60 * self.minutes:
                await self._work()
                await self._log()
                while restarts and self.elapsed_s > 60 * self.minutes * restarts[0][0]:
                    _, name, number = restarts.pop(0)
                    began = time.monotonic()
                    await asyncio.to_thread(self.farm.daemons[name].restart, number)
                    self._restarting_s += time.monotonic() - began
                    self.report(f"{self.elapsed_s:6.0f} s: {name} restarted by {number.name}")
                if self.elapsed_s - rotated > _ROTATION_S:
                    rotated = self.elapsed_s
                    self.farm.rotate_access_log()
                if self.elapsed_s - measured > _INTERVAL_S:
                    measured = self.elapsed_s
                    await self._measure()
                await asyncio.sleep(1.0)
            await self._until_builds_go_on()

    def judged(self) -> list[Quantity]:
        """Every quantity, in the time that counts."""
        whole_s = 60 * self.minutes
        return [
            quantity.between(
                whole_s * (_PROCESSES_SINCE if ":" in name else _DATABASE_SINCE),
                whole_s * (_PROCESSES_UNTIL if ":" in name else 1.0),
            )
            for name, quantity in self.quantities.items()
        ]

    async def builds(self) -> int:
        """The number of builds that ended."""
        return int(await self.db.value("SELECT count(*) FROM builds WHERE ended_at IS NOT NULL"))

    async def _until_builds_go_on(self) -> None:
        """Wait for a further build to end."""
        before = await self.builds()
        async with asyncio.timeout(_BUILD_TIMEOUT_S):
            while await self.builds() == before:
                for daemon in self.farm.daemons.values():
                    daemon.check()
                await self._work()
                await asyncio.sleep(1.0)

    # --- work ---

    async def _add_projects(self) -> None:
        for number in range(PROJECTS):
            await catalog.add_project(self.db, f"soak-{number}", f"soak-{number}")

    async def _work(self) -> None:
        # A machine that is too slow for the rate shows in the number of builds, not as growth.
        if await self.db.value("SELECT count(*) FROM jobs") > _MAX_QUEUED:
            return
        due = int(self.elapsed_s * REAL_BUILDS_PER_DAY * self.factor / 86_400)
        due = max(self._releases, min(due, self._releases + _MAX_QUEUED))
        releases = [
            make_release(f"soak-{self._chance.randrange(PROJECTS)}", f"1.{number}")
            for number in range(self._releases, due)
        ]
        self._releases = due
        for release in releases:
            await catalog.add_releases(self.db, [release], RULES)

    async def _log(self) -> None:
        lines = int(self.elapsed_s * REAL_ACCESSES_PER_DAY * self.factor / 86_400)
        await asyncio.to_thread(self.farm.write_accesses, lines - self._accesses)
        self._accesses = lines

    # --- measurements ---

    async def _measure(self) -> None:
        at_s = self.elapsed_s
        for daemon in self.farm.daemons.values():
            daemon.check()
            pids = daemon.pids()
            memory, handles = sum(map(_memory_bytes, pids)), sum(map(_open_files, pids))
            self._note(at_s, f"{daemon.name}: memory", "MB", memory / _MB, Tolerance(8.0, 0.08))
            self._note(at_s, f"{daemon.name}: open files", "", handles, Tolerance(4.0))
        for name, query, tolerance in _DATABASE_QUANTITIES:
            self._note(at_s, name, "", float(await self.db.value(query)), tolerance)

    def _note(self, at_s: float, name: str, unit: str, value: float, tolerance: Tolerance) -> None:
        quantity = self.quantities.setdefault(name, Quantity(name, unit, tolerance))
        quantity.add(at_s, value)


_DATABASE_QUANTITIES = (
    (
        "connections",
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
        Tolerance(3.0),
    ),
    (
        "partitions",
        "SELECT count(*) FROM pg_inherits",
        Tolerance(1.0),
    ),
    (
        "dead rows",
        "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables",
        Tolerance(10_000.0, 0.5),
    ),
    *(
        (f"rows of {table}", f"SELECT count(*) FROM {table}", Tolerance(rows, 0.5))
        for table, rows in QUEUES.items()
    ),
)


def _memory_bytes(pid: int) -> int:
    """The memory of a process, shared pages divided among those that share them."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _open_files(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0
