"""Jobs, builds, their failures, and the wheels that they make."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from piwheels.model.base import Struct, projection
from piwheels.model.phases import BuildPhase
from piwheels.model.recipes import Recipe
from piwheels.model.releases import Sdist

#: In place of a builder's name: wheels that an operator imported, that a restore found, and that
#: were mirrored from the upstream index. No builder may be called so.
IMPORT_MAKER = "import"
RESTORE_MAKER = "restore"
MIRROR_MAKER = "mirror"
OTHER_MAKERS = (IMPORT_MAKER, RESTORE_MAKER, MIRROR_MAKER)


class Job(Struct, frozen=True, kw_only=True):
    """A release to build for a target, as sent to the builder that claimed it.

    `build_id` is the number of the attempt, which identifies its log and its files.
    """

    build_id: int
    project: str
    version: str
    target: str
    sdist: Sdist
    released_at: datetime
    attempt: int = 1  # 1 for the first try
    min_timeout_s: float = 0.0  # the lower bound of the builder's time limit; 0: none
    recipe: Recipe | None = None  # of the project; it can be for other versions or targets
    only_inputs: tuple[str, ...] = ()  # "<sha256> <filename>": all that indexes show; () is any
    expected_build_s: float = 0.0  # learned from builds of its project; 0: unknown


class Outcome(StrEnum):
    """How a build ended."""

    BUILT = "built"
    FAILED = "failed"  # the build itself: a retry gives the same result
    REFUSED = "refused"  # the master rejected the wheel
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    DISK_FULL = "disk-full"
    FETCH_FAILED = "fetch-failed"  # the sdist or a build dependency could not be downloaded
    BAD_SDIST = "bad-sdist"  # the sdist is corrupt or does not match its hash
    LOST = "lost"  # the builder sent no heartbeat
    CANCELED = "canceled"  # by an operator
    BUILDER_FAILED = "builder-failed"  # the builder itself failed (sandbox, interpreter)


#: Outcomes that a retry can fix: the job stays in the queue, deferred.
RETRYABLE = frozenset(
    {
        Outcome.LOST,
        Outcome.CANCELED,
        Outcome.DISK_FULL,
        Outcome.FETCH_FAILED,
        Outcome.BUILDER_FAILED,
        Outcome.OUT_OF_MEMORY,
    }
)


class FailureClass(StrEnum):
    """Why a build failed: each class has a retry policy."""

    UNKNOWN = "unknown"  # the build itself failed, without a more precise reason
    # What the builder lacks
    MISSING_PACKAGE = "missing-package"  # a header, a library, a pkg-config file, a program
    MISSING_TOOLCHAIN = "missing-toolchain"  # no compiler, or one that is too old
    # What the release needs and does not get
    COMPILER_ERROR = "compiler-error"
    PYTHON_TOO_NEW = "python-too-new"  # a module or a part of the C API was removed
    TOOLS_TOO_NEW = "tools-too-new"  # setuptools, Cython, CMake or a backend removed what it uses
    BUILD_REQUIREMENT = "build-requirement"  # absent, not for this Python, or in conflict
    UNDECLARED_REQUIREMENT = "undeclared-requirement"  # imports what nothing declares
    NEEDS_NETWORK = "needs-network"  # the build downloads or clones
    TESTS_IN_BUILD = "tests-in-build"  # the build runs tests, and they fail
    REFUSED = "refused"  # by its author: "use X instead"
    # What the release is
    METADATA = "metadata"  # invalid
    BAD_SDIST = "bad-sdist"  # the archive cannot be read, or lacks files
    WRONG_NAME = "wrong-name"
    WRONG_VERSION = "wrong-version"
    NO_WHEEL = "no-wheel"
    SEVERAL_WHEELS = "several-wheels"
    EMPTY_WHEEL = "empty-wheel"  # without code
    REJECTED = "rejected"  # the master rejected the wheel
    # What the build used
    LIMIT = "limit"  # of processes, of open files, or of the size of a file
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    DISK_FULL = "disk-full"
    KILLED = "killed"  # by a signal from outside
    CRASHED = "crashed"  # a program crashed, or a compiler had an internal error
    # What surrounds it
    INDEX_FAULT = "index-fault"  # the index did not answer, or with an error
    FILE_GONE = "file-gone"  # the index lists a file and answers 404 for it
    DAMAGED_DOWNLOAD = "damaged-download"  # bytes that do not have the promised digest
    BUILDER_FAULT = "builder-fault"  # sandbox, interpreter, environment
    MASTER_FAULT = "master-fault"  # web root read-only or full, no database
    LOST = "lost"  # the builder sent no heartbeat for too long
    CANCELED = "canceled"  # by an operator

    @property
    def lacks_packages(self) -> bool:
        """Whether packages of the operating system can repair it."""
        return self in {FailureClass.MISSING_PACKAGE, FailureClass.MISSING_TOOLCHAIN}


_Seconds = Annotated[float, Meta(ge=0, le=1e9)]
_Bytes = Annotated[int, Meta(ge=0, le=2**62)]
_Figure = Annotated[float, Meta(ge=-1e12, le=1e12)]  # no NaN, no infinity
_ShortText = Annotated[str, Meta(max_length=200)]
_Names = Annotated[tuple[_ShortText, ...], Meta(max_length=20)]


class FailureEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured during a failed build; 0 and "" mean unknown."""

    stop: _ShortText = ""  # the limit that ended it: time, memory, processes, disk
    cpu_s: _Seconds = 0.0  # processor time of all its processes
    limit_s: _Seconds = 0.0  # the time limit that it ran under
    speed: _Seconds = 0.0  # of the builder (see `BuilderCapability`)
    peak_memory_bytes: _Bytes = 0
    memory_limit_bytes: _Bytes = 0
    process_limit: _Bytes = 0  # the processes that a build may have
    file_limit_bytes: _Bytes = 0  # the size that a file may have
    disk_reserve_bytes: _Bytes = 0  # the disk space that the builder keeps free
    disk_free_bytes: _Bytes | None = None  # after the build was removed
    retry_after_s: _Seconds = 0.0  # as the index requested (RFC 9110, 10.2.3)
    digest: _ShortText = ""  # of the wrong bytes that were received
    missing: _Names = ()  # what the build did not find: "header ffi.h"
    packages: _Names = ()  # the Debian packages that have it
    line_number: Annotated[int, Meta(ge=0, le=2**31)] = 0  # in the log, of the build's reason


class FailureCause(Struct, frozen=True, kw_only=True):
    """Why a build failed, as people are told; `causes.explanation` has the words.

    A projection of a build's class and evidence.
    """

    failure_class: FailureClass
    missing: _Names = ()  # as in FailureEvidence
    packages: _Names = ()
    line_number: int = 0


class PastFailure(Struct, frozen=True, kw_only=True):
    """An earlier failed build of the same release for the same target."""

    builder: str
    failure_class: FailureClass
    evidence: FailureEvidence


class RetryDecision(Struct, frozen=True, kw_only=True):
    """What happens to a job after a failed build.

    `avoid_builder` does not get the job while another builder could; `memory_over_bytes` to
    `required_packages` are requirements for the next builder (see `BuilderCapability`), 0 for none.
    """

    is_final: bool = False
    counts_as_attempt: bool = True  # toward the maximum number of attempts
    delay_s: float = 0.0  # before the job can be claimed again
    hold_reason: str = ""  # why an operator has to decide about a retry
    avoid_builder: str = ""
    memory_over_bytes: int = 0  # more bytes of memory than this
    min_timeout_s: float = 0.0  # at least this time limit
    min_speed: float = 0.0
    required_packages: tuple[str, ...] = ()  # Debian packages that it has, or can add
    awaited_project: str = ""  # the job is due earlier if this project gets a release


class OtherBuilder(Struct, frozen=True, kw_only=True):
    """A connected builder that takes jobs for a target; one that serves several is there for each.

    With `adds_packages` it can add any Debian package. 0 means unknown.
    """

    label: str
    target: str
    memory_bytes: int = 0  # what a build may use
    disk_bytes: int = 0  # likewise
    speed: float = 0.0
    adds_packages: bool = False


class TargetLimits(Struct, frozen=True, kw_only=True):
    """The most, and the second most, that builders of a target have, in bytes; 0 is unknown."""

    largest_memory_bytes: int = 0  # of all builders, connected or not
    second_memory_bytes: int = 0  # of those that take jobs
    largest_disk_bytes: int = 0  # likewise
    second_disk_bytes: int = 0  # likewise
    #: The most memory of those that have or add these packages, for each combination that jobs
    #: need, where that is less than the largest.
    memory_with_packages: dict[tuple[str, ...], int] = msgspec.field(default_factory=dict)


class FreeDisk(Struct, frozen=True, kw_only=True):
    """Of the builders that take jobs for a target and tell it: what their next build can write."""

    least_bytes: int
    second_bytes: int  # the second most; 0 where fewer than two tell it
    most_bytes: int


class BuilderCapability(Struct, frozen=True, kw_only=True):
    """What a builder can do, compared with the other connected builders.

    `speed` is how many times per second it does a fixed piece of work. For `layer_targets` it can
    add any package; `available_packages` are those of the packages that jobs require which its
    system has. `others` serve one of its targets; of those that two others equal in everything,
    some can be left out. `limits` are by target. 0 means unknown.
    """

    memory_bytes: int = 0  # what a build may use
    disk_bytes: int = 0  # likewise
    speed: float = 0.0
    layer_targets: tuple[str, ...] = ()
    available_packages: tuple[str, ...] = ()
    others: tuple[OtherBuilder, ...] = ()
    limits: dict[str, TargetLimits] = msgspec.field(default_factory=dict)


class Build(Struct, frozen=True, kw_only=True):
    """One attempt at a job, with its outcome."""

    build_id: int
    project: str
    version: str
    target: str
    builder: str  # the builder's label
    outcome: Outcome
    reason: str = ""  # one line: the failing line of the log, or why a file was rejected
    started_at: datetime
    duration_s: float
    attempt: int = 1
    build_inputs: tuple[str, ...] = ()  # "<sha256> <filename>" of its downloads, "root ...", ...
    without_compiler: bool = (
        False  # its builder has no C compiler, and the sdist has sources for one
    )
    failure_class: FailureClass | None = None  # None if it was built
    evidence: FailureEvidence = FailureEvidence()
    added_packages: tuple[str, ...] | None = None  # as in BuildFinished
    peak_memory_bytes: int = 0  # 0: unknown
    peak_disk_bytes: int = 0  # 0: unknown
    phases: tuple[BuildPhase, ...] = ()  # () if they are not known

    @property
    def cause(self) -> FailureCause | None:
        """Why it failed; None if it was built."""
        if self.failure_class is None:
            return None
        return projection(FailureCause, self.evidence, failure_class=self.failure_class)


class BuildSummary(Struct, frozen=True, kw_only=True, tag=True):
    """A completed build: on pages and in feeds, and as an event and in replies to consoles.

    A projection of `Build`, without what only the retry policy needs (inputs, measurements).
    """

    build_id: int = msgspec.field(name="build")  # its name in JSON
    ended_at: datetime = msgspec.field(name="at")
    builder: str
    project: str
    version: str
    target: str
    outcome: Outcome
    duration_s: _Figure
    reason: str = ""  # the failing line, or why a file was rejected
    files: tuple[str, ...] = ()  # the names of its wheels
    cause: FailureCause | None = None  # None: it was built, or the class is unknown
    will_retry: bool | None = None  # None: unknown

    @property
    def detail(self) -> str:
        """The wheels, or why there are none."""
        return ", ".join(self.files) or self.reason
