"""Assigns jobs to builders: joins the builders' socket, the state machine and the database.

Messages become events of the state machine; its instructions become replies, database work and
uploads to expect. Database work is queued by builder, so that neither a slow database nor a slow
task of one builder delays the heartbeats and claims of the others.
"""

import asyncio
import logging
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from piwheels.db import history, job_queue, reproductions
from piwheels.db.database import Database, is_database_error
from piwheels.errors import PiwheelsError, RejectedError
from piwheels.model import (
    CompatibilityRules,
    Job,
    Outcome,
    ReproductionJob,
    RootState,
    projection,
)
from piwheels.protocol.keys import KeyStore
from piwheels.protocol.messages import (
    BuilderState,
    BuilderTransition,
    BuilderView,
    CommandBuilders,
    FromBuilder,
    Hello,
    ToBuilder,
    no_jobs_text,
)
from piwheels.protocol.rate_limit import Allowance, RateLimitedLog
from piwheels.protocol.sockets import Router
from piwheels.retry_policy import RetryOptions
from piwheels.scheduler import reasons
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.builder_connections import BuilderConnections
from piwheels.scheduler.builder_registration import BuilderRegistration
from piwheels.scheduler.builder_state_machine import BuilderStateMachine
from piwheels.scheduler.event_publisher import EventPublisher
from piwheels.scheduler.farm_targets import FarmTargets
from piwheels.scheduler.job_store import FarmPause, JobStore
from piwheels.scheduler.keyed_queue import KeyedQueue
from piwheels.scheduler.session_changes import complete_as
from piwheels.scheduler.state_machine_events import (
    AppendLog,
    BuildCompleted,
    CancelUpload,
    ClaimJob,
    CommandIssued,
    CompleteBuild,
    CreateLog,
    DurationEstimated,
    EstimateDuration,
    Event,
    Instruction,
    JobClaimed,
    JobsAvailable,
    KeyRevoked,
    MessageReceived,
    PauseChanged,
    PersistEndedBuilder,
    PersistSuspension,
    PublishBuilder,
    PublishBuilderEnded,
    PublishBuilderLost,
    PublishBuilderRemoved,
    SendMessage,
    StartUpload,
    Tick,
    UnclaimJob,
    WebRootFailed,
    WebRootRecovered,
    WheelNotStored,
)
from piwheels.scheduler.uploads import UploadServer
from piwheels.scheduler.webroot_check import MIN_FREE_BYTES, find_fault

log = logging.getLogger(__name__)
_error_log = RateLimitedLog(log)

#: How many joins and leaves of one builder are recorded per hour.
_MAX_PRESENCE_EVENTS_PER_HOUR = 300
_HOUR_S = 3600.0
_TICK_INTERVAL_S = 1.0
#: So long after jobs were offered to idle builders, they are offered again at the earliest.
_JOBS_INTERVAL_S = 0.25
_REQUEUE_INTERVAL_S = 5.0
#: How often the web root is checked: while it accepts files, and while it does not.
_WEB_ROOT_CHECK_INTERVAL_S, _WEB_ROOT_RETRY_INTERVAL_S = 30.0, 5.0
#: The key of database work that belongs to no builder.
_NO_BUILDER = ""


@dataclass(frozen=True, slots=True)
class DispatcherOptions:
    """How failures are treated."""

    builder_timeout_s: float = 300.0
    retry_delay_s: float = 600.0  # before the second attempt; doubled for each further one
    max_attempts: int = 3
    quarantine_after: int = 3  # consecutive builds that fail because of the builder; 0 is never
    reproduce_percent: float = 0.0  # of the builds that succeed, at idle times
    pools: tuple[tuple[tuple[str, ...], int], ...] = ()  # as in `FarmState`


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The labels that a command was applied to, and the others, each with the reason."""

    accepted: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PendingHello:
    """A builder's Hello waits for the database in `_pending_hellos`, the last one of each."""

    label: str


@dataclass(frozen=True, slots=True)
class AuditNote:
    """A text to record in the audit log."""

    text: str


_DatabaseWork = (
    ClaimJob
    | UnclaimJob
    | CompleteBuild
    | PersistSuspension
    | PersistEndedBuilder
    | WheelNotStored
    | PendingHello
    | AuditNote
)


@dataclass(slots=True)
class Dispatcher:
    """The service on the builders' socket."""

    db: Database
    targets_db: Database  # of changes of targets, which wait for writers
    dsn: str
    router: Router[FromBuilder, ToBuilder]
    keys: KeyStore
    rules: CompatibilityRules
    logs: LogSpool
    event_publisher: EventPublisher
    upload_server: UploadServer
    registration: BuilderRegistration
    options: DispatcherOptions = field(default_factory=DispatcherOptions)
    state_machine: BuilderStateMachine = field(init=False)
    targets: FarmTargets = field(init=False)
    jobs: JobStore = field(init=False)
    connections: BuilderConnections = field(init=False)
    _pending_hellos: dict[str, Hello] = field(default_factory=dict)
    _presence_allowances: dict[str, Allowance] = field(default_factory=dict)
    _database_work: KeyedQueue[_DatabaseWork] = field(init=False)
    _estimates: asyncio.Queue[EstimateDuration] = field(default_factory=asyncio.Queue)
    _required_bytes: int = MIN_FREE_BYTES  # of the web root, before it counts as usable

    def __post_init__(self) -> None:
        options = self.options
        self.state_machine = BuilderStateMachine(
            builder_timeout_s=options.builder_timeout_s,
            quarantine_after=options.quarantine_after,
            pools=options.pools,
            master_epoch=lambda: self.db.epoch.number if self.db.epoch else 0,
            check_invariants=bool(os.environ.get("PIWHEELS_DEBUG")),
        )
        farm = self.state_machine
        retries = RetryOptions(
            retry_delay_s=options.retry_delay_s, max_attempts=options.max_attempts
        )
        self.targets = FarmTargets(
            self.targets_db, self.dsn, self.rules, self.event_publisher, farm
        )
        self.jobs = JobStore(
            self.db,
            self.rules,
            self.logs,
            farm,
            retries,
            reproduce_percent=options.reproduce_percent,
        )
        self.connections = BuilderConnections(
            self.router,
            self.keys,
            self._on_message,
            self._on_key_revoked,
            self._note,
            self.registration,
        )
        self._database_work = KeyedQueue(self._do_database_work)

    async def run(self) -> None:
        """Serve builders until canceled."""
        await self.targets.restore()
        claimed = await self.jobs.restore(time.monotonic())
        self.upload_server.remove_orphans(claimed)
        self.logs.archive_orphans(claimed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.connections.run())
            group.create_task(self._database_work.run())
            group.create_task(self._tick())
            group.create_task(self._requeue_due_jobs())
            group.create_task(self._watch_web_root())
            group.create_task(self._on_jobs_queued())
            group.create_task(self._on_upload_results())
            group.create_task(self._estimate_durations())
            group.create_task(self.targets.run())

    # --- for operators ---

    async def command_builders(self, command: CommandBuilders, user: str) -> CommandResult:
        """Apply a command to builders; returns to which, and why not to the others."""
        rejections = {
            label: self.state_machine.rejection_reason(command.command, label)
            for label in command.builders
        }
        accepted = tuple(label for label, reason in rejections.items() if not reason)
        await self._apply(
            CommandIssued(
                command.command,
                accepted,
                user,
                immediately=command.immediately,
                max_parallel=command.max_parallel,
            )
        )
        rejected = tuple((label, reason) for label, reason in rejections.items() if reason)
        return CommandResult(accepted=accepted, rejected=rejected)

    async def pause_farm(self, who: str) -> None:
        """Assign no more jobs; kept across restarts."""
        await self.jobs.store_pause(FarmPause(who, datetime.now(UTC)))
        await self._apply(PauseChanged(paused=True))

    async def resume_farm(self) -> None:
        """Assign jobs again."""
        await self.jobs.store_pause(None)
        await self._apply(PauseChanged(paused=False))

    @property
    def pause(self) -> FarmPause:
        """Who paused the farm, and when."""
        return self.jobs.pause

    @property
    def paused(self) -> bool:
        """Whether an operator paused the farm."""
        return self.state_machine.paused

    @property
    def no_jobs_reason(self) -> str:
        """Why no builder gets a job, apart from a pause; "" when they do."""
        return self.state_machine.no_jobs_reason

    def builder_views(self, *, load_history: bool = False) -> list[BuilderView]:
        """Every known builder, by label; with `load_history`, its load over the last minutes."""
        machine, now = self.state_machine, time.monotonic()
        return [machine.view(label, now, load_history=load_history) for label in machine.labels()]

    def set_peer_ratios(self, ratios: Mapping[str, float]) -> None:
        """Store how many times as long as its peers' the builds of each builder take."""
        for label, record in self.state_machine.records.items():
            ratio = ratios.get(label)
            record.peer_ratio = None if ratio is None else round(ratio, 1)

    def announced_roots(self) -> dict[str, tuple[RootState, ...]]:
        """The roots of each connected builder, by its label."""
        sessions = self.state_machine.sessions
        return {label: session.hello.roots for label, session in sessions.items()}

    def builder_history(self, label: str) -> tuple[BuilderTransition, ...]:
        """The last transitions of a builder, the oldest first; empty for an unknown one."""
        clock, now = datetime.now(UTC), time.monotonic()
        return tuple(
            projection(BuilderTransition, item, at=clock - timedelta(seconds=now - item.at))
            for item in self.state_machine.transitions.of(label)
        )

    # --- messages, time and notifications ---

    async def _on_message(self, label: str, message: FromBuilder) -> None:
        if not isinstance(message, Hello):
            await self._apply(MessageReceived(label, message, clock_s=time.time()))
        elif label in self.state_machine.sessions and self._needs_no_database(label, message):
            await self._apply_hello(label, message)  # even while the database does not answer
        else:
            waiting = label in self._pending_hellos
            self._pending_hellos[label] = message
            if not waiting:
                self._database_work.put(label, PendingHello(label))

    async def _on_key_revoked(self, label: str) -> None:
        await self._apply(KeyRevoked(label))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_INTERVAL_S)
            await self.logs.sync()
            await self._apply(Tick())

    async def _requeue_due_jobs(self) -> None:
        """Queue deferred and parked jobs that can be built; apart from ticks, which never wait."""
        while True:
            await asyncio.sleep(_REQUEUE_INTERVAL_S)
            await self.jobs.update_parked_jobs()
            await self._end_overdue_reproductions()
            if await job_queue.requeue_due_jobs(self.db):
                await self._apply(JobsAvailable())

    async def _end_overdue_reproductions(self) -> None:
        for filename, reason in await reproductions.end_overdue(self.db):
            await self.event_publisher.record(f"reproduction of {filename}: {reason}")

    async def _watch_web_root(self) -> None:
        """Check whether the web root accepts files: without that no job is assigned."""
        publisher = self.upload_server.publisher
        folders = (publisher.webroot.root, self.upload_server.spool_dir)
        while True:
            fault = await asyncio.to_thread(
                find_fault, publisher.webroot.check_writer, folders, self._required_bytes
            )
            await self._set_web_root_fault(fault)
            await asyncio.sleep(_WEB_ROOT_RETRY_INTERVAL_S if fault else _WEB_ROOT_CHECK_INTERVAL_S)

    async def _set_web_root_fault(self, fault: str) -> None:
        known = self.state_machine.web_root_fault
        if fault and not known:
            await self._apply(WebRootFailed(fault))
            self._note(no_jobs_text(self.state_machine.no_jobs_reason))
        elif known and not fault:
            self._required_bytes = MIN_FREE_BYTES
            await self._apply(WebRootRecovered())
            self._note("the web root accepts files again: jobs are assigned")

    async def _on_jobs_queued(self) -> None:
        """Have idle builders claim when jobs were queued: at once, and then a few times a second.

        Each small transaction that queues jobs sends a notification, 50 a second when the jobs of
        all releases are computed again, and each claim of an idle builder is a query.
        """
        queued = asyncio.Event()

        async def listen() -> None:
            async for _ in self.db.notifications("jobs"):
                queued.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            while True:
                await queued.wait()
                queued.clear()
                await self._apply(JobsAvailable())
                await asyncio.sleep(_JOBS_INTERVAL_S)

    async def _on_upload_results(self) -> None:
        while True:
            result = await self.upload_server.results.get()
            self._database_work.put(result.label, result)

    async def _estimate_durations(self) -> None:
        """Estimate how long builds can take; on a separate connection, so claims do not wait."""
        database = await Database.connect(
            self.dsn, role="estimate", epoch=self.db.epoch, connect_timeout_s=math.inf
        )
        async with database as db:
            while True:
                request = await self._estimates.get()
                project, build = request.job.project, request.job.build_id
                longest_s = await history.longest_build_s(db, project)
                await self._apply(DurationEstimated(request.label, build, longest_s))

    # --- instructions ---

    async def _apply(self, event: Event) -> None:
        now = time.monotonic()
        for instruction in self.state_machine.handle(event, now):
            await self._execute(instruction, now)

    async def _execute(self, instruction: Instruction, now: float) -> None:  # noqa: C901 - one case an instruction
        match instruction:
            case SendMessage(label, message):
                await self.connections.send(label, message)
            case (
                ClaimJob()
                | UnclaimJob()
                | CompleteBuild()
                | PersistSuspension()
                | PersistEndedBuilder()
            ):
                self._database_work.put(instruction.label, instruction)
            case EstimateDuration():
                await self._estimates.put(instruction)
            case AppendLog(build, offset, data):
                self.logs.append(build, offset, data)
            case CancelUpload(build):
                self.upload_server.cancel(build)
            case StartUpload():
                self.upload_server.expect(instruction, self.targets.by_name[instruction.job.target])
            case CreateLog(build):
                self.logs.create(build)
            case PublishBuilder(label):
                self._publish_builder(label, now)
            case PublishBuilderLost(label, reason):
                self._publish_builder(label, now)
                self._note(f"builder {label} is lost: {reason}")
            case PublishBuilderEnded(label, reason):
                self._publish_builder(label, now)
                self._note_left(label, reason)
            case PublishBuilderRemoved(label, reason):
                self.event_publisher.publish_builder_removed(label)
                self._note_left(label, reason)

    def _publish_builder(self, label: str, now: float) -> None:
        if self.state_machine.is_known(label):
            self.event_publisher.publish_builder(self.state_machine.view(label, now), now)

    def _note_left(self, label: str, reason: str) -> None:
        if reason and self._may_record_presence(label):
            self._note(f"builder {label} left: {reason}")

    def _note(self, text: str) -> None:
        self._database_work.put(_NO_BUILDER, AuditNote(text))

    # --- database work ---

    async def _do_database_work(self, work: _DatabaseWork) -> None:
        match work:
            case PendingHello(label):
                await self._on_pending_hello(label, self._pending_hellos.pop(label))
            case AuditNote(text):
                await self.event_publisher.record(text)
            case PersistSuspension():
                await self._persist_suspension(work)
            case PersistEndedBuilder(label, view):
                await self.jobs.store_ended_builder(label, view)
            case ClaimJob(label):
                await self._apply(JobClaimed(label, await self.jobs.claim(work)))
            case UnclaimJob(label, build):
                await self.jobs.unclaim(label, build)
            case CompleteBuild():
                await self._complete_or_reject(work)
            case WheelNotStored(reason=reason, size_bytes=size_bytes):
                # The wheel is in the spool and in the web root at the same time.
                self._required_bytes = max(self._required_bytes, 2 * size_bytes)
                await self._set_web_root_fault(reason)
                await self._apply(work)

    async def _on_pending_hello(self, label: str, hello: Hello) -> None:
        try:
            await self.targets.add_for_builder(label, hello.targets)
            await self._welcome_builder(label, hello)
        except RejectedError as error:
            await self.connections.reject(label, str(error))
        except Exception as error:
            if isinstance(error, PiwheelsError) or is_database_error(error):
                raise
            await self.connections.reject_failed(label, error)

    async def _welcome_builder(self, label: str, hello: Hello) -> None:
        known = label in self.state_machine.sessions
        await self._apply_hello(label, hello, await self._reclaim(label, hello))
        if not known and self._may_record_presence(label):
            targets = ", ".join(target.name for target in hello.targets)
            await self.event_publisher.record(f"builder {label} joined: {targets}")

    def _may_record_presence(self, label: str) -> bool:
        """Whether another join or leave of a builder is recorded as an event."""
        allowance = self._presence_allowances.setdefault(
            label, Allowance(_MAX_PRESENCE_EVENTS_PER_HOUR, _HOUR_S)
        )
        return allowance.allows(time.monotonic())

    def _needs_no_database(self, label: str, hello: Hello) -> bool:
        """Whether a builder's message needs no database query."""
        known = all(target.name in self.targets.by_name for target in hello.targets)
        return known and not (
            hello.current_build and self.state_machine.can_reclaim(label, hello.current_build)
        )

    async def _apply_hello(self, label: str, hello: Hello, reclaimed: Job | None = None) -> None:
        log_bytes = self.logs.size(hello.current_build) if hello.current_build is not None else 0
        await self._apply(MessageReceived(label, hello, log_bytes, reclaimed))
        self.targets.on_builder_connected()

    async def _reclaim(self, label: str, hello: Hello) -> Job | None:
        """The job of a build that was lost or requeued, and that nobody else has taken."""
        build = hello.current_build
        if not build or not self.state_machine.can_reclaim(label, build):
            return None
        job = await self.jobs.reclaim(label, build)
        if job is not None:
            what = f"{job.project} {job.version} for {job.target}"
            await self.event_publisher.record(
                f"builder {label} is back and continues build {build}: {what}"
            )
        return job

    async def _persist_suspension(self, suspension: PersistSuspension) -> None:
        await self.jobs.store_suspension(suspension)
        if suspension.suspension is BuilderState.QUARANTINED:
            label, reason = suspension.label, suspension.reason
            await self.event_publisher.record(
                f"builder {label} is quarantined: {reason}; `piw builder wake {label}` ends that"
            )
        elif suspension.suspension is None and suspension.reason:
            await self.event_publisher.record(
                f"builder {suspension.label} gets jobs again: {suspension.reason}"
            )

    async def _complete_or_reject(self, ended: CompleteBuild) -> None:
        """Record how a build ended; as rejected, if what its builder reported cannot be stored."""
        try:
            await self._complete(ended)
        except Exception as error:
            if isinstance(error, PiwheelsError) or is_database_error(error):
                raise
            job = ended.job
            _error_log.warning(
                "build %d of %s cannot be recorded", job.build_id, ended.label, with_traceback=True
            )
            reason = reasons.internal_error(error)
            await self._complete(complete_as(ended.label, job, Outcome.REFUSED, reason))

    async def _complete(self, ended: CompleteBuild) -> None:
        if isinstance(ended.job, ReproductionJob):
            await self._complete_reproduction(ended, ended.job)
            return
        build, stored = await self.jobs.complete(ended)
        if stored:
            self.event_publisher.publish_build_recorded(build, ended.files)
            if learned := await self.jobs.learn(ended.job, build):
                await self.event_publisher.record(learned)
        await self._apply(BuildCompleted(build.builder, build.build_id, build.outcome, stored))

    async def _complete_reproduction(self, ended: CompleteBuild, job: ReproductionJob) -> None:
        stored, found = await self.jobs.complete_reproduction(ended, job)
        if found is not None:
            await self.event_publisher.record(f"reproduction of {job.filename}: {found.summary}")
        outcome = ended.result.outcome
        await self._apply(BuildCompleted(ended.label, job.build_id, outcome, stored, counts=False))
