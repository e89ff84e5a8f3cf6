"""What every screen of the console has: the farm's state above, commands and keys below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from piwheels.tui import bars
from piwheels.tui.actions import Subject
from piwheels.tui.bindings import bindings_of
from piwheels.tui.widgets.bar import Bar

if TYPE_CHECKING:
    from piwheels.tui.app import Console


@dataclass(frozen=True, slots=True)
class Scope:
    """What a screen was opened for; "" and None leave it open."""

    target: str = ""
    build: int | None = None
    project: str = ""
    version: str = ""
    title: str = ""

    def __bool__(self) -> bool:
        return bool(self.target or self.project or self.build is not None)


def log_of(subject: Subject) -> Scope:
    """The log of a row's build, and of what it is where the console does not know the build."""
    return Scope(
        build=subject.build,
        project=subject.project,
        version=subject.version,
        target=subject.target,
    )


#: For a screen that is opened as it was left.
ANYTHING = Scope()


class FarmScreen(Screen[None]):
    """A screen of the farm: `paint` shows what is known by now, and is called on every change."""

    #: The screen's name, as in actions.PLACES.
    place: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init_subclass__(cls, **_: object) -> None:
        """A screen's own keys come from the list of all actions."""
        cls.BINDINGS = [*cls.BINDINGS, *bindings_of(cls.place)]
        super().__init_subclass__()

    def __init__(self) -> None:
        super().__init__()
        self.scope = ANYTHING
        self.wanted_cursor = ""  # the row to go to with the next frame

    @property
    def console(self) -> "Console":
        """The app, as what it is."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """The bars, and the screen's own between them."""
        ascii_only = self.console.ascii_only
        yield Bar(id="head", ascii_only=ascii_only)
        yield Bar(id="places", ascii_only=ascii_only)
        yield from self.body()
        yield Bar(id="fate", ascii_only=ascii_only)
        yield Bar(id="keys", ascii_only=ascii_only)

    def body(self) -> Sequence[Widget]:
        """The widgets of this screen."""
        raise NotImplementedError

    def paint(self) -> None:
        """Show what is known now."""
        raise NotImplementedError

    def subjects(self) -> tuple[Subject, ...]:
        """What an action would be done to: the marked rows, else the row at hand."""
        return ()

    def hidden_marks(self) -> int:
        """How many of the subjects are not shown."""
        return 0

    def forget_marks(self) -> None:
        """What was marked has been dealt with."""

    def show_scope(self, scope: Scope) -> None:
        """Show what is asked for."""
        self.scope = scope

    def retreat(self) -> bool:
        """Undo the last thing that narrows this screen; False when there is none."""
        return False

    def paint_bars(self) -> None:
        """Show the farm's state, where we are, the last command, and the keys."""
        console = self.console
        self.query_one("#head", Bar).show(*bars.head(console))
        self.query_one("#places", Bar).show(bars.places(self.place, console.size.width))
        fate, said = self.query_one("#fate", Bar), bars.last_fate(console)
        fate.display = bool(said)
        fate.show(said)
        self.query_one("#keys", Bar).show(bars.keys(console, self.place))

    def on_mount(self) -> None:
        """Show something at once."""
        self.refresh_all()

    def on_screen_resume(self) -> None:
        """What happened meanwhile is shown."""
        self.arrive()

    def arrive(self) -> None:
        """The screen is shown, or shown for something else."""
        self.refresh_all()

    def refresh_all(self) -> None:
        """Everything of this screen, as it is now."""
        if self.is_mounted:
            self.paint()
            self.paint_bars()

    @on(Bar.Clicked)
    async def _clicked(self, event: Bar.Clicked) -> None:
        event.stop()
        await self.console.action_perform(event.action)
