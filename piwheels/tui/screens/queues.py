"""The queues: what waits for each target, and for how long."""

from typing import ClassVar

from piwheels.tui import farmrows
from piwheels.tui.actions import Subject
from piwheels.tui.rows import Row
from piwheels.tui.screens.base import Scope
from piwheels.tui.screens.table import TableScreen
from piwheels.tui.text import harmless


class QueuesScreen(TableScreen):
    """A row for each target."""

    place = "queues"
    COLUMNS = farmrows.QUEUE_COLUMNS
    LEAST: ClassVar[dict[str, int]] = {"target": 16, "state": 11}
    GROWS = ("target",)
    STRETCH = "note"
    EMPTY = "The farm has no target yet: the first builder that connects brings its own."

    def found(self) -> list[Row]:
        """The targets."""
        console = self.console
        return farmrows.queue_rows(console.farm, ascii_only=console.ascii_only)

    def subject(self, key: str) -> Subject | None:
        """A target."""
        if all(queue.target != key for queue in self.console.farm.queues):
            return None
        return Subject(key=key, name=harmless(key), target=key)

    def open(self, key: str) -> None:
        """The builds for a target."""
        self.console.go("builds", Scope(target=key, title=harmless(key)))

    def do_servers(self) -> None:
        """The builders that serve a target."""
        key = self.table.cursor
        if key is not None:
            self.console.go("builders", Scope(target=key, title=harmless(key)))
