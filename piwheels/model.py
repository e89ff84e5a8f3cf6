"""The nouns of the farm as frozen structs, and the words that they are made of.

A struct here holds facts and knows nothing of the world: no database, no network, no
files. Times are timezone-aware; sizes are bytes; durations are seconds; names are
normalised (PEP 503) and versions are in their canonical spelling (PEP 440).
"""

import re
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every noun: immutable, compared by value, unknown fields refused."""


#: A part of a target's name: a tag, a version, the code name of a distribution.
TargetPart = Annotated[str, msgspec.Meta(max_length=100)]


class Target(Struct, frozen=True, kw_only=True):
    """An ABI on a platform: what a wheel is built for.

    `name` is the identity (`cp313-trixie-aarch64`); the rest is what an interpreter on
    that platform says of itself.
    """

    name: TargetPart
    python: TargetPart  # "3.13": what Requires-Python is compared with is python_full
    python_full: TargetPart  # "3.13.0"
    implementation: TargetPart = "cp"  # PEP 425 interpreter abbreviation
    abi: TargetPart  # "cp313", "cp313t": PEP 425 ABI tag
    arch: TargetPart  # "aarch64": the machine part of PEP 425 platform tags
    os: TargetPart  # "trixie": the code name of the distribution
    glibc: TargetPart  # "2.41"


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python interpreter on a builder, as it describes itself."""

    path: Path  # as it was configured, absolute
    executable: Path  # with symbolic links resolved
    prefix: Path
    base_prefix: Path  # of the installation that a virtual environment is based on
    version: str  # "3.13.0"
    implementation: str  # PEP 425 abbreviation: "cp", "pp"
    abi: str  # PEP 425 ABI tag: "cp313", "cp313t"
    arch: str  # machine part of PEP 425 platform tags: "aarch64", "armv7l"
    os: str  # codename of the distribution: "trixie"
    glibc: str  # "2.41"; "" with another C library
    compiler: str  # the C compiler that it builds extensions with: "x86_64-linux-gnu-gcc"
    headers: bool  # whether its C headers are installed


def short_target_name(target: str, all_targets: Collection[str]) -> str:
    """What people call a target: just its ABI tag where all targets of the farm share its platform.

    So `cp313` on a farm that builds for one platform, and `cp313-trixie-aarch64` on others.
    """
    abi, _, platform = target.partition("-")
    alike = bool(all_targets) and all(other.partition("-")[2] == platform for other in all_targets)
    return abi if alike else target


def match_targets(word: str, all_targets: Collection[str]) -> list[str]:
    """The targets of a farm that people can mean by a word: a whole name, or an ABI tag."""
    return (
        [word]
        if word in all_targets
        else [name for name in all_targets if name.partition("-")[0] == word]
    )


class Sdist(Struct, frozen=True, kw_only=True):
    """A source distribution as the upstream index lists it."""

    filename: str
    url: str
    sha256: str  # "" if the index gives none
    size_bytes: int | None = None
    digest: str = ""  # "md5=<hex>": the strongest hash that the index gives, if that is no sha256


class Release(Struct, frozen=True, kw_only=True):
    """A version of a project, as the upstream index tells it."""

    project: str
    version: str
    released_at: datetime  # PEP 700 upload-time of its first file
    requires_python: str = ""  # PEP 345 specifier; "" allows every Python
    sdist: Sdist | None = None
    yanked: str | None = None  # PEP 592: None is not yanked, "" is yanked without a reason


class ProjectStatus(StrEnum):
    """PEP 792's project status markers."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    QUARANTINED = "quarantined"
    DEPRECATED = "deprecated"


class PageCheckResult(StrEnum):
    """What a look at a project's page of the upstream index found."""

    UP_TO_DATE = "current"  # a page that counts, or the index says that it did not change
    OUTDATED = "older"  # its serial is lower than one that was seen before
    NOT_FOUND = "absent"  # the index knows no such project (404, 410)
    EMPTY = "empty"  # the page lists no release, and nothing proves that it is right
    UNUSABLE = "unusable"  # no page of a project: without links, a login page
    UNAVAILABLE = "fault"  # no answer, or one that says no


class Job(Struct, frozen=True, kw_only=True):
    """A release to build for a target, as handed to the builder that claimed it.

    `build` is the number that the attempt will have: its log and its files go by it.
    """

    build_id: int
    project: str
    version: str
    target: str
    sdist: Sdist
    released_at: datetime
    attempt: int = 1  # 1 for the first try
    min_timeout_s: float = 0.0  # the builder's time limit is at least this; 0: its own limit


class Outcome(StrEnum):
    """How a build ended."""

    BUILT = "built"
    FAILED = "failed"  # the build itself: another try gives the same
    REFUSED = "refused"  # the master did not accept what came out
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    DISK_FULL = "disk-full"
    FETCH_FAILED = "fetch-failed"  # the sdist or a build dependency did not arrive
    BAD_SDIST = "bad-sdist"  # the sdist is corrupt or is not what its hash says
    LOST = "lost"  # the builder fell silent
    CANCELED = "canceled"  # by an operator
    BUILDER_FAILED = "builder-failed"  # the builder itself went wrong (sandbox, interpreter)


#: Outcomes that another try can mend: the job stays in the queue, for later.
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
    """What made a build fail: the table of retry policies has one entry for each."""

    UNKNOWN = "unknown"  # the build itself failed, and nothing says more precisely why
    REFUSED = "refused"  # the master did not accept the wheel
    BAD_SDIST = "bad-sdist"  # the archive cannot be read
    LIMIT = "limit"  # of processes, or of the size of a file
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    DISK_FULL = "disk-full"
    INDEX_FAULT = "index-fault"  # the index did not answer, or not with what was asked for
    FILE_GONE = "file-gone"  # the index lists a file and answers 404 for it
    DAMAGED_DOWNLOAD = "damaged-download"  # bytes that do not have the promised digest
    BUILDER_FAULT = "builder-fault"  # sandbox, interpreter, environment
    LOST = "lost"  # the builder was silent for too long
    CANCELED = "canceled"  # by an operator


_Seconds = Annotated[float, Meta(ge=0, le=1e9)]
_Bytes = Annotated[int, Meta(ge=0, le=2**62)]
_ShortText = Annotated[str, Meta(max_length=200)]
_Figure = Annotated[float, Meta(ge=-1e12, le=1e12)]  # NaN and infinity are malformed


class FailureEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured around a build that failed. 0 and "" mean that it is not known."""

    stop: _ShortText = ""  # the limit that ended it: time, memory, processes, disk
    cpu_s: _Seconds = 0.0  # processor time of all its processes
    limit_s: _Seconds = 0.0  # the time limit that it ran under
    speed: _Seconds = 0.0  # of the builder (see `Fitness`)
    peak_memory_bytes: _Bytes = 0
    memory_limit_bytes: _Bytes = 0
    disk_reserve_bytes: _Bytes = 0  # the builder keeps so much of its disk free
    disk_free_bytes: _Bytes | None = None  # when the build was over and cleared away
    retry_after_s: _Seconds = 0.0  # the index asked for so long a pause (RFC 9110, 10.2.3)
    digest: _ShortText = ""  # of the bytes that came instead of the promised ones


class HostMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a machine: sizes in bytes, temperature in degrees Celsius."""

    load: _Figure = 0.0  # one minute's average
    memory_total: _Bytes = 0
    memory_free: _Bytes = 0  # available without swapping
    swap_total: _Bytes = 0
    swap_free: _Bytes = 0
    disk_total: _Bytes = 0
    disk_free: _Bytes = 0  # for an ordinary user
    temperature: _Figure | None = None  # None without a sensor


class PastFailure(Struct, frozen=True, kw_only=True):
    """An earlier failed build of the same release for the same target."""

    builder: str
    failure_class: FailureClass
    evidence: FailureEvidence


class RetryDecision(Struct, frozen=True, kw_only=True):
    """What happens to a job after a failed build.

    `avoid` is a builder that does not get the job while another builder could; the last three
    say what the next builder must have (see `Fitness`), 0 for nothing special.
    """

    is_final: bool = False
    counts_as_attempt: bool = True  # as one of the attempts that a release has
    delay_s: float = 0.0  # before the job can be claimed again
    hold_reason: str = ""  # why a person has to decide whether it is tried again
    avoid_builder: str = ""
    memory_over_bytes: int = 0  # more bytes of memory than this
    min_timeout_s: float = 0.0  # at least this time limit
    min_speed: float = 0.0


class BuilderCapability(Struct, frozen=True, kw_only=True):
    """What a builder can do, compared with the other builders that are there.

    `speed` is how many times a second it does a fixed piece of work. `alone` are the targets
    that no other builder serves; None is all. 0 means that a figure is not known.
    """

    memory_bytes: int = 0  # what a build may use
    speed: float = 0.0
    exclusive_targets: tuple[str, ...] | None = None
    largest_memory_bytes: int = 0  # of all builders
    best_speed: float = 0.0  # of all builders


class WheelCompatibility(Struct, frozen=True, kw_only=True):
    """What decides where a wheel installs: its compressed tag set and its glibc need.

    `tags` is the tag part of the file name (`cp313-cp313-linux_aarch64`); `glibc` is the
    highest GLIBC symbol version that its ELF files ask for, or "" for none.
    """

    tags: str
    glibc: str = ""

    @property
    def identifier(self) -> str:
        """The identity of the kind, e.g. `cp39-abi3-linux_aarch64 glibc2.17`."""
        return f"{self.tags} glibc{self.glibc}" if self.glibc else self.tags

    @property
    def is_pure(self) -> bool:
        """Whether its tags name no ABI and no platform: no compiled code."""
        return self.tags.endswith("-none-any")


def build_tag_number(filename: str) -> int:
    """The number of a wheel's build tag (PEP 427); 0 without one, or with one beyond 32 bits."""
    parts = filename.split("-")
    digits = re.match(r"\d+", parts[2]) if len(parts) == 6 else None
    return int(digits[0]) if digits and len(digits[0]) < 10 else 0


class WheelFile(Struct, frozen=True, kw_only=True):
    """A wheel that the farm publishes; it lies at packages/<sha256[:2]>/<sha256>/<filename>."""

    filename: str
    sha256: str
    size_bytes: int
    metadata_sha256: str  # of <filename>.metadata (PEP 658)
    compatibility: WheelCompatibility
    requires_python: str = ""
    debian_packages: tuple[str, ...] = ()  # Debian packages that its ELF files need

    @property
    def build_tag(self) -> int:
        """The number of its build tag (PEP 427), by which installers choose; 0 without one."""
        return build_tag_number(self.filename)


class Build(Struct, frozen=True, kw_only=True):
    """One attempt at a job, with its outcome."""

    build_id: int
    project: str
    version: str
    target: str
    builder: str  # the builder's label
    outcome: Outcome
    reason: str = ""  # one line: the failing line of the log, or why a file was refused
    started_at: datetime
    duration_s: float
    attempt: int = 1
    build_inputs: tuple[str, ...] = ()  # "<sha256> <filename>" of its pip and of what it fetched
    without_compiler: bool = (
        False  # its builder has no C compiler, and the sdist has sources for one
    )
    failure_class: FailureClass | None = None  # None if it was built
    evidence: FailureEvidence = FailureEvidence()


class BuildRequest(Struct, frozen=True, kw_only=True):
    """A project that somebody wants wheels of.

    `requirement` is a PEP 508 name with an optional version specifier; `latest` is how many
    of the newest final releases that it allows, 0 for all of them.
    """

    requirement: Annotated[str, msgspec.Meta(max_length=100_000)]
    release_count: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 1


class BuildSummary(Struct, frozen=True, kw_only=True):
    """A build that was settled."""

    build_id: int
    ended_at: datetime
    builder: str
    project: str
    version: str
    target: str
    outcome: str
    duration_s: float
    reason: str
    files: tuple[str, ...]  # the names of its wheels


class FileSummary(Struct, frozen=True, kw_only=True):
    """A published wheel as its project's page shows it."""

    filename: str
    sha256: str
    size_bytes: int
    metadata_sha256: str
    tags: str  # the tag part of its kind
    requires_python: str
    debian_packages: tuple[str, ...]  # Debian packages
    version: str
    build_id: int
    rebuild_requested: bool
    published_at: datetime


class IndexEntry(Struct, frozen=True, kw_only=True):
    """A file as its project's index page lists it."""

    filename: str
    sha256: str
    size_bytes: int
    metadata_sha256: str
    requires_python: str
    version: str
    released_at: datetime  # of the upstream release (PEP 700 upload-time)
    yanked: str | None  # PEP 592


class IndexPage(Struct, frozen=True, kw_only=True):
    """All that a project's index page says."""

    project: str
    status: ProjectStatus
    status_reason: str
    files: tuple[IndexEntry, ...]  # by version, then name


class TargetStatusRow(Struct, frozen=True, kw_only=True):
    """All that is known of one release for one target."""

    target: str
    target_skip_reason: str | None
    jobs_outdated: bool
    python_allowed: bool  # by the release's Requires-Python
    covered_by: str | None  # a file that installers take there, and that loads
    to_be_rebuilt: str | None  # one that does, and is to be built again
    queued: bool
    jobs_ahead: int  # jobs for this target that are due earlier
    claimed_by: str | None
    claimed_at: datetime | None
    current_build_id: int | None
    retry_at: datetime | None
    hold_reason: str | None = None  # why it waits for a person
    attempts: int
    last_build_id: int | None
    last_outcome: str | None
    last_reason: str | None
    last_final: bool  # the last build failed for good
    last_duration_s: float | None
    sdist_replaced: bool = False  # the wheel in `superseded` was built from an earlier sdist
    debian_packages: tuple[str, ...] = ()  # what the wheel in covered_by needs, by names of ...
    built_for: str = ""  # ... the target that it was built for
    build_note: str = ""  # what the wheel in covered_by lacks, as its build noted it
    skip_reason: str | None = None  # why the release is not to be built for this target
    skips_whole_project: bool = False  # that goes for every release of the project
    built_for_other_target: bool = False  # covered_by did not come of the last build of this target
    without_compiler: bool = False  # covered_by, or superseded, was made without a C compiler
    unloadable_file: str | None = (
        None  # a file that installers prefer there, and that does not load
    )
    needs_compiler: bool = False  # only a builder with a C compiler gets the queued job


class ReleaseStatusRow(Struct, frozen=True, kw_only=True):
    """All that is known of one release."""

    version: str
    has_sdist: bool
    yanked: str | None
    skip_reason: str | None
    requires_python: str
    released_at: datetime
    missing_since: datetime | None = None  # the upstream lists it no more, and it is hidden
    removed_at: datetime | None = None  # when the upstream's removal of it was confirmed
    sdist_replaced_at: datetime | None = None  # when its sdist was found to be another one
    sdist_verified_by: str = "sha256"  # the algorithm of the index's hash; "" if it gives none
    targets: tuple[TargetStatusRow, ...]  # in numeric order


class UpstreamPage(Struct, frozen=True, kw_only=True):
    """What a project's page of the upstream index said when it was last read.

    The newest release is the newest final one that is not yanked; a pre-release where there is
    no other.
    """

    newest_version: str | None  # None: the index has no release that is not yanked
    newest_at: datetime | None  # when it was uploaded; None: the index does not tell
    newest_has_sdist: bool
    newest_known: bool = False  # this farm has the release
    newest_has_wheel: bool = False  # and a wheel of it
    problem_count: int = 0  # odd entries
    problems: tuple[str, ...] = ()  # the first of them, a line each


class LastCheck(Struct, frozen=True, kw_only=True):
    """What the last look at a project's page of the upstream index found."""

    checked_at: datetime | None
    problem: str  # why the page did not count; "" if it did
    pending_change: str  # a reported change that is not visible yet, and why; "" for none


class ProjectStatusRow(Struct, frozen=True, kw_only=True):
    """All that is known of a project."""

    project: str
    display_name: str
    skip_reason: str | None
    status: str
    status_reason: str
    releases: tuple[ReleaseStatusRow, ...]  # the newest first
    upstream: UpstreamPage | None = None  # None: its page was not read yet
    last_check: LastCheck | None = None


class CompatibilityRules(Protocol):
    """What packaging standards say about wheels and targets; the database only stores it."""

    def is_loadable(self, compatibility: WheelCompatibility, target: Target) -> bool:
        """Whether a wheel of this kind installs on this target, and loads there."""
        ...

    def tag_rank(self, compatibility: WheelCompatibility, target: Target) -> int | None:
        """How installers rank its tags on this target, 0 first; None if they do not accept it."""
        ...

    def allows_python(self, requires_python: str, target: Target) -> bool:
        """Whether a Requires-Python specifier allows this target's interpreter."""
        ...

    def sort_order(self, target: Target) -> int:
        """Where a target stands in the numeric order of all, as a number below 2**31."""
        ...
