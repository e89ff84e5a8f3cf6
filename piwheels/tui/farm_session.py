"""What the console has of one farm. Another farm gets another session, so that nothing stays."""

from typing import NamedTuple

from piwheels.tui.client.contexts import Context
from piwheels.tui.client.farm_history import FarmHistory
from piwheels.tui.client.offline import PastSource
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.command_status import CommandHistory
from piwheels.tui.model.navigation import HistoryEntry
from piwheels.tui.model.source_events import SourceEvent
from piwheels.tui.model.state import FarmState

_HISTORY_LIMIT = 50


class PastMoment(NamedTuple):
    """A moment that is shown instead of now: its time, its state, and who answers."""

    at: float
    farm: FarmState
    source: PastSource


class FarmSession:
    """The connection to a farm, its state, the commands sent to it, and the way through it.

    While a past moment is shown, `farm` and `source` are those of the moment.
    """

    def __init__(self, context: Context, source: EventSource) -> None:
        self.context = context
        self.connection = source
        self.live_farm = FarmState()
        self.moment: PastMoment | None = None
        self.command_history = CommandHistory()
        self.was_connected = False
        self._history = FarmHistory()
        self._visited: list[HistoryEntry] = []

    def receive(self, event: SourceEvent) -> None:
        """Apply an event of the connection."""
        self._history.observe(self.live_farm, self.connection.now())
        self.live_farm.apply(event)

    # --- what is shown ---

    @property
    def farm(self) -> FarmState:
        """The state that is shown."""
        return self.moment.farm if self.moment else self.live_farm

    @property
    def source(self) -> EventSource:
        """What answers requests about the state that is shown, and takes commands."""
        return self.moment.source if self.moment else self.connection

    @property
    def shown_at(self) -> float:
        """The time of what is shown, in UNIX seconds."""
        return self.moment.at if self.moment else self.connection.now()

    @property
    def has_earlier(self) -> bool:
        """Whether a moment before the one that is shown was kept."""
        return self._history.before(self.shown_at) is not None

    def freeze(self) -> None:
        """Show the state of now, without what happens next."""
        now = self.connection.now()
        if self.live_farm.has_snapshot:
            self._show(now, self.live_farm.copy())

    def step_back(self) -> None:
        """Show the moment before the one that is shown; the oldest stays."""
        at = self._history.before(self.shown_at)
        if at is not None:
            self._show(at, self._history.state_at(at))

    def step_forward(self) -> None:
        """Show the moment after the one that is shown; after the last, now."""
        at = self._history.after(self.shown_at)
        if at is None:
            self.show_live()
        else:
            self._show(at, self._history.state_at(at))

    def show_live(self) -> None:
        """Show what happens now."""
        self.moment = None

    def _show(self, at: float, farm: FarmState) -> None:
        self.moment = PastMoment(at, farm, PastSource(self.connection, at))

    # --- screens ---

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
