"""The rows of a builder's last builds: how long each took, against what is usual."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from piwheels.formatting import format_short_duration
from piwheels.model import BuildSummary, Outcome
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.tables.builds import outcome_style
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.model.why_slow import SLOW_RATIO, ratios

_COLUMNS = (
    Column("outcome", "Last builds", 12, 0),
    Column("release", "", 14, 0, stretch=True),
    Column("target", "target", 22, 3),
    Column("took", "took", 6, 1, "right"),
    Column("usual", "usual", 6, 2, "right"),
    Column("times", "x", 9, 1, "right"),
)
_WIDE, _WIDE_TIMES = 100, 18


def last_build_columns(width: int) -> tuple[Column, ...]:
    """The columns in so many cells: in a wide one whole names of failure classes have room."""
    *others, times = _COLUMNS
    return (*others, replace(times, width=_WIDE_TIMES)) if width >= _WIDE else _COLUMNS


def last_build_rows(
    builds: Sequence[BuildSummary], usual_s: Mapping[int, float], *, ascii_only: bool = False
) -> list[Row]:
    """A row for each build, by its number; of a failed one the last cell is its class."""
    times = ratios(builds, usual_s)
    return [
        _row(place, build, usual_s.get(build.build_id), times.get(build.build_id), ascii_only)
        for place, build in enumerate(builds)
    ]


def _row(
    place: int, build: BuildSummary, usual_s: float | None, times: float | None, ascii_only: bool
) -> Row:
    name, style = outcome_style(build.outcome)
    release = terminal_safe(f"{build.project} {build.version}")
    slow = times is not None and times >= SLOW_RATIO
    usual = "-" if usual_s is None else format_short_duration(usual_s)
    cells = (
        Cell(str(build.outcome), style, glyph_of(name, ascii_only=ascii_only)),
        Cell(release, "", "", natural_sort_key(release)),
        Cell(terminal_safe(build.target)),
        Cell(format_short_duration(build.duration_s), "", "", build.duration_s),
        Cell(usual, "muted", "", usual_s),
        Cell(times_text(build, times), "warning" if slow else style, "", times),
    )
    return Row(str(build.build_id), cells, False, release.lower(), (place,))


def times_text(build: BuildSummary, times: float | None) -> str:
    """How many times as long as usual a build took, or why it failed."""
    if build.outcome is not Outcome.BUILT:
        return str(build.cause.failure_class) if build.cause else str(build.outcome)
    return "-" if times is None else f"{times:.1f}"
