"""What a screen, a dialog or a bar asks of the console that shows it."""

from typing import Protocol

from textual.geometry import Size

from piwheels.model import SeriesWindow
from piwheels.tui.client.contexts import Context
from piwheels.tui.client.replay import Replay
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.app_message import AppMessage
from piwheels.tui.model.command_status import CommandHistory
from piwheels.tui.model.navigation import NO_FILTER, ScreenFilter, ScreenName
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.table_view import TableView
from piwheels.tui.model.web_links import WebLinks
from piwheels.tui.settings import Settings


class ConsoleContext(Protocol):
    """The console as its screens see it."""

    contexts: tuple[Context, ...]
    settings: Settings
    table_views: dict[str, TableView]

    @property
    def context(self) -> Context:
        """The farm that is shown."""
        ...

    @property
    def farm(self) -> FarmState:
        """The farm's state."""
        ...

    @property
    def message(self) -> AppMessage:
        """What the console tells its operator now."""
        ...

    @property
    def source(self) -> EventSource:
        """The connection to the farm, or the recording."""
        ...

    @property
    def command_history(self) -> CommandHistory:
        """The commands sent to the farm."""
        ...

    @property
    def size(self) -> Size:
        """The terminal, in cells."""
        ...

    @property
    def ascii_only(self) -> bool:
        """Whether only ASCII may be drawn."""
        ...

    @property
    def window(self) -> SeriesWindow:
        """How far back graphs go."""
        ...

    @property
    def now(self) -> float:
        """The time for ages and clocks, in UNIX seconds; it stops while disconnected."""
        ...

    @property
    def web_links(self) -> WebLinks:
        """The addresses of the farm's pages, where links can be shown."""
        ...

    @property
    def idle_s(self) -> float:
        """For how long no key was pressed and no button of the mouse."""
        ...

    @property
    def stale_s(self) -> float:
        """How old the state shown is."""
        ...

    @property
    def waiting_message(self) -> str:
        """What to show before the first connection to a master."""
        ...

    @property
    def replay(self) -> Replay | None:
        """The recording that is played; None with a master."""
        ...

    @property
    def recorded_at(self) -> float | None:
        """The time of the past moment that is shown; None when that is now."""
        ...

    @property
    def is_link_lost(self) -> bool:
        """Whether no master is connected, whatever is shown."""
        ...

    def save_filter(self, name: str, text: str) -> None:
        """Keep a filter by its name; "" forgets it."""
        ...

    def glyph(self, name: str) -> str:
        """The glyph of a state or a result."""
        ...

    def keys_for(self, action: Action) -> str:
        """The keys of an action, with the operator's changes."""
        ...

    def help_for(self, action: Action) -> str:
        """What an action does, in one sentence."""
        ...

    def may_send(self, action: Action) -> bool:
        """Whether this console and its role allow an action; what sends nothing is allowed."""
        ...

    def is_available(self, action: Action) -> bool | None:
        """Whether an action can be done; None is not now, False is not on this screen."""
        ...

    def unavailable_reason(self, action: Action) -> str:
        """Why an action cannot be done now, in one line."""
        ...

    def navigate(
        self,
        screen_name: ScreenName,
        screen_filter: ScreenFilter = NO_FILTER,
        *,
        cursor: str = "",
    ) -> None:
        """Show a screen, filtered or as it was left, with the cursor on a row."""
        ...

    def perform(self, action: Action) -> None:
        """Do what a key or a click asks for."""
        ...
