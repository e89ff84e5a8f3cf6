"""The console: receives events from its source, keeps the farm's state, and switches screens."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from textual import events
from textual.app import SuspendNotSupported
from textual.binding import BindingsMap
from textual.color import Color
from textual.filter import LineFilter
from textual.scrollbar import ScrollBar
from textual.timer import Timer
from textual.widget import AwaitMount
from textual.widgets import Input

from piwheels.formatting import SECONDS_SHOWN_S
from piwheels.model import SeriesWindow
from piwheels.tui.client.contexts import Context
from piwheels.tui.client.source import EventSource
from piwheels.tui.command_app import CommandApp
from piwheels.tui.farm_app import tab_named
from piwheels.tui.model import actions, glyphs
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.actions import actions_of
from piwheels.tui.model.finder import FinderEntry
from piwheels.tui.model.key_names import key_label
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.source_events import Connected, Disconnected, MessageReceived, SourceEvent
from piwheels.tui.replay_controls import replay_handlers
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.bindings import bindings_for
from piwheels.tui.screens.finder import FinderScreen
from piwheels.tui.screens.help_screen import HelpScreen
from piwheels.tui.screens.registry import make_screen
from piwheels.tui.settings import RingSettings, Settings
from piwheels.tui.terminal import job_control
from piwheels.tui.terminal.alert_signals import AlertSignals
from piwheels.tui.themes import THEMES, WholeCellScrollBar
from piwheels.tui.widgets.ascii_filter import AsciiFilter

#: Between two frames while the farm changes.
REFRESH_S = 0.25
LOW_REFRESH_S = 2.0
#: How often the clocks of running builds advance, usually and on slow links; those of builds that
#: have run so long that they show minutes advance with the time in the header.
CLOCK_S = 1.0
LOW_CLOCK_S = 5.0
#: How often the age of a stale screen is updated.
_STALENESS_UPDATE_S = 5.0
_ASCII_FILTER = AsciiFilter()  # one object: lines are cached by it
#: Colors between background and foreground, and how near they are to the latter.
_BLENDED_COLORS = {"text-muted": 0.65, "text-disabled": 0.4}


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    """How the console is drawn."""

    ascii_only: bool = False
    low_bandwidth: bool = False
    theme: str = "piwheels"
    no_color: bool = False
    started_by_up: bool = False  # `piw up` asks about the farm when the console quits
    ring: RingSettings | None = None  # for this run; None: as in the settings


class Console(CommandApp):
    """`piw tui`."""

    TITLE = "piwheels"
    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (24, "-tall")]  # noqa: RUF012

    def __init__(
        self,
        source: EventSource,
        display_options: DisplayOptions,
        *,
        settings: Settings = Settings(),  # noqa: B008 - it cannot be changed
        save_settings: Callable[[Settings], str] = lambda _: "",
        context: Context | None = None,
        contexts: Sequence[Context] = (),
        first_screen: str = "",
    ) -> None:
        """Prepare the console.

        Args:
            source: The open source of the first farm.
            display_options: How it is drawn.
            settings: As they were kept.
            save_settings: Keeps settings for the next start; returns what went wrong, or "".
            context: The first farm; None for one that has no name.
            contexts: The farms of the settings, to switch to.
            first_screen: The name of the screen to begin with; the overview if it is not a tab.
        """
        # With NO_COLOR, textual's grays are colors too: only its native mode has none.
        ansi_color = True if display_options.no_color else None
        super().__init__(
            source,
            context,
            contexts,
            settings=settings,
            save_settings=save_settings,
            ansi_color=ansi_color,
        )
        self._bind_global_actions()
        self.last_screen = tab_named(first_screen)
        self.display_options = display_options
        self._refreshed_at = 0.0
        self._refresh_scheduled = False
        self._staleness_timer: Timer | None = None
        self._clock_timer: Timer | None = None
        self.alert_signals = AlertSignals(
            display_options.ring or settings.alerts, self._write_to_terminal
        )
        self.first_frame = asyncio.Event()  # set by the first frame that shows a farm
        self._handlers: Mapping[Action, Handler] = {
            actions.BACK: self.go_back,
            actions.COPY: self.choose_what_to_copy,
            actions.HELP: self.show_help,
            actions.FIND: self.show_finder,
            actions.SUSPEND: self.suspend_to_shell,
            actions.REDRAW: self.repaint,
            actions.QUIT: self.exit,
            actions.THEME: self.choose_theme,
            actions.CHANGE_KEY: self.change_key,
            actions.NEXT_PANE: self.action_focus_next,
            actions.PREVIOUS_PAGE: lambda: self.turn_page(-1),
            actions.NEXT_PAGE: lambda: self.turn_page(1),
            actions.WINDOW: self.show_next_window,
            **self.farm_handlers(),
            **(replay_handlers(self.replay, self.schedule_refresh) if self.replay else {}),
        }

    def _bind_global_actions(self) -> None:
        # Not as BINDINGS: a command may be defined after this class.
        bindings = BindingsMap(bindings_for()).key_to_bindings
        self._bindings = BindingsMap.from_keys({**self._bindings.key_to_bindings, **bindings})

    # --- the context of screens ---

    @property
    def ascii_only(self) -> bool:
        """Whether only ASCII may be drawn."""
        return self.display_options.ascii_only

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters of what is drawn, and one for terminals with ASCII only."""
        filters = super().get_line_filters()
        return [*filters, _ASCII_FILTER] if self.ascii_only else filters

    @property
    def now(self) -> float:
        """The time for ages and clocks, in UNIX seconds; it stops while disconnected."""
        if self.farm.connected or self.farm.last_heard_at is None:
            return self.source.now()
        return self.farm.last_heard_at

    @property
    def stale_s(self) -> float:
        """How old the state shown is."""
        return max(0.0, self.source.now() - self.now)

    @property
    def window(self) -> SeriesWindow:
        """How far back graphs go."""
        return self.settings.window

    @property
    def waiting_message(self) -> str:
        """What to show before the first connection to a master."""
        reason = f"\nLast attempt: {self.farm.lost_reason}." if self.farm.lost_reason else ""
        return (
            f"Waiting for a master at {self.source.address}.{reason}\n"
            f"Retrying; press {key_label(self.keys_for(actions.QUIT))} to quit."
        )

    def glyph(self, name: str) -> str:
        """The glyph of a state or a result."""
        return glyphs.glyph(name, ascii_only=self.ascii_only)

    def keys_for(self, action: Action) -> str:
        """The keys of an action, with the operator's changes."""
        return self.settings.keys.get(action.name, action.keys)

    def help_for(self, action: Action) -> str:
        """What an action does, in one sentence."""
        if action is actions.QUIT and self.display_options.started_by_up:
            return "Quit the console; piw up then asks whether to stop the farm."
        return action.help

    def get_css_variables(self) -> dict[str, str]:
        """The theme's colors, with those that have an alpha blended with the background.

        A line that is drawn from segments has nothing to blend an alpha with.
        """
        variables = super().get_css_variables()
        theme = self.current_theme
        if not theme.ansi:
            background = Color.parse(variables["background"])
            foreground = Color.parse(variables["foreground"])
            for name, share in _BLENDED_COLORS.items():
                variables[name] = background.blend(foreground, share).hex
        return variables

    # --- events and frames ---

    def on_mount(self) -> None:
        """Apply the theme and the keys, and connect."""
        ScrollBar.renderer = WholeCellScrollBar
        for theme in THEMES:
            self.register_theme(theme)
        if self.display_options.theme in self.available_themes:
            self.theme = self.display_options.theme
        if self.display_options.low_bandwidth:
            self.animation_level = "none"
        self.set_class(self.ascii_only, "-ascii")
        self.set_keymap(self.settings.keys)
        self.push_screen(self.get_or_create_screen(self.last_screen))
        self.consume_events(self.session)

    def handle_source_event(self, event: SourceEvent) -> None:
        """Apply one event of the source to the state, and show it."""
        self.session.receive(event)
        live = self.session.live_farm
        match event:
            case Connected():
                self._notify_reconnect(event)
            case MessageReceived() if live.has_snapshot and self.replay is None:
                self.alert_signals.update(live.alerts)
            case Disconnected() | MessageReceived():
                pass
            case _:
                return
        if self.recorded_at is None:
            self._show_link()
            self.schedule_refresh()
        elif not isinstance(event, MessageReceived):
            self.current_screen.refresh_bars()

    def _show_link(self) -> None:
        """Dim what is shown while it is stale."""
        is_stale = self.farm.has_snapshot and not self.farm.connected
        if is_stale != self.has_class("-stale"):
            self.set_class(is_stale, "-stale")
            self._update_staleness()

    def show_moment(self) -> None:
        """Draw another moment than before."""
        self._show_link()
        self._refreshed_at = time.monotonic()
        self._schedule_clock()
        self.current_screen.on_shown()
        self.current_screen.refresh_bindings()

    def _write_to_terminal(self, sequence: str) -> None:
        """Write a sequence that draws nothing; a picture and a test have no terminal."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)

    def _notify_reconnect(self, connected: Connected) -> None:
        if connected.same_master is None and not self.session.was_connected:
            self.session.was_connected = True
            return
        if connected.same_master:
            self.notify("Reconnected; the master did not restart.")
        elif connected.same_master is False:
            self.notify("Reconnected; the master has restarted.", severity="warning")
        else:
            self.notify("Reconnected.")

    def _update_staleness(self) -> None:
        """While disconnected, keep the age of the screen up to date."""
        if self._staleness_timer is not None:
            self._staleness_timer.stop()
        self._staleness_timer = None
        if not self.farm.connected and self.recorded_at is None and self.is_running:
            self.current_screen.refresh_bars()
            self._staleness_timer = self.set_timer(_STALENESS_UPDATE_S, self._update_staleness)

    def schedule_refresh(self) -> None:
        """Show the current state: at once after a pause, else with the next frame."""
        if self._refresh_scheduled:
            return
        self._refresh_scheduled = True
        interval_s = LOW_REFRESH_S if self.display_options.low_bandwidth else REFRESH_S
        wait_s = self._refreshed_at + interval_s - time.monotonic()
        if wait_s > 0:
            self.set_timer(wait_s, self._refresh_screen)
        else:
            self.call_later(self._refresh_screen)

    def _refresh_screen(self) -> None:
        self._refresh_scheduled = False
        self._refreshed_at = time.monotonic()
        self._schedule_clock()
        screen = self.screen_stack[-1] if self.screen_stack else None  # none while closing
        # A table under a dialog is not updated: less to send, and less to be confused by.
        if isinstance(screen, FarmScreen):
            screen.refresh_all()
            screen.refresh_bindings()
        if self.farm.has_snapshot:
            self.first_frame.set()

    def _schedule_clock(self) -> None:
        """Refresh when a clock is due without an event: of a build, or the header's minute."""
        if self._clock_timer is not None:
            self._clock_timer.stop()
            self._clock_timer = None
        is_live = self.farm.connected and self.recorded_at is None
        if not is_live or not self.is_running:
            return
        running = [it for it in self.farm.builders.values() if it.view.build is not None]
        newest_s = min((builder.phase_s(self.now) for builder in running), default=SECONDS_SHOWN_S)
        interval_s = 60 - self.source.now() % 60
        if newest_s < SECONDS_SHOWN_S:
            interval_s = LOW_CLOCK_S if self.display_options.low_bandwidth else CLOCK_S
        self._clock_timer = self.set_timer(interval_s, self.schedule_refresh)

    # --- navigation ---

    def make_farm_screen(self, screen_name: ScreenName) -> FarmScreen:
        """A new screen."""
        return make_screen(screen_name, self)

    def on_farm_switched(self) -> None:
        """Forget the alerts and the messages of the farm that was left."""
        self.alert_signals.forget()
        self.set_class(False, "-stale")
        self.clear_notifications()

    # --- actions ---

    def action_perform(self, name: str) -> None:
        """Perform the action that a key is bound to."""
        self.perform(actions.action_named(name))

    def perform(self, action: Action) -> None:
        """Do what a key or a click asks for."""
        if not self.is_available(action):
            self.notify(self.unavailable_reason(action), severity="warning")
        elif action.changes_farm:
            self.confirm_and_send(action)
        elif action.opens is not None:
            self.open_screen(action.opens)
        else:
            handler = self.current_screen.handlers().get(action) or self._handlers[action]
            handler()

    async def on_event(self, event: events.Event) -> None:
        """Open the finder before the next key is read: what is typed after its key is for it."""
        if isinstance(event, events.Key) and not event.is_forwarded and self._finds(event.key):
            self.dismiss_message()
            await self.show_finder()
        else:
            await super().on_event(event)

    def _finds(self, key: str) -> bool:
        if not isinstance(self.screen, FarmScreen):
            return False
        if isinstance(self.focused, Input) and len(key_label(key)) == 1:
            return False  # it is typed
        here = actions_of(self.screen.screen_name)
        bound = next((it for it in here if key in self.keys_for(it).split(",")), None)
        return bound is actions.FIND

    def show_finder(self) -> AwaitMount:
        """Find a place or an action, and go there or do it."""
        return self.push_screen(FinderScreen(self), self._open_found)

    def _open_found(self, entry: FinderEntry | None) -> None:
        if entry is None:
            return
        action = entry.action
        if entry.context:
            self.switch_context(entry.context)
            return
        if entry.screen_name is not None:  # an action on a row of it asks there
            self.navigate(entry.screen_name, entry.screen_filter, cursor=entry.cursor)
        if (
            action is not None
            and action.changes_farm
            and (entry.target or self.is_available(action))
        ):
            self.confirm_and_send(action, entry.target, always=True)
        elif action is not None:
            self.perform(action)

    def choose_what_to_copy(self) -> None:
        """Ask what of the screen to copy."""
        self.current_screen.choose_what_to_copy()

    def show_next_window(self) -> None:
        """Let graphs go back further."""
        self.choose_next_window()
        self.current_screen.refresh_all()

    def show_help(self) -> None:
        """Show the keys of this screen; a click on one does what it does."""

        def perform(action: Action | None) -> None:
            if action is not None:
                self.perform(action)

        self.push_screen(HelpScreen(self, self.current_screen.screen_name), perform)

    def suspend_to_shell(self) -> None:
        """Stop as other programs do with ctrl+z."""
        if not job_control.can_suspend():
            self.notify("Cannot suspend: not started from a shell.")
            return
        with suppress(SuspendNotSupported), self.suspend():
            job_control.suspend_job()

    def action_help_quit(self) -> None:
        """Textual's action of ctrl+c: say how to quit."""
        key = key_label(self.keys_for(actions.QUIT))
        self.notify(f"{key}: {self.help_for(actions.QUIT)}", markup=False)
