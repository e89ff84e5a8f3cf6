"""The state of a release, and the facts from which it is computed: rows that one query returns."""

from datetime import datetime
from enum import StrEnum
from typing import assert_never

from piwheels.model.base import Struct
from piwheels.model.builds import FailureCause, Outcome
from piwheels.model.queue_outline import ExpectedWait, JobsAhead
from piwheels.model.releases import LastCheck, ProjectStatus, UpstreamPage, UpstreamWheelPolicy


class State(StrEnum):
    """The state of a project, a release, or a release for a target, in one word."""

    UNKNOWN = "unknown"  # the farm does not know the project
    NO_RELEASE = "no-release"  # no release of it was requested
    UNKNOWN_RELEASE = "unknown-release"
    UNKNOWN_TARGET = "unknown-target"
    UPSTREAM = "upstream"  # what the last check of the upstream index found
    REMOVED = "removed"  # a release that existed when it was first queried
    SKIPPED = "skipped"  # the project or the release, by an operator
    QUARANTINED = "quarantined"  # the project, by the upstream index (PEP 792)
    MISSING = "missing"  # the upstream index no longer lists the release
    NO_SDIST = "no-sdist"
    TARGET_SKIPPED = "target-skipped"  # the target, or the release for this target
    EXCLUDED = "excluded"  # by Requires-Python
    COVERED = "covered"  # installers accept a published wheel there, and it loads
    UPSTREAM_WHEEL = "upstream-wheel"  # the upstream has a wheel for it, so none is built
    BUILDING = "building"
    DEFERRED = "deferred"  # it failed, and is retried later
    HELD = "held"  # it failed, and an operator has to decide
    QUEUED = "queued"
    UNSERVED = "unserved"  # queued, and no connected builder can build it
    PAUSED = "paused"  # queued, and the farm assigns no jobs
    FAILED = "failed"  # finally: it is not retried
    WAITING = "waiting"  # for the result of another target

    @property
    def is_settled(self) -> bool:
        """Whether nothing more happens without a command."""
        match self:
            case (
                State.BUILDING
                | State.DEFERRED
                | State.QUEUED
                | State.UNSERVED
                | State.PAUSED
                | State.WAITING
            ):
                return False
            case (
                State.UNKNOWN
                | State.NO_RELEASE
                | State.UNKNOWN_RELEASE
                | State.UNKNOWN_TARGET
                | State.UPSTREAM
                | State.REMOVED
                | State.SKIPPED
                | State.QUARANTINED
                | State.MISSING
                | State.NO_SDIST
                | State.TARGET_SKIPPED
                | State.EXCLUDED
                | State.COVERED
                | State.UPSTREAM_WHEEL
                | State.HELD
                | State.FAILED
            ):
                return True
            case _:
                assert_never(self)


class TargetStatusRow(Struct, frozen=True, kw_only=True):
    """One release for one target."""

    target: str
    target_skip_reason: str | None
    jobs_outdated: bool
    python_allowed: bool  # by the release's Requires-Python
    covered_by: str | None  # a file that installers accept there, and that loads
    to_be_rebuilt: str | None  # such a file that is to be rebuilt
    upstream_wheel: str | None = None  # a wheel of upstream because of which none is built here
    is_mirrored: bool = False  # covered_by is a wheel of upstream, as it is
    to_be_mirrored: bool = False  # upstream_wheel is to be published here
    mirror_problem: str = ""  # why it is not yet
    mirror_refused: bool = False  # and never will be
    queued: bool
    jobs_ahead: JobsAhead = JobsAhead()  # that builders of this target take before its job
    expected: ExpectedWait | None = None  # until a queued job starts; None: unknown
    claimed_by: str | None
    claimed_at: datetime | None
    current_build_id: int | None
    retry_at: datetime | None
    hold_reason: str | None = None  # why an operator has to decide
    attempts: int
    last_build_id: int | None
    last_outcome: Outcome | None
    last_reason: str | None
    last_final: bool  # the last build failed finally
    last_duration_s: float | None
    sdist_replaced: bool = False  # the wheel in `to_be_rebuilt` was built from an earlier sdist
    debian_packages: tuple[str, ...] = ()  # what the wheel in covered_by needs, as named on ...
    packages_target: str = (
        ""  # ... this target, or the one that it was built for if that is not known
    )
    build_note: str = ""  # what the wheel in covered_by lacks, according to its build
    skip_reason: str | None = None  # why the release is not to be built for this target
    skips_whole_project: bool = False  # the skip applies to every release
    built_for_other_target: bool = False  # covered_by was not made by the last build of this target
    without_compiler: bool = False  # covered_by, or to_be_rebuilt, was made without a C compiler
    unloadable_file: str | None = (
        None  # a file that installers prefer there, and that does not load
    )
    needs_compiler: bool = False  # only a builder with a C compiler gets the queued job
    memory_over_bytes: int = 0  # a builder needs more memory than this for the queued job
    min_disk_bytes: int = 0  # and as much free disk
    last_cause: FailureCause | None = None  # why the last build failed
    awaited_packages: tuple[str, ...] = ()  # that no builder has; the job waits for one that does
    required_packages: tuple[str, ...] = ()  # that the queued job needs


class ReleaseStatusRow(Struct, frozen=True, kw_only=True):
    """One release."""

    version: str
    has_sdist: bool
    yanked: str | None
    skip_reason: str | None
    requires_python: str
    released_at: datetime
    missing_since: datetime | None = None  # upstream no longer lists it, and it is hidden
    removed_at: datetime | None = None  # when its removal upstream was confirmed
    sdist_replaced_at: datetime | None = None  # when its sdist was found to be replaced
    sdist_verified_by: str = "sha256"  # the algorithm of the index's hash; "" if it gives none
    targets: tuple[TargetStatusRow, ...]  # in numeric order


class ProjectStatusRow(Struct, frozen=True, kw_only=True):
    """A project with its releases."""

    project: str
    display_name: str
    skip_reason: str | None
    upstream_wheel_policy: UpstreamWheelPolicy | None = None  # its own; None: that of the farm
    status: ProjectStatus
    status_reason: str
    releases: tuple[ReleaseStatusRow, ...]  # the newest first
    upstream: UpstreamPage | None = None  # None: its page was not read yet
    last_check: LastCheck | None = None
