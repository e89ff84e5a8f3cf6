"""The rows of the operators table: who is connected with a console, the first to connect first."""

from collections.abc import Iterator
from datetime import UTC, datetime

from piwheels.formatting import format_coarse_duration
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.messages import OperatorSession
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe

OPERATOR_COLUMNS = (
    Column("name", "Operator", 20, 0),
    Column("since", "Connected", 9, 0, "right"),
    Column("origin", "From", 15, 1),
    Column("command", "Last command", 22, 0),
    Column("ago", "Ago", 5, 0, "right"),
)


def operator_rows(state: FarmState, now: float) -> list[Row]:
    """One row for each console, this one too."""
    return list(_rows(state, datetime.fromtimestamp(now, UTC)))


def _rows(state: FarmState, now: datetime) -> Iterator[Row]:
    for place, each in enumerate(state.operators):
        name, origin = terminal_safe(each.name), terminal_safe(each.origin)
        is_own = each.session == state.session
        watches = " (read-only)" if each.role is ControlRole.WATCH else ""
        how = " (this console)" if is_own else watches
        command = terminal_safe(each.last_command)
        connected_s, ago_s = _age_s(each.since, now), _age_s(each.last_command_at, now)
        cells = (
            Cell(f"{name}{how}", "muted" if is_own else "", "", natural_sort_key(name)),
            Cell(_age(connected_s), "", "", connected_s),
            Cell(origin, "muted", "", natural_sort_key(origin)),
            Cell(command or "-", "" if command else "muted", "", command or None),
            Cell(_age(ago_s), "muted", "", ago_s),
        )
        yield Row(str(each.session), cells, False, f"{name} {origin} {command}".lower(), (place,))


def _age_s(when: datetime | None, now: datetime) -> float | None:
    return None if when is None else max(0.0, (now - when).total_seconds())


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return "now" if seconds < 60 else format_coarse_duration(seconds)


def short_operator_name(name: str) -> str:
    """Login and host, without the name of the key or account."""
    return terminal_safe(name).partition(" (key ")[0].partition(" (user ")[0]


def others_text(others: tuple[OperatorSession, ...], most: int = 3) -> str:
    """Who else is connected, each name once, for the header; "" for nobody."""
    names = list(dict.fromkeys(short_operator_name(each.name) for each in others))
    more = f" +{len(names) - most}" if len(names) > most else ""
    return f"with {', '.join(names[:most])}{more}" if names else ""
