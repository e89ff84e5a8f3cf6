"""The master's own machine: load, memory, disk, the database, the upstream."""

from typing import ClassVar

from piwheels.tui import facts
from piwheels.tui.actions import Subject
from piwheels.tui.gauge import gauge
from piwheels.tui.rows import Cell, Column, Row
from piwheels.tui.screens.table import TableScreen

_GAUGE_CELLS = 20


class HostScreen(TableScreen):
    """A row for each figure."""

    place = "host"
    COLUMNS = (
        Column("what", "Master", 16, 0),
        Column("value", "Value", 30, 0),
        Column("share", "Share", _GAUGE_CELLS, 1),
    )
    LEAST: ClassVar[dict[str, int]] = {"value": 18}
    ROOMY: ClassVar[dict[str, int]] = {"value": 36}

    def found(self) -> list[Row]:
        """The figures, in an order that does not change."""
        console = self.console
        told = facts.host_facts(console.farm, console.now, ascii_only=console.ascii_only)
        return [self._row(fact, place) for place, fact in enumerate(told)]

    def _row(self, fact: facts.Fact, place: int) -> Row:
        share = ""
        if fact.share is not None:
            share = gauge(fact.share, _GAUGE_CELLS, ascii_only=self.console.ascii_only)
        cells = (
            Cell(fact.label, "muted", "", fact.label),
            Cell(fact.text, fact.style, fact.glyph, fact.text),
            Cell(share, fact.style, "", fact.share),
        )
        problem = fact.style in {"error", "warning"}
        return Row(fact.key, cells, problem, f"{fact.label} {fact.text}".lower(), (place,))

    def subject(self, key: str) -> Subject | None:
        """Nothing is done to a figure."""
        return Subject(key=key, name=key)
