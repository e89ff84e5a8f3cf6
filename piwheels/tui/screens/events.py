"""The events: who did what and when, and what the farm did of itself."""

from typing import ClassVar

from piwheels.tui import farmrows
from piwheels.tui.actions import Subject
from piwheels.tui.rows import Row
from piwheels.tui.screens.table import TableScreen


class EventsScreen(TableScreen):
    """A row for each event, the newest first."""

    place = "events"
    COLUMNS = farmrows.EVENT_COLUMNS
    LEAST: ClassVar[dict[str, int]] = {
        "at": 8,
        "what": 20,
        "who": 12,
        "outcome": 14,
    }
    GROWS = ("at", "who")
    STRETCH = "what"
    EMPTY = "Nothing has happened yet."

    def found(self) -> list[Row]:
        """The events."""
        console = self.console
        return farmrows.event_rows(console.farm, console.now, ascii_only=console.ascii_only)

    def subject(self, key: str) -> Subject | None:
        """Nothing can be done to what has happened."""
        return Subject(key=key, name=key)

    def open(self, key: str) -> None:
        """An event in full, where its line was cut."""
        row = next((row for row in self.found() if row.key == key), None)
        if row is not None:
            self.notify(" ".join(cell.text for cell in row.cells if cell.text), markup=False)
