"""The host screen: the master's machine, its database and the upstream index."""

from typing import ClassVar

from piwheels.tui.model import metrics
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.table_model import Cell, Column, Row
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.gauge import gauge

_GAUGE_WIDTH = 20


class HostScreen(TableScreen):
    """A row for each metric."""

    screen_name = ScreenName.HOST
    COLUMNS = (
        Column("what", "Master", 16, 0),
        Column("value", "Value", 30, 0),
        Column("share", "Share", _GAUGE_WIDTH, 1),
    )
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"value": 18}
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {"value": 36}

    def all_rows(self) -> list[Row]:
        """The metrics, in a fixed order."""
        console = self.console
        found = metrics.host_metrics(console.farm, console.now, ascii_only=console.ascii_only)
        return [self._row(metric, place) for place, metric in enumerate(found)]

    def _row(self, metric: metrics.Metric, position: int) -> Row:
        share = ""
        if metric.share is not None:
            share = gauge(metric.share, _GAUGE_WIDTH, ascii_only=self.console.ascii_only)
        cells = (
            Cell(metric.label, "muted", "", metric.label),
            Cell(metric.text, metric.style, metric.glyph, metric.text),
            Cell(share, metric.style, "", metric.share),
        )
        has_alert = metric.style in {"error", "warning"}
        return Row(
            metric.key, cells, has_alert, f"{metric.label} {metric.text}".lower(), (position,)
        )

    def action_target(self, key: str) -> ActionTarget | None:
        """No action applies to a metric."""
        return ActionTarget(key=key, name=key)
