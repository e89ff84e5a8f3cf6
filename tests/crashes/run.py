"""Kills parts of a farm at random moments, and checks what is left."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.db import catalog
from piwheels.db.database import Database, DatabaseError
from tests.crashes import checks
from tests.crashes.disk import Ordering
from tests.crashes.farm import NOTHING, CrashFarm
from tests.crashes.power import PowerCuts, note_survivors
from tests.db.scenario import RULES, make_release
from tests.timeouts import WAIT_S

PARTS = ("master", "builder", "accesslog", "pipe", "publisher", "postgres", "power")
_PROJECTS = 30
_NOT_POSTGRES = ("master", "builder", "accesslog", "pipe", "publisher")
_KILLS_BETWEEN_CHECKS = 50
_CUTS_OF_A_RECORDING = 40
_RECORDING_S = 10.0
_MAX_PAUSE_S = 0.5
_LONG_PAUSES = 0.15


@dataclass
class CrashRun:
    """Rounds of crashes on a farm."""

    farm: CrashFarm
    db: Database
    recorder: Path
    chance: random.Random
    report: Callable[[str], None] = print
    rounds: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    audits: int = 0
    _removed: set[tuple[str, str]] = field(default_factory=set)
    _releases: list[tuple[str, str]] = field(default_factory=list)

    async def run(self, rounds: int, parts: Sequence[str]) -> None:
        """Run so many rounds over these parts."""
        for number in range(_PROJECTS):
            await catalog.add_project(self.db, f"soak-{number}", f"soak-{number}")
        kills = [part for part in parts if part != "power"]
        with self.farm.running():
            await self._work(10)
            await self._check()
            while (done := self.rounds.total()) < rounds:
                left = rounds - done
                for _ in range(min(_KILLS_BETWEEN_CHECKS, left) if kills else 0):
                    await self._kill(self.chance.choice(kills))
                if kills:
                    await self._check()
                if "power" in parts and self.rounds.total() < rounds:
                    await self._lose_power(min(_CUTS_OF_A_RECORDING, rounds - self.rounds.total()))
                self.report(
                    f"{self.rounds.total()} rounds: {dict(self.rounds)}, "
                    f"{self.farm.client.pages:,} pages read with {self.farm.client.files:,} files, "
                    f"{len(self.faults)} faults"
                )

    # --- rounds ---

    async def _kill(self, part: str) -> None:
        await self._work(3)
        # Never while the power may fail: it takes what a pipe holds, and what is not yet on disk.
        self.farm.web_server.write(self.chance.randint(0, 2000))
        # Often before a daemon has started, now and then in the middle of its work.
        longest_s = _MAX_PAUSE_S * (10 if self.chance.random() < _LONG_PAUSES else 1)
        await asyncio.sleep(self.chance.uniform(0.0, longest_s))
        while (hit := self.farm.kill(part, self.chance)) == NOTHING:
            await asyncio.sleep(0.1)
            self._found(self.farm.start_missing())
        self.hit[hit] += 1
        self.rounds[part] += 1
        await asyncio.sleep(self.chance.uniform(0.0, _MAX_PAUSE_S) ** 2)
        self._found(self.farm.start_missing())

    async def _lose_power(self, cuts: int) -> None:
        """Record the farm for a while, and cut its power at moments of that."""
        farm = self.farm
        await asyncio.to_thread(farm.stop_all)
        with farm.recorded(self.recorder, self.chance.choice(list(Ordering))) as recording:
            self._found(farm.start_missing())
            await self._until_master_works()
            until = time.monotonic() + _RECORDING_S
            while time.monotonic() < until:
                await self._work(2)
                await asyncio.sleep(0.2)
                await note_survivors(self.db, farm.www, recording.journal)
                if self.chance.random() < 0.05:
                    self.hit[farm.kill(self.chance.choice(_NOT_POSTGRES), self.chance)] += 1
                self._found(farm.start_missing())
            farm.kill_all()
        after = PowerCuts(recording.disk, recording.journal, farm.www)
        with farm.client.paused:
            found = await asyncio.to_thread(lambda: list(after.faults(cuts, self.chance)))
            if after.last is not None:
                after.last.write()
            farm.client.forget()
        self._found([f"after a loss of power: {fault}" for fault in found])
        self.rounds["power"] += after.cuts
        self._found(farm.start_missing())
        await self._check()

    async def _until_master_works(self) -> None:
        """Wait until a build is recorded."""
        before = self.farm.acknowledged_builds()
        async with asyncio.timeout(WAIT_S):
            while self.farm.acknowledged_builds() == before:
                await self._work(1)
                await asyncio.sleep(0.5)

    async def _work(self, releases: int) -> None:
        """New releases, now and then one that is removed, and accesses."""
        self.farm.soak.write_accesses(self.chance.randint(0, 400))
        with contextlib.suppress(DatabaseError):
            for _ in range(self.chance.randint(0, releases)):
                name = f"soak-{self.chance.randrange(_PROJECTS)}"
                self._releases.append((name, f"1.{len(self._releases)}"))
                await catalog.add_releases(self.db, [make_release(*self._releases[-1])], RULES)
            if self._releases and self.chance.random() < 0.2:
                gone = self.chance.choice(self._releases)
                self._removed.add(gone)
                await catalog.remove_release(self.db, *gone)

    # --- checks ---

    async def _check(self) -> None:
        """Wait until the farm has nothing to do, and look at everything."""
        until, before = time.monotonic() + WAIT_S, ""
        while True:
            self._found(self.farm.start_missing())
            work = await self._open_work()
            if not work:
                break
            if str(work) != before:  # it goes on, however slowly
                until, before = time.monotonic() + WAIT_S, str(work)
            if time.monotonic() > until:
                self._found([f"the farm does not get done: {work}"])
                return
            await asyncio.sleep(0.2)
        found = await checks.faults(self.db, self.farm, self._removed)
        if found:  # what ends by itself needs a moment
            await asyncio.sleep(2.0)
            found = await checks.faults(self.db, self.farm, self._removed)
        found += await checks.audit_findings(self.farm)
        self.audits += 1
        client = self.farm.client
        self._found([*found, *client.faults])
        client.faults = []

    async def _open_work(self) -> object:
        try:
            return await checks.open_work(self.db, self.farm)
        except DatabaseError as error:
            return str(error)

    def _found(self, faults: Sequence[str]) -> None:
        for fault in faults:
            if fault not in self.faults:
                self.faults.append(fault)
                self.report(f"FAULT: {fault}")
