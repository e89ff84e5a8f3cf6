"""What every screen of the console has: the farm's state above, commands and keys below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from piwheels.tui.bindings import bindings_for
from piwheels.tui.model.actions import ActionTarget
from piwheels.tui.screens import status_bars
from piwheels.tui.widgets.bar import Bar

if TYPE_CHECKING:
    from piwheels.tui.app import Console


@dataclass(frozen=True, slots=True)
class ScreenFilter:
    """What a screen was opened for; "" and None leave it open."""

    target: str = ""
    build: int | None = None
    project: str = ""
    version: str = ""
    title: str = ""

    def __bool__(self) -> bool:
        return bool(self.target or self.project or self.build is not None)


def log_filter(target: ActionTarget) -> ScreenFilter:
    """The log of a row's build, and of what it is where the console does not know the build."""
    return ScreenFilter(
        build=target.build,
        project=target.project,
        version=target.version,
        target=target.target,
    )


#: For a screen that is opened as it was left.
NO_FILTER = ScreenFilter()


class FarmScreen(Screen[None]):
    """A screen of the farm: `paint` shows what is known by now, and is called on every change."""

    #: The screen's name, as in actions.PLACES.
    screen_name: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init_subclass__(cls, **_: object) -> None:
        """A screen's own keys come from the list of all actions."""
        cls.BINDINGS = [*cls.BINDINGS, *bindings_for(cls.screen_name)]
        super().__init_subclass__()

    def __init__(self) -> None:
        super().__init__()
        self.screen_filter = NO_FILTER
        self.pending_cursor = ""  # the row to go to with the next frame

    @property
    def console(self) -> "Console":
        """The app, as what it is."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """The bars, and the screen's own between them."""
        ascii_only = self.console.ascii_only
        yield Bar(id="head", ascii_only=ascii_only)
        yield Bar(id="places", ascii_only=ascii_only)
        yield from self.compose_body()
        yield Bar(id="fate", ascii_only=ascii_only)
        yield Bar(id="keys", ascii_only=ascii_only)

    def compose_body(self) -> Sequence[Widget]:
        """The widgets of this screen."""
        raise NotImplementedError

    def refresh_content(self) -> None:
        """Show what is known now."""
        raise NotImplementedError

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """What an action would be done to: the marked rows, else the row at hand."""
        return ()

    def hidden_mark_count(self) -> int:
        """How many of the subjects are not shown."""
        return 0

    def clear_marks(self) -> None:
        """What was marked has been dealt with."""

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Show what is asked for."""
        self.screen_filter = screen_filter

    def clear_last_filter(self) -> bool:
        """Undo the last thing that narrows this screen; False when there is none."""
        return False

    def refresh_bars(self) -> None:
        """Show the farm's state, where we are, the last command, and the keys."""
        console = self.console
        self.query_one("#head", Bar).show(*status_bars.header(console))
        self.query_one("#places", Bar).show(
            status_bars.screen_tabs(self.screen_name, console.size.width)
        )
        fate, said = self.query_one("#fate", Bar), status_bars.last_command(console)
        fate.display = bool(said)
        fate.show(said)
        self.query_one("#keys", Bar).show(status_bars.key_hints(console, self.screen_name))

    def on_mount(self) -> None:
        """Show something at once."""
        self.refresh_all()

    def on_screen_resume(self) -> None:
        """What happened meanwhile is shown."""
        self.on_shown()

    def on_shown(self) -> None:
        """The screen is shown, or shown for something else."""
        self.refresh_all()

    def refresh_all(self) -> None:
        """Everything of this screen, as it is now."""
        if self.is_mounted:
            self.refresh_content()
            self.refresh_bars()

    @on(Bar.Clicked)
    async def _clicked(self, event: Bar.Clicked) -> None:
        event.stop()
        await self.console.action_perform(event.action)
