"""The queues screen: queued jobs per target, and how long they wait."""

from collections.abc import Mapping
from typing import ClassVar

from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import queue_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.tables import queues
from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.base import Handler
from piwheels.tui.screens.table import TableScreen


class QueuesScreen(TableScreen):
    """A row for each target."""

    screen_name = ScreenName.QUEUES
    COLUMNS = queues.QUEUE_COLUMNS
    MIN_WIDTHS: ClassVar[dict[str, int]] = {"target": 16, "state": 11}
    AUTO_GROW = ("target",)
    STRETCH = "note"
    DEFAULT_ORDER = "by trouble"
    EMPTY_TEXT = "No targets yet: the first builder that connects adds its own."

    def all_rows(self) -> list[Row]:
        """The targets."""
        console = self.console
        return queues.queue_rows(console.farm, ascii_only=console.ascii_only)

    def action_target(self, key: str) -> ActionTarget | None:
        """A target."""
        if all(queue.target != key for queue in self.console.farm.queues):
            return None
        return queue_target(key)

    def open_row(self, key: str) -> None:
        """Show the next jobs of a target."""
        self.console.navigate(ScreenName.QUEUE, ScreenFilter(target=key, title=terminal_safe(key)))

    def handlers(self) -> Mapping[Action, Handler]:
        """The builders of a target, too."""
        return {**super().handlers(), actions.SHOW_BUILDERS: self.show_builders}

    def show_builders(self) -> None:
        """Show the builders that serve the target under the cursor."""
        key = self.table.cursor
        if key is not None:
            self.console.navigate(
                ScreenName.BUILDERS, ScreenFilter(target=key, title=terminal_safe(key))
            )
