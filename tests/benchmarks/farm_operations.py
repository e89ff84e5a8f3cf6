"""What a farm does all the time, timed: claims, results, new releases, and answers to people."""

import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

from piwheels.control.alert_service import AlertService
from piwheels.control.query_handlers import QueryHandlers
from piwheels.control.status_service import StatusService
from piwheels.db import catalog, job_queue
from piwheels.db.database import Database
from piwheels.db.queue_outlines import queue_outlines
from piwheels.model import Job, Outcome, QueueOutline
from piwheels.protocol.messages import Explain
from piwheels.release_status import StatusContext
from piwheels.scheduler.event_bus import EventBus
from piwheels.website import loaders
from tests.benchmarks.cpu_calibration import cpu_s
from tests.benchmarks.large_farm import TARGET_NAMES
from tests.db.scenario import (
    RULES,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_wheel,
)

_BUILT_SHARE = 0.7
#: These change the farm.
WRITES = ("claim", "settle", "new release")


@dataclass
class FarmOperations:
    """The operations on a farm of `large_farm`; `projects` is how many of its projects there are."""

    db: Database
    projects: int
    backend_pid: int
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)  # of this process and its backend
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(10))
    _chance: random.Random = field(default_factory=lambda: random.Random(1))
    _claimed: list[Job] = field(default_factory=list)
    _outlines: dict[str, QueueOutline] = field(default_factory=dict)
    _status: StatusService = field(init=False)
    _queries: QueryHandlers = field(init=False)

    def __post_init__(self) -> None:
        self._status = self._status_service()
        self._queries = QueryHandlers(self.db, _dispatcher(), self._status)

    @classmethod
    async def on(cls, db: Database, projects: int) -> Self:
        """The operations on a farm, by a connection to its database."""
        return cls(db, projects, int(await db.value("SELECT pg_backend_pid()")))

    @property
    def operations(self) -> dict[str, Callable[[], Awaitable[object]]]:
        """Each operation by its name in the table."""
        return {
            "claim": self.claim,
            "settle": self.settle,
            "new release": self.new_release,
            "first status": self.first_status,
            "status": self.status,
            "explain": self.explain,
            "page data": self.page_data,
            "outline of the queues": self.outline,
        }

    async def timed(self, name: str) -> None:
        """Do something, and note how long it took (ms)."""
        began, own_s = time.perf_counter(), time.process_time()
        await self.operations[name]()
        self.times_ms.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - own_s

    async def measure(self, names: Sequence[str], rounds: int, other: "FarmOperations") -> None:
        """Do things so many times, alternately on another farm, so that both suffer alike."""
        for name in names:
            pair = (self, other)
            before_s = [cpu_s(farm.backend_pid) for farm in pair]
            for number in range(rounds):
                for farm in pair if number % 2 else reversed(pair):
                    await farm.timed(name)
            for farm, began_s in zip(pair, before_s, strict=True):
                farm.cpu_s[name] += cpu_s(farm.backend_pid) - began_s

    async def claim(self) -> None:
        """A builder asks for a job."""
        job = await job_queue.claim(self.db, "builder", TARGET_NAMES)
        assert job is not None, "no job is left; fewer rounds"
        self._claimed.append(job)

    async def settle(self) -> None:
        """A build ended."""
        job = self._claimed.pop()
        if self._chance.random() < _BUILT_SHARE:
            await complete_as_built(self.db, job, "builder", make_wheel(job, "py3-none-any"))
        else:
            await complete_job_with_retry_after(
                self.db, make_build(job, "builder", Outcome.FAILED), [], RULES, None
            )

    async def new_release(self) -> None:
        """The upstream has a release."""
        release = make_release("alpha", f"{next(self._numbers)}.0", requires_python=">=3.11")
        await catalog.add_releases(self.db, [release], RULES)

    async def first_status(self) -> None:
        """What a console gets when it connects to a master that has read nothing yet."""
        await self._status_service().snapshot()

    async def status(self) -> None:
        """What a console gets when it connects, after the counts have changed."""
        self._status.on_command_executed()
        await self._status.snapshot()

    async def explain(self) -> None:
        """`piw explain` of some project, by a master that has an outline of the queues."""
        reply = await self._queries.explain(Explain(project=self._project()))
        assert reply.answers

    async def page_data(self) -> None:
        """What the page of some project shows."""
        if not self._outlines:
            await self.outline()
        context = StatusContext(served_targets=frozenset(TARGET_NAMES))
        assert await loaders.load_projects(self.db, [self._project()], context, self._outlines)

    async def outline(self) -> None:
        """What the master reads of the queues every few minutes."""
        self._outlines = await queue_outlines(self.db)

    def _project(self) -> str:
        return f"bulk-{self._chance.randint(1, self.projects)}"

    def _status_service(self) -> StatusService:
        events = EventBus()
        upstream = cast("Any", SimpleNamespace(last_synced_at=None, status_text=""))
        alerts = AlertService(self.db, events)
        return StatusService(
            self.db, self.db, _dispatcher(), upstream, events, alerts, web_root=Path("/")
        )


def _dispatcher() -> Any:
    """The parts of a dispatcher that an answer needs, without builders."""
    targets = SimpleNamespace(
        served=frozenset(TARGET_NAMES),
        with_compiler=frozenset(TARGET_NAMES),
        memory_bytes={},
        known_memory_bytes={},
        free_disk={},
        farm=SimpleNamespace(memory_with_packages={}),
    )
    return SimpleNamespace(
        targets=targets,
        paused=False,
        pause=SimpleNamespace(by="", at=None),
        no_jobs_reason="",
        builder_views=lambda **_: (),
        registration=SimpleNamespace(waiting=lambda: ()),
        set_peer_ratios=lambda _: None,
    )
