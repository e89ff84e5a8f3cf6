"""What builders and the master tell each other: FromBuilder and ToBuilder."""

from typing import Annotated

from msgspec import Meta

from piwheels.model import Evidence, FailureClass, Job, Outcome, Target
from piwheels.protocol.messages.basics import (
    CHUNK_BYTES,
    Digest,
    Figure,
    FileName,
    HostState,
    Message,
    Number,
    Seconds,
    Sentence,
    ShortWords,
    SizeBytes,
    Words,
)

#: A builder serves at most so many; each is a row of every operator's table.
MOST_TARGETS = 64
#: A build makes one wheel; so many are still read, so that the refusal can say how many.
_MOST_FILES = 100
#: Files that one build was given: its build dependencies, and their dependencies.
MOST_INPUTS = 10_000
MOST_PACKAGES = 1000


class Hello(Message, frozen=True, kw_only=True):
    """A builder's first message on every connection: who it is and what it serves."""

    protocol: Number
    version: ShortWords  # of piwheels
    targets: Annotated[tuple[Target, ...], Meta(max_length=MOST_TARGETS)]
    platform: ShortWords  # "linux aarch64"
    board: ShortWords
    os: ShortWords
    host: HostState
    sandboxed: bool = True
    limit_s: Seconds = 0.0  # it ends a build after so long
    memory_limit: SizeBytes = 0  # it ends a build that uses more; 0 where it did not say
    disk_reserve: SizeBytes = 0  # it ends a build that leaves less of its disk free
    speed: Figure = 0.0  # as `model.Fitness` has it
    busy: Number | None = None  # its running build
    instance: ShortWords = ""  # another for each process; "" where it does not say
    #: Names of its targets for which it has no C compiler, or no headers of Python.
    lacking: Annotated[tuple[ShortWords, ...], Meta(max_length=MOST_TARGETS)] = ()


class Idle(Message, frozen=True, kw_only=True):
    """The builder has nothing to do. Sent when so, and again as a sign of life."""

    last_build: Number  # the highest build number it was ever given; 0 for none
    host: HostState


class Building(Message, frozen=True, kw_only=True):
    """A sign of life while a build is in hand."""

    build: Number
    phase: ShortWords
    phase_s: Seconds
    host: HostState


class LogLines(Message, frozen=True, kw_only=True):
    """A piece of a build's log; `offset` is where in the log it begins, in bytes."""

    build: Number
    offset: SizeBytes
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]


class FileOffer(Message, frozen=True, kw_only=True):
    """A wheel that a build made, as its builder describes it; the master trusts none of it."""

    filename: FileName
    size_bytes: SizeBytes
    sha256: Digest
    dependencies: Annotated[
        tuple[ShortWords, ...], Meta(max_length=MOST_PACKAGES)
    ] = ()  # Debian packages


class Built(Message, frozen=True, kw_only=True):
    """A build has ended, and how. Repeated after every Welcome until Done answers it."""

    build: Number
    outcome: Outcome
    reason: Sentence = ""
    duration_s: Seconds
    files: Annotated[tuple[FileOffer, ...], Meta(max_length=_MOST_FILES)] = ()
    inputs: Annotated[tuple[Words, ...], Meta(max_length=MOST_INPUTS)] = ()
    lacking: bool = False  # the builder has no C compiler, and the sdist has sources for one
    failure: FailureClass | None = None  # None where it was built, or where nothing is known
    evidence: Evidence = Evidence()


class Bye(Message, frozen=True, kw_only=True):
    """The builder is going away on purpose; what it had in hand can go to another."""

    reason: Sentence = ""


FromBuilder = Hello | Idle | Building | LogLines | Built | Bye


class Welcome(Message, frozen=True, kw_only=True):
    """The answer to Hello: you are known; this is how we talk."""

    label: str
    log_offset: int = 0  # so much of the log of the build in hand has arrived


class Wait(Message, frozen=True, kw_only=True):
    """Nothing to build now, for this reason; a Build may follow at any time."""

    reason: str


class BuildJob(Message, frozen=True, kw_only=True):
    """Build this."""

    job: Job


class Continue(Message, frozen=True, kw_only=True):
    """The master heard you; go on."""


class Abandon(Message, frozen=True, kw_only=True):
    """Stop this build and forget it."""

    build: int
    reason: str


class Send(Message, frozen=True, kw_only=True):
    """Offer the files of this build on the file socket."""

    build: int


class Done(Message, frozen=True, kw_only=True):
    """The build is settled; its folder can be emptied."""

    build: int
    note: str = ""


class Stop(Message, frozen=True, kw_only=True):
    """End your process, after the build in hand if `after_build`."""

    reason: str
    after_build: bool = False


class Refused(Message, frozen=True, kw_only=True):
    """A message that was not accepted, and why. `fatal` means that no retry will help."""

    reason: str
    fatal: bool = False


ToBuilder = Welcome | Wait | BuildJob | Continue | Abandon | Send | Done | Stop | Refused
