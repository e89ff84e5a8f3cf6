"""What a visitor with one platform and Python can install: version, packages, requirement."""

from collections.abc import Iterator, Mapping, Sequence

from piwheels.model import FileSummary, ReleaseStatusRow, Struct, TargetStatusRow, target_words
from piwheels.release_status import platform_of
from piwheels.website.page_data import ProjectData
from piwheels.website.release_matrix import MatrixRow, TargetCell, is_prerelease


class PlatformChoice(Struct, frozen=True, kw_only=True):
    """A target, and the release that installs there from this farm."""

    target: str
    words: str
    newest: str  # the version that installers choose by themselves; "" if there is none
    newest_cell: TargetCell | None  # its status there; None if it has a wheel
    absent_newest: str  # an upstream version that installers choose and the farm lacks; else ""
    version: str  # the newest with a wheel there; "" if there is none
    file: FileSummary | None
    debian_packages: tuple[str, ...]

    @property
    def requirement(self) -> str:
        """What follows the project's name so that an installer takes that release."""
        is_chosen = self.version == self.newest and not self.absent_newest
        return "" if is_chosen else f"=={self.version}"


def platform_choices(
    content: ProjectData,
    targets: Sequence[str],
    newest_row: MatrixRow | None,
    files: Mapping[str, FileSummary],
) -> Iterator[PlatformChoice]:
    """The choice for each target.

    Args:
        content: the project.
        targets: the columns of the matrix.
        newest_row: the row of the newest release (`newest_final`), for these targets.
        files: the wheels by name.
    """
    for at, target in enumerate(targets):
        release, row = _newest_with_wheel(content, target)
        cell = (newest_row.cells[at] or newest_row.release_cell) if newest_row else None
        newest = newest_row.version if newest_row else ""
        version = release.version if release else ""
        yield PlatformChoice(
            target=target,
            words=str(target_words(target)),
            newest=newest,
            newest_cell=cell if version != newest else None,
            absent_newest=_absent_newest(content),
            version=version,
            file=files.get(row.covered_by or "") if row else None,
            debian_packages=_debian_packages(row) if row else (),
        )


def _absent_newest(content: ProjectData) -> str:
    page = content.facts.upstream
    return (page.newest_version or "") if page is not None and not page.newest_known else ""


def newest_final(releases: Sequence[ReleaseStatusRow]) -> ReleaseStatusRow | None:
    """The release that installers choose by themselves: not yanked, and final if there is one."""
    allowed = [release for release in releases if _is_listed(release)]
    final = (release for release in allowed if not is_prerelease(release.version))
    return next(final, allowed[0] if allowed else None)


def _newest_with_wheel(
    content: ProjectData, target: str
) -> tuple[ReleaseStatusRow | None, TargetStatusRow | None]:
    """The newest release with a wheel for a target, and its status there."""
    fallback: tuple[ReleaseStatusRow | None, TargetStatusRow | None] = (None, None)
    for release in filter(_is_listed, content.facts.releases):
        row = next((row for row in release.targets if row.target == target), None)
        if row is None or row.covered_by is None or not row.python_allowed:
            continue
        if not is_prerelease(release.version):
            return release, row
        if fallback[0] is None:
            fallback = release, row
    return fallback


def _is_listed(release: ReleaseStatusRow) -> bool:
    return release.yanked is None and release.missing_since is None


def _debian_packages(row: TargetStatusRow) -> tuple[str, ...]:
    """The packages that a wheel needs there; none if their names there are not known."""
    known = platform_of(row.packages_target) == platform_of(row.target)
    return tuple(sorted(row.debian_packages)) if known else ()
