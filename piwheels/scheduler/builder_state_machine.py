"""The state of every builder as a state machine: events go in, instructions come out.

No I/O and no clock: `handle(event, now)` depends on nothing else, so every race of the builders'
protocol can be tested without a socket. Times are seconds of one monotonic clock. Builders are
known here by their label; the dispatcher knows the sockets.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from piwheels.model import STARTING, Job
from piwheels.model.transitions import (
    DISCONNECTED,
    InvariantError,
    Transition,
    TransitionLog,
    event_name,
)
from piwheels.protocol.messages import (
    Ack,
    BuilderCommand,
    BuilderState,
    BuildFinished,
    BuildHeartbeat,
    CancelBuild,
    FromBuilder,
    Goodbye,
    Hello,
    IdleHeartbeat,
    Join,
    LogChunk,
    NoJobAvailable,
    Rejected,
    Welcome,
)
from piwheels.sanitize import truncate_line
from piwheels.scheduler import build_results, ended_builders, reasons
from piwheels.scheduler.build_results import publish_all
from piwheels.scheduler.builder_record import (
    SILENT_AFTER_S,
    BuilderRecord,
    LostBuilder,
    PendingShutdown,
    Session,
)
from piwheels.scheduler.ended_builders import EndedBuilder
from piwheels.scheduler.farm_state import FarmState
from piwheels.scheduler.invariants import violations
from piwheels.scheduler.rolling_restart import RollingRestart
from piwheels.scheduler.session_changes import (
    apply_command,
    cancel_build,
    complete_as_lost,
    return_job,
    send_job,
    send_shutdown,
)
from piwheels.scheduler.state_machine_events import (
    AppendLog,
    BuildCompleted,
    CancelUpload,
    ClaimJob,
    CommandIssued,
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
    PublishBuilder,
    PublishBuilderEnded,
    PublishBuilderLost,
    PublishBuilderRemoved,
    SendMessage,
    Tick,
    UnclaimJob,
    WebRootFailed,
    WebRootRecovered,
    WheelNotStored,
)

#: A StartBuild that is not confirmed within this time is sent again.
RESEND_AFTER_S = 5.0
#: How long a lost builder is shown.
LOST_BUILDER_RETENTION_S = 3600.0
_COUNT_INTERVAL_S = 10.0
_LOAD_SAMPLE_INTERVAL_S = 60.0


@dataclass(slots=True)
class BuilderStateMachine(FarmState):
    """The transitions of all builders, and a log of them.

    With `check_invariants`, an event that breaks one raises InvariantError.
    """

    check_invariants: bool = False
    master_epoch: Callable[[], int] = int  # of the master, as builders are told
    rolling_restarts: list[RollingRestart] = field(default_factory=list)
    transitions: TransitionLog = field(default_factory=TransitionLog)
    _counted_at: float = 0.0
    _sampled_at: float = 0.0

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Apply an event; returns what has to be done about it, in order.

        Raises:
            InvariantError: the event broke an invariant, where those are checked.
        """
        self.now = now
        affected = self._affected(event)
        instructions = self._handle(event, now)
        for label in affected:
            self._log_transition(label, event_name(event), always=isinstance(event, KeyRevoked))
        if self.check_invariants:
            broken = list(
                violations(self.sessions, self.lost, self.ended, self.orphans, self.records)
            )
            if broken:
                raise InvariantError(f"after {event}: {'; '.join(broken)}")
        return instructions

    def _handle(self, event: Event, now: float) -> list[Instruction]:  # noqa: C901 - one case an event
        match event:
            case MessageReceived(message=Hello() as hello):
                return self._on_hello(event, hello, now)
            case MessageReceived(label, message, clock_s=clock_s):
                session = self.sessions.get(label)
                if session is not None and isinstance(message, IdleHeartbeat | BuildHeartbeat):
                    session.set_host(message.host, clock_s)
                return self._on_message(label, message, now)
            case JobClaimed(label, job):
                return self._on_job_claimed(label, job, now)
            case DurationEstimated(label, build, longest_s):
                return self._on_duration_estimated(label, build, longest_s)
            case BuildCompleted():
                return build_results.on_build_completed(self, event)
            case WheelNotStored(label, build, reason):
                return build_results.on_wheel_not_stored(self, label, build, reason)
            case WebRootFailed(reason):
                return build_results.on_web_root_failed(self, reason)
            case WebRootRecovered():
                self.web_root_fault = ""
                return self._offer_jobs()
            case JobsAvailable():
                for session in self.sessions.values():
                    session.claim_again = session.claiming
                return self._offer_jobs()
            case Tick():
                return self._on_tick(now)
            case CommandIssued():
                return self._on_command(event, now)
            case PauseChanged(paused):
                self.paused = paused
                return [*self._offer_jobs(), *publish_all(self)]
            case KeyRevoked(label):
                return self._on_key_revoked(label, now)

    def _affected(self, event: Event) -> Iterable[str]:
        """The builders that an event can change; commands are logged where they are applied."""
        match event:
            case CommandIssued():
                return ()
            case (
                MessageReceived(label=label)
                | JobClaimed(label=label)
                | BuildCompleted(label=label)
                | DurationEstimated(label=label)
                | KeyRevoked(label=label)
            ):
                return (label,)
            case _:
                return self.labels()

    def _log_transition(self, label: str, event: str, *, always: bool = False) -> None:
        session = self.sessions.get(label)
        if label in self.lost:
            reason = self.lost[label].reason
            transition = Transition(self.now, event, BuilderState.LOST, reason=reason)
        elif session is not None:
            state = session.state(self.now, paused=self.paused)
            build = session.job.build_id if session.job else None
            transition = Transition(self.now, event, state, build, session.reason)
        elif label in self.ended:
            reason = self.ended[label].last_view.reason
            transition = Transition(self.now, event, BuilderState.ENDED, reason=reason)
        else:
            transition = Transition(self.now, event, DISCONNECTED)
        self.transitions.observe(label, transition, always=always)

    # --- messages of builders ---

    def _on_message(self, label: str, message: FromBuilder, now: float) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None:
            return [SendMessage(label, Rejected(reason=reasons.HELLO_FIRST))]
        session.last_message_at = now
        match message:
            case IdleHeartbeat():
                return self._on_idle(session, message, now)
            case BuildHeartbeat():
                return self._on_building(session, message, now)
            case LogChunk(build=build, offset=offset, data=data):
                # A finished build's log is complete and may have left the spool; a builder that
                # reconnects can send parts of it again.
                wanted = session.is_building(build) and not session.completing
                return [AppendLog(build, offset, data)] if wanted else []
            case BuildFinished():
                return build_results.on_build_finished(self, session, message)
            case Goodbye(reason=reason):
                return self._on_goodbye(session, reason, now)
            case Hello() | Join():
                return []  # handle() takes the one; the other comes from tokens alone

    def _on_hello(self, event: MessageReceived, hello: Hello, now: float) -> list[Instruction]:
        label, welcome = (
            event.label,
            Welcome(label=event.label, log_offset=event.log_bytes, epoch=self.master_epoch()),
        )
        instructions: list[Instruction] = [SendMessage(label, welcome)]
        session = self.sessions.get(label)
        on_its_way = session is not None and session.has_job_on_its_way(hello)
        if session is None:
            session, adopted = self._add_session(label, hello, now)
            instructions += adopted
        session.confirm_restart(hello)
        session.set_hello(hello)
        session.last_message_at = now
        session.finishing = False
        has_job = session.job is not None and hello.current_build == session.job.build_id
        if not has_job and not on_its_way:
            instructions += return_job(session)
        if event.reclaimed_job is not None:
            session.start_job(event.reclaimed_job, now, "building", now)
            instructions.append(EstimateDuration(label, event.reclaimed_job))
        if hello.current_build is not None and not session.is_building(hello.current_build):
            instructions.append(
                SendMessage(
                    label, CancelBuild(build=hello.current_build, reason=reasons.NOT_ITS_BUILD)
                )
            )
        return [*instructions, PublishBuilder(label), *self._continue_rolling_restarts(now)]

    def _add_session(
        self, label: str, hello: Hello, now: float
    ) -> tuple[Session, list[Instruction]]:
        """A session for a builder that had none, with the job that it had claimed before."""
        self.lost.pop(label, None)
        instructions = ended_builders.forget(self.ended, label)
        record = self.records.setdefault(label, BuilderRecord())
        session = Session(
            label, hello, last_message_at=now, host=hello.host, record=record, state_since=now
        )
        self.sessions[label] = session
        session.restore_shutdown()
        for restart in self.rolling_restarts:
            restart.on_returned(label)
        orphan = self.orphans.pop(label, None)
        if orphan is None:
            return session, instructions
        since = now if orphan.claimed_at is None else orphan.claimed_at
        if orphan.claimed_at is not None:
            record.given = orphan.job.build_id, since
        session.start_job(orphan.job, since, "building", now)
        return session, [*instructions, EstimateDuration(label, orphan.job)]

    def _on_idle(self, session: Session, idle: IdleHeartbeat, now: float) -> list[Instruction]:
        session.finishing = False
        return [*self._answer_idle(session, idle, now), PublishBuilder(session.label)]

    def _answer_idle(self, session: Session, idle: IdleHeartbeat, now: float) -> list[Instruction]:
        job = session.job
        if job is None and session.claiming:
            # A slow database must not look like a master that is gone.
            waiting = NoJobAvailable(reason=reasons.WAITING_FOR_DATABASE)
            return [SendMessage(session.label, waiting)]
        if job is None:
            return self._offer_job(session)
        if session.completing:
            return [SendMessage(session.label, Ack())]
        if idle.last_build >= job.build_id:
            returned = return_job(session)
            session.finishing = False
            return [*returned, *self._offer_job(session)]
        if now - session.job_started_at > RESEND_AFTER_S:
            return [send_job(session.label, job)]
        return []

    def _on_building(
        self, session: Session, message: BuildHeartbeat, now: float
    ) -> list[Instruction]:
        if not session.is_building(message.build):
            return [
                SendMessage(
                    session.label, CancelBuild(build=message.build, reason=reasons.NOT_ITS_BUILD)
                )
            ]
        if not session.completing:
            session.phase, session.phase_started_at = message.phase, now - message.phase_s
        return [SendMessage(session.label, Ack()), PublishBuilder(session.label)]

    def _on_goodbye(self, session: Session, reason: str, now: float) -> list[Instruction]:
        returned = return_job(session)
        reason = truncate_line(reason) or reasons.DISCONNECTED
        if session.hello.on_demand:
            # It is not started again for this job: it has ended, whoever or whatever ended it.
            asked = session.shutdown.reason if session.shutdown else reason
            session.shutdown = PendingShutdown(asked)
        return [*returned, *self._remove_session(session, reason, now)]

    def _remove_session(self, session: Session, reason: str, now: float) -> list[Instruction]:
        del self.sessions[session.label]
        self.remember_on_demand(session)
        for restart in self.rolling_restarts:
            restart.on_left(session.label, now)
        return [*self._publish_left(session, reason, now), *self._continue_rolling_restarts(now)]

    def _publish_left(self, session: Session, reason: str, now: float) -> list[Instruction]:
        label, shutdown = session.label, session.shutdown
        if shutdown is None or shutdown.restart:
            return [PublishBuilderRemoved(label, reason)]
        self.ended[label] = EndedBuilder.of(session, shutdown.reason, now)
        persist = PersistEndedBuilder(label, self.ended[label].last_view)
        return [persist, PublishBuilderEnded(label, reason)]

    # --- answers of the database ---

    def _on_job_claimed(self, label: str, job: Job | None, now: float) -> list[Instruction]:
        session = self.sessions.get(label)
        if session is None or session.job is not None:
            return [UnclaimJob(label, job.build_id)] if job else []
        asks_again, session.claim_again = session.claim_again, False
        session.claiming = False
        if job is None and asks_again:
            return self._offer_job(session)
        if job is None:
            limited = bool(session.targets_without_compiler)
            reason = reasons.nothing_queued(needs_no_compiler=limited)
            return [SendMessage(label, NoJobAvailable(reason=reason))]
        if self.why_no_job(session):
            return [UnclaimJob(label, job.build_id), *self._offer_job(session)]
        self.outage.on_job_started(label)
        session.record.given = job.build_id, now
        session.start_job(job, now, STARTING, now)
        return [
            send_job(label, job),
            CreateLog(job.build_id),
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

    # --- time ---

    def _on_tick(self, now: float) -> list[Instruction]:
        instructions: list[Instruction] = []
        for label, orphan in list(self.orphans.items()):
            if now - orphan.since > self.builder_timeout_s:
                del self.orphans[label]
                instructions.append(complete_as_lost(label, orphan.job, self.builder_timeout_s))
        for session in list(self.sessions.values()):
            instructions += self._check_timeouts(session, now)
        for label, gone in list(self.lost.items()):
            if now - gone.lost_at > LOST_BUILDER_RETENTION_S:
                del self.lost[label]
                instructions.append(PublishBuilderRemoved(label, ""))
        instructions += ended_builders.forget_old(self.ended, now)
        self.forget_on_demand(now)
        self._sample_loads(now)
        instructions += self._drop_old_results(now)
        return [*instructions, *self._continue_rolling_restarts(now)]

    def _check_timeouts(self, session: Session, now: float) -> list[Instruction]:
        silent_s = now - session.last_message_at
        shutdown = session.shutdown
        if shutdown is not None and session.job is None and silent_s > SILENT_AFTER_S:
            session.remember_shutdown()
            return self._remove_session(session, shutdown.reason, now)
        if silent_s > self.builder_timeout_s:
            return self._mark_lost(session, now)
        state = session.state(now, paused=self.paused)
        if state is session.published_state:
            return []
        session.published_state, session.state_since = state, now
        return [PublishBuilder(session.label)]

    def _mark_lost(self, session: Session, now: float) -> list[Instruction]:
        session.remember_shutdown()
        label, job = session.label, session.clear_job()
        reason = reasons.lost(self.builder_timeout_s, job)
        del self.sessions[label]
        self.remember_on_demand(session)
        self.lost[label] = LostBuilder(session, now, reason, job)
        for restart in self.rolling_restarts:
            restart.on_left(label, session.last_message_at)
        if job is None:
            return [PublishBuilderLost(label, reason)]
        completed = complete_as_lost(label, job, now - session.job_started_at)
        return [CancelUpload(job.build_id), completed, PublishBuilderLost(label, reason)]

    def _sample_loads(self, now: float) -> None:
        """Once a minute, keep the load of each builder."""
        if now - self._sampled_at < _LOAD_SAMPLE_INTERVAL_S:
            return
        self._sampled_at = now
        for session in self.sessions.values():
            session.record.load_history.append(session.host.load)

    def _drop_old_results(self, now: float) -> list[Instruction]:
        """Every few seconds: drop results that are over an hour old."""
        if now - self._counted_at < _COUNT_INTERVAL_S:
            return []
        self._counted_at = now
        fewer = [label for label, record in self.records.items() if record.drop_old_results(now)]
        return [PublishBuilder(label) for label in fewer]

    # --- commands of operators ---

    def _on_command(self, issued: CommandIssued, now: float) -> list[Instruction]:
        if issued.command is BuilderCommand.RESTART and issued.max_parallel:
            self.rolling_restarts.append(RollingRestart(issued, deque(issued.labels)))
            return self._continue_rolling_restarts(now)
        return self._command_all(issued, issued.labels, now)

    def _command_all(
        self, issued: CommandIssued, labels: Iterable[str], now: float
    ) -> list[Instruction]:
        instructions: list[Instruction] = []
        for label in labels:
            session = self.sessions.get(label)
            if session is None:
                continue
            instructions += apply_command(session, issued, now)
            if issued.command is BuilderCommand.WAKE:
                instructions += self._offer_job(session)
            instructions.append(PublishBuilder(label))
            self._log_transition(label, f"{issued.command} by {issued.user}", always=True)
        return instructions

    def _continue_rolling_restarts(self, now: float) -> list[Instruction]:
        """Restart the builders whose turn it is."""
        instructions: list[Instruction] = []
        for restart in self.rolling_restarts:
            while labels := restart.next_labels(now, self.builder_timeout_s):
                instructions += self._command_all(restart.command, labels, now)
                for label in set(labels) - self.sessions.keys():
                    restart.on_absent(label)
        self.rolling_restarts = [each for each in self.rolling_restarts if not each.done]
        return instructions

    def _on_key_revoked(self, label: str, now: float) -> list[Instruction]:
        if self.lost.pop(label, None) is not None:
            return [PublishBuilderRemoved(label, reasons.KEY_REVOKED)]
        if forgotten := ended_builders.forget(self.ended, label):
            return [PublishBuilderRemoved(label, reasons.KEY_REVOKED), *forgotten]
        session = self.sessions.get(label)
        if session is None:
            return []
        canceled = cancel_build(session, reasons.KEY_REVOKED, now)
        rejected = Rejected(reason=reasons.YOUR_KEY_REVOKED, permanent=True)
        session.shutdown = None
        removed = self._remove_session(session, reasons.KEY_REVOKED, now)
        return [*canceled, SendMessage(label, rejected), *removed]

    # --- jobs ---

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
            return [send_shutdown(session.label, session.shutdown)]
        session.no_job_reason = self.why_no_job(session)
        if session.no_job_reason:
            return [SendMessage(session.label, NoJobAvailable(reason=session.no_job_reason))]
        session.claiming = True
        return [ClaimJob(session.label, session.targets, session.targets_without_compiler)]
