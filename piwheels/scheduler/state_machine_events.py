"""Events that the builders' state machine handles, and the instructions that it returns."""

import msgspec

from piwheels.model import Job, Outcome, WheelComparison, WheelFile
from piwheels.protocol.messages import (
    BuilderCommand,
    BuilderState,
    BuilderView,
    BuildFinished,
    FromBuilder,
    ToBuilder,
)


class StateMachineStruct(msgspec.Struct, frozen=True):
    """Base of events and instructions."""


# --- events ------------------------------------------------------------------------------


class MessageReceived(StateMachineStruct, frozen=True):
    """A message of a builder.

    Of a Hello, `log_bytes` is the size of its build's log here, and `reclaimed_job` is a job that
    it had lost and that the queue gave back to it. `clock_s` is the master's time, in UNIX seconds.
    """

    label: str
    message: FromBuilder
    log_bytes: int = 0
    reclaimed_job: Job | None = None
    clock_s: float | None = None


class JobClaimed(StateMachineStruct, frozen=True):
    """The answer to ClaimJob: a job, or None when none is queued for those targets."""

    label: str
    job: Job | None


class DurationEstimated(StateMachineStruct, frozen=True):
    """The answer to EstimateDuration: the project's longest successful build, if any."""

    label: str
    build: int
    longest_s: float | None


class BuildCompleted(StateMachineStruct, frozen=True):
    """A build was recorded, or its claim had been lost (`stored` is False)."""

    label: str
    build: int
    outcome: Outcome
    stored: bool
    counts: bool = True  # among the builds of its builder: False for a reproduction


class WheelNotStored(StateMachineStruct, frozen=True):
    """The wheel of a build, of this size, could not be stored; its builder still has it."""

    label: str
    build: int
    reason: str
    size_bytes: int


class WebRootFailed(StateMachineStruct, frozen=True):
    """The web root does not accept files."""

    reason: str


class WebRootRecovered(StateMachineStruct, frozen=True):
    """The web root accepts files again."""


class JobsAvailable(StateMachineStruct, frozen=True):
    """Jobs were queued."""


class Tick(StateMachineStruct, frozen=True):
    """Time has passed."""


class CommandIssued(StateMachineStruct, frozen=True):
    """An operator's command to builders; see CommandBuilders."""

    command: BuilderCommand
    labels: tuple[str, ...]
    user: str
    immediately: bool = False
    max_parallel: int = 0


class PauseChanged(StateMachineStruct, frozen=True):
    """The farm was paused or resumed."""

    paused: bool


class KeyRevoked(StateMachineStruct, frozen=True):
    """A builder's key was revoked."""

    label: str


Event = (
    MessageReceived
    | JobClaimed
    | DurationEstimated
    | BuildCompleted
    | WheelNotStored
    | WebRootFailed
    | WebRootRecovered
    | JobsAvailable
    | Tick
    | CommandIssued
    | PauseChanged
    | KeyRevoked
)

# --- instructions ------------------------------------------------------------------------


class SendMessage(StateMachineStruct, frozen=True):
    """Send a message to a builder."""

    label: str
    message: ToBuilder


class ClaimJob(StateMachineStruct, frozen=True):
    """Claim a job for one of these targets; answered by JobClaimed."""

    label: str
    targets: tuple[str, ...]
    targets_without_compiler: tuple[str, ...] = ()  # those for which the builder has no C compiler


class EstimateDuration(StateMachineStruct, frozen=True):
    """Find out how long a job can take; answered by DurationEstimated, at some time."""

    label: str
    job: Job


class UnclaimJob(StateMachineStruct, frozen=True):
    """Requeue a job as if its build had not begun."""

    label: str
    build: int


class CompleteBuild(StateMachineStruct, frozen=True):
    """Record how a build ended, with the files that were published; answered by BuildCompleted.

    A reproduction publishes none: it has the hash of its wheel, and how that differs.
    """

    label: str
    job: Job
    result: BuildFinished
    files: tuple[WheelFile, ...] = ()
    rebuilt_sha256: str = ""
    comparison: WheelComparison | None = None  # None: no byte differs


class StartUpload(StateMachineStruct, frozen=True):
    """Fetch, check and publish a build's files; answered by BuildCompleted or WheelNotStored."""

    label: str
    job: Job
    result: BuildFinished


class CancelUpload(StateMachineStruct, frozen=True):
    """Stop fetching the files of a build, and delete what has arrived."""

    build: int


class AppendLog(StateMachineStruct, frozen=True):
    """Add data to a build's log."""

    build: int
    offset: int
    data: bytes


class PersistSuspension(StateMachineStruct, frozen=True):
    """Keep across restarts that a builder is asleep or quarantined; None: neither."""

    label: str
    suspension: BuilderState | None
    reason: str


class PersistEndedBuilder(StateMachineStruct, frozen=True):
    """Keep across restarts how a builder was shown that an operator ended; None: it was not."""

    label: str
    view: BuilderView | None


class PublishBuilder(StateMachineStruct, frozen=True):
    """Publish a builder if it changed."""

    label: str


class CreateLog(StateMachineStruct, frozen=True):
    """Create the empty log of a build that was assigned."""

    build: int


class PublishBuilderLost(StateMachineStruct, frozen=True):
    """Publish that a builder is lost; it is shown for a while."""

    label: str
    reason: str


class PublishBuilderEnded(StateMachineStruct, frozen=True):
    """Publish that a builder left because an operator ended it; it is shown for a while."""

    label: str
    reason: str


class PublishBuilderRemoved(StateMachineStruct, frozen=True):
    """Publish that a builder left; without a reason, one that was lost or ended long ago."""

    label: str
    reason: str


Instruction = (
    SendMessage
    | ClaimJob
    | EstimateDuration
    | UnclaimJob
    | CompleteBuild
    | StartUpload
    | CancelUpload
    | AppendLog
    | PersistSuspension
    | PersistEndedBuilder
    | PublishBuilder
    | CreateLog
    | PublishBuilderLost
    | PublishBuilderEnded
    | PublishBuilderRemoved
)
