"""The facts about a failed build that its log does not tell, and the judgment of both."""

from enum import StrEnum

from piwheels.causes.missing import Missing
from piwheels.model import FailureClass, Struct


class Limit(StrEnum):
    """The limit for which a build was ended."""

    TIME = "time"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"


class IndexRecord(Struct, frozen=True, kw_only=True):
    """What a build requested of the index: names of projects and files."""

    requested: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()  # the index answered that there is no such project
    faulty: tuple[str, ...] = ()  # no answer, or an error, that no success followed
    gone: tuple[str, ...] = ()  # files that a page lists and the index does not have
    damaged: tuple[str, ...] = ()  # bytes that do not have the digest of the page
    partial: bool = False  # files were hidden from the build: the index was shown as of a day

    @property
    def was_well(self) -> bool:
        """Whether the build got all that the index lists."""
        return not (self.faulty or self.gone or self.damaged)


class Evidence(Struct, frozen=True, kw_only=True):
    """Facts about a build besides its log; None is unknown."""

    exit_status: int | None = None
    signal: int | None = None  # that ended the build
    limit: Limit | None = None
    out_of_memory_events: int | None = None  # of the cgroup
    index: IndexRecord | None = None
    expected_digest: str | None = None  # of the sdist
    digest: str | None = None
    wheels: tuple[str, ...] | None = None  # the file names of the wheels it made
    disk_free_before_bytes: int | None = None
    disk_free_after_bytes: int | None = None
    peak_memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_s: float | None = None
    wall_s: float | None = None


class Cause(Struct, frozen=True, kw_only=True):
    """Why a build failed.

    `failure_class` is None for a build that did not fail. `missing` is in the order of
    importance, `packages` are the Debian packages that provide it. `line` is the line of the log
    that tells the cause, without surrounding space, and `line_number` its number from 1; "" and 0
    if there is none.
    """

    failure_class: FailureClass | None
    missing: tuple[Missing, ...] = ()
    packages: tuple[str, ...] = ()
    line: str = ""
    line_number: int = 0
    evidence: Evidence = Evidence()
