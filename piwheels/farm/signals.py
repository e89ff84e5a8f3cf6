"""What goes into the session machine, and what comes out: events, and instructions."""

import msgspec

from piwheels.model import Evidence, FailureClass, Job, Outcome
from piwheels.protocol.messages import BuilderState, Built, FromBuilder, Order, ToBuilder


class Signal(msgspec.Struct, frozen=True):
    """Base of both."""


# --- events ------------------------------------------------------------------------------


class Received(Signal, frozen=True):
    """A builder said something.

    `log_bytes` is how much of its build's log is there; `reclaimed` is a job that it had lost
    and that the queue gave back to it.
    """

    label: str
    message: FromBuilder
    log_bytes: int = 0
    reclaimed: Job | None = None


class Claimed(Signal, frozen=True):
    """The queue's answer to Claim: a job, or None when nothing waits for those targets."""

    label: str
    job: Job | None


class Estimated(Signal, frozen=True):
    """The answer to Estimate: how long the project's longest successful build took, if any."""

    label: str
    build: int
    longest_s: float | None


class Settled(Signal, frozen=True):
    """A build is in the database, or its claim had been lost (`stored` is False)."""

    label: str
    build: int
    outcome: Outcome
    stored: bool


class NotStored(Signal, frozen=True):
    """The served tree could not take the wheel of a build; its builder still has it."""

    label: str
    build: int
    reason: str


class TreeFailed(Signal, frozen=True):
    """The served tree takes no files, for this reason."""

    reason: str


class TreeRecovered(Signal, frozen=True):
    """The served tree takes files again."""


class JobsWaiting(Signal, frozen=True):
    """Something was queued."""


class Tick(Signal, frozen=True):
    """Time has passed."""


class Ordered(Signal, frozen=True):
    """An operator gave an order to builders.

    `at_once` is for SLEEP: the build in hand goes back. `rolling` is for DRAIN: only so many
    at a time; 0 is all at once.
    """

    order: Order
    labels: tuple[str, ...]
    who: str
    at_once: bool = False
    rolling: int = 0


class PauseChanged(Signal, frozen=True):
    """The farm was paused or resumed."""

    paused: bool


class Revoked(Signal, frozen=True):
    """A builder's key was taken off the list."""

    label: str


Event = (
    Received
    | Claimed
    | Estimated
    | Settled
    | NotStored
    | TreeFailed
    | TreeRecovered
    | JobsWaiting
    | Tick
    | Ordered
    | PauseChanged
    | Revoked
)

# --- instructions ------------------------------------------------------------------------


class Reply(Signal, frozen=True):
    """Send this to a builder."""

    label: str
    message: ToBuilder


class Claim(Signal, frozen=True):
    """Ask the queue for a job for one of these targets; answer with Claimed."""

    label: str
    targets: tuple[str, ...]
    lacking: tuple[str, ...] = ()  # those for which the builder has no C compiler


class Estimate(Signal, frozen=True):
    """Find out how long a job can be expected to take; answer with Estimated, some time."""

    label: str
    job: Job


class Release(Signal, frozen=True):
    """Put a job back as it was: its build did not happen."""

    label: str
    build: int


class Settle(Signal, frozen=True):
    """Record how a build without files ended; answer with Settled."""

    label: str
    job: Job
    outcome: Outcome
    reason: str
    duration_s: float
    inputs: tuple[str, ...] = ()
    lacking: bool = False  # Built.lacking
    failure: FailureClass | None = None  # None: the one that goes with the outcome
    evidence: Evidence = Evidence()


class Take(Signal, frozen=True):
    """Fetch, check and publish a build's files; answer with Settled."""

    label: str
    job: Job
    built: Built


class Drop(Signal, frozen=True):
    """Stop fetching the files of a build, whatever has arrived of them."""

    build: int


class KeepLog(Signal, frozen=True):
    """Add a piece to a build's log."""

    build: int
    offset: int
    data: bytes


class Keep(Signal, frozen=True):
    """Remember across restarts that a builder is asleep or quarantined; None: neither."""

    label: str
    held: BuilderState | None
    reason: str


class Changed(Signal, frozen=True):
    """A builder is another than before."""

    label: str


class Started(Signal, frozen=True):
    """A job was handed out."""

    label: str
    job: Job


class Lost(Signal, frozen=True):
    """A builder was not heard for too long; it stays in view for a while."""

    label: str
    reason: str


class Gone(Signal, frozen=True):
    """A builder has left, or is out of view at last (without a reason: that is no news)."""

    label: str
    reason: str


Instruction = (
    Reply
    | Claim
    | Estimate
    | Release
    | Settle
    | Take
    | Drop
    | KeepLog
    | Keep
    | Changed
    | Started
    | Lost
    | Gone
)
