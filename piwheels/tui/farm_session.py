"""What the console has of one farm. Another farm gets another session, so that nothing stays."""

from piwheels.tui.client.contexts import Context
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.command_status import CommandHistory
from piwheels.tui.model.navigation import HistoryEntry
from piwheels.tui.model.state import FarmState

_HISTORY_LIMIT = 50


class FarmSession:
    """The connection to a farm, its state, the commands sent to it, and the way through it."""

    def __init__(self, context: Context, source: EventSource) -> None:
        self.context = context
        self.source = source
        self.farm = FarmState()
        self.command_history = CommandHistory()
        self.was_connected = False
        self._visited: list[HistoryEntry] = []

    def leave(self, entry: HistoryEntry) -> None:
        """Remember a screen that is left."""
        self._visited.append(entry)
        del self._visited[:-_HISTORY_LIMIT]

    @property
    def came_from(self) -> HistoryEntry | None:
        """The screen that `go_back` leads to."""
        return self._visited[-1] if self._visited else None

    def go_back(self) -> HistoryEntry | None:
        """The screen that was left last; None when there is none."""
        return self._visited.pop() if self._visited else None
