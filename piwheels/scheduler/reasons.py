"""The reasons that builders and operators are given, each in one place. No I/O and no clock."""

from piwheels.model import Job

HELLO_FIRST = "send Hello first"
NOT_ITS_BUILD = "the job was given to another builder or was removed"
CLAIM_LOST = "the claim on the job was lost"
CANARY_BUILT = "a build in quarantine succeeded"
WAITING_FOR_DATABASE = "waiting for the database"
FARM_PAUSED = "the farm is paused"
KEY_REVOKED = "its key was revoked"
YOUR_KEY_REVOKED = "this builder's key was revoked"  # for the builder itself
DISCONNECTED = "disconnected"
UNKNOWN_KEY = "this builder's key is not authorized on the master"
KEYS_UNREADABLE = "the master cannot read or write its keys now, and says why in its log: try again"

# Why a wheel of the upstream is not published here under its own name.
NAME_IS_TAKEN = "its name stands for another file here, which stays"

# For the log, with the sender's key.
UNHANDLED_MESSAGE = "a message of %s could not be handled"

# Why a command does not apply to a builder.
IS_LOST = "is lost"
HAS_ENDED = "has ended"
NOT_CONNECTED = "is not connected"
NO_RUNNING_BUILD = "has no running build"
BUILDS_AGAIN = "builds a published wheel again, to compare both"


def nothing_queued(*, needs_no_compiler: bool) -> str:
    """No job is queued that this builder could take."""
    bound = " that is known to need no C compiler" if needs_no_compiler else ""
    return f"nothing is queued for your targets{bound}"


def web_root_fault(fault: str) -> str:
    """No builder gets a job, because wheels could not be published."""
    return f"the web root does not accept files: {fault}"


def index_unreachable(reason: str) -> str:
    """No builder gets a job, because the index failed for several of them."""
    return f"several builders cannot reach the index: {reason}"


def index_fault(reason: str) -> str:
    """A builder gets no job for a while after the index made its last build fail."""
    return f"index fault: {reason}"


def disk_was_full(reason: str) -> str:
    """A builder gets no job for a while after its disk was full."""
    return f"its disk was full: {reason}"


def disk_full(required_bytes: int) -> str:
    """A builder gets no job until its disk has space."""
    return f"its disk has less than {required_bytes >> 20} MiB free"


def quarantined(failures: int, last: str) -> str:
    """A builder was quarantined because of its failures."""
    return f"{failures} consecutive builds failed because of the builder: {last}"


def lost(timeout_s: float, job: Job | None) -> str:
    """A builder is lost, with the job that it had."""
    reason = f"lost after {timeout_s:.0f} s without a message"
    if job is None:
        return reason
    return f"{reason}; build {job.build_id} ({job.project} {job.version}) was queued again"


def stopped_responding(label: str) -> str:
    """Why a build ended as lost."""
    return f"builder {label} stopped responding"


def internal_error(error: BaseException) -> str:
    """A message or a file that the master could not handle."""
    return f"internal error of the master ({type(error).__name__}); see its log"


def wheel_size(size_bytes: int, max_bytes: int) -> str:
    """A wheel is empty or too large."""
    return f"the wheel has {size_bytes} bytes; it must have 1 to {max_bytes}"


def duplicate_key(label: str, *, permanent: bool) -> str:
    """Another builder uses the same key; the newer one waits, or has to get a key of its own."""
    reason = f"another builder uses the key of {label}"
    if not permanent:
        return f"{reason}; waiting until that one has been silent for a while"
    return (
        f"{reason}; give this one its own key: `piw key generate NAME`, "
        "builder.key_name = NAME, and on the master `piw key authorize NAME KEY`"
    )
