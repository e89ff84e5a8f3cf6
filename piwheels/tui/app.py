"""The console itself: it listens to a source, keeps the farm's state, and leads between screens."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import ClassVar

from textual import work
from textual.app import SuspendNotSupported
from textual.binding import BindingType
from textual.color import Color
from textual.scrollbar import ScrollBar
from textual.timer import Timer

from piwheels.protocol.messages import RequestBody
from piwheels.tui.bindings import bindings_for
from piwheels.tui.client.source import (
    Connected,
    Disconnected,
    EventSource,
    MessageReceived,
    SourceEvent,
)
from piwheels.tui.model import commands, glyphs
from piwheels.tui.model.actions import (
    ACTIONS_BY_NAME,
    SCREENS,
    SCREENS_WITH,
    Action,
    ActionTarget,
    Requirement,
    key_labels,
)
from piwheels.tui.model.command_status import CommandHistory, CommandStatus
from piwheels.tui.model.state import FarmState
from piwheels.tui.preferences import PreferencesMixin
from piwheels.tui.replay_controls import ReplayMixin
from piwheels.tui.screens import make_screen
from piwheels.tui.screens.base import NO_FILTER, FarmScreen, ScreenFilter, log_filter
from piwheels.tui.settings import Settings
from piwheels.tui.terminal import job_control
from piwheels.tui.themes import THEMES, WholeCellScrollBar

#: Between two frames of a farm that changes all the time.
REFRESH_S = 0.25
LOW_REFRESH_S = 2.0
#: How often clocks of running builds advance; the second is for slow links, the third for
#: builds that have run so long that their clocks show minutes.
CLOCK_S = 1.0
LOW_CLOCK_S = 5.0
LONG_BUILD_CLOCK_S = 60.0
_SECONDS_SHOWN_S = 3600.0
#: How often it is looked whether a lost link's age is to be told in other words.
_STALENESS_UPDATE_S = 5.0
_HISTORY_LIMIT = 50
#: Texts between the fore- and the background, and how near they are to the former.
_BLENDED_COLORS = {"text-muted": 0.65, "text-disabled": 0.4}


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    """How the console is drawn."""

    ascii_only: bool = False
    low_bandwidth: bool = False
    theme: str = "piwheels"
    no_color: bool = False
    started_by_up: bool = False  # started by `piw up`, which asks about the farm afterwards


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Where we were: a screen, and what it was opened for."""

    screen_name: str
    screen_filter: ScreenFilter


class Console(ReplayMixin, PreferencesMixin):
    """`piw tui`."""

    TITLE = "piwheels"
    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (24, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for()]

    def __init__(
        self,
        source: EventSource,
        display_options: DisplayOptions,
        *,
        settings: Settings = Settings(),  # noqa: B008 - it cannot be changed
        save_settings: Callable[[Settings], str] = lambda _: "",
    ) -> None:
        """keep: keeps settings for the next time, and says what went wrong, or ""."""
        # With NO_COLOR, textual's greys are colours too: only its native mode has none.
        super().__init__(
            settings, save_settings, ansi_color=True if display_options.no_color else None
        )
        self.source = source
        self.display_options = display_options
        self.farm = FarmState()
        self.command_history = CommandHistory()
        self._history: list[HistoryEntry] = []
        self._refreshed_at = 0.0
        self._refresh_scheduled = False
        self._was_connected = False
        self._staleness_timer: Timer | None = None
        self._clock_timer: Timer | None = None
        self.first_frame = asyncio.Event()  # the first that shows a farm

    # --- what screens ask ---

    @property
    def ascii_only(self) -> bool:
        """Whether nothing outside ASCII may be drawn."""
        return self.display_options.ascii_only

    @property
    def now(self) -> float:
        """The time that ages and clocks are computed with; it stops while the link is lost."""
        if self.farm.connected or self.farm.last_heard_at is None:
            return self.source.now()
        return self.farm.last_heard_at

    @property
    def stale_s(self) -> float:
        """How old what is shown is."""
        return max(0.0, self.source.now() - self.now)

    @property
    def waiting_message(self) -> str:
        """What is said before a master was ever heard."""
        reason = f"\n{self.farm.lost_reason}" if self.farm.lost_reason else ""
        again = "It is tried again for ever; q leaves."
        return f"Waiting for a master at {self.source.address}.{reason}\n{again}"

    def glyph(self, name: str) -> str:
        """The sign of this name."""
        return glyphs.glyph(name, ascii_only=self.ascii_only)

    def keys_for(self, action: Action) -> str:
        """The keys of an action, with the operator's own changes."""
        return self.settings.keys.get(action.name, action.keys)

    def help_for(self, action: Action) -> str:
        """What an action does, in one sentence."""
        if action.name == "leave" and self.display_options.started_by_up:
            return "Leave the console; piw up then asks whether to stop the farm."
        return action.help

    @property
    def current_screen(self) -> FarmScreen:
        """The screen of the farm that is on top, under any dialog."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, FarmScreen):
                return screen
        raise RuntimeError("the console has no screen yet")

    def get_css_variables(self) -> dict[str, str]:
        """The theme's colours; those that depend on what is behind them are made whole.

        A line that is drawn from segments has nothing to blend a colour's alpha with.
        """
        variables = super().get_css_variables()
        theme = self.current_theme
        if not theme.ansi:
            back = Color.parse(variables["background"])
            fore = Color.parse(variables["foreground"])
            for name, share in _BLENDED_COLORS.items():
                variables[name] = back.blend(fore, share).hex
        return variables

    # --- its life ---

    def on_mount(self) -> None:
        """Dress up, and listen."""
        ScrollBar.renderer = WholeCellScrollBar
        for theme in THEMES:
            self.register_theme(theme)
        if self.display_options.theme in self.available_themes:
            self.theme = self.display_options.theme
        if self.display_options.low_bandwidth:
            self.animation_level = "none"
        self.set_class(self.ascii_only, "-ascii")
        self.set_keymap(self.settings.keys)
        self.push_screen(self._get_or_create_screen(SCREENS[0]))
        self.consume_events()

    @work(exclusive=True, group="source")
    async def consume_events(self) -> None:
        """Take in all that the source tells."""
        async with aclosing(self.source.events()) as events:
            async for event in events:
                self.handle_source_event(event)

    def handle_source_event(self, event: SourceEvent) -> None:
        """Take in one thing that the source tells."""
        self.farm.apply(event)
        match event:
            case Connected():
                self.set_class(False, "-stale")
                self._notify_reconnect(event)
            case Disconnected() if self.farm.has_snapshot:
                self.set_class(True, "-stale")
                self._update_staleness()
            case Disconnected() | MessageReceived():
                pass
            case _:
                return
        self.schedule_refresh()

    def _notify_reconnect(self, connected: Connected) -> None:
        if connected.same_master is None and not self._was_connected:
            self._was_connected = True
            return
        if connected.same_master:
            self.notify("The link is back; it is the same master.")
        elif connected.same_master is False:
            self.notify("A new master answers: the old one has ended.", severity="warning")
        else:
            self.notify("The link is back.")

    def _update_staleness(self) -> None:
        """While the link is lost, its age is told, in words that change rarely."""
        if self._staleness_timer is not None:
            self._staleness_timer.stop()
        self._staleness_timer = None
        if not self.farm.connected and self.is_running:
            self.current_screen.refresh_bars()
            self._staleness_timer = self.set_timer(_STALENESS_UPDATE_S, self._update_staleness)

    def schedule_refresh(self) -> None:
        """Show what is known: at once after a rest, else with the next frame."""
        if self._refresh_scheduled:
            return
        self._refresh_scheduled = True
        every_s = LOW_REFRESH_S if self.display_options.low_bandwidth else REFRESH_S
        rest_s = self._refreshed_at + every_s - time.monotonic()
        if rest_s > 0:
            self.set_timer(rest_s, self._refresh_screen)
        else:
            self.call_later(self._refresh_screen)

    def _refresh_screen(self) -> None:
        self._refresh_scheduled = False
        self._refreshed_at = time.monotonic()
        self._schedule_clock()
        screen = self.screen_stack[-1] if self.screen_stack else None  # none: it is closing
        # A table under a dialog stands still: less to send, and less to be confused by.
        if isinstance(screen, FarmScreen):
            screen.refresh_all()
            screen.refresh_bindings()
        if self.farm.has_snapshot:
            self.first_frame.set()

    def _schedule_clock(self) -> None:
        """Paint again when the clock of a running build is due, though nothing else happens."""
        if self._clock_timer is not None:
            self._clock_timer.stop()
            self._clock_timer = None
        running = [it for it in self.farm.builders.values() if it.view.build is not None]
        if not running or not self.farm.connected or not self.is_running:
            return
        newest_s = min(builder.phase_s(self.now) for builder in running)
        if newest_s >= _SECONDS_SHOWN_S:
            every_s = LONG_BUILD_CLOCK_S
        else:
            every_s = LOW_CLOCK_S if self.display_options.low_bandwidth else CLOCK_S
        self._clock_timer = self.set_timer(every_s, self.schedule_refresh)

    # --- the way between screens ---

    def _get_or_create_screen(self, screen_name: str) -> FarmScreen:
        if not self.is_screen_installed(screen_name):
            self.install_screen(make_screen(screen_name), screen_name)
        screen = self.get_screen(screen_name)
        if not isinstance(screen, FarmScreen):
            raise TypeError(f"{screen_name} is no screen of the farm")
        return screen

    def navigate(
        self, screen_name: str, screen_filter: ScreenFilter = NO_FILTER, *, cursor: str = ""
    ) -> None:
        """Show a screen, for something or as it was left, with the cursor on a row."""
        here = self.current_screen
        if screen_name != here.screen_name or (
            screen_filter and screen_filter != here.screen_filter
        ):
            self._history.append(HistoryEntry(here.screen_name, here.screen_filter))
            del self._history[:-_HISTORY_LIMIT]
        self._show_entry(HistoryEntry(screen_name, screen_filter), cursor)

    def _show_entry(self, entry: HistoryEntry, cursor: str = "") -> None:
        screen = self._get_or_create_screen(entry.screen_name)
        screen.set_filter(entry.screen_filter)
        screen.pending_cursor = cursor
        if screen is self.current_screen:
            screen.on_shown()
        else:
            self.switch_screen(screen)

    def do_back(self) -> None:
        """Undo what narrows the screen; then back to where we came from."""
        if self.current_screen.clear_last_filter():
            return
        if self._history:
            self._show_entry(self._history.pop())

    # --- actions ---

    def is_available(self, action: Action) -> bool | None:
        """Whether it can be done now; None is not now, False is not here at all."""
        screen = self.current_screen
        if action.screens and screen.screen_name not in action.screens:
            return False
        if action.requires is Requirement.RECORDING:
            return self.replay is not None
        if (
            action.requires in SCREENS_WITH
            and screen.screen_name not in SCREENS_WITH[action.requires]
        ):
            return False
        if action.changes_farm and self.source.read_only:
            return None
        if action.requires in {Requirement.NOTHING, Requirement.TABLE}:
            return True
        return True if self._targets_of(action) else None

    def _targets_of(self, action: Action) -> tuple[ActionTarget, ...]:
        if action.requires is Requirement.NOTHING:
            return ()
        return tuple(
            it for it in self.current_screen.action_targets() if it.satisfies(action.requires)
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What textual asks before a key does anything."""
        if action != "perform":
            return True
        return self.is_available(ACTIONS_BY_NAME[str(parameters[0])])

    async def action_perform(self, name: str) -> None:
        """Do what a key, a click or the palette asks for."""
        action = ACTIONS_BY_NAME[name]
        if not self.is_available(action):
            self.notify(self.unavailable_reason(action), severity="warning")
        elif action.changes_farm:
            self.confirm_and_send(action)
        elif name in SCREENS:
            self._open_screen(name)
        else:
            doer = self.current_screen if hasattr(self.current_screen, f"do_{name}") else self
            getattr(doer, f"do_{name}")()

    def unavailable_reason(self, action: Action) -> str:
        """Why an action cannot be done now, in one line."""
        if action.changes_farm and self.source.read_only:
            return f"{action.label} changes the farm, and this console only reads."
        return f"{action.label} needs {action.requires or 'another screen'}."

    def _open_screen(self, screen_name: str) -> None:
        subject = next(iter(self.current_screen.action_targets()), None)
        scope = NO_FILTER
        if screen_name == "log" and subject and subject.build is not None:
            scope = log_filter(subject)
        if screen_name == "explain" and subject and subject.project:
            scope = ScreenFilter(
                project=subject.project, version=subject.version, target=subject.target
            )
        self.navigate(screen_name, scope)

    @work
    async def confirm_and_send(self, action: Action) -> None:
        """Ask where it has to be asked, and send the commands."""
        screen = self.current_screen
        subjects = self._targets_of(action)
        question = commands.confirmation_for(
            action,
            subjects,
            hidden_count=screen.hidden_mark_count() if subjects else 0,
            all_builders=frozenset(self.farm.builders),
        )
        answer: str | None = ""
        if question is not None:
            from piwheels.tui.screens.dialogs import ConfirmDialog  # noqa: PLC0415

            answer = await self.push_screen_wait(ConfirmDialog(question))
        if answer is None:
            return
        in_hand = {label: builder.view.build for label, builder in self.farm.builders.items()}
        still = commands.still_applicable(action, subjects, in_hand)
        if len(still) < len(subjects):
            self.notify(commands.skipped_message(subjects, still), severity="warning", markup=False)
        if subjects and not still:
            return
        screen.clear_marks()
        for body, what in commands.build_messages(action, still, answer):
            self.send(body, what)

    @work
    async def send(self, body: RequestBody, description: str) -> None:
        """Send a command; its fate is shown at every turn."""
        await self.source.command(
            body, description=description, on_update=self.handle_command_update
        )

    def handle_command_update(self, status: CommandStatus) -> None:
        """A command took a turn."""
        self.command_history.update(status)
        screen = self.current_screen
        screen.refresh_bars()
        if screen.screen_name == "commands":
            screen.refresh_content()

    def do_commands(self) -> None:
        """The commands that were given here."""
        self.navigate("commands")

    def do_palette(self) -> None:
        """Find an action by its name."""
        from piwheels.tui.screens.palette import make_palette  # noqa: PLC0415

        self.push_screen(make_palette())

    def do_help(self) -> None:
        """The keys of this screen."""
        from piwheels.tui.screens.help_screen import HelpScreen  # noqa: PLC0415

        self.push_screen(HelpScreen())

    def do_suspend(self) -> None:
        """To the shell, as other programs do."""
        if not job_control.can_suspend():
            self.notify("There is no shell to go to: this console was begun without one.")
            return
        with suppress(SuspendNotSupported), self.suspend():
            job_control.suspend_job()

    def do_redraw(self) -> None:
        """Send every cell again: another program has written to the terminal."""
        self.repaint()

    def action_help_quit(self) -> None:
        """Who presses ctrl+c wants to leave, or was in another program a moment ago."""
        leave = ACTIONS_BY_NAME["leave"]
        self.notify(f"{key_labels(self.keys_for(leave))[0]}: {self.help_for(leave)}", markup=False)

    def do_leave(self) -> None:
        """Leave the console."""
        self.exit()
