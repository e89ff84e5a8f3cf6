"""What builders and the master tell each other: FromBuilder and ToBuilder."""

from typing import Annotated

from msgspec import Meta

from piwheels.model import FailureClass, FailureEvidence, HostMetrics, Job, Outcome, Target
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

#: A build makes one wheel; so many are still read, so that the refusal can say how many.
_MAX_FILES = 100
#: Files that one build was given: its build dependencies, and their dependencies.
MAX_INPUTS = 10_000
MAX_PACKAGES = 1000


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
    build_timeout_s: Seconds = 0.0  # it ends a build after so long
    memory_limit_bytes: SizeBytes = 0  # it ends a build that uses more; 0 where it did not say
    disk_reserve_bytes: SizeBytes = 0  # it ends a build that leaves less of its disk free
    speed: BoundedFloat = 0.0  # as `model.Fitness` has it
    current_build: BigInt | None = None  # its running build
    last_build: BigInt = 0  # the highest build number it was ever given; 0 for none
    instance: ShortText = ""  # another for each process; "" where it does not say
    #: Names of its targets for which it has no C compiler, or no headers of Python.
    targets_without_compiler: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_TARGETS)] = ()


class IdleHeartbeat(Message, frozen=True, kw_only=True):
    """The builder has nothing to do. Sent when so, and again as a sign of life."""

    last_build: BigInt  # the highest build number it was ever given; 0 for none
    host: HostMetrics


class BuildHeartbeat(Message, frozen=True, kw_only=True):
    """A sign of life while a build is in hand."""

    build: BigInt
    phase: ShortText
    phase_s: Seconds
    host: HostMetrics


class ArtifactInfo(Message, frozen=True, kw_only=True):
    """A wheel that a build made, as its builder describes it; the master trusts none of it."""

    filename: FileName
    size_bytes: SizeBytes
    sha256: Sha256Hex
    debian_packages: Annotated[
        tuple[ShortText, ...], Meta(max_length=MAX_PACKAGES)
    ] = ()  # Debian packages


class BuildFinished(Message, frozen=True, kw_only=True):
    """A build has ended, and how. Repeated after every Welcome until Done answers it."""

    build: BigInt
    outcome: Outcome
    reason: LongText = ""
    duration_s: Seconds
    files: Annotated[tuple[ArtifactInfo, ...], Meta(max_length=_MAX_FILES)] = ()
    build_inputs: Annotated[tuple[NulFreeText, ...], Meta(max_length=MAX_INPUTS)] = ()
    compiler_missing: bool = (
        False  # the builder has no C compiler, and the sdist has sources for one
    )
    failure_class: FailureClass | None = None  # None where it was built, or where nothing is known
    evidence: FailureEvidence = FailureEvidence()


class Goodbye(Message, frozen=True, kw_only=True):
    """The builder is going away on purpose; what it had in hand can go to another."""

    reason: LongText = ""


FromBuilder = Hello | IdleHeartbeat | BuildHeartbeat | LogChunk | BuildFinished | Goodbye


class Welcome(Message, frozen=True, kw_only=True):
    """The answer to Hello: you are known; this is how we talk."""

    label: str
    log_offset: int = 0  # so much of the log of the build in hand has arrived


class NoJobAvailable(Message, frozen=True, kw_only=True):
    """Nothing to build now, for this reason; a Build may follow at any time."""

    reason: str


class StartBuild(Message, frozen=True, kw_only=True):
    """Build this."""

    job: Job


class Ack(Message, frozen=True, kw_only=True):
    """The master heard you; go on."""


class CancelBuild(Message, frozen=True, kw_only=True):
    """Stop this build and forget it."""

    build: int
    reason: str


class UploadFiles(Message, frozen=True, kw_only=True):
    """Offer the files of this build on the file socket."""

    build: int


class BuildAcknowledged(Message, frozen=True, kw_only=True):
    """The build is settled; its folder can be emptied."""

    build: int
    note: str = ""


class Shutdown(Message, frozen=True, kw_only=True):
    """End your process, after the running build if `after_build`.

    With `restart` the process is started again; without, it stays ended until a person starts it.
    """

    reason: str
    after_build: bool = False
    restart: bool = False


class Rejected(Message, frozen=True, kw_only=True):
    """A message that was not accepted, and why. `fatal` means that no retry will help."""

    reason: str
    permanent: bool = False


ToBuilder = (
    Welcome
    | NoJobAvailable
    | StartBuild
    | Ack
    | CancelBuild
    | UploadFiles
    | BuildAcknowledged
    | Shutdown
    | Rejected
)
