"""The rows of the alerts table, and of the overview's list of alerts."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from piwheels.alerts.texts import format_age, seen_text, state_text
from piwheels.model import Alert, AlertState
from piwheels.tui.model.alerts import active_alerts
from piwheels.tui.model.glyphs import alert_glyph, alert_style
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe

ALERT_COLUMNS = (
    Column("alert", "Alert", 13, 0),
    Column("age", "Age", 5, 0, "right"),
    Column("subject", "Subject", 20, 0, keeps_end=True),
    Column("detail", "What is wrong", 34, 1),
    Column("seen", "Seen by", 26, 2),
)
#: From this width of the terminal on, the last column is shown, and "What is wrong" has the alert's
#: own text; else it has in its place what operators did about it.
SEEN_WIDTH = 110
#: The keys of the headings begin with it; no alert's id does.
_HEADING = "heading "


def overview_alert_rows(
    state: FarmState, now: float, *, seen: bool = False, ascii_only: bool = False
) -> list[Row]:
    """The alerts that need attention, the worst first; with `seen` those that somebody saw, too."""
    shown = active_alerts(state)
    if seen:
        shown += [it for it in state.alerts if it.state is AlertState.ACKNOWLEDGED]
    return list(_rows(shown, now, 0, seen, ascii_only))


def alert_rows(
    state: FarmState,
    now: float,
    *,
    headings: bool = True,
    seen: bool = False,
    ascii_only: bool = False,
) -> list[Row]:
    """All alerts in groups: those that need attention first, the cleared ones last.

    With `seen` what operators did about them is told in its own column only.
    """
    groups = {kind: [it for it in state.alerts if it.state is kind] for kind in AlertState}
    handled = [*groups[AlertState.ACKNOWLEDGED], *groups[AlertState.MUTED]]
    titles = (
        ("", groups[AlertState.ACTIVE]),
        (_handled_title(groups), handled),
        (f"Cleared in 24h {len(groups[AlertState.CLEARED])}", groups[AlertState.CLEARED]),
    )
    rows: list[Row] = []
    for title, group in titles:
        if title and group and headings:
            rows.append(_heading(title, len(rows)))
        rows += _rows(group, now, len(rows), seen, ascii_only)
    return rows


def _handled_title(groups: dict[AlertState, list[Alert]]) -> str:
    counts = (
        ("acknowledged", len(groups[AlertState.ACKNOWLEDGED])),
        ("muted", len(groups[AlertState.MUTED])),
    )
    return ", ".join(f"{word} {count}" for word, count in counts if count).capitalize()


def _heading(title: str, position: int) -> Row:
    cells = (Cell(title, "muted"), *(Cell("") for _ in ALERT_COLUMNS[1:]))
    return Row(f"{_HEADING}{title}", cells, False, title.lower(), (position,), is_heading=True)


def _rows(
    alerts: Iterable[Alert], now: float, first: int, seen: bool, ascii_only: bool
) -> Iterator[Row]:
    at = datetime.fromtimestamp(now, UTC)
    for place, alert in enumerate(alerts):
        yield _alert_row(alert, at, first + place, seen, ascii_only)


def _seen_cell(alert: Alert, now: datetime) -> Cell:
    if alert.state is AlertState.CLEARED:
        return Cell("", "muted")
    text = terminal_safe(seen_text(alert, now))
    return Cell(text, "muted", "", text or None)


def _alert_row(alert: Alert, now: datetime, position: int, seen: bool, ascii_only: bool) -> Row:
    is_active = alert.state is AlertState.ACTIVE
    text_style = "" if is_active else "muted"
    subject = terminal_safe(alert.subject)
    is_apart = seen and alert.state is not AlertState.CLEARED
    detail = terminal_safe(alert.text if is_apart else state_text(alert, now) or alert.text)
    age_s = (now - (alert.cleared_at or alert.since)).total_seconds()
    seen_by = _seen_cell(alert, now)
    cells = (
        Cell(
            alert.rule,
            alert_style(alert),
            alert_glyph(alert, ascii_only=ascii_only),
            natural_sort_key(alert.rule),
        ),
        Cell(format_age(alert, now), text_style, "", age_s),
        Cell(subject, text_style, "", natural_sort_key(subject)),
        Cell(detail, text_style, "", detail),
        seen_by,
    )
    filter_text = f"{alert.rule} {alert.state} {subject} {detail} {seen_by.text}".lower()
    return Row(alert.alert_id, cells, is_active, filter_text, (position,), age_s)
