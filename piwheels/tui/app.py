"""The console: receives events from its source, keeps the farm's state, and switches screens."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from textual import work
from textual.app import SuspendNotSupported
from textual.binding import BindingsMap
from textual.color import Color
from textual.filter import LineFilter
from textual.scrollbar import ScrollBar
from textual.timer import Timer
from textual.widgets import Input

from piwheels.errors import PiwheelsError
from piwheels.formatting import SECONDS_SHOWN_S, format_unix_time, join_words
from piwheels.model import SeriesWindow
from piwheels.protocol.commands.definition import Requirement
from piwheels.protocol.messages import RequestBody
from piwheels.tui.client.contexts import Context
from piwheels.tui.client.replay import Replay
from piwheels.tui.client.source import EventSource
from piwheels.tui.farm_app import FarmApp, tab_named
from piwheels.tui.farm_session import FarmSession
from piwheels.tui.model import actions, commands, glyphs
from piwheels.tui.model.action_targets import alert_target, log_filter, release_filter
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.command_status import CommandStatus
from piwheels.tui.model.finder import FinderEntry
from piwheels.tui.model.key_names import key_label
from piwheels.tui.model.navigation import NO_FILTER, HistoryEntry, ScreenFilter, ScreenName
from piwheels.tui.model.source_events import Connected, Disconnected, MessageReceived, SourceEvent
from piwheels.tui.replay_controls import replay_handlers
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.bindings import bindings_for
from piwheels.tui.screens.dialogs import ConfirmDialog
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


class Console(FarmApp):
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
    def replay(self) -> Replay | None:
        """The recording that is played; None with a master."""
        return self.source if isinstance(self.source, Replay) else None

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

    def is_available(self, action: Action) -> bool | None:
        """Whether an action can be done; None is not now, False is not on this screen."""
        here = self.current_screen.screen_name
        if action.screens and here not in action.screens:
            return False
        if action.requires is Requirement.RECORDING:
            return self.replay is not None
        if action is actions.SWITCH_FARM:
            return len(self.contexts) > 1
        if action in {actions.SEEK_BACK, actions.SEEK_FORWARD} and self.replay is None:
            earlier = self.session.has_earlier and self.farm.has_snapshot
            possible = earlier if action is actions.SEEK_BACK else self.recorded_at is not None
            return possible or None
        if here not in actions.SCREENS_WITH.get(action.requires, (here,)):
            return False
        if action.changes_farm and self.source.read_only:
            return None
        if action.requires in {Requirement.NOTHING, Requirement.TABLE}:
            return True
        if self._targets_for(action):
            return True
        # Few rows of other screens have an alert: its keys are shown for those alone.
        hidden = action.requires is Requirement.ALERT and here not in actions.WITH_ALERTS
        return False if hidden else None

    def unavailable_reason(self, action: Action) -> str:
        """Why an action cannot be done now, in one line."""
        if action in {actions.SEEK_BACK, actions.SEEK_FORWARD}:
            is_back = action is actions.SEEK_BACK
            return "Nothing earlier was kept." if is_back else "This is now; < steps back."
        if action is actions.SWITCH_FARM:
            return "console.toml has no other farm ([contexts])."
        if action.changes_farm and self.recorded_at is not None:
            shown = format_unix_time(self.recorded_at)[:5]
            return f"{action.label} changes the farm, and {shown} is shown; Esc returns to now."
        if action.changes_farm and self.source.read_only:
            return f"{action.label} changes the farm, and this console is read-only."
        if action.screens and self.current_screen.screen_name not in action.screens:
            where = join_words([screen.capitalize() for screen in action.screens])
            return f"{action.label} is a key of {where}."
        return f"{action.label} requires {action.requires or 'another screen'}."

    def _targets_for(self, action: Action) -> tuple[ActionTarget, ...]:
        if action.requires is Requirement.NOTHING:
            return ()
        if action.requires is Requirement.ALERT:
            return tuple(map(alert_target, self.current_screen.alerts_here()))
        targets = self.current_screen.action_targets()
        return tuple(target for target in targets if target.satisfies(action.requires))

    @property
    def current_screen(self) -> FarmScreen:
        """The farm screen on top, below any dialog."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, FarmScreen):
                return screen
        raise RuntimeError("the console has no screen yet")

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
        self.push_screen(self._get_or_create_screen(self.last_screen))
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

    def _get_or_create_screen(self, screen_name: ScreenName) -> FarmScreen:
        if not self.is_screen_installed(screen_name):
            self.install_screen(self.make_farm_screen(screen_name), screen_name)
        screen = self.get_screen(screen_name)
        if not isinstance(screen, FarmScreen):
            raise TypeError(f"{screen_name} is not a farm screen")
        return screen

    def navigate(
        self,
        screen_name: ScreenName,
        screen_filter: ScreenFilter = NO_FILTER,
        *,
        cursor: str = "",
    ) -> None:
        """Show a screen, filtered or as it was left, with the cursor on a row."""
        here = self.current_screen
        changes_filter = screen_filter and screen_filter != here.screen_filter
        if screen_name != here.screen_name or changes_filter:
            self.session.leave(HistoryEntry(here.screen_name, here.screen_filter))
        self._show_entry(HistoryEntry(screen_name, screen_filter), cursor)

    def _show_entry(self, entry: HistoryEntry, cursor: str = "") -> None:
        screen = self._get_or_create_screen(entry.screen_name)
        screen.set_filter(entry.screen_filter)
        screen.pending_cursor = cursor
        if tab_named(entry.screen_name) is entry.screen_name:
            self.last_screen = entry.screen_name
        if screen is self.current_screen:
            screen.on_shown()
        else:
            self.switch_screen(screen)

    def go_back(self) -> None:
        """Dismiss a warning, return to now, clear a filter, or go to the screen before."""
        if not isinstance(self.focused, Input) and self.dismiss_warning():
            return
        if self.recorded_at is not None and not isinstance(self.focused, Input):
            self.show_live()
            return
        if self.current_screen.clear_last_filter():
            return
        if (entry := self.session.go_back()) is not None:
            self._show_entry(entry)

    def _open_screen(self, screen_name: ScreenName) -> None:
        target = next(iter(self.current_screen.action_targets()), None)
        screen_filter = NO_FILTER
        if screen_name is ScreenName.LOG and target and target.build is not None:
            screen_filter = log_filter(target)
        if screen_name is ScreenName.EXPLAIN and target and target.project:
            screen_filter = release_filter(target)
        self.navigate(screen_name, screen_filter)

    def turn_page(self, by: int) -> None:
        """Show the page of the row before (-1) or after (1), in the table it was opened from."""
        here = self.current_screen
        origin = self.session.came_from
        screen = self._get_or_create_screen(origin.screen_name) if origin else here
        page_filter = screen.step_to_page(by, here.screen_name)
        if page_filter is None:
            self.notify(f"There is no row {'before' if by < 0 else 'after'} this one.")
        else:
            self._show_entry(HistoryEntry(here.screen_name, page_filter))

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
            self._open_screen(action.opens)
        else:
            handler = self.current_screen.handlers().get(action) or self._handlers[action]
            handler()

    @work
    async def confirm_and_send(
        self, action: Action, target: ActionTarget | None = None, *, always: bool = False
    ) -> None:
        """Ask for confirmation where it is required, and send the commands.

        Args:
            action: what to do.
            target: what to do it to; None is the rows of the screen.
            always: ask in any case.
        """
        session, screen = self.session, self.current_screen
        chosen = (target,) if target else self._targets_for(action)
        try:
            targets = await screen.command_targets(chosen)
        except PiwheelsError as error:
            self.notify(f"{action.label}: not sent: {error}", severity="error", markup=False)
            return
        confirmation = commands.confirmation_for(
            action,
            targets,
            hidden_count=screen.hidden_mark_count() if targets else 0,
            all_builders=frozenset(it.view.label for it in self.farm.present_builders),
            always=always,
        )
        answer: str | None = ""
        if confirmation is not None:
            answer = await self.push_screen_wait(ConfirmDialog(confirmation, screen.make_room))
            screen.make_room(None)
        if answer is None:
            self.notify(f"{action.label} canceled, nothing was sent.", markup=False)
            return
        if session is not self.session:
            text = f"{action.label}: not sent: another farm is shown now"
            self.notify(text, severity="error", markup=False)
            return
        running = {label: builder.view.build for label, builder in self.farm.builders.items()}
        applicable = commands.still_applicable(action, targets, running)
        skipped = commands.skipped_text(targets, applicable)
        if targets and not applicable:
            self.notify(f"{action.label}: {skipped}.", severity="warning", markup=False)
            return
        screen.clear_marks()
        for body, description in commands.build_messages(action, applicable, answer):
            self.send(body, f"{description} ({skipped})" if skipped else description)

    @work
    async def send(self, body: RequestBody, description: str) -> None:
        """Send a command; each change of its state is shown."""
        session = self.session
        await session.source.command(
            body,
            description=description,
            on_update=partial(self.handle_command_update, session),
        )

    def handle_command_update(self, session: FarmSession, status: CommandStatus) -> None:
        """Show that a command's state has changed; of a farm that was left, its result."""
        if session is not self.session:
            if status.is_final:
                text = f"{session.context.name}: {status.line}"
                self.notify(text, severity="warning", markup=False)
            return
        self.command_history.update(status)
        self.dismiss_message()  # what the command answers is newer
        screen = self.current_screen
        screen.refresh_bars()
        if status.is_final:
            screen.on_command_finished()
        if screen.screen_name is ScreenName.COMMANDS:
            screen.refresh_content()

    @work
    async def show_finder(self) -> None:
        """Find a place or an action, and go there or do it."""
        entry = await self.push_screen_wait(FinderScreen(self))
        if entry is not None:
            self._open_found(entry)

    def _open_found(self, entry: FinderEntry) -> None:
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
        """Show the keys of this screen."""
        self.push_screen(HelpScreen(self, self.current_screen.screen_name))

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
