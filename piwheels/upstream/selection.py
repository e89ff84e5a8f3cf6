"""Derives releases from an index page, and selects those that a requirement allows. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace
from packaging.requirements import Requirement
from packaging.version import Version

from piwheels.errors import RejectedError
from piwheels.index_client.page import FileKind, IndexFile, ProjectPage
from piwheels.model import Release, Sdist, projection

_PREFERRED_EXTENSION = ".tar.gz"
#: Of upload times, for clocks that differ.
_MAX_TIME_AHEAD = timedelta(days=1)


class NoSdistError(RejectedError):
    """None of the selected releases has an sdist; `releases` are these, the newest first."""

    def __init__(self, text: str, releases: Sequence[Release]) -> None:
        super().__init__(text)
        self.releases = tuple(releases)


def without_future_times(page: ProjectPage, now: datetime) -> ProjectPage:
    """The page; upload times of its files that are more than a day in the future are unknown."""
    latest = now + _MAX_TIME_AHEAD
    if all(file.uploaded_at is None or file.uploaded_at <= latest for file in page.files):
        return page
    files = (
        replace(file, uploaded_at=None) if file.uploaded_at and file.uploaded_at > latest else file
        for file in page.files
    )
    return replace(page, files=tuple(files))


def releases_of(page: ProjectPage, *, seen_at: datetime) -> list[Release]:
    """The releases of a page, oldest version first.

    Args:
        page: a project's page; files without a valid version (PEP 440) are ignored.
        seen_at: the time for releases whose files have no upload time.
    """
    by_version: dict[str, list[IndexFile]] = {}
    for file in page.files:
        if file.version and file.kind is not FileKind.OTHER:
            by_version.setdefault(file.version, []).append(file)
    return [
        _release(page.project, version, by_version[version], seen_at)
        for version in sorted(by_version, key=Version)
    ]


def upload_times(page: ProjectPage) -> dict[str, datetime]:
    """The earliest upload time of each version, where the index gives times."""
    times: dict[str, datetime] = {}
    for file in page.files:
        if file.version and file.kind is not FileKind.OTHER and file.uploaded_at is not None:
            times[file.version] = min(file.uploaded_at, times.get(file.version, file.uploaded_at))
    return times


def follow_since(page: ProjectPage, now: datetime) -> datetime:
    """The time after which releases of a project that is added now count as new.

    It is the newest upload on the page, by the upstream's clock, or now if there are no times.
    A wrong clock does no harm: what is on the page is not new in any case.
    """
    return min(max(upload_times(page).values(), default=now), now)


def is_new(
    version: str,
    uploaded_at: datetime | None,
    *,
    since: datetime | None,
    known_versions: frozenset[str] | None,
    now: datetime,
) -> bool:
    """Whether a release that the farm does not have appeared after its project was added.

    Args:
        version: the release.
        uploaded_at: when its first file was uploaded; None is unknown.
        since: when releases of the project start to count as new; None: it is not followed.
        known_versions: versions that existed when it was added; None if that was not recorded.
        now: a later `since` comes from a wrong clock, and only `known_versions` decides.
    """
    if since is None:
        return False
    if known_versions is None:
        return uploaded_at is not None and uploaded_at > since
    if version in known_versions:
        return False
    return uploaded_at is None or uploaded_at >= since or since > now


def _release(project: str, version: str, files: Sequence[IndexFile], seen_at: datetime) -> Release:
    source = _preferred_sdist(files)
    uploads = [file.uploaded_at for file in files if file.uploaded_at is not None]
    yanks = [file.yanked for file in files]
    return Release(
        project=project,
        version=version,
        released_at=min(uploads, default=seen_at),
        requires_python=(source or files[0]).requires_python,
        sdist=projection(Sdist, source) if source else None,
        # PEP 592 yanks files; a release is yanked if all its files are.
        yanked=None if None in yanks else next(filter(None, yanks), ""),
    )


def _preferred_sdist(files: Sequence[IndexFile]) -> IndexFile | None:
    """The sdist to build from, preferably one that can be verified."""
    sdists = [file for file in files if file.kind is FileKind.SDIST]
    return min(
        sdists,
        key=lambda file: (
            not (file.sha256 or file.digest),
            not file.filename.endswith(_PREFERRED_EXTENSION),
            file.filename,
        ),
        default=None,
    )


def select_releases(
    releases: Sequence[Release], requirement: Requirement, latest: int
) -> list[Release]:
    """The newest final releases with an sdist that a requirement allows.

    Pre-releases are selected if there is nothing else; yanked releases only if pinned (PEP 592).

    Args:
        releases: all releases of the project.
        requirement: its name and specifier.
        latest: how many of the newest; 0 for all.

    Raises:
        RejectedError: there is none; the message says why.
        NoSdistError: none has an sdist; it has those that would have been selected.
    """
    if not releases:
        raise RejectedError("the upstream index has no releases of it")
    allowed = [
        item for item in releases if requirement.specifier.contains(item.version, prereleases=True)
    ]
    if not allowed:
        newest = max(releases, key=_version).version
        raise RejectedError(f"no release matches {requirement.specifier}; the newest is {newest}")
    pinned = any(clause.operator in {"==", "==="} for clause in requirement.specifier)
    current = allowed if pinned else [item for item in allowed if item.yanked is None]
    if not current:
        raise RejectedError("every matching release was yanked; pin one with == to build it")
    buildable = [item for item in current if item.sdist is not None]
    final = [item for item in buildable or current if not _version(item).is_prerelease]
    newest_first = sorted(final or buildable or current, key=_version, reverse=True)
    chosen = newest_first[:latest] if latest and not pinned else newest_first
    if not buildable:
        named = f"release {current[0].version}" if len(current) == 1 else "any matching release"
        raise NoSdistError(f"the upstream index has no sdist of {named}", chosen)
    return chosen


def newest_release(releases: Sequence[Release]) -> Release | None:
    """The newest final release that is not yanked; a pre-release if there is no final one."""
    current = [release for release in releases if release.yanked is None]
    final = [release for release in current if not _version(release).is_prerelease]
    return max(final or current, key=_version, default=None)


def _version(release: Release) -> Version:
    return Version(release.version)
