"""An app that shows one of several farms, and can switch to another.

What is known of a farm is in its session and its screens; a switch replaces all of them before
anything else can happen, and closes the connection.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from textual import work
from textual.screen import ModalScreen

from piwheels.errors import PiwheelsError
from piwheels.tui.client.contexts import Context, context_of
from piwheels.tui.client.recording import RecordingSource
from piwheels.tui.client.replay import Replay
from piwheels.tui.client.source import EventSource
from piwheels.tui.farm_session import FarmSession
from piwheels.tui.model import actions
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.command_status import CommandHistory
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.source_events import SourceEvent
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.table_view import TableView
from piwheels.tui.model.web_links import WebLinks
from piwheels.tui.preference_dialogs import PreferencesApp
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.dialogs import ChoiceDialog


class FarmApp(PreferencesApp):
    """The farm that is shown, and those to switch to."""

    def __init__(
        self, source: EventSource, context: Context | None, contexts: Sequence[Context], **more: Any
    ) -> None:
        """Begin with a source that is open; without a context its farm has no name."""
        super().__init__(**more)
        self.session = FarmSession(context or context_of(source), source)
        self.contexts = tuple(contexts)
        if contexts and self.context not in contexts:
            self.contexts += (self.context,)
        self.can_show_links = True  # not on a terminal that would print them
        self.last_screen = ScreenName.OVERVIEW  # the tab that was shown last
        self.table_views: dict[str, TableView] = {}  # by screen

    @property
    def context(self) -> Context:
        """The farm that is shown."""
        return self.session.context

    @property
    def source(self) -> EventSource:
        """The connection to the farm, or the recording."""
        return self.session.source

    @property
    def replay(self) -> Replay | None:
        """The recording that is played; None with a master."""
        return self.source if isinstance(self.source, Replay) else None

    @property
    def farm(self) -> FarmState:
        """The farm's state."""
        return self.session.farm

    @property
    def web_links(self) -> WebLinks:
        """The addresses of the farm's pages, where links can be shown."""
        status = self.farm.status
        shown = self.settings.links and self.can_show_links and status is not None
        return WebLinks.of_index(status.index_url) if shown and status else WebLinks()

    @property
    def command_history(self) -> CommandHistory:
        """The commands sent to the farm."""
        return self.session.command_history

    @property
    def recorded_at(self) -> float | None:
        """The time of the past moment that is shown; None when that is now."""
        return self.session.moment.at if self.session.moment else None

    @property
    def is_link_lost(self) -> bool:
        """Whether no master is connected, whatever is shown."""
        return not self.session.live_farm.connected

    def handle_source_event(self, event: SourceEvent) -> None:
        """Apply one event of the source to the state, and show it."""
        raise NotImplementedError

    def make_farm_screen(self, screen_name: ScreenName) -> FarmScreen:
        """A new screen."""
        raise NotImplementedError

    def on_farm_switched(self) -> None:
        """Forget what the app itself knows of the farm that was left."""
        raise NotImplementedError

    @work(exclusive=True, group="source")
    async def consume_events(self, session: FarmSession) -> None:
        """Handle all events of a farm, until another one is shown."""
        async with aclosing(session.source.events()) as events:
            async for event in events:
                if session is not self.session:
                    return
                self.handle_source_event(event)

    def farm_handlers(self) -> Mapping[Action, Handler]:
        """What the actions on moments and farms do."""
        return {
            actions.SEEK_BACK: self.step_back,
            actions.SEEK_FORWARD: self.step_forward,
            actions.TOGGLE_PLAYBACK: self.toggle_freeze,
            actions.SWITCH_FARM: self.choose_context,
        }

    # --- past moments ---

    def step_back(self) -> None:
        """Show the farm as it was a minute before."""
        self.session.step_back()
        self.show_moment()

    def step_forward(self) -> None:
        """Show the farm as it was a minute later, or now."""
        self.session.step_forward()
        self.show_moment()

    def toggle_freeze(self) -> None:
        """Hold the state that is shown, or show what happens now."""
        if self.session.moment is None:
            self.session.freeze()
        else:
            self.session.show_live()
        self.show_moment()

    def show_live(self) -> None:
        """Show what happens now."""
        self.session.show_live()
        self.show_moment()

    def show_moment(self) -> None:
        """Draw another moment than before."""
        raise NotImplementedError

    # --- another farm ---

    @work
    async def choose_context(self) -> None:
        """Choose another farm, and switch to it."""
        names = tuple(context.name for context in self.contexts)
        chosen = await self.push_screen_wait(ChoiceDialog("Farm", names, self.context.name))
        if chosen is not None:
            self.switch_context(chosen)

    @work
    async def switch_context(self, name: str) -> None:
        """Show another farm. An unanswered dialog is closed, and its command is not sent."""
        context = next(context for context in self.contexts if context.name == name)
        if context is self.context:
            return
        try:
            source = context.open()
        except PiwheelsError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        while isinstance(dialog := self.screen, ModalScreen):
            await dialog.dismiss(None)
        recorded = self.session.connection
        left = self._replace_screens(FarmSession(context, source))
        self.consume_events(self.session)  # ends the connection to the other farm
        for screen in left:
            await screen.remove()
        if isinstance(recorded, RecordingSource):
            self.notify(
                f"The recording has ended, another farm is shown: {recorded.recorder.file}",
                severity="warning",
                markup=False,
            )

    def _replace_screens(self, session: FarmSession) -> list[FarmScreen]:
        """Show a new screen of another farm; returns those of the farm that was left."""
        name = self.last_screen
        installed = {it: self.get_screen(it) for it in ScreenName if self.is_screen_installed(it)}
        current = self.screen
        self.session = session
        self.table_views = {
            name: msgspec.structs.replace(view, filter="")
            for name, view in self.table_views.items()
        }
        self.on_farm_switched()
        new = self.make_farm_screen(name)
        self.switch_screen(new)
        for it in installed:
            self.uninstall_screen(it)
        self.install_screen(new, name)
        return [
            screen
            for screen in installed.values()
            if isinstance(screen, FarmScreen) and screen is not current
        ]


def tab_named(name: str) -> ScreenName:
    """The screen of a tab; the overview when no tab has this name."""
    tabs = (tab.opens for tab in actions.TABS if tab.opens is not None)
    return next((tab for tab in tabs if tab == name), ScreenName.OVERVIEW)
