"""What goes into the session machine, and what comes out: events, and instructions."""

from dataclasses import dataclass

from piwheels.model import Job, Outcome
from piwheels.protocol.messages import BuilderState, Built, FromBuilder, Order, ToBuilder

# --- events ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """A builder said something. `log_bytes` is how much of its build's log is there."""

    label: str
    message: FromBuilder
    log_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """The queue's answer to Claim: a job, or None when nothing waits for those targets."""

    label: str
    job: Job | None


@dataclass(frozen=True, slots=True)
class Estimated:
    """The answer to Estimate: how long the project's longest successful build took, if any."""

    label: str
    build: int
    longest_s: float | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A build is in the database, or its claim had been lost (`stored` is False)."""

    label: str
    build: int
    outcome: Outcome
    stored: bool


@dataclass(frozen=True, slots=True)
class JobsWaiting:
    """Something was queued."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """An operator gave an order to builders.

    `at_once` is for SLEEP: the build in hand goes back. `rolling` is for DRAIN: only so many
    at a time; 0 is all at once.
    """

    order: Order
    labels: tuple[str, ...]
    who: str
    at_once: bool = False
    rolling: int = 0


@dataclass(frozen=True, slots=True)
class PauseChanged:
    """The farm was paused or resumed."""

    paused: bool


@dataclass(frozen=True, slots=True)
class Revoked:
    """A builder's key was taken off the list."""

    label: str


Event = (
    Received | Claimed | Estimated | Settled | JobsWaiting | Tick | Ordered | PauseChanged | Revoked
)

# --- instructions ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this to a builder."""

    label: str
    message: ToBuilder


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask the queue for a job for one of these targets; answer with Claimed."""

    label: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Find out how long a job can be expected to take; answer with Estimated, some time."""

    label: str
    job: Job


@dataclass(frozen=True, slots=True)
class Release:
    """Put a job back as it was: its build did not happen."""

    label: str
    build: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Record how a build without files ended; answer with Settled."""

    label: str
    job: Job
    outcome: Outcome
    reason: str
    duration_s: float
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Take:
    """Fetch, check and publish a build's files; answer with Settled."""

    label: str
    job: Job
    built: Built


@dataclass(frozen=True, slots=True)
class Drop:
    """Stop fetching the files of a build, whatever has arrived of them."""

    build: int


@dataclass(frozen=True, slots=True)
class KeepLog:
    """Add a piece to a build's log."""

    build: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Keep:
    """Remember across restarts that a builder is asleep or quarantined; None: neither."""

    label: str
    held: BuilderState | None
    reason: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A builder is another than before."""

    label: str


@dataclass(frozen=True, slots=True)
class Started:
    """A job was handed out."""

    label: str
    job: Job


@dataclass(frozen=True, slots=True)
class Lost:
    """A builder was not heard for too long; it stays in view for a while."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
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
