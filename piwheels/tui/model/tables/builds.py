"""The rows of the builds table: running builds, then recent ones."""

from collections.abc import Callable, Mapping
from datetime import tzinfo

from piwheels.formatting import format_datetime, format_short_duration
from piwheels.model import RETRYABLE, BuildSummary, Outcome
from piwheels.tui.model.glyphs import ALERT_STATES, STATE_STYLE
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.state import Builder, FarmState
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe

BUILD_COLUMNS = (
    Column("outcome", "Outcome", 16, 0),
    Column("release", "Release", 26, 0),
    Column("target", "Target", 22, 3, keeps_end=True),
    Column("builder", "Builder", 12, 4),
    Column("duration", "Took", 8, 1, "right"),
    Column("ended", "Ended", 12, 2, "right"),
    Column("build", "Build", 8, 5, "right"),
    Column("detail", "Error line or wheel", 60, 1),
)

SLOW_BUILD_S = 600.0


def build_rows(
    state: FarmState,
    now: float,
    *,
    failed: bool = False,
    slow: bool = False,
    project: str = "",
    target: str = "",
    ascii_only: bool = False,
    zone: tzinfo | None = None,
) -> list[Row]:
    """The running builds, then those that ended, the newest first; keys are build numbers.

    failed: only those that ended without a wheel; slow: only those longer than SLOW_BUILD_S or
    than expected; project, target: only those of this one.
    """
    keep, names = _build_filter(failed, slow, project, target), state.target_names
    ended = [
        _ended_row(
            build, place, ascii_only, format_datetime(build.ended_at, now, zone), names
        )._replace(age_s=now - build.ended_at.timestamp())
        for place, build in enumerate(reversed(state.builds.values()))
        if keep(build.project, build.target, build.duration_s, 0.0, build.outcome)
    ]
    running = [
        _running_row(builder, now, ascii_only, names)
        for builder in state.builders.values()
        if builder.view.build is not None
        and builder.view.build not in state.builds
        and keep(
            builder.view.project,
            builder.view.target,
            builder.build_s(now),
            builder.view.expected_s,
            "",
        )
    ]
    return running + ended


def _build_filter(
    failed: bool, slow: bool, project: str, target: str
) -> Callable[[str, str, float, float, str], bool]:
    def keep(
        its_project: str, its_target: str, spent_s: float, expected_s: float, outcome: str
    ) -> bool:
        if (project and its_project != project) or (target and its_target != target):
            return False
        if failed and outcome in {"", Outcome.BUILT}:
            return False
        return not slow or spent_s > SLOW_BUILD_S or 0 < expected_s < spent_s

    return keep


def _running_row(
    builder: Builder, now: float, ascii_only: bool, target_names: Mapping[str, str]
) -> Row:
    view = builder.view
    release = terminal_safe(f"{view.project} {view.release_version}")
    spent = builder.build_s(now)
    late = 0 < view.expected_s < spent
    alert = view.state in ALERT_STATES
    state = view.state if alert else "building"
    cells = (
        Cell(
            terminal_safe(view.state if alert else view.phase or view.state),
            STATE_STYLE.get(state, ""),
            glyph_of(state, ascii_only=ascii_only),
            f"0 {view.phase}",
        ),
        Cell(release, "", "", natural_sort_key(release)),
        Cell(
            terminal_safe(target_names.get(view.target, view.target)),
            "",
            "",
            natural_sort_key(view.target),
        ),
        Cell(terminal_safe(view.label), "", "", natural_sort_key(view.label)),
        Cell(format_short_duration(spent), "warning" if late else "", "", spent),
        Cell("running", "", "", None),
        Cell(str(view.build), "", "", view.build),
        Cell(terminal_safe(view.reason)),
    )
    return Row(
        str(view.build),
        cells,
        alert,
        _build_filter_text(cells, view.target),
        (0 if alert else 1, -(view.build or 0)),
        spent,
    )


def outcome_style(outcome: str) -> tuple[str, str]:
    """The glyph's name and the style of an outcome."""
    if outcome == Outcome.BUILT:
        return "good", "success"
    if outcome in RETRYABLE:
        return "retry", "warning"
    return "bad", "error"


def _ended_row(
    build: BuildSummary,
    position: int,
    ascii_only: bool,
    when: str,
    target_names: Mapping[str, str],
) -> Row:
    name, style = outcome_style(build.outcome)
    release = terminal_safe(f"{build.project} {build.version}")
    cells = (
        Cell(
            terminal_safe(build.outcome),
            style,
            glyph_of(name, ascii_only=ascii_only),
            f"1 {build.outcome}",
        ),
        Cell(release, "", "", natural_sort_key(release)),
        Cell(
            terminal_safe(target_names.get(build.target, build.target)),
            "",
            "",
            natural_sort_key(build.target),
        ),
        Cell(terminal_safe(build.builder), "", "", natural_sort_key(build.builder)),
        Cell(format_short_duration(build.duration_s), "", "", build.duration_s),
        Cell(when, "", "", build.ended_at.timestamp()),
        Cell(str(build.build_id), "", "", build.build_id),
        Cell(terminal_safe(build.detail), "", "", build.detail or None),
    )
    return Row(
        str(build.build_id), cells, False, _build_filter_text(cells, build.target), (2, position)
    )


def _build_filter_text(cells: tuple[Cell, ...], target: str) -> str:
    return " ".join([*(cell.text for cell in cells), terminal_safe(target)]).lower()
