"""The pages of a project: the matrix of releases, installation, files, JSON and feed.

Older releases are on further pages, so that a phone can show a project with a thousand releases.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from piwheels.model import (
    FileSummary,
    ProjectDay,
    ProjectStatus,
    ProjectStatusRow,
    ReleaseStatusRow,
    Struct,
    TargetStatusRow,
    platform_words,
)
from piwheels.release_status import platform_of
from piwheels.website import charts, compatible_json, feeds, html, json_documents
from piwheels.website.absence import explain_absence
from piwheels.website.page_data import ProjectData, Site
from piwheels.website.platform_choices import PlatformChoice, newest_final, platform_choices
from piwheels.website.release_matrix import matrix_row, platform_columns

FIRST_PAGE_RELEASES, LATER_PAGE_RELEASES = 30, 100
_UNFOLDED_RELEASES = 10  # of the first page's matrix
_ROOT = "../../"


class ReleaseFiles(Struct, frozen=True, kw_only=True):
    """The wheels of a release."""

    version: str
    yanked: str | None
    files: tuple[FileSummary, ...]
    packages: Mapping[str, str]  # the Debian packages that each file needs, in words


class PageLink(Struct, frozen=True, kw_only=True):
    """A page of releases."""

    number: int
    file: str  # its name in the project's directory
    is_current: bool


def render_project(site: Site, content: ProjectData) -> dict[str, bytes]:
    """The files of a project's directory, by name; `index.html` is the last."""
    facts = content.facts
    parts = list(_paginate(facts.releases))
    pages = {
        _page_file(number): _page(site, content, releases, number, len(parts))
        for number, releases in enumerate(parts, start=1)
    }
    first = pages.pop(_page_file(1))
    return {
        "json": compatible_json.project_json(site, content),
        "v1.json": json_documents.project_json(site, content),
        "feed.atom": feeds.project_feed(site, facts, content.builds),
        **pages,
        "index.html": first,
    }


def render_alias(site: Site, name: str, project: str) -> bytes:
    """The page of an alias, which redirects to the project's page."""
    return html.render("alias.html", root=_ROOT, site=site, name=name, project=project)


def _paginate(releases: Sequence[ReleaseStatusRow]) -> Iterator[Sequence[ReleaseStatusRow]]:
    yield releases[:FIRST_PAGE_RELEASES]
    for start in range(FIRST_PAGE_RELEASES, len(releases), LATER_PAGE_RELEASES):
        yield releases[start : start + LATER_PAGE_RELEASES]


def _page_file(number: int) -> str:
    return "index.html" if number == 1 else f"releases-{number}.html"


def _page(
    site: Site, content: ProjectData, releases: Sequence[ReleaseStatusRow], number: int, last: int
) -> bytes:
    facts = content.facts
    platforms = platform_columns(releases)
    targets = [column.target for platform in platforms for column in platform.columns]
    files = _by_version(content.files)
    rows = [matrix_row(content, it, targets, files.get(it.version, ())) for it in releases]
    unfolded = _UNFOLDED_RELEASES if number == 1 else LATER_PAGE_RELEASES
    return html.render(
        "project.html",
        root=_ROOT,
        site=site,
        content=content,
        facts=facts,
        about=content.metadata,
        number=number,
        platforms=platforms,
        targets=targets,
        rows=rows,
        newest_rows=rows[:unfolded],
        older_rows=rows[unfolded:],
        choices=_choices(content, targets, files) if number == 1 else (),
        release_files=[
            _release_files(it, files[it.version]) for it in releases if it.version in files
        ],
        links=[
            PageLink(number=n, file=_page_file(n), is_current=n == number)
            for n in range(1, last + 1)
        ],
        absence=None if content.files else explain_absence(facts, rows),
        newest_text=_newest_text(facts, files),
        chart=charts.column_chart(downloads_chart(content.days), json_url="v1.json"),
        total_bytes=sum(file.size_bytes for file in content.files),
    )


def _choices(
    content: ProjectData, targets: Sequence[str], files: Mapping[str, list[FileSummary]]
) -> tuple[PlatformChoice, ...]:
    newest = newest_final(content.facts.releases)
    row = matrix_row(content, newest, targets, files.get(newest.version, ())) if newest else None
    by_name = {file.filename: file for file in content.files}
    return tuple(platform_choices(content, targets, row, by_name))


def _release_files(release: ReleaseStatusRow, files: Sequence[FileSummary]) -> ReleaseFiles:
    return ReleaseFiles(
        version=release.version,
        yanked=release.yanked,
        files=tuple(files),
        packages={file.filename: _packages_text(file, release) for file in files},
    )


def _by_version(files: Sequence[FileSummary]) -> dict[str, list[FileSummary]]:
    found: dict[str, list[FileSummary]] = {}
    for file in files:
        found.setdefault(file.version, []).append(file)
    return found


def _newest_text(facts: ProjectStatusRow, files: Mapping[str, list[FileSummary]]) -> str:
    """The newest release upstream, and the newest with a wheel here."""
    with_wheel = next((it for it in facts.releases if it.version in files), None)
    page, sentences, version = facts.upstream, [], ""
    if page is not None and page.newest_version is not None:
        version = page.newest_version
        day = f", {page.newest_at:%Y-%m-%d}" if page.newest_at else ""
        lacking = "" if page.newest_known else " (not in this farm)"
        sentences.append(f"Newest release: {version}{day}{lacking}.")
    elif page is not None and facts.releases:
        sentences.append("All releases on the upstream index are yanked.")
    elif facts.releases:
        version = facts.releases[0].version
        sentences.append(f"Newest release in this farm: {version}.")
    if (
        with_wheel is not None
        and with_wheel.version != version
        and facts.status is not ProjectStatus.QUARANTINED
    ):
        yanked = " (yanked)" if with_wheel.yanked is not None else ""
        sentences.append(f"Newest with a wheel: {with_wheel.version}{yanked}.")
    return " ".join(sentences)


def _debian_packages(targets: Iterable[TargetStatusRow]) -> list[tuple[str, list[str]]]:
    """The Debian packages that the wheels of some targets need, by platform.

    Package names differ between releases of Debian, and `apt install` fails if one is unknown:
    only platforms on which the names are known count.
    """
    needs: dict[str, set[str]] = {}
    for target in targets:
        platform = platform_of(target.target)
        if target.debian_packages and platform_of(target.packages_target) == platform:
            needs.setdefault(platform, set()).update(target.debian_packages)
    return [(platform, sorted(names)) for platform, names in needs.items()]


def _packages_text(file: FileSummary, release: ReleaseStatusRow) -> str:
    """The Debian packages that a file needs, named as on each platform that it covers.

    Of a file that covers none, or where the names there are not known, they are named as on the
    system that it was built on.
    """
    covered = [each for each in release.targets if each.covered_by == file.filename]
    names: dict[str, list[str]] = {}
    for platform, packages in _debian_packages(covered):
        names.setdefault(", ".join(packages), []).append(platform_words(platform))
    if len(names) <= 1:
        return next(iter(names), ", ".join(file.debian_packages))
    return "; ".join(f"{text} ({'; '.join(platforms)})" for text, platforms in names.items())


def downloads_chart(days: Sequence[ProjectDay]) -> charts.Chart:
    """Downloads per day, including days without downloads."""
    found = {item.day: item.downloads for item in days}
    every = _date_range(min(found), max(found)) if found else []
    return charts.Chart(
        key="downloads",
        title="Downloads per day",
        label_heading="Day",
        labels=tuple(day.isoformat() for day in every),
        series=(charts.Series(name="Downloads", values=tuple(found.get(day, 0) for day in every)),),
    )


def _date_range(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
