"""The alerts screen: what needs attention, what was seen or muted, and what has passed."""

from collections.abc import Sequence
from datetime import UTC, datetime

from textual import on
from textual.widget import Widget
from textual.widgets import Static

from piwheels.alerts import rules
from piwheels.alerts.texts import explanation
from piwheels.model import Alert, AlertRule, AlertScope
from piwheels.tui.model.action_targets import builder_target, queue_target
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.alert_rows import ALERT_COLUMNS, SEEN_WIDTH, alert_rows
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.table import RowTable

#: Where there are fewer lines, the table has them all.
_MIN_HEIGHT = 20
#: What can slow the builds of a builder.
_SLOWING = frozenset({AlertRule.HOT, AlertRule.MEMORY})


class AlertsScreen(TableScreen):
    """A row for each alert, and below the table what the one under the cursor means."""

    screen_name = ScreenName.ALERTS
    COLUMNS = ALERT_COLUMNS
    MIN_WIDTHS = {"subject": 12, "detail": 10}  # noqa: RUF012
    WIDE_WIDTHS = {"seen": 40}  # noqa: RUF012
    AUTO_GROW = ("subject",)
    STRETCH = "detail"
    EMPTY_TEXT = "No alerts: nothing needs your attention."

    def compose_body(self) -> Sequence[Widget]:
        """The table, and the explanation below it."""
        return (*super().compose_body(), Static("", id="explanation", markup=False))

    def all_rows(self) -> list[Row]:
        """The alerts in their groups; without headings where the rows are sorted or filtered."""
        console = self.console
        return alert_rows(
            console.farm,
            console.now,
            headings=not self.view.sort and not self.filter_text,
            seen=console.size.width >= SEEN_WIDTH,
            ascii_only=console.ascii_only,
        )

    def action_target(self, key: str) -> ActionTarget | None:
        """The builder or queue of an alert; a heading has none."""
        alert = find_alert(self.console, key)
        return alert_target(self.console, alert) if alert else ActionTarget(key=key, name="")

    def alerts_here(self) -> list[Alert]:
        """The alert under the cursor."""
        alert = find_alert(self.console, self.current_row())
        return [alert] if alert and alert.cleared_at is None else []

    def open_row(self, key: str) -> None:
        """The page of what the alert is about."""
        if alert := find_alert(self.console, key):
            self.open_alert(alert)

    def refresh_content(self) -> None:
        """Show the current rows, and explain the one under the cursor."""
        super().refresh_content()
        self._explain()

    @on(RowTable.Highlighted)
    def _explain(self) -> None:
        alert = find_alert(self.console, self.current_row())
        shown = self.query_one("#explanation", Static)
        shown.display = alert is not None and self.console.size.height >= _MIN_HEIGHT
        if alert is not None:
            now = datetime.fromtimestamp(self.console.now, UTC)
            sentences = explanation(alert, now, consequence=_slowness(self.console, alert))
            # The whole text, which its column may cut or leave out.
            text = terminal_safe(alert.text)
            shown.update(f"{text}\n{terminal_safe(' '.join(sentences))}")


def find_alert(console: ConsoleContext, key: str) -> Alert | None:
    """The alert of a row; None when it is a heading, or has passed."""
    return next((alert for alert in console.farm.alerts if alert.alert_id == key), None)


def _slowness(console: ConsoleContext, alert: Alert) -> str:
    """By how much a builder with an alert about its machine is slower than its peers."""
    builder = console.farm.builders.get(alert.subject)
    ratio = builder.view.peer_ratio if builder is not None else None
    if alert.rule not in _SLOWING or ratio is None or ratio < rules.SLOW.clears:
        return ""
    return f"Builds take {ratio:.1f}x its peers' time"


def alert_target(console: ConsoleContext, alert: Alert) -> ActionTarget:
    """What actions on an alert apply to: its builder or its queue."""
    key = alert.alert_id
    builder = console.farm.builders.get(alert.subject)
    if alert.scope is AlertScope.BUILDER and builder is not None:
        return builder_target(key, builder.view_at(console.now))
    if alert.scope is AlertScope.TARGET:
        return queue_target(alert.subject)
    return ActionTarget(key=key, name=terminal_safe(alert.subject))
