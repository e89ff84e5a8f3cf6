"""A farm on a virtual clock: the real scheduling and database, with builders that build nothing.

Only sockets, files and time are simulated. What the index, each disk and the served tree do is
set by the test.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.model import (
    FailureClass,
    FailureEvidence,
    HostMetrics,
    Job,
    Outcome,
    ReproductionJob,
    Target,
    WheelComparison,
)
from piwheels.protocol import messages as m
from piwheels.protocol.sockets import Peer
from piwheels.scheduler import dispatcher as module
from piwheels.scheduler import state_machine_events
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.dispatcher import Dispatcher, DispatcherOptions
from piwheels.scheduler.event_bus import EventBus
from piwheels.scheduler.event_publisher import EventPublisher
from piwheels.scheduler.state_machine_events import CompleteBuild, StartUpload, WheelNotStored
from piwheels.webroot import Webroot
from tests.db.scenario import RULES, TARGETS, make_release, make_wheel

TARGET = TARGETS[1]
BUILD_S = 60.0
RESERVE_BYTES = 256 << 20
PLENTY_BYTES = 10 << 30


@dataclass
class SimBuilder:
    """A builder's side of the protocol."""

    label: str
    memory_limit: int = 1 << 30
    speed: float = 10.0
    disk_free: int = PLENTY_BYTES
    index_works: bool = True
    has_roots: bool = False  # it adds the packages that a build needs
    installed: tuple[str, ...] = ()  # packages of its system
    has_compiler: bool = True
    is_broken: bool = False  # its builds fail because of it
    peak_memory_bytes: int = 0  # of its builds
    peak_disk_bytes: int = 0
    disconnected: bool = False
    job: Job | None = None
    finishes_at: float = 0.0
    build_finished: m.BuildFinished | None = None
    last_build: int = 0
    jobs_started: int = 0  # jobs

    def hello(self) -> m.Hello:
        return m.Hello(
            protocol=m.PROTOCOL,
            version="1",
            targets=(TARGET,),
            platform="linux aarch64",
            board="Pi",
            os="bookworm",
            host=self.host(),
            build_timeout_s=3600.0,
            memory_limit_bytes=self.memory_limit,
            disk_reserve_bytes=RESERVE_BYTES,
            speed=self.speed,
            current_build=self.job.build_id if self.job else None,
            targets_without_compiler=() if self.has_compiler else (TARGET.name,),
            layer_targets=(TARGET.name,) if self.has_roots else (),
            installed_packages=self.installed,
        )

    def host(self) -> HostMetrics:
        return HostMetrics(disk_total=PLENTY_BYTES, disk_free=self.disk_free)

    def start_build(self, job: Job, now: float) -> None:
        self.job, self.build_finished, self.finishes_at = job, None, now + BUILD_S
        self.last_build = max(self.last_build, job.build_id)
        self.jobs_started += 1

    def clear(self, build: int) -> None:
        if self.job is not None and self.job.build_id == build:
            self.job = self.build_finished = None


@dataclass
class _SimUploadServer:
    """The served tree, and the way there."""

    db: Database
    disk_error: str = ""
    comparison: WheelComparison | None = None  # of wheels that are built again
    results: list[CompleteBuild | WheelNotStored] = field(default_factory=list)

    def expect(self, upload: StartUpload, _: Target) -> None:
        label, job = upload.label, upload.job
        if self.disk_error:
            self.results.append(WheelNotStored(label, job.build_id, self.disk_error, 1000))
            return
        if isinstance(job, ReproductionJob):
            again = CompleteBuild(
                label, job, upload.result, rebuilt_sha256="1" * 64, comparison=self.comparison
            )
            self.results.append(again)
            return
        tags = f"{job.target.split('-')[0]}-{job.target.split('-')[0]}-linux_aarch64"
        file = make_wheel(job, tags)
        self.results.append(CompleteBuild(label, job, upload.result, (file,)))

    def cancel(self, build: int) -> None:
        """Nothing has arrived."""


@dataclass
class _SimRouter:
    """Delivers the master's messages to the builders."""

    farm: "SimFarm"

    async def send(self, peer: Peer, message: m.ToBuilder) -> None:
        self.farm.deliver(peer.key, message)


@dataclass
class SimFarm:
    """Builders, and the part of the master that assigns jobs."""

    db: Database
    dispatcher: Dispatcher
    upload_server: _SimUploadServer
    builders: dict[str, SimBuilder]
    now: float = 1000.0
    index_works: bool = True
    required_memory_bytes: int = 0  # of every build
    needed_packages: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by project
    absent_requirements: dict[str, str] = field(default_factory=dict)  # by project
    needs_compiler: bool = False  # every build
    build_duration_s: float = BUILD_S
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

    async def assert_no_release_blamed(self) -> None:
        """No release failed finally, and no builder is in quarantine."""
        assert await self.db.value("SELECT count(*) FROM builds WHERE NOT will_retry") == (
            await self.db.value("SELECT count(*) FROM builds WHERE outcome = 'built'")
        )
        records = self.dispatcher.state_machine.records.values()
        assert [record.suspension for record in records if record.suspension] == []

    def deliver(self, label: str, message: m.ToBuilder) -> None:
        """Deliver a message of the master, unless the link is down."""
        builder = self.builders[label]
        if builder.disconnected:
            return
        match message:
            case m.StartBuild(job=job) if builder.job is None:
                builder.start_build(job, self.now)
                builder.finishes_at = self.now + self.build_duration_s
            case m.BuildAcknowledged(build=build) | m.CancelBuild(build=build):
                builder.clear(build)

    async def connect(self, label: str) -> None:
        """A builder connects."""
        self.dispatcher.connections.routes.observe(
            label, Peer(route=label.encode(), key=label), self.now
        )
        self.dispatcher._pending_hellos[label] = self.builders[label].hello()
        self.dispatcher._database_work.put(label, module.PendingHello(label))
        await self._run_pending_work()

    async def _step(self) -> None:
        self.now += self.step_s
        await self.dispatcher._set_web_root_fault(self.upload_server.disk_error)
        for builder in self.builders.values():
            if builder.disconnected:
                continue
            if builder.label not in self.dispatcher.state_machine.sessions:
                await self.connect(builder.label)
            await self._apply(
                state_machine_events.MessageReceived(builder.label, self._next_message(builder))
            )
        await self._apply(state_machine_events.Tick())
        await self.db.execute(
            "UPDATE jobs SET retry_at = retry_at - make_interval(secs => %(s)s)",
            {"s": self.step_s},
        )
        await self.dispatcher.jobs.update_parked_jobs()
        if await job_queue.requeue_due_jobs(self.db):
            await self._apply(state_machine_events.JobsAvailable())

    async def _apply(self, event: state_machine_events.Event) -> None:
        await self.dispatcher._apply(event)
        await self._run_pending_work()

    async def _run_pending_work(self) -> None:
        while True:
            await self.dispatcher._database_work.run_pending()
            if not self.upload_server.results:
                return
            result = self.upload_server.results.pop(0)
            for file in result.files if isinstance(result, CompleteBuild) else ():
                await catalog.reserve_filename(self.db, file.filename, file.sha256)
            self.dispatcher._database_work.put(result.label, result)

    def _next_message(self, builder: SimBuilder) -> m.FromBuilder:
        if builder.job is None:
            return m.IdleHeartbeat(last_build=builder.last_build, host=builder.host())
        builder.build_finished = builder.build_finished or self._build_result(builder, builder.job)
        return builder.build_finished or m.BuildHeartbeat(
            build=builder.job.build_id, phase="building", phase_s=1.0, host=builder.host()
        )

    def _build_result(self, builder: SimBuilder, job: Job) -> m.BuildFinished | None:
        facts: dict[str, Any] = {
            "disk_free_bytes": builder.disk_free,
            "disk_reserve_bytes": RESERVE_BYTES,
            "memory_limit_bytes": builder.memory_limit,
            "limit_s": max(3600.0, job.min_timeout_s),
            "speed": builder.speed,
        }
        if builder.disk_free < RESERVE_BYTES:
            return _failed_build(job, Outcome.DISK_FULL, FailureClass.DISK_FULL, facts)
        if not (self.index_works and builder.index_works):
            return _failed_build(job, Outcome.FETCH_FAILED, FailureClass.INDEX_FAULT, facts)
        if self.required_memory_bytes > builder.memory_limit:
            facts["stop"] = "memory"
            return _failed_build(job, Outcome.OUT_OF_MEMORY, FailureClass.OUT_OF_MEMORY, facts)
        if builder.is_broken:
            return _failed_build(job, Outcome.BUILDER_FAILED, FailureClass.BUILDER_FAULT, facts)
        if self.needs_compiler and not builder.has_compiler:
            facts |= {"missing": ("program gcc",), "packages": ("gcc",)}
            return _failed_build(job, Outcome.FAILED, FailureClass.MISSING_TOOLCHAIN, facts)
        needed = self.needed_packages.get(job.project, ())
        if not builder.has_roots and not set(needed) <= set(builder.installed):
            facts["packages"] = needed
            return _failed_build(job, Outcome.FAILED, FailureClass.MISSING_PACKAGE, facts)
        if absent := self.absent_requirements.get(job.project):
            facts["missing"] = (f"requirement {absent}",)
            return _failed_build(job, Outcome.FAILED, FailureClass.BUILD_REQUIREMENT, facts)
        if self.now < builder.finishes_at:
            return None
        if self.build_duration_s > facts["limit_s"]:
            return _failed_build(job, Outcome.TIMED_OUT, FailureClass.TIMED_OUT, facts)
        return m.BuildFinished(
            build=job.build_id,
            outcome=Outcome.BUILT,
            duration_s=self.build_duration_s,
            added_packages=self._added_packages(builder, job),
            peak_memory_bytes=builder.peak_memory_bytes,
            peak_disk_bytes=builder.peak_disk_bytes,
        )

    def _added_packages(self, builder: SimBuilder, job: Job) -> tuple[str, ...] | None:
        if not builder.has_roots:
            return None
        told = job.recipe.packages if job.recipe else ()
        return tuple(dict.fromkeys((*told, *self.needed_packages.get(job.project, ()))))


def _failed_build(
    job: Job, outcome: Outcome, kind: FailureClass, facts: dict[str, Any]
) -> m.BuildFinished:
    return m.BuildFinished(
        build=job.build_id,
        outcome=outcome,
        reason="it went wrong",
        duration_s=1.0,
        failure_class=kind,
        evidence=FailureEvidence(**facts),
    )


async def sim_farm(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, labels: str = "abc"
) -> SimFarm:
    """A farm with one target and some builders, whose clock is stopped between steps."""
    await target_queries.add_target(db, TARGET, RULES)
    await target_queries.recompute_jobs(db)
    receiver = _SimUploadServer(db)
    dispatch = Dispatcher(
        db=db,
        targets_db=db,
        dsn="",
        router=cast("Any", None),
        keys=cast("Any", None),
        rules=RULES,
        logs=LogSpool(folder / "logs", Webroot(folder / "www")),
        event_publisher=EventPublisher(db, EventBus()),
        upload_server=cast("Any", receiver),
        registration=cast("Any", None),
        options=DispatcherOptions(),
    )
    builders = {label: SimBuilder(label) for label in labels}
    farm = SimFarm(db, dispatch, receiver, builders)
    dispatch.connections.router = cast("Any", _SimRouter(farm))
    dispatch.state_machine.check_invariants = True
    dispatch.targets.by_name[TARGET.name] = TARGET

    class Clock:
        """The module `time`, as far as dispatch uses it."""

        monotonic = staticmethod(lambda: farm.now)
        time = staticmethod(time.time)

    monkeypatch.setattr(module, "time", Clock)
    return farm


async def add_releases(farm: SimFarm, *names: str, version: str = "1.0") -> None:
    """Add releases that are to be built."""
    for name in names:
        await catalog.add_project(farm.db, name, name)
        await catalog.add_releases(farm.db, [make_release(name, version)], RULES)
