"""The builder's side of the protocol as a state machine: events in, instructions out.

No I/O and no clock: `handle(event, now)` depends only on its arguments and on earlier events, so
that every race with the master is a test without a socket. Times are seconds of one monotonic
clock. A build is kept until the master acknowledges or cancels it, so a lost connection, a new
master or a restart of the builder costs a repeated message and never a repeated build.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from piwheels.backoff import Backoff
from piwheels.builder import connection_events as events
from piwheels.builder import connection_instructions as instructions
from piwheels.builder.connection_events import Event
from piwheels.builder.connection_instructions import Instruction
from piwheels.formatting import format_duration, pluralize
from piwheels.model import STARTING, Job
from piwheels.model.transitions import InvariantError, Transition, TransitionLog, event_name
from piwheels.protocol.messages import (
    Ack,
    BuildAcknowledged,
    BuildFinished,
    CancelBuild,
    Joined,
    NoJobAvailable,
    Rejected,
    Shutdown,
    StartBuild,
    ToBuilder,
    UploadFiles,
    Welcome,
)

HEARTBEAT_S = 5.0
LOG_INTERVAL_S = 1.0
#: So much of a log is sent before the master has answered. More would delay heartbeats and their
#: answers on a slow link until both sides take the connection for dead.
LOG_WINDOW_BYTES = 128 * 1024
#: A connection on which the master sent nothing for this long is opened again.
MASTER_TIMEOUT_S = 30.0
_FIRST_DELAY_S, _MAX_DELAY_S = 0.5, 30.0
#: With several masters, of which one runs: the next is tried after these times.
_NEXT_MASTER_TIMEOUT_S, _NEXT_MASTER_DELAY_S = 8.0, 2.0
_FORMER_MASTER = (
    "this is a former master: another one has taken over since; if the farm's database was "
    "replaced, restart this builder"
)
#: After a connection that lasted this long, the next delay is the first one again.
_STABLE_CONNECTION_S = 60.0
_SELF = ""  # in the log of transitions, which the master keeps by label


class ConnectionState(StrEnum):
    """How far the connection to the master is."""

    DISCONNECTED = "disconnected"
    GREETING = "greeting"  # Hello was sent, Welcome was not received
    WELCOMED = "welcomed"
    ENDED = "ended"  # final: this process ends


class BuildStage(StrEnum):
    """How far the current build is."""

    RUNNING = "running"
    FINISHED = "finished"
    UPLOADING = "uploading"
    REMOVING = "removing"


@dataclass(frozen=True, slots=True)
class ExitRules:
    """When a builder that was started on demand ends by itself; infinity is never.

    It is idle from when the master welcomed it, or its last build ended; while there is no
    connection that time goes on, so that a builder without a master does not keep its machine.
    """

    idle_s: float = math.inf
    max_builds: float = math.inf

    def after_builds(self, builds: int) -> str:
        """Why it ends after so many builds; "" if it does not."""
        return f"it made {pluralize(builds, 'build')}" if builds >= self.max_builds else ""

    def after_idle(self) -> str:
        """Why it ends when it was idle for too long."""
        return f"no job for {format_duration(self.idle_s)}"


#: It ends only as the master or a signal asks.
STAYS = ExitRules()


@dataclass(slots=True)
class CurrentBuild:
    """The one build that this builder has; `log_offset` is what was sent of its log.

    The master has received it up to `log_received`, and up to `heartbeat_offset` if it answers the
    first heartbeat that it has not answered. The result follows the complete log.
    """

    job: Job
    stage: BuildStage
    result: BuildFinished | None = None
    phase: str = STARTING
    phase_started_at: float = 0.0
    log_offset: int = 0
    log_received: int = 0
    log_complete: bool = False
    heartbeat_offset: int | None = None

    def resume_log(self, offset: int) -> None:
        """Begin a connection, whose master has the log up to an offset."""
        self.log_offset = self.log_received = offset
        self.log_complete, self.heartbeat_offset = False, None


@dataclass(slots=True)
class ConnectionStateMachine:
    """A builder as its connection knows it: at most one build, at most one connection.

    `check_each_event` checks all invariants after each event, for tests and debugging.
    """

    check_each_event: bool = False
    exit_rules: ExitRules = STAYS
    masters: int = 1  # how many addresses there are, which connections take in turn
    current: CurrentBuild | None = None
    last_build: int = 0  # the highest number of a build that was started
    connection: int = 0  # the number of the last connection
    connection_state: ConnectionState = ConnectionState.DISCONNECTED
    epoch: int = 0  # the highest of a master that welcomed this builder
    pending_exit: instructions.Exit | None = None  # after the current build
    #: What it handled; the reason of a transition names the instructions.
    transitions: TransitionLog = field(default_factory=TransitionLog)
    _builds: int = 0  # that ended in this process
    _idle_since: float = math.inf
    _described: bool = True  # the master has an up-to-date Hello
    _result_waits: bool = False  # for the end of the log
    _backoff: Backoff = field(init=False)
    _retry_at: float = -math.inf
    _opened_at: float = 0.0
    _last_message_at: float = 0.0
    _log_at: float = 0.0
    _heartbeat_at: float = 0.0

    def __post_init__(self) -> None:
        self.know_masters(self.masters)

    def know_masters(self, count: int) -> None:
        """Set how many addresses there are, before the first event."""
        self.masters = count
        max_delay_s = _NEXT_MASTER_DELAY_S if self.masters > 1 else _MAX_DELAY_S
        self._backoff = Backoff(_FIRST_DELAY_S, max_delay_s)

    @property
    def welcome_timeout_s(self) -> float:
        """For how long a connection waits for the master's first message."""
        return _NEXT_MASTER_TIMEOUT_S if self.masters > 1 else MASTER_TIMEOUT_S

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Apply an event; returns what has to be done, in this order."""
        steps = self._handle(event, now)
        names = ", ".join(type(instruction).__name__ for instruction in steps)
        transition = Transition(now, event_name(event), self.describe(), reason=names)
        self.transitions.observe(_SELF, transition, always=True)
        if self.check_each_event:
            self.check_invariants()
        return steps

    def describe(self) -> str:
        """The state in a few words, for the log of transitions."""
        current = self.current
        build = f"build {current.job.build_id} {current.stage}" if current else "no build"
        ending = ", exit pending" if self.pending_exit else ""
        return f"{self.connection_state}, {build}{ending}"

    def next_timer(self) -> float:
        """When TimerExpired is due next; infinity for never."""
        match self.connection_state:
            case ConnectionState.DISCONNECTED:
                return min(self._retry_at, self._idle_ends_at())
            case ConnectionState.GREETING:
                return min(self._last_message_at + self.welcome_timeout_s, self._idle_ends_at())
            case ConnectionState.WELCOMED:
                log_at = self._log_at + LOG_INTERVAL_S if self._has_log() else math.inf
                timeout_at = self._last_message_at + MASTER_TIMEOUT_S
                heartbeat_at = self._heartbeat_at + HEARTBEAT_S
                return min(heartbeat_at, log_at, timeout_at, self._idle_ends_at())
            case ConnectionState.ENDED:
                return math.inf

    def check_invariants(self) -> None:
        """Check what always holds.

        Raises:
            InvariantError: something does not.
        """
        current = self.current
        if self.pending_exit is not None and current is None:
            raise InvariantError("an exit waits for the end of a build, and there is none")
        if current is None:
            return
        result, build_id = current.result, current.job.build_id
        if build_id > self.last_build:
            raise InvariantError(f"build {build_id} is newer than the last, {self.last_build}")
        if result is not None and result.build != build_id:
            raise InvariantError(f"build {build_id} has the result of build {result.build}")
        if current.stage is BuildStage.RUNNING and result is not None:
            raise InvariantError(f"build {build_id} runs, and has a result")
        if current.stage in {BuildStage.FINISHED, BuildStage.UPLOADING} and result is None:
            raise InvariantError(f"build {build_id} is {current.stage}, and has no result")

    def _handle(self, event: Event, now: float) -> list[Instruction]:  # noqa: C901 - one case an event
        match event:
            case events.FinishedBuildRestored(job, result):
                self.current = CurrentBuild(job, BuildStage.FINISHED, result, "reporting", now)
                self.last_build = job.build_id
                return []
            case events.MessageReceived(connection, message):
                return self._on_message(message, now) if self._is_open(connection) else []
            case events.ConnectionLost(connection):
                return self._on_connection_lost(now) if self._is_open(connection) else []
            case events.HelloSent():
                if self.connection_state is ConnectionState.GREETING:
                    self._last_message_at = now  # the master's time to answer begins here
                return []
            case events.TimerExpired():
                return self._on_timer(now)
            case events.PhaseEntered(build_id, phase):
                return self._on_phase(build_id, phase, now)
            case events.BuildEnded(result):
                return self._on_build_ended(result, now)
            case events.LogSent():
                return self._on_log_sent(event, now)
            case events.UploadEnded(build_id):
                return self._on_upload_ended(build_id, now)
            case events.BuildFilesLost(build_id):
                self._described = False  # a new Hello returns the job to the queue
                return self._remove(build_id)
            case events.BuildRemoved(build_id):
                return self._on_build_removed(build_id, now)
            case events.DescriptionChanged():
                self._described = False
                return self._report(now) if self.current is None else []
            case events.DrainRequested(reason):
                return self._end_after_build(reason)
            case events.TerminationRequested(reason):
                return self._end(reason)

    # --- the connection ---

    def _is_open(self, connection: int) -> bool:
        """Whether an event of a connection still counts."""
        is_open = self.connection_state in {ConnectionState.GREETING, ConnectionState.WELCOMED}
        return is_open and connection == self.connection

    def _on_timer(self, now: float) -> list[Instruction]:
        if now >= self._idle_ends_at():
            return self._end_after_build(self.exit_rules.after_idle())
        match self.connection_state:
            case ConnectionState.DISCONNECTED:
                return self._connect(now) if now >= self._retry_at else []
            case ConnectionState.GREETING:
                too_late = now >= self._last_message_at + self.welcome_timeout_s
                return self._on_silence(now) if too_late else []
            case ConnectionState.WELCOMED:
                if now >= self._last_message_at + MASTER_TIMEOUT_S:
                    return self._on_silence(now)
                is_due = now >= self._heartbeat_at + HEARTBEAT_S
                return self._report(now) if is_due else self._send_log(now)
            case ConnectionState.ENDED:
                return []

    def _connect(self, now: float) -> list[Instruction]:
        self.connection += 1
        self._idle_since = min(self._idle_since, now)
        self.connection_state = ConnectionState.GREETING
        self._opened_at = self._last_message_at = now
        return [instructions.OpenConnection(self.connection), self._hello()]

    def _hello(self) -> instructions.SendHello:
        self._described = True
        current = self.current
        has_build = current is not None and current.stage is not BuildStage.REMOVING
        current_build = current.job.build_id if current is not None and has_build else None
        return instructions.SendHello(current_build, self.last_build)

    def _on_silence(self, now: float) -> list[Instruction]:
        silent = f"no message of the master for {now - self._last_message_at:.0f} s"
        return self._on_connection_lost(now, silent)

    def _on_connection_lost(self, now: float, reason: str = "") -> list[Instruction]:
        if now - self._opened_at > _STABLE_CONNECTION_S:
            self._backoff.reset()
        self.connection_state = ConnectionState.DISCONNECTED
        self._retry_at = now + self._backoff.next_s()
        return [instructions.CloseConnection(reason)]

    def _idle_ends_at(self) -> float:
        """When this builder ends because it got no job; infinity for never."""
        is_idle = self.current is None and self.connection_state is not ConnectionState.ENDED
        return self._idle_since + self.exit_rules.idle_s if is_idle else math.inf

    def _end_after_build(self, reason: str) -> list[Instruction]:
        self.pending_exit = instructions.Exit(reason, restart=False)
        return self._exit() if self.current is None else []

    def _end(self, reason: str) -> list[Instruction]:
        """Say goodbye where that is possible, and do nothing more."""
        connected = self._is_open(self.connection)
        self.connection_state = ConnectionState.ENDED
        return (
            [instructions.SendGoodbye(reason), instructions.CloseConnection()] if connected else []
        )

    # --- messages of the master ---

    def _on_message(self, message: ToBuilder, now: float) -> list[Instruction]:
        if self.connection_state is ConnectionState.WELCOMED:
            self._last_message_at = now  # before, offers of jobs do not replace a lost Welcome
        match message:
            case Welcome():
                return self._on_welcome(message, now)
            case StartBuild(job=job):
                return self._start(job, now)
            case CancelBuild(build=build_id) | BuildAcknowledged(build=build_id):
                return self._remove(build_id)
            case UploadFiles(build=build_id):
                return self._upload(build_id, now)
            case Shutdown():
                return self._on_shutdown(message)
            case Rejected():
                return self._on_rejected(message, now)
            case Ack():
                return self._on_ack(now)
            case NoJobAvailable() | Joined():
                return []

    def _on_rejected(self, rejected: Rejected, now: float) -> list[Instruction]:
        if not rejected.permanent:
            return self._on_connection_lost(now)
        self.connection_state = ConnectionState.ENDED
        return [instructions.CloseConnection(), instructions.FailPermanently(rejected.reason)]

    def _on_ack(self, now: float) -> list[Instruction]:
        """A heartbeat has arrived, and with it the log before it: the next part follows."""
        current = self.current
        if current is None or current.heartbeat_offset is None:
            return []
        current.log_received, current.heartbeat_offset = current.heartbeat_offset, None
        return [] if current.log_complete else self._send_log(now)

    def _on_welcome(self, welcome: Welcome, now: float) -> list[Instruction]:
        if welcome.epoch < self.epoch:
            return self._on_connection_lost(now, _FORMER_MASTER)
        self.epoch = welcome.epoch
        self.connection_state = ConnectionState.WELCOMED
        self._idle_since = self._last_message_at = now
        if self.current is not None:
            self.current.resume_log(welcome.log_offset)
        return self._report(now)

    def _start(self, job: Job, now: float) -> list[Instruction]:
        if self.current is not None:
            return []  # the master sends a job again that its builder has not reported
        self.current = CurrentBuild(job, BuildStage.RUNNING, phase_started_at=now)
        self.last_build = max(self.last_build, job.build_id)
        return [instructions.RunBuild(job), *self._report(now)]

    def _upload(self, build_id: int, now: float) -> list[Instruction]:
        current = self._build(build_id)
        if current is None or current.stage is not BuildStage.FINISHED or current.result is None:
            return []
        current.stage = BuildStage.UPLOADING
        self._enter_phase(current, "uploading", now)
        return [instructions.UploadArtifacts(current.result), *self._report(now)]

    def _on_shutdown(self, shutdown: Shutdown) -> list[Instruction]:
        self.pending_exit = instructions.Exit(
            shutdown.reason or "the master requested it", shutdown.restart
        )
        if self.current is None or not shutdown.after_build:
            return self._exit()
        return []

    def _exit(self) -> list[Instruction]:
        pending, self.pending_exit = self.pending_exit, None
        return [*self._end(pending.reason), pending] if pending is not None else []

    # --- the current build ---

    def _build(self, build_id: int) -> CurrentBuild | None:
        """The current build if it has this number and is not being removed."""
        current = self.current
        if current is None or current.job.build_id != build_id:
            return None
        return None if current.stage is BuildStage.REMOVING else current

    def _on_phase(self, build_id: int, phase: str, now: float) -> list[Instruction]:
        current = self._build(build_id)
        if current is None or current.stage is not BuildStage.RUNNING:
            return []
        self._enter_phase(current, phase, now)
        return self._report(now)

    def _on_build_ended(self, result: BuildFinished, now: float) -> list[Instruction]:
        current = self._build(result.build)
        if current is None or current.stage is not BuildStage.RUNNING:
            return []
        current.stage, current.result = BuildStage.FINISHED, result
        self._enter_phase(current, "reporting", now)
        return self._report(now)

    def _on_upload_ended(self, build_id: int, now: float) -> list[Instruction]:
        """Report the build again if the master does not acknowledge it within a heartbeat."""
        current = self._build(build_id)
        if current is not None and current.stage is BuildStage.UPLOADING:
            current.stage = BuildStage.FINISHED
            self._heartbeat_at = now
        return []

    def _remove(self, build_id: int) -> list[Instruction]:
        current = self._build(build_id)
        if current is None:
            return []
        current.stage = BuildStage.REMOVING
        return [instructions.RemoveBuild(build_id)]

    def _on_build_removed(self, build_id: int, now: float) -> list[Instruction]:
        if self.current is None or self.current.job.build_id != build_id:
            return []
        self.current, self._idle_since = None, now
        self._builds += 1
        if self.pending_exit is not None:
            return self._exit()
        if reason := self.exit_rules.after_builds(self._builds):
            return self._end_after_build(reason)
        return self._report(now)

    @staticmethod
    def _enter_phase(current: CurrentBuild, phase: str, now: float) -> None:
        current.phase, current.phase_started_at = phase, now

    # --- reports to the master ---

    def _report(self, now: float) -> list[Instruction]:
        """Report at once: the log so far, then the state."""
        if self.connection_state is not ConnectionState.WELCOMED:
            return []
        self._heartbeat_at = now
        sent_log = self._send_log(now)
        current = self.current
        if sent_log and current is not None and current.stage is BuildStage.FINISHED:
            self._result_waits = True
            return sent_log  # LogSent says whether the result can follow
        return [*sent_log, self._state_report(now)]

    def _on_log_sent(self, sent: events.LogSent, now: float) -> list[Instruction]:
        current = self._build(sent.build_id)
        if current is None or self.connection_state is not ConnectionState.WELCOMED:
            return []
        current.log_offset, current.log_complete = sent.offset, sent.complete
        asks_for_answer = not sent.complete and current.heartbeat_offset is None
        reports_result = sent.complete and self._result_waits
        if not asks_for_answer and not reports_result:
            return []
        self._result_waits = self._result_waits and not reports_result
        self._heartbeat_at = now
        return [self._state_report(now)]

    def _state_report(self, now: float) -> Instruction:
        current = self.current
        if current is None:
            return (
                instructions.SendIdleHeartbeat(self.last_build)
                if self._described
                else self._hello()
            )
        if (
            current.stage is BuildStage.FINISHED
            and current.log_complete
            and current.result is not None
        ):
            return instructions.SendBuildResult(current.result)
        if current.heartbeat_offset is None:
            current.heartbeat_offset = current.log_offset
        phase_s = now - current.phase_started_at
        return instructions.SendBuildHeartbeat(current.job.build_id, current.phase, phase_s)

    def _send_log(self, now: float) -> list[Instruction]:
        self._log_at = now
        current = self.current
        if current is None or not self._has_log():
            return []
        end = current.log_received + LOG_WINDOW_BYTES
        if current.log_offset >= end:
            return []
        return [instructions.SendLog(current.job.build_id, current.log_offset, end)]

    def _has_log(self) -> bool:
        return self.current is not None and self.current.stage is not BuildStage.REMOVING
