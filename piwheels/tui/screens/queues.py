"""The queues: what waits for each target, and for how long."""

from typing import ClassVar

from piwheels.tui.model import farm_tables
from piwheels.tui.model.actions import ActionTarget
from piwheels.tui.model.formatting import terminal_safe
from piwheels.tui.model.tables import Row
from piwheels.tui.screens.base import ScreenFilter
from piwheels.tui.screens.table import TableScreen


class QueuesScreen(TableScreen):
    """A row for each target."""

    screen_name = "queues"
    COLUMNS = farm_tables.QUEUE_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"target": 16, "state": 11}
    AUTO_GROW = ("target",)
    STRETCH = "note"
    EMPTY_TEXT = "The farm has no target yet: the first builder that connects brings its own."

    def all_rows(self) -> list[Row]:
        """The targets."""
        console = self.console
        return farm_tables.queue_rows(console.farm, ascii_only=console.ascii_only)

    def action_target(self, key: str) -> ActionTarget | None:
        """A target."""
        if all(queue.target != key for queue in self.console.farm.queues):
            return None
        return ActionTarget(key=key, name=terminal_safe(key), target=key)

    def open_row(self, key: str) -> None:
        """The builds for a target."""
        self.console.navigate("builds", ScreenFilter(target=key, title=terminal_safe(key)))

    def do_servers(self) -> None:
        """The builders that serve a target."""
        key = self.table.cursor
        if key is not None:
            self.console.navigate("builders", ScreenFilter(target=key, title=terminal_safe(key)))
