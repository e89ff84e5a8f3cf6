"""The events screen: operators' commands with their results, and automatic events."""

from typing import ClassVar

from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables import events
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.screens.table import TableScreen


class EventsScreen(TableScreen):
    """A row for each event, the newest first."""

    screen_name = ScreenName.EVENTS
    COLUMNS = events.EVENT_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {
        "at": 8,
        "what": 20,
        "who": 12,
        "outcome": 14,
    }
    AUTO_GROW = ("at", "who")
    STRETCH = "what"
    DEFAULT_ORDER = "newest first"
    EMPTY_TEXT = "No events yet."

    def all_rows(self) -> list[Row]:
        """The events."""
        console = self.console
        return events.event_rows(console.farm, console.now, ascii_only=console.ascii_only)

    def action_target(self, key: str) -> ActionTarget | None:
        """No action applies to an event."""
        return ActionTarget(key=key, name=key)

    def open_row(self, key: str) -> None:
        """Show an event in full, where its line was cut."""
        row = next((row for row in self.all_rows() if row.key == key), None)
        if row is not None:
            self.notify(" ".join(cell.text for cell in row.cells if cell.text), markup=False)
