"""What goes into the session machine, and what comes out: events, and instructions."""

import msgspec

from piwheels.model import FailureClass, FailureEvidence, Job, Outcome
from piwheels.protocol.messages import (
    BuilderCommand,
    BuilderState,
    BuildFinished,
    FromBuilder,
    ToBuilder,
)


class StateMachineStruct(msgspec.Struct, frozen=True):
    """Base of both."""


# --- events ------------------------------------------------------------------------------


class MessageReceived(StateMachineStruct, frozen=True):
    """A builder said something.

    `log_bytes` is how much of its build's log is there; `reclaimed` is a job that it had lost
    and that the queue gave back to it.
    """

    label: str
    message: FromBuilder
    log_bytes: int = 0
    reclaimed_job: Job | None = None


class JobClaimed(StateMachineStruct, frozen=True):
    """The queue's answer to Claim: a job, or None when nothing waits for those targets."""

    label: str
    job: Job | None


class DurationEstimated(StateMachineStruct, frozen=True):
    """The answer to Estimate: how long the project's longest successful build took, if any."""

    label: str
    build: int
    longest_s: float | None


class BuildCompleted(StateMachineStruct, frozen=True):
    """A build is in the database, or its claim had been lost (`stored` is False)."""

    label: str
    build: int
    outcome: Outcome
    stored: bool


class WheelNotStored(StateMachineStruct, frozen=True):
    """The served tree could not take the wheel of a build; its builder still has it."""

    label: str
    build: int
    reason: str


class WebRootFailed(StateMachineStruct, frozen=True):
    """The served tree takes no files, for this reason."""

    reason: str


class WebRootRecovered(StateMachineStruct, frozen=True):
    """The served tree takes files again."""


class JobsAvailable(StateMachineStruct, frozen=True):
    """Something was queued."""


class Tick(StateMachineStruct, frozen=True):
    """Time has passed."""


class CommandIssued(StateMachineStruct, frozen=True):
    """An operator gave an order to builders.

    `at_once` is for SLEEP: the build in hand goes back. `rolling` is for DRAIN: only so many
    at a time; 0 is all at once.
    """

    command: BuilderCommand
    labels: tuple[str, ...]
    user: str
    immediately: bool = False
    max_parallel: int = 0


class PauseChanged(StateMachineStruct, frozen=True):
    """The farm was paused or resumed."""

    paused: bool


class KeyRevoked(StateMachineStruct, frozen=True):
    """A builder's key was taken off the list."""

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
    """Send this to a builder."""

    label: str
    message: ToBuilder


class ClaimJob(StateMachineStruct, frozen=True):
    """Ask the queue for a job for one of these targets; answer with Claimed."""

    label: str
    targets: tuple[str, ...]
    targets_without_compiler: tuple[str, ...] = ()  # those for which the builder has no C compiler


class EstimateDuration(StateMachineStruct, frozen=True):
    """Find out how long a job can be expected to take; answer with Estimated, some time."""

    label: str
    job: Job


class UnclaimJob(StateMachineStruct, frozen=True):
    """Put a job back as it was: its build did not happen."""

    label: str
    build: int


class CompleteBuild(StateMachineStruct, frozen=True):
    """Record how a build without files ended; answer with Settled."""

    label: str
    job: Job
    outcome: Outcome
    reason: str
    duration_s: float
    build_inputs: tuple[str, ...] = ()
    compiler_missing: bool = False  # Built.lacking
    failure_class: FailureClass | None = None  # None: the one that goes with the outcome
    evidence: FailureEvidence = FailureEvidence()


class StartUpload(StateMachineStruct, frozen=True):
    """Fetch, check and publish a build's files; answer with Settled."""

    label: str
    job: Job
    build_finished: BuildFinished


class CancelUpload(StateMachineStruct, frozen=True):
    """Stop fetching the files of a build, whatever has arrived of them."""

    build: int


class AppendLog(StateMachineStruct, frozen=True):
    """Add a piece to a build's log."""

    build: int
    offset: int
    data: bytes


class PersistSuspension(StateMachineStruct, frozen=True):
    """Remember across restarts that a builder is asleep or quarantined; None: neither."""

    label: str
    suspension: BuilderState | None
    reason: str


class PublishBuilder(StateMachineStruct, frozen=True):
    """A builder is another than before."""

    label: str


class PublishBuildStarted(StateMachineStruct, frozen=True):
    """A job was handed out."""

    label: str
    job: Job


class PublishBuilderLost(StateMachineStruct, frozen=True):
    """A builder was not heard for too long; it stays in view for a while."""

    label: str
    reason: str


class PublishBuilderRemoved(StateMachineStruct, frozen=True):
    """A builder has left, or is out of view at last (without a reason: that is no news)."""

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
    | PublishBuilder
    | PublishBuildStarted
    | PublishBuilderLost
    | PublishBuilderRemoved
)
