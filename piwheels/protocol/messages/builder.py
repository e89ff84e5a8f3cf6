"""Messages between builders and the master: FromBuilder and ToBuilder."""

from typing import Annotated

from msgspec import Meta, field

from piwheels.model import (
    MAX_PHASES,
    BuildPhase,
    FailureClass,
    FailureEvidence,
    HostMetrics,
    Job,
    Outcome,
    RootState,
    Target,
)
from piwheels.protocol.message_base import (
    MAX_TARGETS,
    BigInt,
    BoundedFloat,
    FileName,
    LongText,
    Message,
    NulFreeText,
    Seconds,
    Sha256Hex,
    ShortText,
    SizeBytes,
)
from piwheels.protocol.messages.logs import LogChunk

#: A build makes one wheel; up to this many are read, so that the rejection can say how many.
_MAX_FILES = 100
#: Files that one build uses: its build dependencies, and their dependencies.
MAX_INPUTS = 10_000
MAX_PACKAGES = 1000
#: Installed packages that a builder names.
MAX_INSTALLED = 20_000


class Hello(Message, frozen=True, kw_only=True):
    """A builder's first message on every connection: who it is and what it serves."""

    protocol: BigInt
    version: ShortText  # of piwheels
    targets: Annotated[tuple[Target, ...], Meta(max_length=MAX_TARGETS)]
    platform: ShortText  # "linux aarch64"
    board: ShortText
    os: ShortText
    host: HostMetrics
    sandboxed: bool = True
    build_timeout_s: Seconds = 0.0  # it ends a build that takes longer
    memory_limit_bytes: SizeBytes = 0  # it ends a build that uses more; 0: unknown
    disk_reserve_bytes: SizeBytes = 0  # it ends a build that leaves less of its disk free
    process_limit: SizeBytes = 0  # the processes that a build may have; 0: unknown
    file_limit_bytes: SizeBytes = 0  # the size that a file of a build may have; 0: unknown
    speed: BoundedFloat = 0.0  # as in `model.BuilderCapability`
    current_build: BigInt | None = None  # its running build
    last_build: BigInt = 0  # the highest build number that it ever got; 0: none
    instance: ShortText = ""  # differs for each process; "": unknown
    on_demand: bool = False  # it was started for what is queued, and ends by itself
    #: Names of its targets for which it has no C compiler, or no Python headers.
    targets_without_compiler: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_TARGETS)] = ()
    #: Names of its targets whose builds get the Debian packages that they lack.
    layer_targets: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_TARGETS)] = ()
    #: The Debian packages of its own system, which the builds for its other targets can use.
    installed_packages: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_INSTALLED)] = ()
    #: The roots that its builds run on.
    roots: Annotated[tuple[RootState, ...], Meta(max_length=MAX_TARGETS)] = ()


class IdleHeartbeat(Message, frozen=True, kw_only=True):
    """The builder has no build. Sent when that begins, and again every few seconds."""

    last_build: BigInt  # the highest build number that it ever got; 0: none
    host: HostMetrics


class BuildHeartbeat(Message, frozen=True, kw_only=True):
    """Sent every few seconds while a build is running."""

    build: BigInt
    phase: ShortText
    phase_s: Seconds
    host: HostMetrics


class ArtifactInfo(Message, frozen=True, kw_only=True):
    """A wheel that a build made, as its builder describes it; the master verifies all of it.

    Not a `WheelFile`, which is what the master found itself: every field here has a limit.
    """

    filename: FileName
    size_bytes: SizeBytes
    sha256: Sha256Hex
    debian_packages: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_PACKAGES)] = ()


class BuildFinished(Message, frozen=True, kw_only=True):
    """A build has ended. Repeated after every Welcome until BuildAcknowledged answers it."""

    build: BigInt
    outcome: Outcome
    reason: LongText = ""
    duration_s: Seconds
    files: Annotated[tuple[ArtifactInfo, ...], Meta(max_length=_MAX_FILES)] = ()
    build_inputs: Annotated[tuple[NulFreeText, ...], Meta(max_length=MAX_INPUTS)] = ()
    without_compiler: bool = (
        False  # the builder has no C compiler, and the sdist has sources for one
    )
    failure_class: FailureClass | None = None  # None: it was built, or it is not known
    evidence: FailureEvidence = FailureEvidence()
    #: The Debian packages that were added as layers over a root; None: packages cannot be added.
    added_packages: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_PACKAGES)] | None = None
    peak_memory_bytes: SizeBytes = 0  # of all its processes together; 0: unknown
    peak_disk_bytes: SizeBytes = 0  # of its files together, as seen every few seconds; 0: unknown
    phases: Annotated[tuple[BuildPhase, ...], Meta(max_length=MAX_PHASES)] = ()  # in their order


class Goodbye(Message, frozen=True, kw_only=True):
    """The builder disconnects on purpose; its job can be given to another builder."""

    reason: LongText = ""


class Join(Message, frozen=True, kw_only=True):
    """Register a builder's key: the one message of a peer that connects with a token's key."""

    public: ShortText  # the builder's public key
    name: ShortText  # that it wants, by default its host's
    name_was_chosen: bool = False  # by a person: the master appends nothing to it
    protocol: BigInt
    version: ShortText  # of piwheels


FromBuilder = Join | Hello | IdleHeartbeat | BuildHeartbeat | LogChunk | BuildFinished | Goodbye


class Welcome(Message, frozen=True, kw_only=True):
    """The answer to Hello: the builder's key is authorized under this label."""

    label: str
    log_offset: int = 0  # how much of the running build's log has arrived, in bytes
    epoch: int = 0  # of the master: a builder follows none with a lower one than it has seen


class Joined(Message, frozen=True, kw_only=True):
    """The answer to Join: the builder's key is registered under this label."""

    label: str
    authorized: bool  # at once; otherwise an operator has to
    repeated: bool = False  # it was registered before


class NoJobAvailable(Message, frozen=True, kw_only=True):
    """There is no job now, for this reason; a StartBuild may follow at any time."""

    reason: str


class StartBuild(Message, frozen=True, kw_only=True):
    """Start this build."""

    job: Job


class Ack(Message, frozen=True, kw_only=True):
    """The message has arrived."""


class CancelBuild(Message, frozen=True, kw_only=True):
    """End this build; report nothing about it."""

    build: int
    reason: str


class UploadFiles(Message, frozen=True, kw_only=True):
    """Offer the files of this build on the upload socket."""

    build: int


class BuildAcknowledged(Message, frozen=True, kw_only=True):
    """The build was recorded; its folder can be emptied."""

    build: int
    note: str = ""


class Shutdown(Message, frozen=True, kw_only=True):
    """End the builder's process, after the running build if `after_build`.

    With `restart` the process is started again; without, it stays ended until a person starts it.
    """

    reason: str
    after_build: bool = False
    restart: bool = False


class Rejected(Message, frozen=True, kw_only=True, tag="Refused"):
    """A message that was not accepted, and why. `permanent`: trying again does not help.

    Its tag and the name of `permanent` are those of protocol 1, so that every builder can read it.
    """

    reason: str
    permanent: bool = field(default=False, name="fatal")


ToBuilder = (
    Welcome
    | Joined
    | NoJobAvailable
    | StartBuild
    | Ack
    | CancelBuild
    | UploadFiles
    | BuildAcknowledged
    | Shutdown
    | Rejected
)
