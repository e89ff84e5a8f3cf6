"""Jobs handed out to builders: the duty that joins sockets, sessions and the queue.

Messages become events of the session machine; its instructions become replies, queue work
and files to expect. Work on the database is done by one task in order, so that a slow
database never delays a builder's sign of life.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from piwheels.causes import policy
from piwheels.db import catalog, history, key_values, queue
from piwheels.db.database import Database, is_database_error
from piwheels.errors import PiwheelsError, RejectedError
from piwheels.model import (
    Build,
    CompatibilityRules,
    Job,
    Outcome,
    PastFailure,
    RetryDecision,
    Target,
    WheelFile,
)
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.messages import (
    MAX_TARGETS,
    PROTOCOL,
    BuilderState,
    BuilderView,
    CommandBuilders,
    FromBuilder,
    Goodbye,
    Hello,
    Rejected,
    ToBuilder,
    protocol_mismatch_message,
)
from piwheels.protocol.rate_limit import Allowance, RateLimitedLog
from piwheels.protocol.sockets import Envelope, Peer, Router
from piwheels.sanitize import truncate_line
from piwheels.scheduler import state_machine_events
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.builder_record import BuilderRecord, OrphanedClaim
from piwheels.scheduler.builder_state_machine import MAX_REASON_CHARS, BuilderStateMachine
from piwheels.scheduler.event_publisher import EventPublisher
from piwheels.scheduler.routes import RejectedPeer, Routes
from piwheels.scheduler.uploads import UploadNotStored, UploadResult, UploadServer
from piwheels.scheduler.web_root_check import MIN_FREE_BYTES, find_fault
from piwheels.wheel.tags import check_target

log = logging.getLogger(__name__)
_error_log = RateLimitedLog(log)

PAUSED_KEY = "paused"  # the setting that survives a restart
_SUSPENSION_PREFIX = (
    "quarantine/"  # and those of builders that are asleep or quarantined, with their labels
)
#: Builders add no more targets to a farm that has so many; operators may.
_MAX_FARM_TARGETS = 256
#: Events of one builder's coming and going that are kept of an hour.
_MAX_PRESENCE_EVENTS_PER_HOUR = 300
_HOUR_S = 3600.0
_TICK_INTERVAL_S = 1.0
_REQUEUE_INTERVAL_S = 5.0
_PRESENCE_INTERVAL_S = 60.0
#: How often the served tree is tried: while it takes files, and while it does not.
_WEB_ROOT_CHECK_INTERVAL_S, _WEB_ROOT_RETRY_INTERVAL_S = 30.0, 5.0


@dataclass(frozen=True, slots=True)
class DispatcherOptions:
    """How failures are treated."""

    builder_timeout_s: float = 300.0
    retry_delay_s: float = 600.0  # before the second try; doubled for each further one
    max_attempts: int = 3
    quarantine_after: int = 3  # builds in a row that failed of the builder itself; 0 is never


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of an order: the labels that heed it, and others, each with why not."""

    accepted: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PendingHello:
    """A builder's Hello waits in `_hellos`: one that says it again and again has one there."""

    label: str


@dataclass(frozen=True, slots=True)
class AuditNote:
    """A text to record in the event list."""

    text: str


_DatabaseWork = (
    state_machine_events.ClaimJob
    | state_machine_events.UnclaimJob
    | state_machine_events.CompleteBuild
    | state_machine_events.PersistSuspension
    | UploadResult
    | UploadNotStored
    | PendingHello
    | AuditNote
)


@dataclass(slots=True)
class Dispatcher:
    """The duty on the builders' socket."""

    db: Database
    dsn: str
    router: Router[FromBuilder, ToBuilder]
    keys: KeyStore
    rules: CompatibilityRules
    logs: LogSpool
    event_publisher: EventPublisher
    upload_server: UploadServer
    options: DispatcherOptions = field(default_factory=DispatcherOptions)
    targets: dict[str, Target] = field(default_factory=dict)
    state_machine: BuilderStateMachine = field(init=False)
    _routes: Routes = field(default_factory=Routes)
    _pending_hellos: dict[str, Hello] = field(default_factory=dict)  # that wait for the database
    _presence_allowances: dict[str, Allowance] = field(default_factory=dict)
    _added_targets: dict[str, set[str]] = field(
        default_factory=dict
    )  # targets, by the builder's label
    _database_work: asyncio.Queue[_DatabaseWork] = field(default_factory=asyncio.Queue)
    _estimates: asyncio.Queue[state_machine_events.EstimateDuration] = field(
        default_factory=asyncio.Queue
    )
    _targets_changed: asyncio.Event = field(default_factory=asyncio.Event)
    _presence_stored_at: float = field(default_factory=time.monotonic)
    _presence_changed: asyncio.Event = field(default_factory=asyncio.Event)
    _required_bytes: int = MIN_FREE_BYTES  # of the served tree, before it counts as usable

    def __post_init__(self) -> None:
        self.state_machine = BuilderStateMachine(
            builder_timeout_s=self.options.builder_timeout_s,
            quarantine_after=self.options.quarantine_after,
        )

    async def run(self) -> None:
        """Serve builders until cancelled."""
        await self._restore()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._run_database_work())
            group.create_task(self._tick())
            group.create_task(self._requeue_due_jobs())
            group.create_task(self._watch_presence())
            group.create_task(self._watch_web_root())
            group.create_task(self._on_jobs_queued())
            group.create_task(self._on_upload_results())
            group.create_task(self._on_targets_changed())
            group.create_task(self._estimate_durations())

    async def command_builders(self, command: CommandBuilders, user: str) -> CommandResult:
        """Give an order to builders; returns which heed it, and why others do not."""
        objections = {
            label: self.state_machine.rejection_reason(command.command, label)
            for label in command.builders
        }
        obeyed = tuple(label for label, why in objections.items() if not why)
        await self._apply(
            state_machine_events.CommandIssued(
                command.command,
                obeyed,
                user,
                immediately=command.immediately,
                max_parallel=command.max_parallel,
            )
        )
        refused = tuple((label, why) for label, why in objections.items() if why)
        return CommandResult(accepted=obeyed, rejected=refused)

    async def set_paused(self, *, paused: bool) -> None:
        """Stop or resume handing out jobs, and remember it across restarts."""
        await self.db.retrying(
            lambda: key_values.set_value(self.db, PAUSED_KEY, "yes" if paused else "no")
        )
        await self._apply(state_machine_events.PauseChanged(paused))

    @property
    def served_targets(self) -> frozenset[str]:
        """The targets of the builders that are there."""
        return frozenset(
            target for session in self.state_machine.sessions.values() for target in session.targets
        )

    @property
    def targets_with_compiler(self) -> frozenset[str]:
        """The targets for which one of the builders that are there has a C compiler."""
        return frozenset(
            target
            for session in self.state_machine.sessions.values()
            if session.accepts_jobs
            for target in session.targets
            if target not in session.targets_without_compiler
        )

    @property
    def no_jobs_reason(self) -> str:
        """Why no builder gets a job, beside a pause; "" when they do."""
        return self.state_machine.no_jobs_reason

    @property
    def paused(self) -> bool:
        """Whether jobs are held back."""
        return self.state_machine.paused

    def builder_views(self, *, load_history: bool = False) -> list[BuilderView]:
        """Every builder in view, by label; with `load_history`, its load over the last minutes."""
        now = time.monotonic()
        return [
            self.state_machine.view(label, now, load_history=load_history)
            for label in self.state_machine.labels()
        ]

    async def add_target(self, target: Target) -> bool:
        """Build for this target from now on; returns whether it is a new one.

        Raises:
            RefusedError: no interpreter can be such a target.
        """
        check_target(target)
        added = await self.db.retrying(lambda: catalog.add_target(self.db, target, self.rules))
        self.targets[target.name] = target
        self._targets_changed.set()  # also when an earlier try added it, and its answer was lost
        if added:
            await self.event_publisher.record(f"target {target.name} was added")
        return added

    async def skip_target(self, target: str, reason: str | None) -> bool:
        """Build for a target no more, or again when the reason is None."""
        changed = await self.db.retrying(lambda: catalog.skip_target(self.db, target, reason))
        self._targets_changed.set()
        return changed

    # --- in ---

    async def _restore(self) -> None:
        db = self.db
        await db.retrying(lambda: catalog.compute_missing_compatibility(db, self.rules))
        every = await db.retrying(lambda: catalog.targets(db, include_skipped=True))
        self.targets = {target.name: target for target in every}
        self.state_machine.paused = (
            await db.retrying(lambda: key_values.get_value(db, PAUSED_KEY)) == "yes"
        )
        claims = await db.retrying(lambda: queue.claimed_jobs(db))
        now, clock = time.monotonic(), datetime.now(UTC)
        self.state_machine.orphans = {
            # A clock that was set back would have it begin after now.
            claim.builder: OrphanedClaim(
                claim.job,
                since=now,
                claimed_at=now - max((clock - claim.claimed_at).total_seconds(), 0.0),
            )
            for claim in claims
        }
        claimed = {claim.job.build_id for claim in claims}
        self.upload_server.remove_orphans(claimed)
        self.logs.archive_orphans(claimed)
        await self._restore_records(now)

    async def _restore_records(self, now: float) -> None:
        """What builders did in the last hour, and which were asleep or quarantined."""
        db = self.db
        for ended in await db.retrying(lambda: history.recent_results(db)):
            record = self.state_machine.records.setdefault(ended.builder, BuilderRecord())
            record.results.append((now - ended.age_s, ended.built))
        for label, value in (
            await db.retrying(lambda: key_values.get_values(db, _SUSPENSION_PREFIX))
        ).items():
            held, _, reason = value.partition(" ")
            record = self.state_machine.records.setdefault(label, BuilderRecord())
            record.suspension, record.suspension_reason = BuilderState(held), reason

    async def _listen(self) -> None:
        while True:
            envelope = await self.router.receive()
            try:
                await self._on_message(envelope)
            except Exception as error:
                # A builder may say what nobody thought of: that ends no master.
                if isinstance(error, PiwheelsError) or is_database_error(error):
                    raise
                await self._reject_failed_message(envelope.peer, error)

    async def _on_message(self, envelope: Envelope[FromBuilder]) -> None:
        peer, message = envelope.peer, envelope.message
        label = self.keys.name_of(Role.BUILDER, peer.key)
        if label is None:
            await self._reject_unknown_key(peer)
            return
        instance = message.instance if isinstance(message, Hello) else None
        rival = self._routes.observe(label, peer, time.monotonic(), instance)
        if rival is not None:
            await self._reject_duplicate(label, rival)
            if rival.peer is peer:
                return
        if not isinstance(message, Hello):
            await self._apply(state_machine_events.MessageReceived(label, message))
            if isinstance(message, Goodbye):
                self._routes.remove(label)  # its successor does not have to wait
        elif message.protocol != PROTOCOL:
            reason = f"{protocol_mismatch_message(message.protocol)} (the builder's is {message.version})"
            await self.router.send(peer, Rejected(reason=reason, permanent=True))
        elif label in self.state_machine.sessions and self._needs_no_database(label, message):
            await self._apply_hello(label, message)  # whatever the database is doing
        else:
            waiting = label in self._pending_hellos
            self._pending_hellos[label] = message
            if not waiting:
                await self._database_work.put(PendingHello(label))

    async def _reject_failed_message(self, peer: Peer, error: Exception) -> None:
        """Answer a message that could not be handled; the traceback is logged."""
        name = type(error).__name__
        _error_log.warning("a message of %s could not be handled", peer.key, with_traceback=True)
        await self.router.send(peer, Rejected(reason=f"the master failed: {name}; see its log"))

    async def _reject_unknown_key(self, peer: Peer) -> None:
        gone = self._routes.labels_of_key(peer.key)
        for label in gone:
            await self._apply(state_machine_events.KeyRevoked(label))
            self._routes.remove(label)
        if not gone:
            reason = "this builder's key is not on the master's list"
            await self.router.send(peer, Rejected(reason=reason, permanent=True))

    async def _reject_duplicate(self, label: str, rival: RejectedPeer) -> None:
        """Refuse one of two builders that speak with one key."""
        why = f"another builder speaks with the key of {label}"
        if not rival.permanent:
            why += "; waiting until it has been silent for a while"
            await self.router.send(rival.peer, Rejected(reason=why))
            return
        why += (
            "; give this one a key of its own: `piw key new NAME`, builder.key_name = NAME, and "
            "on the master `piw key allow NAME KEY`"
        )
        await self.router.send(rival.peer, Rejected(reason=why, permanent=True))
        what = f"two builders speak with the key of {label}: the one that came last is refused"
        await self._database_work.put(AuditNote(what))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_INTERVAL_S)
            await self.logs.sync()
            await self._apply(state_machine_events.Tick())

    async def _requeue_due_jobs(self) -> None:
        """See to deferred jobs, apart from the clock: a database that is away must not stop it."""
        while True:
            await asyncio.sleep(_REQUEUE_INTERVAL_S)
            if await self.db.retrying(lambda: queue.requeue_due_jobs(self.db)):
                await self._apply(state_machine_events.JobsAvailable())

    async def _watch_presence(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PRESENCE_INTERVAL_S):
                    await self._presence_changed.wait()
            self._presence_changed.clear()
            await self._store_presence()

    async def _store_presence(self) -> None:
        """Note for which targets there are builders, and let jobs follow when that changed."""
        there = [item for item in self.state_machine.sessions.values() if item.accepts_jobs]
        served = {target for session in there for target in session.targets}
        now = time.monotonic()
        elapsed_s, self._presence_stored_at = now - self._presence_stored_at, now
        if await self.db.retrying(
            lambda: catalog.record_presence(self.db, served, self.targets_with_compiler, elapsed_s)
        ):
            self._targets_changed.set()

    async def _watch_web_root(self) -> None:
        """See whether the served tree takes files: without that no job is handed out."""
        publisher = self.upload_server.publisher
        folders = (publisher.webroot.root, self.upload_server.spool_dir)
        while True:
            fault = await asyncio.to_thread(find_fault, folders, self._required_bytes)
            await self._set_web_root_fault(fault)
            await asyncio.sleep(_WEB_ROOT_RETRY_INTERVAL_S if fault else _WEB_ROOT_CHECK_INTERVAL_S)

    async def _set_web_root_fault(self, fault: str) -> None:
        known = self.state_machine.web_root_fault
        if fault and not known:
            await self._apply(state_machine_events.WebRootFailed(fault))
            await self._database_work.put(
                AuditNote(f"no jobs are handed out: {self.state_machine.no_jobs_reason}")
            )
        elif known and not fault:
            self._required_bytes = MIN_FREE_BYTES
            await self._apply(state_machine_events.WebRootRecovered())
            await self._database_work.put(
                AuditNote("the served tree takes files again: jobs are handed out")
            )

    async def _on_jobs_queued(self) -> None:
        async for _ in self.db.notifications("jobs"):
            await self._apply(state_machine_events.JobsAvailable())

    async def _on_upload_results(self) -> None:
        while True:
            await self._database_work.put(await self.upload_server.results.get())

    async def _on_targets_changed(self) -> None:
        """Let jobs follow changed targets; one left half-way by an earlier master is finished."""
        async with await self._connect("converge") as db:
            while True:
                await db.retrying(lambda: catalog.recompute_jobs(db))
                await self._targets_changed.wait()
                self._targets_changed.clear()

    async def _estimate_durations(self) -> None:
        """Say how long builds can take: on a connection of its own, for claims go first."""
        async with await self._connect("estimate") as db:
            while True:
                asked = await self._estimates.get()
                project = asked.job.project
                longest_s = await db.retrying(lambda: history.longest_build_s(db, project))  # noqa: B023
                await self._apply(
                    state_machine_events.DurationEstimated(
                        asked.label, asked.job.build_id, longest_s
                    )
                )

    async def _connect(self, role: str) -> Database:
        return await Database.connect(
            self.dsn, role=role, epoch=self.db.epoch, connect_timeout_s=math.inf
        )

    # --- out ---

    async def _apply(self, event: state_machine_events.Event) -> None:
        now = time.monotonic()
        for instruction in self.state_machine.handle(event, now):
            await self._execute(instruction, now)

    async def _execute(self, instruction: state_machine_events.Instruction, now: float) -> None:
        match instruction:
            case state_machine_events.SendMessage(label, message):
                if peer := self._routes.route_of(label):
                    await self.router.send(peer, message)
            case (
                state_machine_events.ClaimJob()
                | state_machine_events.UnclaimJob()
                | state_machine_events.CompleteBuild()
                | state_machine_events.PersistSuspension()
            ):
                await self._database_work.put(instruction)
            case state_machine_events.EstimateDuration():
                await self._estimates.put(instruction)
            case state_machine_events.AppendLog(build, offset, data):
                self.logs.append(build, offset, data)
            case state_machine_events.CancelUpload(build):
                self.upload_server.cancel(build)
            case state_machine_events.StartUpload(label, job, built):
                await self.upload_server.expect(label, job, built, self.targets[job.target])
            case (
                state_machine_events.PublishBuilder()
                | state_machine_events.PublishBuildStarted()
                | state_machine_events.PublishBuilderLost()
                | state_machine_events.PublishBuilderRemoved()
            ):
                await self._publish(instruction, now)

    async def _publish(
        self,
        news: state_machine_events.PublishBuilder
        | state_machine_events.PublishBuildStarted
        | state_machine_events.PublishBuilderLost
        | state_machine_events.PublishBuilderRemoved,
        now: float,
    ) -> None:
        match news:
            case state_machine_events.PublishBuilder(label):
                self._publish_builder(label, now)
            case state_machine_events.PublishBuildStarted(label, job):
                self.logs.create(job.build_id)
                self.event_publisher.publish_build_started(label, job)
            case state_machine_events.PublishBuilderLost(label, reason):
                self._publish_builder(label, now)
                await self._database_work.put(AuditNote(f"builder {label} is lost: {reason}"))
            case state_machine_events.PublishBuilderRemoved(label, reason):
                self.event_publisher.publish_builder_removed(label)
                if reason and self._may_record_presence(label):
                    await self._database_work.put(AuditNote(f"builder {label} left: {reason}"))

    def _publish_builder(self, label: str, now: float) -> None:
        if self.state_machine.is_known(label):
            self.event_publisher.publish_builder(self.state_machine.view(label, now), now)

    async def _run_database_work(self) -> None:
        while True:
            await self._do_database_work(await self._database_work.get())

    async def _do_database_work(self, task: _DatabaseWork) -> None:
        match task:
            case PendingHello(label):
                await self._on_pending_hello(label, self._pending_hellos.pop(label))
            case AuditNote(what):
                await self.event_publisher.record(what)
            case state_machine_events.PersistSuspension():
                await self._persist_suspension(task)
            case state_machine_events.ClaimJob():
                await self._claim_job(task)
            case state_machine_events.UnclaimJob(label, build):
                await self._unclaim_job(label, build)
            case state_machine_events.CompleteBuild():
                await self._complete_or_reject(task, ())
            case UploadResult():
                await self._complete_or_reject(task, task.files)
            case UploadNotStored(label, job, reason, size_bytes):
                # The wheel lies in the spool and in the tree at the same time.
                self._required_bytes = max(self._required_bytes, 2 * size_bytes)
                await self._set_web_root_fault(reason)
                await self._apply(state_machine_events.WheelNotStored(label, job.build_id, reason))

    async def _on_pending_hello(self, label: str, hello: Hello) -> None:
        try:
            await self._add_targets(label, hello)
            await self._welcome_builder(label, hello)
        except RejectedError as error:
            await self._reject_builder(label, str(error))
        except Exception as error:
            if isinstance(error, PiwheelsError) or is_database_error(error):
                raise
            if peer := self._routes.route_of(label):
                await self._reject_failed_message(peer, error)

    async def _add_targets(self, label: str, hello: Hello) -> None:
        """Add those of a builder's targets that the farm does not have.

        Raises:
            RefusedError: no interpreter can be such a target, or there are too many.
        """
        added = self._added_targets.setdefault(label, set())
        for target in hello.targets:
            if target.name in self.targets:
                continue
            if len(added) >= MAX_TARGETS or len(self.targets) >= _MAX_FARM_TARGETS:
                raise RejectedError(
                    f"{target.name} is one target too many: a builder adds at most {MAX_TARGETS}, "
                    f"and a farm has at most {_MAX_FARM_TARGETS}; name fewer interpreters in "
                    "builder.python"
                )
            await self.add_target(target)
            added.add(target.name)

    async def _welcome_builder(self, label: str, hello: Hello) -> None:
        known = label in self.state_machine.sessions
        await self._apply_hello(label, hello, await self._reclaim(label, hello))
        if not known and self._may_record_presence(label):
            await self.event_publisher.record(
                f"builder {label} joined: {', '.join(t.name for t in hello.targets)}"
            )

    def _may_record_presence(self, label: str) -> bool:
        """Whether a builder's coming or going is kept in the event list, once more."""
        allowance = self._presence_allowances.setdefault(
            label, Allowance(_MAX_PRESENCE_EVENTS_PER_HOUR, _HOUR_S)
        )
        return allowance.allows(time.monotonic())

    def _needs_no_database(self, label: str, hello: Hello) -> bool:
        """Whether a builder says nothing that has to be looked up."""
        known = all(target.name in self.targets for target in hello.targets)
        return known and not (
            hello.current_build and self.state_machine.can_reclaim(label, hello.current_build)
        )

    async def _apply_hello(self, label: str, hello: Hello, reclaimed: Job | None = None) -> None:
        log_bytes = self.logs.size(hello.current_build) if hello.current_build is not None else 0
        await self._apply(state_machine_events.MessageReceived(label, hello, log_bytes, reclaimed))
        self._presence_changed.set()

    async def _reclaim(self, label: str, hello: Hello) -> Job | None:
        """The job of a build that was lost, or given back, and that nobody else has taken."""
        build = hello.current_build
        if not build or not self.state_machine.can_reclaim(label, build):
            return None
        job = await self.db.retrying(lambda: queue.reclaim(self.db, label, build))
        if job is not None:
            what = f"{job.project} {job.version} for {job.target}"
            await self.event_publisher.record(
                f"builder {label} is back, and keeps build {build}: {what}"
            )
        return job

    async def _reject_builder(self, label: str, reason: str) -> None:
        log.warning("refused the builder %s: %s", label, reason)
        if peer := self._routes.route_of(label):
            await self.router.send(peer, Rejected(reason=reason, permanent=True))

    async def _persist_suspension(self, keep: state_machine_events.PersistSuspension) -> None:
        value = f"{keep.suspension} {keep.reason}" if keep.suspension else None
        key = f"{_SUSPENSION_PREFIX}{keep.label}"
        await self.db.retrying(lambda: key_values.set_value(self.db, key, value))
        if keep.suspension is BuilderState.QUARANTINED:
            wake = f"`piw wake {keep.label}` lets it go on"
            await self.event_publisher.record(
                f"builder {keep.label} is quarantined: {keep.reason}; {wake}"
            )

    async def _claim_job(self, claim: state_machine_events.ClaimJob) -> None:
        job = await self.db.retrying(lambda: self._claim_again(claim))
        await self._apply(state_machine_events.JobClaimed(claim.label, job))

    async def _claim_again(self, claim: state_machine_events.ClaimJob) -> Job | None:
        # The answer to an earlier try can have been lost with the connection.
        await queue.unclaim_all(self.db, claim.label)
        return await queue.claim(
            self.db,
            claim.label,
            claim.targets,
            claim.targets_without_compiler,
            self.state_machine.fitness(claim.label),
        )

    async def _unclaim_job(self, label: str, build: int) -> None:
        if await self.db.retrying(lambda: queue.unclaim(self.db, label, build)):
            self.logs.discard(build)

    async def _complete_or_reject(
        self, ended: state_machine_events.CompleteBuild | UploadResult, files: tuple[WheelFile, ...]
    ) -> None:
        """Record how a build ended; as refused, if what its builder said cannot be recorded."""
        try:
            await self._complete_build(_build_record(ended), files)
        except Exception as error:
            if isinstance(error, PiwheelsError) or is_database_error(error):
                raise
            job, name = ended.job, type(error).__name__
            _error_log.warning(
                "build %d of %s cannot be recorded", job.build_id, ended.label, with_traceback=True
            )
            reason = f"the master failed: {name}; see its log"
            refused = state_machine_events.CompleteBuild(
                ended.label, job, Outcome.REFUSED, reason, 0.0
            )
            await self._complete_build(_build_record(refused), ())

    async def _complete_build(self, build: Build, files: tuple[WheelFile, ...]) -> None:
        await asyncio.to_thread(self.logs.archive, build.build_id)
        stored = await self.db.retrying(
            lambda: queue.complete_job(
                self.db, build, files, self.rules, lambda past: self._decide_retry(build, past)
            )
        )
        if stored:
            self.event_publisher.publish_build_recorded(build, files)
        await self._apply(
            state_machine_events.BuildCompleted(
                build.builder, build.build_id, build.outcome, stored
            )
        )

    def _decide_retry(self, build: Build, past: Sequence[PastFailure]) -> RetryDecision:
        if build.failure_class is None:
            return policy.FINAL
        failure = policy.Failure(
            failure_class=build.failure_class,
            builder=build.builder,
            evidence=build.evidence,
            attempt=build.attempt,
            earlier=past,
            other_builders=self.state_machine.has_other_builder(build.builder, build.target),
            largest_memory_bytes=self.state_machine.max_memory_bytes(build.target),
        )
        options = policy.RetryOptions(
            retry_delay_s=self.options.retry_delay_s, max_attempts=self.options.max_attempts
        )
        return policy.decide(failure, options)


def _build_record(ended: state_machine_events.CompleteBuild | UploadResult) -> Build:
    job = ended.job
    told = ended.build_finished if isinstance(ended, UploadResult) else ended
    return Build(
        build_id=job.build_id,
        project=job.project,
        version=job.version,
        target=job.target,
        builder=ended.label,
        outcome=ended.outcome,
        reason=truncate_line(ended.reason, MAX_REASON_CHARS),
        started_at=datetime.now(UTC) - timedelta(seconds=told.duration_s),
        duration_s=told.duration_s,
        attempt=job.attempt,
        build_inputs=told.build_inputs,
        without_compiler=told.compiler_missing,
        failure_class=told.failure_class or policy.failure_class_of(ended.outcome),
        evidence=told.evidence,
    )
