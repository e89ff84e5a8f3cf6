"""The master's own machine: load, memory, disk, the database, the upstream."""

from typing import ClassVar

from piwheels.tui.model import metrics
from piwheels.tui.model.actions import ActionTarget
from piwheels.tui.model.tables import Cell, Column, Row
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.gauge import gauge

_GAUGE_WIDTH = 20


class HostScreen(TableScreen):
    """A row for each figure."""

    screen_name = "host"
    COLUMNS = (
        Column("what", "Master", 16, 0),
        Column("value", "Value", 30, 0),
        Column("share", "Share", _GAUGE_WIDTH, 1),
    )
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"value": 18}
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {"value": 36}

    def all_rows(self) -> list[Row]:
        """The figures, in an order that does not change."""
        console = self.console
        told = metrics.host_metrics(console.farm, console.now, ascii_only=console.ascii_only)
        return [self._row(fact, place) for place, fact in enumerate(told)]

    def _row(self, metric: metrics.Metric, position: int) -> Row:
        share = ""
        if metric.share is not None:
            share = gauge(metric.share, _GAUGE_WIDTH, ascii_only=self.console.ascii_only)
        cells = (
            Cell(metric.label, "muted", "", metric.label),
            Cell(metric.text, metric.style, metric.glyph, metric.text),
            Cell(share, metric.style, "", metric.share),
        )
        problem = metric.style in {"error", "warning"}
        return Row(metric.key, cells, problem, f"{metric.label} {metric.text}".lower(), (position,))

    def action_target(self, key: str) -> ActionTarget | None:
        """Nothing is done to a figure."""
        return ActionTarget(key=key, name=key)
