"""The events: who did what and when, and what the farm did of itself."""

from typing import ClassVar

from piwheels.tui.model import farm_tables
from piwheels.tui.model.actions import ActionTarget
from piwheels.tui.model.tables import Row
from piwheels.tui.screens.table import TableScreen


class EventsScreen(TableScreen):
    """A row for each event, the newest first."""

    screen_name = "events"
    COLUMNS = farm_tables.EVENT_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {
        "at": 8,
        "what": 20,
        "who": 12,
        "outcome": 14,
    }
    AUTO_GROW = ("at", "who")
    STRETCH = "what"
    EMPTY_TEXT = "Nothing has happened yet."

    def all_rows(self) -> list[Row]:
        """The events."""
        console = self.console
        return farm_tables.event_rows(console.farm, console.now, ascii_only=console.ascii_only)

    def action_target(self, key: str) -> ActionTarget | None:
        """Nothing can be done to what has happened."""
        return ActionTarget(key=key, name=key)

    def open_row(self, key: str) -> None:
        """An event in full, where its line was cut."""
        row = next((row for row in self.all_rows() if row.key == key), None)
        if row is not None:
            self.notify(" ".join(cell.text for cell in row.cells if cell.text), markup=False)
