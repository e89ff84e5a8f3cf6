"""The rows of the overview's lists: queues, the longest running builds, and what ended last."""

from itertools import islice

from piwheels.formatting import format_short_duration
from piwheels.model import BuildSummary
from piwheels.tui.model.glyphs import ALERT_STATES
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.state import Builder, FarmState
from piwheels.tui.model.tables.builders import release_cell, state_cell
from piwheels.tui.model.tables.builds import BUILD_COLUMNS, outcome_style
from piwheels.tui.model.tables.queues import QUEUE_COLUMNS, queue_rows
from piwheels.tui.model.tables.table_model import Cell, Column, Row, filter_and_sort
from piwheels.tui.model.terminal_text import terminal_safe

QUEUE_LIST_COLUMNS = (
    Column("state", "Queues", 13, 2),
    Column("target", "", 22, 0, stretch=True, keeps_end=True),
    Column("pending", "waiting", 8, 1, "right"),
    Column("built", "built/h", 8, 3, "right"),
    Column("drain", "empty in", 9, 0, "right"),
)
LONGEST_COLUMNS = (
    Column("state", "Longest now", 12, 1),
    Column("release", "", 20, 0, stretch=True),
    Column("elapsed", "taken", 8, 0, "right"),
    Column("expected", "usual", 8, 3, "right"),
    Column("builder", "builder", 12, 2),
)
ENDED_COLUMNS = (
    Column("outcome", "Ended last", 16, 0),
    Column("release", "", 20, 0),
    Column("target", "target", 22, 2, keeps_end=True),
    Column("took", "took", 6, 1, "right"),
    Column("builder", "builder", 12, 3),
    Column("detail", BUILD_COLUMNS[-1].title.lower(), 24, 4, stretch=True),
)
#: More rows do not fit anywhere.
_MAX_ROWS = 50


def queue_list(state: FarmState, *, ascii_only: bool = False) -> list[Row]:
    """The queues that are not empty: those without a builder first."""
    keys = [column.key for column in QUEUE_COLUMNS]
    places = [keys.index(column.key) for column in QUEUE_LIST_COLUMNS]
    rows = filter_and_sort(queue_rows(state, ascii_only=ascii_only), QUEUE_COLUMNS)
    open_queues = {queue.target for queue in state.queues if queue.pending or queue.claimed}
    return [
        row._replace(cells=tuple(row.cells[place] for place in places))
        for row in rows
        if row.key in open_queues
    ]


def longest_builds(state: FarmState, now: float, *, ascii_only: bool = False) -> list[Row]:
    """The running builds: those in trouble first, then the longest; keys are builders' labels."""
    running = [builder for builder in state.builders.values() if builder.view.build is not None]
    running.sort(key=lambda it: (it.view.state not in ALERT_STATES, -it.build_s(now)))
    return [_longest_row(builder, now, ascii_only) for builder in running[:_MAX_ROWS]]


def _longest_row(builder: Builder, now: float, ascii_only: bool) -> Row:
    view, spent = builder.view, builder.build_s(now)
    late = 0 < view.expected_s < spent
    cells = (
        state_cell(view.state, ascii_only),
        release_cell(view.project, view.release_version),
        Cell(format_short_duration(spent), "warning" if late else ""),
        Cell(format_short_duration(view.expected_s) if view.expected_s else "-"),
        Cell(terminal_safe(view.label)),
    )
    return Row(view.label, cells, view.state in ALERT_STATES)


def last_builds(state: FarmState, *, ascii_only: bool = False) -> list[Row]:
    """The builds that ended last, the newest first; keys are build numbers."""
    newest = islice(reversed(state.builds.values()), _MAX_ROWS)
    names = state.target_names
    return [
        _ended_row(build, names.get(build.target, build.target), ascii_only) for build in newest
    ]


def _ended_row(build: BuildSummary, target: str, ascii_only: bool) -> Row:
    name, style = outcome_style(build.outcome)
    cells = (
        Cell(terminal_safe(build.outcome), style, glyph_of(name, ascii_only=ascii_only)),
        release_cell(build.project, build.version),
        Cell(terminal_safe(target)),
        Cell(format_short_duration(build.duration_s)),
        Cell(terminal_safe(build.builder)),
        Cell(terminal_safe(build.detail), "muted"),
    )
    return Row(str(build.build_id), cells)
