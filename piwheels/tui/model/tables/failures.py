"""The rows of the failures table: one for each cause."""

from piwheels.formatting import format_count, format_short_duration
from piwheels.model import FailureGroup
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe

FAILURE_COLUMNS = (
    Column("class", "Class", 19, 0),
    Column("cause", "Cause", 24, 0),
    Column("releases", "Rel", 4, 0, "right"),
    Column("targets", "Tgt", 3, 3, "right"),
    Column("regressions", "Regr", 4, 1, "right"),
    Column("last", "Last", 5, 4, "right"),
    Column("repair", "Repair", 11, 2),
)

#: Their builds are queued, without a command.
_QUEUED = "queued"


def failure_rows(
    groups: tuple[FailureGroup, ...], now: float, *, ascii_only: bool = False
) -> list[Row]:
    """One row per group, in the master's order: regressions first, then the largest."""
    return [_failure_row(group, place, now, ascii_only) for place, group in enumerate(groups)]


def failure_key(group: FailureGroup) -> str:
    """The key of a group's row."""
    return f"{group.failure_class}\n{group.cause}"


def _failure_row(group: FailureGroup, position: int, now: float, ascii_only: bool) -> Row:
    retrying = group.retrying == group.releases
    style = "error" if group.regressions else "muted" if retrying else ""
    age_s = max(0.0, now - group.last_at.timestamp())
    cause = cause_text(group)
    cells = (
        Cell(
            terminal_safe(group.failure_class),
            style,
            glyph_of("retry" if retrying else "bad", ascii_only=ascii_only),
            group.failure_class,
        ),
        Cell(cause, "", "", natural_sort_key(cause)),
        Cell(format_count(group.releases), "", "", group.releases),
        Cell(format_count(group.targets), "", "", group.targets),
        Cell(
            format_count(group.regressions),
            "error" if group.regressions else "muted",
            "",
            group.regressions,
        ),
        Cell(format_short_duration(age_s), "", "", -age_s),
        Cell(_repair(group, retrying=retrying), "muted" if retrying else ""),
    )
    names = (
        group.failure_class,
        group.cause,
        group.reason,
        *group.missing,
        *group.packages,
        *group.regressed,
    )
    return Row(
        failure_key(group), cells, False, terminal_safe(" ".join(names)).lower(), (position,)
    )


def cause_text(group: FailureGroup) -> str:
    """What was not found, else the deciding line without its place in a file."""
    return terminal_safe(", ".join(group.missing) or group.cause)


def _repair(group: FailureGroup, *, retrying: bool) -> str:
    """What was retried, else what repairs it."""
    if group.retried:
        return f"{format_count(group.retried)} retried"
    if retrying:
        return _QUEUED
    return terminal_safe(", ".join(group.packages))


def group_target(group: FailureGroup) -> ActionTarget:
    """A group as actions see it, and the build that it is shown by."""
    return ActionTarget(
        key=failure_key(group),
        name=cause_text(group),
        build=group.example_build,
        project=group.example_project,
        version=group.example_version,
        target=group.example_target,
        failure_class=group.failure_class,
        cause=group.cause,
    )


def regressions_text(group: FailureGroup) -> str:
    """Which releases of a group were built before, as far as they are named; "" for none."""
    if not group.regressions:
        return ""
    names = terminal_safe(", ".join(group.regressed))
    more = group.regressions - len(group.regressed)
    return f"Built before: {names}{f' and {format_count(more)} more' if more > 0 else ''}"


def reason_text(group: FailureGroup) -> str:
    """The deciding line of a group, and the build that it is of."""
    return f"Build {group.example_build}: {terminal_safe(group.reason)}"
