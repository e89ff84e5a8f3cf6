"""What fails on the farm, grouped by cause."""

from datetime import datetime

from piwheels.model.base import Struct


class FailureGroup(Struct, frozen=True, kw_only=True):
    """The releases whose last build failed in the same way and that have no wheel since.

    A group is identified by its class and its cause. A regression is a release of a project that
    was built before for the same target.
    """

    failure_class: str  # a FailureClass; the outcome of a build that has no class
    cause: str  # the missing packages, else what was not found, else the deciding line
    reason: str  # the deciding line of `example_build`
    missing: tuple[str, ...] = ()  # what most of its builds did not find: "header ffi.h"
    packages: tuple[str, ...] = ()  # the Debian packages that have what was not found
    releases: int
    targets: int
    regressions: int = 0  # releases
    retrying: int = 0  # releases that are built again
    retried: int = 0  # those of them that were queued again by a command, or for another sdist
    last_at: datetime
    example_build: int  # the last build of a regression, else the last
    example_project: str
    example_version: str
    example_target: str
    regressed: tuple[str, ...] = ()  # the names of some regressions: "numpy 2.1"


class FailureReport(Struct, frozen=True, kw_only=True):
    """The groups of the whole farm: regressions first, then the largest."""

    groups: tuple[FailureGroup, ...]  # the first ones
    causes: int  # all groups
    releases: int  # of all groups
