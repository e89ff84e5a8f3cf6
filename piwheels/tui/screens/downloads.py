"""The downloads: how many now, in the last hour and today, and of what."""

from typing import ClassVar

from piwheels.tui import facts
from piwheels.tui.actions import Subject
from piwheels.tui.gauge import gauge
from piwheels.tui.rows import Cell, Column, Row
from piwheels.tui.screens.table import TableScreen

_GAUGE_CELLS = 20
_SHOWN_OF_EACH = 10
_TITLES = {
    "projects": "projects today",
    "architectures": "architectures today",
    "pythons": "Pythons today",
    "installers": "installers today",
}


class DownloadsScreen(TableScreen):
    """A row for each figure, and for each of what is downloaded most."""

    place = "downloads"
    COLUMNS = (
        Column("of", "Downloads", 20, 0),
        Column("what", "Of", 24, 0),
        Column("count", "Count", 12, 0, "right"),
        Column("share", "Share", _GAUGE_CELLS, 2),
    )
    LEAST: ClassVar[dict[str, int]] = {"of": 13, "what": 12, "count": 9}
    ROOMY: ClassVar[dict[str, int]] = {"of": 20}
    STRETCH = "what"
    EMPTY = (
        "No access log is connected: nothing is known of downloads. "
        "piw accesslog reads the web server's log; piw deploy shows how."
    )

    def found(self) -> list[Row]:
        """The figures, then what is downloaded most; nothing without an access log."""
        console = self.console
        status = console.farm.status
        if status is None or not status.downloads.connected:
            return []
        found = [self._figure(fact) for fact in facts.download_facts(console.farm, console.now)]
        for name, split in facts.splits(console.farm).items():
            found += [self._part(name, fact) for fact in split[:_SHOWN_OF_EACH]]
        return [row._replace(default=(place,)) for place, row in enumerate(found)]

    def _figure(self, fact: facts.Fact) -> Row:
        cells = (
            Cell(fact.label, "strong", "", fact.label),
            Cell(fact.text, fact.style, fact.glyph, fact.text),
            Cell(""),
            Cell(self._gauge(fact)),
        )
        return Row(f"figure {fact.key}", cells, False, f"{fact.label} {fact.text}".lower())

    def _part(self, name: str, fact: facts.Fact) -> Row:
        title = _TITLES.get(name, name)
        cells = (
            Cell(title, "muted", "", title),
            Cell(fact.label, "", "", fact.label),
            Cell(fact.text, "", "", fact.share),
            Cell(self._gauge(fact), "note", "", fact.share),
        )
        return Row(f"{name} {fact.key}", cells, False, f"{title} {fact.label}".lower())

    def _gauge(self, fact: facts.Fact) -> str:
        if fact.share is None:
            return ""
        return gauge(fact.share, _GAUGE_CELLS, ascii_only=self.console.ascii_only)

    def subject(self, key: str) -> Subject | None:
        """A project, where the row is one."""
        kind, _, name = key.partition(" ")
        project = name if kind == "projects" else ""
        return Subject(key=key, name=name, project=project)
