"""The page of a project and one of its releases, in lines: each target, builds, downloads."""

from collections.abc import Iterator
from datetime import tzinfo

from piwheels.formatting import (
    format_count,
    format_datetime,
    format_needs,
    format_short_duration,
    format_wait_range,
    pluralize,
)
from piwheels.model import BuildSummary, ProjectOverview, State, TargetProgress, short_target_name
from piwheels.tui.model.detail_lines import BLANK, DetailLine, paragraph
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.tables.builds import outcome_style
from piwheels.tui.model.terminal_text import terminal_safe

_MAX_BUILDS = 12
_STATE_CELLS = 16
_TIME_CELLS = 12
_NARROW_WIDTH = 60
#: The glyph's name and the style of a state.
_STATE_STYLES: dict[State, tuple[str, str]] = {
    State.COVERED: ("good", "success"),
    State.UPSTREAM_WHEEL: ("good", "muted"),
    State.BUILDING: ("building", "success"),
    State.DEFERRED: ("retry", "warning"),
    State.FAILED: ("bad", "error"),
    State.HELD: ("bad", "error"),
    State.QUEUED: ("pending", ""),
    State.UNSERVED: ("warning", "warning"),
    State.PAUSED: ("paused", "accent"),
    State.WAITING: ("pending", "muted"),
}


def overview_lines(
    overview: ProjectOverview,
    *,
    width: int,
    now: float,
    ascii_only: bool = False,
    zone: tzinfo | None = None,
) -> list[DetailLine]:
    """A project: its release for each target, its builds, downloads, recipes, other releases.

    Args:
        overview: as the master sent it.
        width: of the lines, in cells.
        now: UNIX seconds.
        ascii_only: draw with ASCII only.
        zone: of times; None is this machine's.
    """
    lines = [*_heading(overview, now, zone), BLANK, *_targets(overview, width, ascii_only)]
    lines += [BLANK, *_builds(overview, now, width, ascii_only, zone)]
    lines += [BLANK, *_facts(overview, width)]
    return lines


def _heading(overview: ProjectOverview, now: float, zone: tzinfo | None) -> Iterator[DetailLine]:
    name = terminal_safe(f"{overview.project} {overview.version}").strip()
    yield DetailLine(name, "strong")
    if not overview.version:
        yield DetailLine("No release of it is known.", "muted")
    if overview.released_at:
        yield DetailLine(format_datetime(overview.released_at, now, zone), "", "Released")
    if overview.yanked is not None:
        yield DetailLine(terminal_safe(overview.yanked) or "yanked", "warning", "Yanked")
    if overview.skip_reason is not None:
        yield DetailLine(terminal_safe(overview.skip_reason), "warning", "Skipped")
    if overview.targets:
        covered = sum(target.state is State.COVERED for target in overview.targets)
        yield DetailLine(f"{covered} of {pluralize(len(overview.targets), 'target')}", "", "Wheels")


def _targets(overview: ProjectOverview, width: int, ascii_only: bool) -> Iterator[DetailLine]:
    names = [target.target for target in overview.targets]
    if not names:
        return
    shown = [terminal_safe(short_target_name(name, names)) for name in names]
    room = max(map(len, shown))
    heading = f"  {'State':<{_STATE_CELLS}}{'Target':<{room}} {'Expected':>{_TIME_CELLS}}  Why"
    yield DetailLine(heading[:width], "muted")
    for name, target in zip(shown, overview.targets, strict=True):
        yield _target_line(name, target, room, ascii_only)


def _target_line(name: str, target: TargetProgress, room: int, ascii_only: bool) -> DetailLine:
    glyph_name, style = _STATE_STYLES.get(target.state, ("unknown", "muted"))
    glyph = glyph_of(glyph_name, ascii_only=ascii_only)
    wait = target.expected
    when = f"in {format_wait_range(wait.soonest_s, wait.latest_s)}" if wait else ""
    state = f"{glyph} {target.label:<{_STATE_CELLS}}"
    note = terminal_safe(target.note)
    return DetailLine(f"{state}{name:<{room}} {when:>{_TIME_CELLS}}  {note}".rstrip(), style)


def _builds(
    overview: ProjectOverview, now: float, width: int, ascii_only: bool, zone: tzinfo | None
) -> Iterator[DetailLine]:
    if not overview.builds:
        yield DetailLine("No build of it has ended.", "muted")
        return
    yield DetailLine("Last builds", "strong")
    shown = overview.builds[:_MAX_BUILDS]
    columns = [
        [_outcome(build) for build in shown],
        [terminal_safe(build.version) for build in shown],
        [terminal_safe(build.target) for build in shown],
    ]
    widths = [max(map(len, column)) for column in columns]
    for build, texts in zip(shown, zip(*columns, strict=True), strict=True):
        outcome, version, target = (
            f"{text:<{cells}}" for text, cells in zip(texts, widths, strict=True)
        )
        name, style = outcome_style(build.outcome)
        ended = format_datetime(build.ended_at, now, zone)
        took = format_short_duration(build.duration_s)
        line = f"{glyph_of(name, ascii_only=ascii_only)} {outcome} {version} {took:>6} {ended:>12}"
        if width >= _NARROW_WIDTH:
            line += f"  {target} {terminal_safe(build.builder)} {build.build_id}"
        yield DetailLine(line, style)


def _outcome(build: BuildSummary) -> str:
    return str(build.cause.failure_class) if build.cause else str(build.outcome)


def _facts(overview: ProjectOverview, width: int) -> Iterator[DetailLine]:
    if found := overview.downloads:
        text = (
            f"{format_count(found.last_30_days)} in 30 days, {format_count(found.downloads)} in all"
        )
        yield DetailLine(text, "", "Loads")
    needs = overview.needs
    if text := format_needs(needs.min_memory_bytes, needs.min_disk_bytes, needs.expected_build_s):
        yield DetailLine(text, "", "Needs")
    for place, recipe in enumerate(overview.recipes):
        yield DetailLine(terminal_safe(recipe), "", " " if place else "Recipe")
    if overview.versions:
        lines = paragraph(", ".join(overview.versions), width - 10)
        for place, line in enumerate(lines):
            yield DetailLine(line.text, "", " " if place else "Releases")
