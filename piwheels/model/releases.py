"""Projects and releases as the upstream index describes them, and the pages of this index."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from piwheels.model.base import Struct


class Sdist(Struct, frozen=True, kw_only=True):
    """A source distribution as the upstream index lists it."""

    filename: str
    url: str
    sha256: str  # "" if the index gives none
    size_bytes: int | None = None
    digest: str = ""  # "md5=<hex>": the strongest hash that the index gives, if that is no sha256


class Release(Struct, frozen=True, kw_only=True):
    """A version of a project, as the upstream index describes it."""

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


class UpstreamWheelPolicy(StrEnum):
    """What wheels of the upstream count for."""

    BUILD = "build"  # nothing: every target is built
    MISSING = "missing"  # nothing is built for a target that one of them covers
    MIRROR = "mirror"  # the same, and these are published here as they are


class PageCheckResult(StrEnum):
    """The result of a check of a project's page of the upstream index."""

    UP_TO_DATE = "current"  # a valid page, or an unchanged one (304)
    OUTDATED = "older"  # its serial is lower than an earlier one
    NOT_FOUND = "absent"  # the index has no such project (404, 410)
    EMPTY = "empty"  # the page lists no release, without proof that it is correct
    UNUSABLE = "unusable"  # not a project page: without links, a login page
    UNAVAILABLE = "fault"  # no answer, or an error


class BuildRequest(Struct, frozen=True, kw_only=True):
    """A request for wheels of a project.

    `requirement` is a PEP 508 name with an optional version specifier; `latest` is how many
    of the newest final releases that it allows, 0 for all of them.
    """

    requirement: Annotated[str, msgspec.Meta(max_length=100_000)]
    release_count: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 1


class UpstreamPage(Struct, frozen=True, kw_only=True):
    """What a project's page of the upstream index said when it was last read.

    The newest release is the newest final one that is not yanked; a pre-release where there is
    no other.
    """

    newest_version: str | None  # None: the index has no release that is not yanked
    newest_at: datetime | None  # when it was uploaded; None: the index does not tell
    newest_has_sdist: bool
    newest_known: bool = False  # whether this farm has the release
    newest_has_wheel: bool = False  # and a wheel of it
    problem_count: int = 0  # invalid entries
    problems: tuple[str, ...] = ()  # the first of them, one line each


class LastCheck(Struct, frozen=True, kw_only=True):
    """What the last check of a project's page of the upstream index found."""

    checked_at: datetime | None
    problem: str  # why the page was ignored; "" if it was valid
    pending_change: str  # a reported change that is not visible yet, and why; "" for none
