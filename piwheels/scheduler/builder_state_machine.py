"""The life of every builder as a state machine: events go in, instructions come out.

No I/O and no clock: `handle(event, now)` is a function of what it was told, so that every
race of the farm's protocol is a test without a socket. Times are seconds of one monotonic
clock. A builder is known here by its label; dispatch knows the sockets.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from piwheels.causes.policy import failure_class_of, required_free_disk
from piwheels.model import BuilderCapability, FailureClass, Job, Outcome
from piwheels.protocol.messages import (
    Ack,
    BuildAcknowledged,
    BuilderCommand,
    BuilderState,
    BuilderView,
    BuildFinished,
    BuildHeartbeat,
    CancelBuild,
    FromBuilder,
    Goodbye,
    Hello,
    IdleHeartbeat,
    LogChunk,
    NoJobAvailable,
    Rejected,
    Shutdown,
    StartBuild,
    UploadFiles,
    Welcome,
)
from piwheels.sanitize import truncate_line
from piwheels.scheduler.builder_record import (
    SILENT_AFTER_S,
    UPLOADING,
    WAITING_FOR_WEB_ROOT,
    BuilderRecord,
    LostBuilder,
    OrphanedClaim,
    PendingShutdown,
    Session,
)
from piwheels.scheduler.index_outage import IndexOutage
from piwheels.scheduler.rolling_restart import RollingRestart
from piwheels.scheduler.state_machine_events import (
    AppendLog,
    BuildCompleted,
    CancelUpload,
    ClaimJob,
    CommandIssued,
    CompleteBuild,
    DurationEstimated,
    EstimateDuration,
    Event,
    Instruction,
    JobClaimed,
    JobsAvailable,
    KeyRevoked,
    MessageReceived,
    PauseChanged,
    PersistSuspension,
    PublishBuilder,
    PublishBuilderLost,
    PublishBuilderRemoved,
    PublishBuildStarted,
    SendMessage,
    StartUpload,
    Tick,
    UnclaimJob,
    WebRootFailed,
    WebRootRecovered,
    WheelNotStored,
)

#: A Build that is not confirmed after so long is sent again.
RESEND_AFTER_S = 5.0
#: A builder that was lost stays in view for so long.
LOST_BUILDER_RETENTION_S = 3600.0
_SAMPLE_INTERVAL_S = 10.0
#: Classes of failure of a build that had all that it needed of the index.
_INDEX_WORKED_CLASSES = frozenset(
    {
        FailureClass.UNKNOWN,
        FailureClass.LIMIT,
        FailureClass.TIMED_OUT,
        FailureClass.OUT_OF_MEMORY,
    }
)
#: Sent to a builder whose build nobody waits for.
_NOT_ITS_BUILD = "its job was given to another builder, or is not wanted any more"
#: Of why a build ended.
MAX_REASON_CHARS = 500


@dataclass(slots=True)
class BuilderStateMachine:
    """All builders of the farm.

    `orphans` are the claims that the database holds when the master starts, by label;
    `records` is what it knows of builders from before. A builder of which `quarantine_after`
    builds in a row failed of itself gets no more; 0 is never.
    """

    builder_timeout_s: float
    quarantine_after: int = 3
    paused: bool = False
    orphans: dict[str, OrphanedClaim] = field(default_factory=dict)
    records: dict[str, BuilderRecord] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    lost: dict[str, LostBuilder] = field(default_factory=dict)
    rolling_restarts: list[RollingRestart] = field(default_factory=list)
    web_root_fault: str = ""  # why the served tree takes no files
    outage: IndexOutage = field(default_factory=IndexOutage)
    _sampled_at: float = 0.0
    _now: float = 0.0

    def handle(self, event: Event, now: float) -> list[Instruction]:  # noqa: C901 - one case an event
        """Take an event in, and say what has to be done about it."""
        self._now = now
        match event:
            case MessageReceived(message=Hello() as hello):
                return self._on_hello(event, hello, now)
            case MessageReceived(label, message):
                return self._on_message(label, message, now)
            case JobClaimed(label, job):
                return self._on_job_claimed(label, job, now)
            case DurationEstimated(label, build, longest_s):
                return self._on_duration_estimated(label, build, longest_s)
            case BuildCompleted(label, build, outcome, stored):
                return self._on_build_completed(label, build, outcome, now, stored=stored)
            case WheelNotStored(label, build, reason):
                return self._on_wheel_not_stored(label, build, reason)
            case WebRootFailed(reason):
                return self._on_web_root_failed(reason)
            case WebRootRecovered():
                self.web_root_fault = ""
                return self._offer_jobs()
            case JobsAvailable():
                return self._offer_jobs()
            case Tick():
                return self._on_tick(now)
            case CommandIssued():
                return self._on_command(event, now)
            case PauseChanged(paused):
                self.paused = paused
                return self._offer_jobs() + [PublishBuilder(label) for label in self.sessions]
            case KeyRevoked(label):
                return self._on_key_revoked(label, now)

    def rejection_reason(self, command: BuilderCommand, label: str) -> str:
        """Why a builder cannot heed an order; "" when it can."""
        if label in self.lost:
            return "is lost"
        session = self.sessions.get(label)
        if session is None:
            return "is not connected"
        if command is BuilderCommand.CANCEL_BUILD and session.job is None:
            return "has no build in hand"
        return ""

    def labels(self) -> list[str]:
        """Every builder in view, in order."""
        return sorted(self.sessions.keys() | self.lost.keys())

    def is_known(self, label: str) -> bool:
        """Whether a builder is there, or was a while ago."""
        return label in self.sessions or label in self.lost

    def view(self, label: str, now: float, *, load_history: bool = False) -> BuilderView:
        """How a builder in view looks from outside."""
        if label in self.lost:
            return self.lost[label].view(now)
        return self.sessions[label].view(now, paused=self.paused, load_history=load_history)

    # --- what builders say ---

    @property
    def no_jobs_reason(self) -> str:
        """Why no builder gets a job, beside a pause; "" when they do."""
        if self.web_root_fault:
            return f"the served tree takes no files: {self.web_root_fault}"
        if self.outage.reason:
            return f"builders agree that the index does not answer: {self.outage.reason}"
        return ""

    def fitness(self, label: str) -> BuilderCapability:
        """What a builder can do, compared with the others that could take its jobs."""
        session = self.sessions.get(label)
        if session is None:
            return BuilderCapability()
        rivals = {target: self._other_builders(label, target) for target in session.targets}
        speeds = (rival.hello.speed for those in rivals.values() for rival in those)
        return BuilderCapability(
            memory_bytes=session.hello.memory_limit_bytes,
            speed=session.hello.speed,
            exclusive_targets=tuple(target for target, those in rivals.items() if not those),
            largest_memory_bytes=self.max_memory_bytes(*session.targets),
            best_speed=max(session.hello.speed, *speeds, 0.0),
        )

    def max_memory_bytes(self, *targets: str) -> int:
        """The largest memory limit of the builders that serve one of these targets, lost or not."""
        known = [*self.sessions.values(), *(missing.session for missing in self.lost.values())]
        serve = (session for session in known if set(targets) & set(session.targets))
        return max((session.hello.memory_limit_bytes for session in serve), default=0)

    def can_reclaim(self, label: str, build: int) -> bool:
        """Whether a builder that is back with a build may have the job of it again."""
        session, orphan = self.sessions.get(label), self.orphans.get(label)
        has = session is not None and session.is_building(build)
        waits = orphan is not None and orphan.job.build_id == build
        record = self.records.get(label)
        return not has and not waits and (record is None or record.suspension is None)

    def has_other_builder(self, label: str, target: str) -> bool:
        """Whether another builder than this one serves a target."""
        return bool(self._other_builders(label, target))

    def _other_builders(self, label: str, target: str) -> list[Session]:
        """The other builders that can take any job for a target."""
        return [
            session
            for session in self.sessions.values()
            if session.label != label
            and session.accepts_jobs
            and not session.disk_full_reason()
            and target in session.targets
            and target not in session.targets_without_compiler
        ]

    def _on_message(self, label: str, message: FromBuilder, now: float) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None:
            return [SendMessage(label, Rejected(reason="say Hello first"))]
        session.last_message_at = now
        match message:
            case IdleHeartbeat():
                return self._on_idle(session, message, now)
            case BuildHeartbeat():
                return self._on_building(session, message, now)
            case LogChunk(build=build, offset=offset, data=data):
                # Once its end was told a log is whole, and may have left the spool: what comes then
                # is told anew by a builder whose link was cut.
                wanted = session.is_building(build) and not session.completing
                return [AppendLog(build, offset, data)] if wanted else []
            case BuildFinished():
                return self._on_build_finished(session, message, now)
            case Goodbye(reason=reason):
                return self._on_goodbye(session, reason, now)
            case Hello():
                return []  # handle() takes it

    def _on_hello(self, event: MessageReceived, hello: Hello, now: float) -> list[Instruction]:
        label, welcome = event.label, Welcome(label=event.label, log_offset=event.log_bytes)
        instructions: list[Instruction] = [SendMessage(label, welcome)]
        session = self.sessions.get(label)
        if session is None:
            session, adopted = self._add_session(label, hello, now)
            instructions += adopted
        session.hello, session.host, session.last_message_at = hello, hello.host, now
        session.finishing = False
        if session.job is not None and hello.current_build != session.job.build_id:
            instructions += _return_job(session)
        if event.reclaimed_job is not None:
            session.start_job(event.reclaimed_job, now, "building", now)
            instructions.append(EstimateDuration(label, event.reclaimed_job))
        if hello.current_build is not None and not session.is_building(hello.current_build):
            instructions.append(
                SendMessage(label, CancelBuild(build=hello.current_build, reason=_NOT_ITS_BUILD))
            )
        return [*instructions, PublishBuilder(label), *self._continue_rolling_restarts(now)]

    def _add_session(
        self, label: str, hello: Hello, now: float
    ) -> tuple[Session, list[Instruction]]:
        """A session for a builder that had none, with the job that it has from before."""
        self.lost.pop(label, None)
        record = self.records.setdefault(label, BuilderRecord())
        session = Session(label, hello, last_message_at=now, host=hello.host, record=record)
        self.sessions[label] = session
        for rollout in self.rolling_restarts:
            rollout.on_returned(label)
        orphan = self.orphans.pop(label, None)
        if orphan is None:
            return session, []
        since = now if orphan.claimed_at is None else orphan.claimed_at
        session.start_job(orphan.job, since, "building", now)
        return session, [EstimateDuration(label, orphan.job)]

    def _on_idle(self, session: Session, idle: IdleHeartbeat, now: float) -> list[Instruction]:
        session.host, session.finishing = idle.host, False
        return [*self._answer_idle(session, idle, now), PublishBuilder(session.label)]

    def _answer_idle(self, session: Session, idle: IdleHeartbeat, now: float) -> list[Instruction]:
        job = session.job
        if job is None and session.claiming:
            # A slow database must not look like a dead master.
            return [
                SendMessage(session.label, NoJobAvailable(reason="the queue has not answered yet"))
            ]
        if job is None:
            return self._offer_job(session)
        if session.completing:
            return [SendMessage(session.label, Ack())]
        if idle.last_build >= job.build_id:
            given_back = _return_job(session)
            session.finishing = False
            return [*given_back, *self._offer_job(session)]
        if now - session.job_started_at > RESEND_AFTER_S:
            return [SendMessage(session.label, StartBuild(job=job))]
        return []

    def _on_building(
        self, session: Session, message: BuildHeartbeat, now: float
    ) -> list[Instruction]:
        session.host = message.host
        if not session.is_building(message.build):
            return [
                SendMessage(session.label, CancelBuild(build=message.build, reason=_NOT_ITS_BUILD))
            ]
        if not session.completing:
            session.phase, session.phase_started_at = message.phase, now - message.phase_s
        return [SendMessage(session.label, Ack()), PublishBuilder(session.label)]

    def _on_build_finished(
        self, session: Session, built: BuildFinished, now: float
    ) -> list[Instruction]:
        job = session.job
        if job is None or job.build_id != built.build:
            return [
                SendMessage(
                    session.label, BuildAcknowledged(build=built.build, note=_NOT_ITS_BUILD)
                )
            ]
        again, session.completing = session.completing, True
        session.failure_reason = truncate_line(built.reason, MAX_REASON_CHARS)
        if built.outcome is Outcome.BUILT:
            if self.web_root_fault and not again:
                return self._wait_for_web_root(session)
            self._record_index_success(session)
            instructions: list[Instruction] = [
                SendMessage(session.label, UploadFiles(build=job.build_id))
            ]
            if again:
                return instructions
            session.phase, session.phase_started_at = UPLOADING, now
            return [
                StartUpload(session.label, job, built),
                *instructions,
                PublishBuilder(session.label),
            ]
        if again:
            return [SendMessage(session.label, Ack())]
        failure = built.failure_class or failure_class_of(built.outcome)
        self._record_fault(session, job, built, failure, now)
        return [
            CompleteBuild(
                session.label,
                job,
                built.outcome,
                session.failure_reason,
                built.duration_s,
                built.build_inputs,
                built.compiler_missing,
                failure,
                built.evidence,
            )
        ]

    def _record_fault(
        self,
        session: Session,
        job: Job,
        built: BuildFinished,
        failure: FailureClass | None,
        now: float,
    ) -> None:
        """What a failed build says of the index and of its builder."""
        record, evidence = session.record, built.evidence
        if failure is FailureClass.INDEX_FAULT:
            record.back_off(
                now, f"the index failed it: {session.failure_reason}", evidence.retry_after_s
            )
            release = f"{job.project} {job.version}"
            self.outage.record_failure(
                session.label, release, session.failure_reason, record.backoff_until
            )
        elif failure is FailureClass.DISK_FULL and (
            evidence.disk_free_bytes is None
            or evidence.disk_free_bytes < required_free_disk(evidence.disk_reserve_bytes)
        ):
            record.back_off(now, f"its disk was full: {session.failure_reason}")
        elif failure in _INDEX_WORKED_CLASSES:
            self._record_index_success(session)

    def _record_index_success(self, session: Session) -> None:
        session.record.end_backoff()
        self.outage.record_success()

    def _on_wheel_not_stored(self, label: str, build: int, reason: str) -> list[Instruction]:
        """The builder keeps what it built, and offers it again until the tree can take it."""
        session = self.sessions.get(label)
        kept: list[Instruction] = []
        if session is not None and session.is_building(build):
            kept = self._wait_for_web_root(session)
        return [*kept, *self._on_web_root_failed(reason)]

    def _wait_for_web_root(self, session: Session) -> list[Instruction]:
        session.completing = False
        if session.phase != WAITING_FOR_WEB_ROOT:
            session.phase, session.phase_started_at = WAITING_FOR_WEB_ROOT, self._now
        return [SendMessage(session.label, Ack()), PublishBuilder(session.label)]

    def _on_web_root_failed(self, reason: str) -> list[Instruction]:
        self.web_root_fault = reason
        return [PublishBuilder(label) for label in self.sessions]

    def _on_goodbye(self, session: Session, reason: str, now: float) -> list[Instruction]:
        given_back = _return_job(session)
        return [
            *given_back,
            *self._remove_session(session, truncate_line(reason) or "said goodbye", now),
        ]

    def _remove_session(self, session: Session, reason: str, now: float) -> list[Instruction]:
        del self.sessions[session.label]
        for rollout in self.rolling_restarts:
            rollout.on_left(session.label, now)
        return [PublishBuilderRemoved(session.label, reason), *self._continue_rolling_restarts(now)]

    # --- what the queue says ---

    def _on_job_claimed(self, label: str, job: Job | None, now: float) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None or session.job is not None:
            return [UnclaimJob(label, job.build_id)] if job else []
        session.claiming = False
        if job is None:
            bound = (
                " that is known to need no C compiler" if session.targets_without_compiler else ""
            )
            return [
                SendMessage(
                    label, NoJobAvailable(reason=f"nothing is queued for your targets{bound}")
                )
            ]
        if self._why_no_job(session):
            return [UnclaimJob(label, job.build_id), *self._offer_job(session)]
        self.outage.on_job_started(label)
        session.start_job(job, now, "starting", now)
        return [
            SendMessage(label, StartBuild(job=job)),
            PublishBuildStarted(label, job),
            PublishBuilder(label),
            EstimateDuration(label, job),
        ]

    def _on_duration_estimated(
        self, label: str, build: int, longest_s: float | None
    ) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None or not session.is_building(build):
            return []
        session.set_expected_duration(longest_s)
        return [PublishBuilder(label)]

    def _on_build_completed(
        self, label: str, build: int, outcome: Outcome, now: float, *, stored: bool
    ) -> list[Instruction]:
        record = self.records.setdefault(label, BuilderRecord())
        if stored and outcome not in {Outcome.CANCELED, Outcome.LOST}:
            record.count_build(now, built=outcome is Outcome.BUILT)
        session = self.sessions.get(label)
        if session is None or not session.is_building(build):
            return []
        held = self._quarantine_if_failing(session, outcome) if stored else []
        session.clear_job()
        note = "" if stored else "the claim had been lost"
        return [
            *held,
            SendMessage(label, BuildAcknowledged(build=build, note=note)),
            PublishBuilder(label),
        ]

    def _quarantine_if_failing(self, session: Session, outcome: Outcome) -> list[Instruction]:
        """Keep a builder from further jobs when it is the builder that fails them."""
        record = session.record
        record.consecutive_failures = (
            record.consecutive_failures + 1 if outcome is Outcome.BUILDER_FAILED else 0
        )
        if (
            not 0 < self.quarantine_after <= record.consecutive_failures
            or record.suspension is not None
        ):
            return []
        reason = f"{record.consecutive_failures} builds in a row failed of the builder itself: {session.failure_reason}"
        return _suspend(session, BuilderState.QUARANTINED, reason)

    # --- time ---

    def _on_tick(self, now: float) -> list[Instruction]:
        instructions: list[Instruction] = []
        for label, orphan in list(self.orphans.items()):
            if now - orphan.since > self.builder_timeout_s:
                del self.orphans[label]
                instructions.append(_complete_as_lost(label, orphan.job, self.builder_timeout_s))
        for session in list(self.sessions.values()):
            instructions += self._check_timeouts(session, now)
        for label, missing in list(self.lost.items()):
            if now - missing.lost_at > LOST_BUILDER_RETENTION_S:
                del self.lost[label]
                instructions.append(PublishBuilderRemoved(label, ""))
        return [*instructions, *self._sample_loads(now), *self._continue_rolling_restarts(now)]

    def _check_timeouts(self, session: Session, now: float) -> list[Instruction]:
        silent_s = now - session.last_message_at
        shutdown = session.shutdown
        if shutdown is not None and session.job is None and silent_s > SILENT_AFTER_S:
            return self._remove_session(session, shutdown.reason, now)
        if silent_s > self.builder_timeout_s:
            return self._mark_lost(session, now)
        state = session.state(now, paused=self.paused)
        if state is session.published_state:
            return []
        session.published_state = state
        return [PublishBuilder(session.label)]

    def _mark_lost(self, session: Session, now: float) -> list[Instruction]:
        label, reason = session.label, f"not heard for {self.builder_timeout_s:.0f} s"
        instructions: list[Instruction] = []
        job = session.clear_job()
        if job is not None:
            reason += f"; its build {job.build_id} ({job.project} {job.version}) went back"
            instructions = [
                CancelUpload(job.build_id),
                _complete_as_lost(label, job, now - session.job_started_at),
            ]
        del self.sessions[label]
        self.lost[label] = LostBuilder(session, lost_at=now, reason=reason)
        for rollout in self.rolling_restarts:
            rollout.on_left(label, session.last_message_at)
        return [*instructions, PublishBuilderLost(label, reason)]

    def _sample_loads(self, now: float) -> list[Instruction]:
        """Keep the loads, and forget what ended over an hour ago, every few seconds."""
        if now - self._sampled_at < _SAMPLE_INTERVAL_S:
            return []
        self._sampled_at = now
        for session in self.sessions.values():
            session.record.load_history.append(session.host.load)
        fewer = [label for label, record in self.records.items() if record.drop_old_results(now)]
        return [PublishBuilder(label) for label in fewer]

    # --- operators ---

    def _on_command(self, ordered: CommandIssued, now: float) -> list[Instruction]:
        if ordered.command is BuilderCommand.RESTART and ordered.max_parallel:
            self.rolling_restarts.append(RollingRestart(ordered, deque(ordered.labels)))
            return self._continue_rolling_restarts(now)
        return self._command_all(ordered, ordered.labels, now)

    def _command_all(
        self, ordered: CommandIssued, labels: Iterable[str], now: float
    ) -> list[Instruction]:
        instructions: list[Instruction] = []
        for label in labels:
            session = self.sessions.get(label)
            if session is not None:
                instructions += self._command(session, ordered, now)
                instructions.append(PublishBuilder(label))
        return instructions

    def _continue_rolling_restarts(self, now: float) -> list[Instruction]:
        """Restart the builders whose turn it is."""
        instructions: list[Instruction] = []
        for rollout in self.rolling_restarts:
            while turns := rollout.next_labels(now, self.builder_timeout_s):
                instructions += self._command_all(rollout.command, turns, now)
                for label in set(turns) - self.sessions.keys():
                    rollout.on_absent(label)
        self.rolling_restarts = [rollout for rollout in self.rolling_restarts if not rollout.done]
        return instructions

    def _command(self, session: Session, ordered: CommandIssued, now: float) -> list[Instruction]:
        who = ordered.user
        match ordered.command:
            case BuilderCommand.SLEEP:
                return self._put_to_sleep(session, who, immediately=ordered.immediately)
            case BuilderCommand.WAKE:
                session.record.consecutive_failures = 0
                session.record.end_backoff()
                return [*_suspend(session, None, ""), *self._offer_job(session)]
            case BuilderCommand.CANCEL_BUILD:
                return self._cancel_build(session, f"canceled by {who}", now)
            case BuilderCommand.DRAIN:
                return _shut_down(session, f"drained by {who}", restart=False)
            case BuilderCommand.RESTART:
                stopped = _stop_build(session, f"restarted by {who}") if ordered.immediately else []
                return [*stopped, *_shut_down(session, f"restarted by {who}", restart=True)]
            case BuilderCommand.KILL:
                canceled = self._cancel_build(session, f"killed by {who}", now)
                return [*canceled, *_shut_down(session, f"killed by {who}", restart=False)]

    def _put_to_sleep(self, session: Session, who: str, *, immediately: bool) -> list[Instruction]:
        suspended = _suspend(session, BuilderState.ASLEEP, f"by {who}")
        stopped = _stop_build(session, f"put to sleep by {who}") if immediately else []
        return [*suspended, *stopped]

    def _on_key_revoked(self, label: str, now: float) -> list[Instruction]:
        if self.lost.pop(label, None) is not None:
            return [PublishBuilderRemoved(label, "its key was revoked")]
        session = self.sessions.get(label)
        if session is None:
            return []
        ended = self._cancel_build(session, "its key was revoked", now)
        refusal = Rejected(reason="this builder's key was revoked", permanent=True)
        left = self._remove_session(session, "its key was revoked", now)
        return [*ended, SendMessage(label, refusal), *left]

    def _cancel_build(self, session: Session, reason: str, now: float) -> list[Instruction]:
        job = session.clear_job()
        if job is None:
            return []
        return [
            CancelUpload(job.build_id),
            SendMessage(session.label, CancelBuild(build=job.build_id, reason=reason)),
            CompleteBuild(
                session.label, job, Outcome.CANCELED, reason, now - session.job_started_at
            ),
        ]

    # --- handing out ---

    def _offer_jobs(self) -> list[Instruction]:
        return [
            instruction
            for session in self.sessions.values()
            for instruction in self._offer_job(session)
        ]

    def _offer_job(self, session: Session) -> list[Instruction]:
        if session.job is not None or session.claiming:
            return []
        if session.shutdown is not None:
            return [_shutdown_message(session.label, session.shutdown)]
        session.no_job_reason = self._why_no_job(session)
        if session.no_job_reason:
            return [SendMessage(session.label, NoJobAvailable(reason=session.no_job_reason))]
        session.claiming = True
        return [ClaimJob(session.label, session.targets, session.targets_without_compiler)]

    def _why_no_job(self, session: Session) -> str:
        """Why a builder gets no job now; "" when it may have one."""
        if session.shutdown is not None:
            return session.shutdown.reason
        if session.record.suspension is not None:
            return str(session.record.suspension)
        if self.paused:
            return "the farm is paused"
        if self.web_root_fault:
            return self.no_jobs_reason
        if full := session.disk_full_reason():
            return full
        if self._now < session.record.backoff_until:
            return session.record.backoff_reason
        probe = self.sessions.get(self.outage.probing_builder)
        probing = probe is not None and probe.job is not None
        return self.no_jobs_reason if self.outage.blocks_jobs(self._now, probing=probing) else ""


def _suspend(session: Session, suspension: BuilderState | None, reason: str) -> list[Instruction]:
    record = session.record
    if record.suspension is suspension:
        return []
    record.suspension, record.suspension_reason = suspension, reason
    return [PersistSuspension(session.label, suspension, reason)]


def _return_job(session: Session) -> list[Instruction]:
    job = session.clear_job()
    return [CancelUpload(job.build_id), UnclaimJob(session.label, job.build_id)] if job else []


def _stop_build(session: Session, reason: str) -> list[Instruction]:
    """Stop the running build; its job is requeued as if it had not begun."""
    if session.job is None:
        return []
    cancel = CancelBuild(build=session.job.build_id, reason=reason)
    return [SendMessage(session.label, cancel), *_return_job(session)]


def _shut_down(session: Session, reason: str, *, restart: bool) -> list[Instruction]:
    """End a builder after its running build; a later order replaces an earlier one."""
    session.shutdown = PendingShutdown(reason, restart)
    after_build = session.job is not None
    return [_shutdown_message(session.label, session.shutdown, after_build=after_build)]


def _shutdown_message(
    label: str, shutdown: PendingShutdown, *, after_build: bool = False
) -> SendMessage:
    message = Shutdown(reason=shutdown.reason, after_build=after_build, restart=shutdown.restart)
    return SendMessage(label, message)


def _complete_as_lost(label: str, job: Job, duration_s: float) -> CompleteBuild:
    return CompleteBuild(label, job, Outcome.LOST, f"builder {label} fell silent", duration_s)
