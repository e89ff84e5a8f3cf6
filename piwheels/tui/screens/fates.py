"""The commands that were given here, and what became of each."""

from datetime import UTC, datetime
from typing import ClassVar

from piwheels.tui.actions import Subject
from piwheels.tui.fates import Fate
from piwheels.tui.glyphs import TURN_LOOK
from piwheels.tui.rows import Cell, Column, Row
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.text import harmless, moment


class FatesScreen(TableScreen):
    """A row for each command, the newest first."""

    place = "fates"
    COLUMNS = (
        Column("at", "Time", 12, 0, "right"),
        Column("turn", "Fate", 14, 0),
        Column("what", "Command", 24, 0),
        Column("text", "Answer", 40, 1),
    )
    LEAST: ClassVar[dict[str, int]] = {"at": 8, "what": 12, "text": 20}
    GROWS = ("at",)
    STRETCH = "text"
    EMPTY = "No command was given from here yet."

    def found(self) -> list[Row]:
        """The commands."""
        return [self._row(fate, place) for place, fate in enumerate(self.console.fates)]

    def _row(self, fate: Fate, place: int) -> Row:
        sign, style = TURN_LOOK[fate.turn]
        at = moment(datetime.fromtimestamp(fate.at, UTC), self.console.source.now())
        cells = (
            Cell(at, "muted", "", fate.at),
            Cell(str(fate.turn), style, self.console.glyph(sign), str(fate.turn)),
            Cell(harmless(fate.what), "", "", fate.what),
            Cell(harmless(fate.text), "", "", fate.text),
        )
        haystack = " ".join(cell.text for cell in cells).lower()
        return Row(fate.identity, cells, not fate.went_well, haystack, (place,))

    def subject(self, key: str) -> Subject | None:
        """A command that was given cannot be taken back."""
        return Subject(key=key, name=key)

    def open(self, key: str) -> None:
        """A command's answer in full, where its line was cut."""
        fate = next((fate for fate in self.console.fates if fate.identity == key), None)
        if fate is not None:
            self.notify(harmless(fate.line), markup=False)
