"""The rows of the alerts table."""

from piwheels.tui.model.alerts import Alert, find_alerts
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key

ALERT_COLUMNS = (
    Column("alert", "Alert", 14, 0),
    Column("subject", "Subject", 22, 0),
    Column("detail", "What is wrong", 36, 0),
)
#: The alerts that have a glyph of their own.
_OWN_GLYPHS = frozenset({"lost", "quarantined", "overdue", "silent"})


def alert_rows(state: FarmState, now: float, *, ascii_only: bool = False) -> list[Row]:
    """One row per alert, the worst first."""
    found = find_alerts(state, now)
    return [_alert_row(alert, place, ascii_only) for place, alert in enumerate(found)]


def alert_key(alert: Alert) -> str:
    """The key of an alert's row."""
    return f"{alert.screen} {alert.key}"


def _alert_row(alert: Alert, position: int, ascii_only: bool) -> Row:
    name = "lost" if alert.critical else "warning"
    glyph = glyph_of(alert.label if alert.label in _OWN_GLYPHS else name, ascii_only=ascii_only)
    cells = (
        Cell(alert.label, "error" if alert.critical else "warning", glyph, alert.rank),
        Cell(alert.subject, "", "", natural_sort_key(alert.subject)),
        Cell(alert.detail, "", "", alert.detail),
    )
    filter_text = f"{alert.label} {alert.subject} {alert.detail}".lower()
    return Row(alert_key(alert), cells, True, filter_text, (position,))
