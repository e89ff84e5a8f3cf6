"""The alerts screen: everything that needs attention, the worst first."""

from piwheels.tui.model.action_targets import builder_target, queue_target
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.alert_rows import ALERT_COLUMNS, alert_key, alert_rows
from piwheels.tui.model.alerts import Alert, find_alerts
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.table import TableScreen


class AlertsScreen(TableScreen):
    """A row for each alert; Enter goes to what it is about."""

    screen_name = ScreenName.ALERTS
    COLUMNS = ALERT_COLUMNS
    MIN_WIDTHS = {"subject": 14, "detail": 10}  # noqa: RUF012
    AUTO_GROW = ("subject",)
    STRETCH = "detail"
    EMPTY_TEXT = "No alerts: nothing needs your attention."

    def all_rows(self) -> list[Row]:
        """The alerts."""
        console = self.console
        return alert_rows(console.farm, console.now, ascii_only=console.ascii_only)

    def action_target(self, key: str) -> ActionTarget | None:
        """The builder or queue of an alert."""
        alert = find_alert(self.console, key)
        return alert_target(self.console, alert) if alert else None

    def open_row(self, key: str) -> None:
        """Go to the row that the alert is about."""
        if alert := find_alert(self.console, key):
            self.console.navigate(alert.screen, cursor=alert.key)


def find_alert(console: ConsoleContext, key: str) -> Alert | None:
    """The alert of a row; None when it has passed."""
    found = find_alerts(console.farm, console.now)
    return next((alert for alert in found if alert_key(alert) == key), None)


def alert_target(console: ConsoleContext, alert: Alert) -> ActionTarget:
    """What actions on an alert apply to: its builder or its queue."""
    key = alert_key(alert)
    if alert.screen is ScreenName.BUILDERS:
        builder = console.farm.builders[alert.key]
        return builder_target(key, builder.view_at(console.now))
    if alert.screen is ScreenName.QUEUES:
        return queue_target(alert.key)
    return ActionTarget(key=key, name=alert.subject)
