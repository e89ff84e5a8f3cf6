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

from piwheels.protocol.messages import Body
from piwheels.tui import glyphs, jobcontrol, orders
from piwheels.tui.actions import BY_NAME, NEEDS_AT, PLACES, Action, Needs, Subject, key_texts
from piwheels.tui.bindings import bindings_of
from piwheels.tui.choosing import Choosing
from piwheels.tui.fates import Fate, Fates
from piwheels.tui.playing import Playing
from piwheels.tui.screens import make
from piwheels.tui.screens.base import ANYTHING, FarmScreen, Scope, log_of
from piwheels.tui.settings import Settings
from piwheels.tui.source import Connected, Heard, Lost, Source, SourceEvent
from piwheels.tui.state import FarmState
from piwheels.tui.themes import THEMES, WholeCells

#: Between two frames of a farm that changes all the time.
REFRESH_S = 0.25
LOW_REFRESH_S = 2.0
#: How often clocks of running builds advance; the second is for slow links, the third for
#: builds that have run so long that their clocks show minutes.
CLOCK_S = 1.0
LOW_CLOCK_S = 5.0
LONG_CLOCK_S = 60.0
_SECONDS_SHOWN_S = 3600.0
#: How often it is looked whether a lost link's age is to be told in other words.
_STALE_S = 5.0
_LONGEST_WAY = 50
#: Texts between the fore- and the background, and how near they are to the former.
_WHOLE = {"text-muted": 0.65, "text-disabled": 0.4}


@dataclass(frozen=True, slots=True)
class Look:
    """How the console is drawn."""

    ascii_only: bool = False
    low_bandwidth: bool = False
    theme: str = "piwheels"
    no_color: bool = False
    run_by_up: bool = False  # started by `piw up`, which asks about the farm afterwards


@dataclass(frozen=True, slots=True)
class Visit:
    """Where we were: a screen, and what it was opened for."""

    place: str
    scope: Scope


class Console(Playing, Choosing):
    """`piw tui`."""

    TITLE = "piwheels"
    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (24, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of()]

    def __init__(
        self,
        source: Source,
        look: Look,
        *,
        settings: Settings = Settings(),  # noqa: B008 - it cannot be changed
        keep: Callable[[Settings], str] = lambda _: "",
    ) -> None:
        """keep: keeps settings for the next time, and says what went wrong, or ""."""
        # With NO_COLOR, textual's greys are colours too: only its native mode has none.
        super().__init__(settings, keep, ansi_color=True if look.no_color else None)
        self.source = source
        self.look = look
        self.farm = FarmState()
        self.fates = Fates()
        self._way: list[Visit] = []
        self._painted_at = 0.0
        self._waits = False
        self._met = False
        self._ageing: Timer | None = None
        self._clock: Timer | None = None
        self.first_frame = asyncio.Event()  # the first that shows a farm

    # --- what screens ask ---

    @property
    def ascii_only(self) -> bool:
        """Whether nothing outside ASCII may be drawn."""
        return self.look.ascii_only

    @property
    def now(self) -> float:
        """The time that ages and clocks are computed with; it stops while the link is lost."""
        if self.farm.connected or self.farm.heard is None:
            return self.source.now()
        return self.farm.heard

    @property
    def stale_s(self) -> float:
        """How old what is shown is."""
        return max(0.0, self.source.now() - self.now)

    @property
    def waiting_text(self) -> str:
        """What is said before a master was ever heard."""
        reason = f"\n{self.farm.lost_reason}" if self.farm.lost_reason else ""
        again = "It is tried again for ever; q leaves."
        return f"Waiting for a master at {self.source.address}.{reason}\n{again}"

    def glyph(self, name: str) -> str:
        """The sign of this name."""
        return glyphs.glyph(name, ascii_only=self.ascii_only)

    def keys_of(self, action: Action) -> str:
        """The keys of an action, with the operator's own changes."""
        return self.settings.keys.get(action.name, action.keys)

    def help_of(self, action: Action) -> str:
        """What an action does, in one sentence."""
        if action.name == "leave" and self.look.run_by_up:
            return "Leave the console; piw up then asks whether to stop the farm."
        return action.help

    @property
    def farm_screen(self) -> FarmScreen:
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
            for name, share in _WHOLE.items():
                variables[name] = back.blend(fore, share).hex
        return variables

    # --- its life ---

    def on_mount(self) -> None:
        """Dress up, and listen."""
        ScrollBar.renderer = WholeCells
        for theme in THEMES:
            self.register_theme(theme)
        if self.look.theme in self.available_themes:
            self.theme = self.look.theme
        if self.look.low_bandwidth:
            self.animation_level = "none"
        self.set_class(self.ascii_only, "-ascii")
        self.set_keymap(self.settings.keys)
        self.push_screen(self._screen_of(PLACES[0]))
        self.listen()

    @work(exclusive=True, group="source")
    async def listen(self) -> None:
        """Take in all that the source tells."""
        async with aclosing(self.source.events()) as events:
            async for event in events:
                self.take(event)

    def take(self, event: SourceEvent) -> None:
        """Take in one thing that the source tells."""
        self.farm.take(event)
        match event:
            case Connected():
                self.set_class(False, "-stale")
                self._greet(event)
            case Lost() if self.farm.known:
                self.set_class(True, "-stale")
                self._age()
            case Lost() | Heard():
                pass
            case _:
                return
        self.paint_soon()

    def _greet(self, connected: Connected) -> None:
        if connected.same_master is None and not self._met:
            self._met = True
            return
        if connected.same_master:
            self.notify("The link is back; it is the same master.")
        elif connected.same_master is False:
            self.notify("A new master answers: the old one has ended.", severity="warning")
        else:
            self.notify("The link is back.")

    def _age(self) -> None:
        """While the link is lost, its age is told, in words that change rarely."""
        if self._ageing is not None:
            self._ageing.stop()
        self._ageing = None
        if not self.farm.connected and self.is_running:
            self.farm_screen.paint_bars()
            self._ageing = self.set_timer(_STALE_S, self._age)

    def paint_soon(self) -> None:
        """Show what is known: at once after a rest, else with the next frame."""
        if self._waits:
            return
        self._waits = True
        every_s = LOW_REFRESH_S if self.look.low_bandwidth else REFRESH_S
        rest_s = self._painted_at + every_s - time.monotonic()
        if rest_s > 0:
            self.set_timer(rest_s, self._paint)
        else:
            self.call_later(self._paint)

    def _paint(self) -> None:
        self._waits = False
        self._painted_at = time.monotonic()
        self._schedule_clock()
        screen = self.screen_stack[-1] if self.screen_stack else None  # none: it is closing
        # A table under a dialog stands still: less to send, and less to be confused by.
        if isinstance(screen, FarmScreen):
            screen.refresh_all()
            screen.refresh_bindings()
        if self.farm.known:
            self.first_frame.set()

    def _schedule_clock(self) -> None:
        """Paint again when the clock of a running build is due, though nothing else happens."""
        if self._clock is not None:
            self._clock.stop()
            self._clock = None
        running = [it for it in self.farm.builders.values() if it.view.build is not None]
        if not running or not self.farm.connected or not self.is_running:
            return
        newest_s = min(builder.phase_s(self.now) for builder in running)
        if newest_s >= _SECONDS_SHOWN_S:
            every_s = LONG_CLOCK_S
        else:
            every_s = LOW_CLOCK_S if self.look.low_bandwidth else CLOCK_S
        self._clock = self.set_timer(every_s, self.paint_soon)

    # --- the way between screens ---

    def _screen_of(self, place: str) -> FarmScreen:
        if not self.is_screen_installed(place):
            self.install_screen(make(place), place)
        screen = self.get_screen(place)
        if not isinstance(screen, FarmScreen):
            raise TypeError(f"{place} is no screen of the farm")
        return screen

    def go(self, place: str, scope: Scope = ANYTHING, *, cursor: str = "") -> None:
        """Show a screen, for something or as it was left, with the cursor on a row."""
        here = self.farm_screen
        if place != here.place or (scope and scope != here.scope):
            self._way.append(Visit(here.place, here.scope))
            del self._way[:-_LONGEST_WAY]
        self._show(Visit(place, scope), cursor)

    def _show(self, visit: Visit, cursor: str = "") -> None:
        screen = self._screen_of(visit.place)
        screen.show_scope(visit.scope)
        screen.wanted_cursor = cursor
        if screen is self.farm_screen:
            screen.arrive()
        else:
            self.switch_screen(screen)

    def do_back(self) -> None:
        """Undo what narrows the screen; then back to where we came from."""
        if self.farm_screen.retreat():
            return
        if self._way:
            self._show(self._way.pop())

    # --- actions ---

    def able(self, action: Action) -> bool | None:
        """Whether it can be done now; None is not now, False is not here at all."""
        screen = self.farm_screen
        if action.screens and screen.place not in action.screens:
            return False
        if action.needs is Needs.RECORDING:
            return self.replay is not None
        if action.needs in NEEDS_AT and screen.place not in NEEDS_AT[action.needs]:
            return False
        if action.changes and self.source.read_only:
            return None
        if action.needs in {Needs.NOTHING, Needs.ROWS}:
            return True
        return True if self._subjects(action) else None

    def _subjects(self, action: Action) -> tuple[Subject, ...]:
        if action.needs is Needs.NOTHING:
            return ()
        return tuple(it for it in self.farm_screen.subjects() if it.satisfies(action.needs))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What textual asks before a key does anything."""
        if action != "perform":
            return True
        return self.able(BY_NAME[str(parameters[0])])

    async def action_perform(self, name: str) -> None:
        """Do what a key, a click or the palette asks for."""
        action = BY_NAME[name]
        if not self.able(action):
            self.notify(self.why_not(action), severity="warning")
        elif action.changes:
            self.order(action)
        elif name in PLACES:
            self._go_to(name)
        else:
            doer = self.farm_screen if hasattr(self.farm_screen, f"do_{name}") else self
            getattr(doer, f"do_{name}")()

    def why_not(self, action: Action) -> str:
        """Why an action cannot be done now, in one line."""
        if action.changes and self.source.read_only:
            return f"{action.label} changes the farm, and this console only reads."
        return f"{action.label} needs {action.needs or 'another screen'}."

    def _go_to(self, place: str) -> None:
        subject = next(iter(self.farm_screen.subjects()), None)
        scope = ANYTHING
        if place == "log" and subject and subject.build is not None:
            scope = log_of(subject)
        if place == "explain" and subject and subject.project:
            scope = Scope(project=subject.project, version=subject.version, target=subject.target)
        self.go(place, scope)

    @work
    async def order(self, action: Action) -> None:
        """Ask where it has to be asked, and send the commands."""
        screen = self.farm_screen
        subjects = self._subjects(action)
        question = orders.question(
            action,
            subjects,
            hidden=screen.hidden_marks() if subjects else 0,
            everyone=frozenset(self.farm.builders),
        )
        answer: str | None = ""
        if question is not None:
            from piwheels.tui.dialogs import ConfirmDialog  # noqa: PLC0415

            answer = await self.push_screen_wait(ConfirmDialog(question))
        if answer is None:
            return
        in_hand = {label: builder.view.build for label, builder in self.farm.builders.items()}
        still = orders.still_so(action, subjects, in_hand)
        if len(still) < len(subjects):
            self.notify(orders.told_too_late(subjects, still), severity="warning", markup=False)
        if subjects and not still:
            return
        screen.forget_marks()
        for body, what in orders.commands(action, still, answer):
            self.send(body, what)

    @work
    async def send(self, body: Body, what: str) -> None:
        """Send a command; its fate is shown at every turn."""
        await self.source.command(body, what=what, told=self.told)

    def told(self, fate: Fate) -> None:
        """A command took a turn."""
        self.fates.take(fate)
        screen = self.farm_screen
        screen.paint_bars()
        if screen.place == "fates":
            screen.paint()

    def do_fates(self) -> None:
        """The commands that were given here."""
        self.go("fates")

    def do_palette(self) -> None:
        """Find an action by its name."""
        from piwheels.tui.palette import palette  # noqa: PLC0415

        self.push_screen(palette())

    def do_help(self) -> None:
        """The keys of this screen."""
        from piwheels.tui.keyhelp import KeyHelp  # noqa: PLC0415

        self.push_screen(KeyHelp())

    def do_suspend(self) -> None:
        """To the shell, as other programs do."""
        if not jobcontrol.has_shell():
            self.notify("There is no shell to go to: this console was begun without one.")
            return
        with suppress(SuspendNotSupported), self.suspend():
            jobcontrol.stop()

    def do_redraw(self) -> None:
        """Send every cell again: another program has written to the terminal."""
        self.repaint()

    def action_help_quit(self) -> None:
        """Who presses ctrl+c wants to leave, or was in another program a moment ago."""
        leave = BY_NAME["leave"]
        self.notify(f"{key_texts(self.keys_of(leave))[0]}: {self.help_of(leave)}", markup=False)

    def do_leave(self) -> None:
        """Leave the console."""
        self.exit()
