"""The rows of the events table: the audit log, the newest first."""

from datetime import tzinfo

from piwheels.formatting import format_datetime
from piwheels.model import AuditEvent
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.table_model import Cell, Column, Row
from piwheels.tui.model.terminal_text import terminal_safe

EVENT_COLUMNS = (
    Column("at", "Time", 12, 0, "right"),
    Column("who", "Who", 20, 1),
    Column("what", "What", 60, 0),
    Column("outcome", "Result", 24, 1),
)


def event_rows(
    state: FarmState,
    now: float,
    *,
    ascii_only: bool = False,
    zone: tzinfo | None = None,
) -> list[Row]:
    """One row per event; a row keeps its key while its event is listed."""
    return [
        _event_row(event, place, ascii_only, format_datetime(event.at, now, zone))._replace(
            age_s=now - event.at.timestamp()
        )
        for place, event in enumerate(reversed(state.events))
    ]


def _event_row(event: AuditEvent, position: int, ascii_only: bool, when: str) -> Row:
    who, what = terminal_safe(event.who), terminal_safe(event.what)
    outcome = terminal_safe(event.outcome)
    rejected = outcome.startswith(("rejected", "refused"))
    name = "bad" if rejected else "good" if outcome else "farm"
    cells = (
        Cell(when, "muted", "", event.at.timestamp()),
        Cell(who, "" if outcome else "muted", "", who),
        Cell(what, "", "", what),
        Cell(
            outcome,
            "error" if rejected else "success" if outcome else "muted",
            glyph_of(name, ascii_only=ascii_only),
            outcome or None,
        ),
    )
    key = str(event.event_id) if event.event_id else f"{event.at.timestamp()} {who} {what}"
    return Row(key, cells, False, f"{who} {what} {outcome}".lower(), (position,))
