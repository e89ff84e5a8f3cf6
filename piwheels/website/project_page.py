"""The pages of a project: the status of releases by target, files, JSON and feed.

Older releases are on further pages, so that a phone can show a project with a thousand releases.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import assert_never

from piwheels import formatting
from piwheels.causes.explanation import summarize_build
from piwheels.model import (
    FileSummary,
    ProjectDay,
    ProjectStatus,
    ProjectStatusRow,
    ReleaseStatusRow,
    State,
    Struct,
    TargetStatusRow,
    short_target_name,
)
from piwheels.release_status import (
    ReleaseStatus,
    expected_wait,
    platform_of,
    release_statuses,
)
from piwheels.website import charts, feeds, filters, html, json_documents
from piwheels.website.page_data import ProjectData, Site

FIRST_PAGE_RELEASES, LATER_PAGE_RELEASES = 30, 100
_STATES_WITHOUT_TEXT = (State.WAITING, State.EXCLUDED, State.COVERED, State.TARGET_SKIPPED)
_MAX_NOTE_LENGTH = 160
_ROOT = "../../"


class TargetCell(Struct, frozen=True, kw_only=True):
    """A cell of the table: the status of a release for a target."""

    label: str
    style: str  # a class of style.css
    note: str = ""
    file: str = ""  # the compatible wheel
    log: int | None = None  # the build whose log is linked


class ReleaseRow(Struct, frozen=True, kw_only=True):
    """A release in the table."""

    version: str
    released: str
    yanked: str | None
    release_cell: TargetCell | None  # what prevents all its builds
    blocker_text: str  # the same as a sentence
    cells: tuple[TargetCell | None, ...]  # None is covered by `release_cell`
    target_texts: tuple[tuple[str, str], ...]  # target and sentence, for states that need one
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
        "json": json_documents.project_json(site, content),
        "feed.xml": feeds.project_feed(site, facts, content.builds),
        **pages,
        "index.html": first,
    }


def render_alias(name: str, project: str) -> bytes:
    """The page of an alias, which redirects to the project's page."""
    return html.render("alias.html", root=_ROOT, name=name, project=project)


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
    targets = _shown_targets(releases)
    files = _by_version(content.files)
    with_wheel = next((it for it in facts.releases if it.version in files), None)
    return html.render(
        "project.html",
        root=_ROOT,
        site=site,
        content=content,
        facts=facts,
        number=number,
        targets=[short_target_name(target, targets) for target in targets],
        platform=_common_platform(targets),
        rows=[_row(content, release, targets, files) for release in releases],
        links=[
            PageLink(number=n, file=_page_file(n), is_current=n == number)
            for n in range(1, last + 1)
        ],
        packages=_debian_packages(with_wheel.targets if with_wheel else ()),
        newest=with_wheel,
        newest_text=_newest_text(facts, with_wheel),
        chart=charts.column_chart(downloads_chart(content.days), json_url="json"),
        total_bytes=sum(file.size_bytes for file in content.files),
    )


def _shown_targets(releases: Sequence[ReleaseStatusRow]) -> list[str]:
    """The targets to show, in order: skipped targets without wheels and builds are left out."""
    wanted = {
        target.target: None
        for release in releases
        for target in release.targets
        if target.target_skip_reason is None or target.covered_by or target.last_build_id
    }
    return [t.target for t in releases[0].targets if t.target in wanted] if releases else []


def _common_platform(targets: Sequence[str]) -> str:
    """The platform that all targets share; "" if they differ."""
    platforms = {target.partition("-")[2] for target in targets}
    return platforms.pop() if len(platforms) == 1 else ""


def _row(
    content: ProjectData,
    release: ReleaseStatusRow,
    columns: Sequence[str],
    files: Mapping[str, list[FileSummary]],
) -> ReleaseRow:
    facts, own = content.facts, files.get(release.version, [])
    found = release_statuses(facts, release, content.status_context)
    blocker = found.release_blocker
    targets = {target.target: target for target in release.targets}
    statuses = {name: found.targets[name] for name in columns if name in found.targets}
    cells = {name: _cell(content, status, targets[name], own) for name, status in statuses.items()}
    return ReleaseRow(
        version=release.version,
        released=f"{release.released_at:%Y-%m-%d}",
        yanked=release.yanked,
        release_cell=_release_cell(blocker) if blocker else None,
        blocker_text=_sentence(blocker) if blocker else "",
        cells=tuple(cells.get(name) for name in columns),
        target_texts=tuple(
            (short_target_name(name, columns), _sentence(status))
            for name, status in statuses.items()
            if status.state not in _STATES_WITHOUT_TEXT
        ),
        files=tuple(own),
        packages={file.filename: _packages_text(file, release) for file in own},
    )


def _state_label(state: State) -> tuple[str, str]:  # noqa: C901 - one case per state
    """The label of a state, and the class of style.css that colors it."""
    match state:
        case State.BUILDING:
            return "building", "building"
        case State.QUEUED | State.UNSERVED | State.PAUSED:
            return "queued", "queued"
        case State.DEFERRED:
            return "to be retried", "retry"
        case State.FAILED | State.HELD:
            return state, "failed"
        case State.TARGET_SKIPPED | State.SKIPPED:
            return "skipped", "skipped"
        case State.EXCLUDED | State.WAITING:
            return state, "unwanted"
        case State.COVERED:
            return state, "covered"
        case State.NO_SDIST:
            return "no source", "skipped"
        case State.QUARANTINED:
            return state, "yanked"
        case State.MISSING:
            return "not upstream", "yanked"
        case (
            State.UNKNOWN
            | State.NO_RELEASE
            | State.UNKNOWN_RELEASE
            | State.UNKNOWN_TARGET
            | State.UPSTREAM
            | State.REMOVED
        ):
            return "unknown", "unwanted"
        case _:
            assert_never(state)


def _release_cell(status: ReleaseStatus) -> TargetCell:
    label, style = _state_label(status.state)
    return TargetCell(label=label, style=style)


def _cell(
    content: ProjectData,
    status: ReleaseStatus,
    target: TargetStatusRow,
    files: Sequence[FileSummary],
) -> TargetCell:
    if status.state is State.COVERED:
        return _covered_cell(status, target, files)
    label, style = _state_label(status.state)
    log = target.last_build_id if status.state in {State.FAILED, State.DEFERRED} else None
    note = filters.truncate(_note(content, status, target), _MAX_NOTE_LENGTH)
    return TargetCell(label=label, style=style, note=note, log=log)


def _covered_cell(
    status: ReleaseStatus, target: TargetStatusRow, files: Sequence[FileSummary]
) -> TargetCell:
    made_here, name = status.built_for_target, status.file
    log = target.last_build_id if made_here else None
    if target.without_compiler:
        note = "built without a C compiler"
    elif target.build_note:
        note = target.build_note
    else:
        tags = next((file.tags for file in files if file.filename == name), "")
        note = f"by {tags}" if tags and not made_here else ""
    return TargetCell(label=status.label, style=status.label, note=note, file=name, log=log)


def _note(content: ProjectData, status: ReleaseStatus, target: TargetStatusRow) -> str:
    """The text below a cell's label."""
    match status.state:
        case State.FAILED | State.DEFERRED:
            told = summarize_build(target.last_cause, target.last_reason or "")
            return told or target.last_outcome or ""
        case State.BUILDING:
            return (
                f"since {formatting.format_utc_minute(target.claimed_at)}"
                if target.claimed_at
                else ""
            )
        case State.QUEUED:
            return f"{queue_position(target.jobs_ahead)}{_expected_time(content, target)}"
        case State.UNSERVED:
            return f"{queue_position(target.jobs_ahead)}, no connected builder"
        case State.PAUSED:
            return f"{queue_position(target.jobs_ahead)}, farm paused"
        case State.TARGET_SKIPPED | State.HELD:
            return status.detail
        case State.WAITING:
            return "for an earlier target"
        case _:
            return ""


def queue_position(ahead: int) -> str:
    """A position in the queue, rounded so that it stays correct for a while."""
    if ahead >= 1000:
        return "over 1,000 jobs ahead"
    if ahead >= 100:
        return f"about {round(ahead, -2):,} jobs ahead"
    return f"position {ahead + 1}"


def _expected_time(content: ProjectData, target: TargetStatusRow) -> str:
    wait = expected_wait(target, content.builds_per_hour)
    if wait is None:
        return ""
    when = content.written_at + wait
    return f", expected by {when + timedelta(hours=1):%Y-%m-%d %H}:00 UTC"


def _sentence(status: ReleaseStatus) -> str:
    first, space, rest = status.text.partition(" ")
    # File names keep their spelling.
    sentence = f"{first.capitalize() if first.isalpha() else first}{space}{rest}."
    return " ".join([sentence, *status.notes])


def _by_version(files: Sequence[FileSummary]) -> dict[str, list[FileSummary]]:
    found: dict[str, list[FileSummary]] = {}
    for file in files:
        found.setdefault(file.version, []).append(file)
    return found


def _newest_text(facts: ProjectStatusRow, with_wheel: ReleaseStatusRow | None) -> str:
    """The newest release upstream, and the newest with a wheel here."""
    page, sentences, version = facts.upstream, [], ""
    if page is not None and page.newest_version is not None:
        version = page.newest_version
        day = f", {page.newest_at:%Y-%m-%d}" if page.newest_at else ""
        lacking = "" if page.newest_known else " (not in this farm)"
        sentences.append(f"Newest release: {version}{day}{lacking}.")
    elif page is not None:
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
        names.setdefault(", ".join(packages), []).append(platform)
    if len(names) <= 1:
        return next(iter(names), ", ".join(file.debian_packages))
    return "; ".join(f"{text} ({', '.join(platforms)})" for text, platforms in names.items())


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
