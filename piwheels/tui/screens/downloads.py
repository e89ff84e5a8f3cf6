"""The downloads screen: how many now, in the last hour and today, and of what."""

from typing import ClassVar

from piwheels.tui.model import metrics
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.table_model import Cell, Column, Row
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.widgets.gauge import gauge

_GAUGE_WIDTH = 20
_MAX_PER_BREAKDOWN = 10
_TITLES = {
    "projects": "projects today",
    "architectures": "architectures today",
    "pythons": "Pythons today",
    "installers": "installers today",
}


class DownloadsScreen(TableScreen):
    """A row for each metric, and for the most downloaded of each breakdown."""

    screen_name = ScreenName.DOWNLOADS
    COLUMNS = (
        Column("of", "Downloads", 20, 0),
        Column("what", "Of", 24, 0),
        Column("count", "Count", 12, 0, "right"),
        Column("share", "Share", _GAUGE_WIDTH, 2),
    )
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"of": 13, "what": 12, "count": 9}
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {"of": 20}
    STRETCH = "what"
    EMPTY_TEXT = (
        "No access log is connected, so downloads are not counted. Import the web server's log "
        "with piw accesslog; piw config nginx prints a configuration for it."
    )

    def all_rows(self) -> list[Row]:
        """The metrics, then the breakdowns; nothing without an access log."""
        console = self.console
        status = console.farm.status
        if status is None or not status.downloads.connected:
            return []
        found = [self._metric_row(metric) for metric in metrics.download_metrics(console.farm)]
        for name, breakdown in metrics.breakdowns(console.farm).items():
            found += [
                self._breakdown_row(name, metric) for metric in breakdown[:_MAX_PER_BREAKDOWN]
            ]
        return [row._replace(default_sort_key=(place,)) for place, row in enumerate(found)]

    def _metric_row(self, metric: metrics.Metric) -> Row:
        cells = (
            Cell(metric.label, "strong", "", metric.label),
            Cell(metric.text, metric.style, metric.glyph, metric.text),
            Cell(""),
            Cell(self._gauge(metric)),
        )
        return Row(f"metric {metric.key}", cells, False, f"{metric.label} {metric.text}".lower())

    def _breakdown_row(self, name: str, metric: metrics.Metric) -> Row:
        title = _TITLES.get(name, name)
        cells = (
            Cell(title, "muted", "", title),
            Cell(metric.label, "", "", metric.label),
            Cell(metric.text, "", "", metric.share),
            Cell(self._gauge(metric), "accent", "", metric.share),
        )
        return Row(f"{name} {metric.key}", cells, False, f"{title} {metric.label}".lower())

    def _gauge(self, metric: metrics.Metric) -> str:
        if metric.share is None:
            return ""
        return gauge(metric.share, _GAUGE_WIDTH, ascii_only=self.console.ascii_only)

    def action_target(self, key: str) -> ActionTarget | None:
        """A project, where the row is one."""
        kind, _, name = key.partition(" ")
        project = name if kind == "projects" else ""
        return ActionTarget(key=key, name=name, project=project)
