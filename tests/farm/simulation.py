"""A farm on a virtual clock: the real scheduling and database, with builders that build nothing.

Only sockets, files and time are simulated. What the index, each disk and the served tree do is
set by the test.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from piwheels.db import catalog, jobs
from piwheels.db.database import Database
from piwheels.farm import dispatch as module
from piwheels.farm import signals
from piwheels.farm.bulletin import Bulletin
from piwheels.farm.dispatch import Dispatch, DispatchOptions
from piwheels.farm.logs import LogSpool
from piwheels.farm.receive import NotKept, Received
from piwheels.farm.tidings import Tidings
from piwheels.model import Evidence, FailureClass, Job, Outcome, Target
from piwheels.protocol import messages as m
from piwheels.protocol.channels import Peer
from piwheels.webroot import Webroot
from tests.db.world import RULES, TARGETS, a_file, a_release

TARGET = TARGETS[1]
BUILD_S = 60.0
RESERVE = 256 << 20
PLENTY = 10 << 30


@dataclass
class SimBuilder:
    """A builder's side of the protocol."""

    label: str
    memory_limit: int = 1 << 30
    speed: float = 10.0
    disk_free: int = PLENTY
    index_works: bool = True
    silent: bool = False
    job: Job | None = None
    ends_at: float = 0.0
    built: m.Built | None = None
    last_build: int = 0
    taken: int = 0  # jobs

    def hello(self) -> m.Hello:
        return m.Hello(
            protocol=m.PROTOCOL,
            version="1",
            targets=(TARGET,),
            platform="linux aarch64",
            board="Pi",
            os="bookworm",
            host=self.host(),
            limit_s=3600.0,
            memory_limit=self.memory_limit,
            disk_reserve=RESERVE,
            speed=self.speed,
            busy=self.job.build if self.job else None,
        )

    def host(self) -> m.HostState:
        return m.HostState(disk_total=PLENTY, disk_free=self.disk_free)

    def begin(self, job: Job, now: float) -> None:
        self.job, self.built, self.ends_at = job, None, now + BUILD_S
        self.last_build = max(self.last_build, job.build)
        self.taken += 1

    def clear(self, build: int) -> None:
        if self.job is not None and self.job.build == build:
            self.job = self.built = None


@dataclass
class _Receiver:
    """The served tree, and the way there."""

    db: Database
    fault: str = ""
    out: list[Received | NotKept] = field(default_factory=list)

    async def expect(self, label: str, job: Job, built: m.Built, _: Target) -> None:
        if self.fault:
            self.out.append(NotKept(label, job, self.fault, 1000))
            return
        tags = f"{job.target.split('-')[0]}-{job.target.split('-')[0]}-linux_aarch64"
        file = a_file(job, tags)
        await catalog.reserve_filename(self.db, file.filename, file.sha256)
        self.out.append(Received(label, job, built, Outcome.BUILT, files=(file,)))

    def drop(self, build: int) -> None:
        """Nothing has arrived."""


@dataclass
class _Router:
    """Brings what the master says to the builders."""

    farm: "SimFarm"

    async def send(self, peer: Peer, message: m.ToBuilder) -> None:
        self.farm.hear(peer.key, message)


@dataclass
class SimFarm:
    """Builders, and the part of the master that hands out jobs."""

    db: Database
    dispatch: Dispatch
    receiver: _Receiver
    builders: dict[str, SimBuilder]
    now: float = 1000.0
    index_works: bool = True
    needs_memory: int = 0  # of every build
    takes_s: float = BUILD_S
    step_s: float = 5.0

    async def run(self, duration_s: float) -> None:
        """Let time pass."""
        until = self.now + duration_s
        while self.now < until:
            await self._step()

    async def run_until_built(self, longest_s: float) -> None:
        """Let time pass until everything is built."""
        until = self.now + longest_s
        while await self.db.value("SELECT count(*) FROM jobs"):
            assert self.now < until, await self.db.rows("SELECT * FROM jobs")
            await self._step()

    async def check_nobody_paid(self) -> None:
        """No release failed finally, and no builder is in quarantine."""
        assert await self.db.value("SELECT count(*) FROM builds WHERE NOT retryable") == (
            await self.db.value("SELECT count(*) FROM builds WHERE outcome = 'built'")
        )
        records = self.dispatch.machine.records.values()
        assert [record.held for record in records if record.held] == []

    def hear(self, label: str, message: m.ToBuilder) -> None:
        """What the master says arrives, unless the link is cut."""
        builder = self.builders[label]
        if builder.silent:
            return
        match message:
            case m.BuildJob(job=job) if builder.job is None:
                builder.begin(job, self.now)
                builder.ends_at = self.now + self.takes_s
            case m.Done(build=build) | m.Abandon(build=build):
                builder.clear(build)

    async def greet(self, label: str) -> None:
        """A builder connects."""
        self.dispatch._peers.heard(label, Peer(route=label.encode(), key=label), self.now)
        self.dispatch._hellos[label] = self.builders[label].hello()
        await self.dispatch._work.put(module._Greeting(label))
        await self._work_off()

    async def _step(self) -> None:
        self.now += self.step_s
        await self.dispatch._note_tree(self.receiver.fault)
        for builder in self.builders.values():
            if builder.silent:
                continue
            if builder.label not in self.dispatch.machine.sessions:
                await self.greet(builder.label)
            await self._apply(signals.Received(builder.label, self._says(builder)))
        await self._apply(signals.Tick())
        await self.db.execute(
            "UPDATE jobs SET not_before = not_before - make_interval(secs => %(s)s)",
            {"s": self.step_s},
        )
        if await jobs.sweep(self.db):
            await self._apply(signals.JobsWaiting())

    async def _apply(self, event: signals.Event) -> None:
        await self.dispatch._apply(event)
        await self._work_off()

    async def _work_off(self) -> None:
        while True:
            while not self.dispatch._work.empty():
                await self.dispatch._do(self.dispatch._work.get_nowait())
            if not self.receiver.out:
                return
            await self.dispatch._work.put(self.receiver.out.pop(0))

    def _says(self, builder: SimBuilder) -> m.FromBuilder:
        if builder.job is None:
            return m.Idle(last_build=builder.last_build, host=builder.host())
        builder.built = builder.built or self._outcome(builder, builder.job)
        return builder.built or m.Building(
            build=builder.job.build, phase="building", phase_s=1.0, host=builder.host()
        )

    def _outcome(self, builder: SimBuilder, job: Job) -> m.Built | None:
        facts: dict[str, Any] = {
            "disk_free_bytes": builder.disk_free,
            "disk_reserve_bytes": RESERVE,
            "memory_limit_bytes": builder.memory_limit,
            "limit_s": max(3600.0, job.limit_s),
            "speed": builder.speed,
        }
        if builder.disk_free < RESERVE:
            return _failed(job, Outcome.DISK_FULL, FailureClass.DISK_FULL, facts)
        if not (self.index_works and builder.index_works):
            return _failed(job, Outcome.FETCH_FAILED, FailureClass.INDEX_FAULT, facts)
        if self.needs_memory > builder.memory_limit:
            facts["stop"] = "memory"
            return _failed(job, Outcome.OUT_OF_MEMORY, FailureClass.OUT_OF_MEMORY, facts)
        if self.now < builder.ends_at:
            return None
        if self.takes_s > facts["limit_s"]:
            return _failed(job, Outcome.TIMED_OUT, FailureClass.TIMED_OUT, facts)
        return m.Built(build=job.build, outcome=Outcome.BUILT, duration_s=BUILD_S)


def _failed(job: Job, outcome: Outcome, kind: FailureClass, facts: dict[str, Any]) -> m.Built:
    return m.Built(
        build=job.build,
        outcome=outcome,
        reason="it went wrong",
        duration_s=1.0,
        failure=kind,
        evidence=Evidence(**facts),
    )


async def sim_farm(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, labels: str = "abc"
) -> SimFarm:
    """A farm with one target and some builders, whose clock stands still between steps."""
    await catalog.add_target(db, TARGET, RULES)
    await catalog.converge(db)
    receiver = _Receiver(db)
    dispatch = Dispatch(
        db=db,
        dsn="",
        router=cast("Any", None),
        keys=cast("Any", None),
        rules=RULES,
        logs=LogSpool(folder / "logs", Webroot(folder / "www")),
        tidings=Tidings(db, Bulletin()),
        receiver=cast("Any", receiver),
        options=DispatchOptions(),
    )
    builders = {label: SimBuilder(label) for label in labels}
    farm = SimFarm(db, dispatch, receiver, builders)
    dispatch.router = cast("Any", _Router(farm))
    dispatch.targets[TARGET.name] = TARGET

    class Clock:
        """The module `time`, as far as dispatch uses it."""

        monotonic = staticmethod(lambda: farm.now)
        time = staticmethod(time.time)

    monkeypatch.setattr(module, "time", Clock)
    return farm


async def release(farm: SimFarm, *names: str) -> None:
    """Make releases known that are to be built."""
    for name in names:
        await catalog.add_project(farm.db, name, name)
        await catalog.add_releases(farm.db, [a_release(name)], RULES)
