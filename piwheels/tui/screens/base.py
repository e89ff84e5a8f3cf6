"""What every screen of the console has: bars above and below, a filter, and action handlers."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from piwheels.model import Alert
from piwheels.tui.model import actions
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.alerts import (
    Place,
    active_alerts,
    alert_line,
    alert_page,
    alert_place,
    alerts_at,
    next_alert,
    without_page_text,
)
from piwheels.tui.model.copying import Copyable, copyable_installs, copyable_names
from piwheels.tui.model.navigation import NO_FILTER, ScreenFilter, ScreenName
from piwheels.tui.screens import status_bars
from piwheels.tui.screens.bindings import bindings_for
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.copy_sheet import CopySheet
from piwheels.tui.screens.message_row import MessageRow
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.mouse_buttons import RIGHT_BUTTON

#: Does an action; what it returns does not count (a worker of Textual, say).
Handler = Callable[[], object]


class FarmScreen(Screen[None]):
    """A screen of the farm. `refresh_content` shows the current state; every change calls it."""

    screen_name: ClassVar[ScreenName]
    #: Whether the row of messages is there without any.
    KEEPS_MESSAGE_ROW: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init_subclass__(cls, **_: object) -> None:
        """A screen's own keys come from the list of all actions."""
        if hasattr(cls, "screen_name"):
            cls.BINDINGS = [*cls.BINDINGS, *bindings_for(cls.screen_name)]
        super().__init_subclass__()

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__()
        self.console = console
        self.screen_filter = NO_FILTER
        self.pending_cursor = ""  # the row to go to with the next frame

    def compose(self) -> ComposeResult:
        """The bars, and the screen's own widgets between them."""
        ascii_only = self.console.ascii_only
        yield Bar(id="header", ascii_only=ascii_only)
        yield Bar(id="tabs", ascii_only=ascii_only)
        yield from self.compose_body()
        yield MessageRow(ascii_only=ascii_only)
        yield Bar(id="keys", ascii_only=ascii_only)

    def compose_body(self) -> Sequence[Widget]:
        """The widgets of this screen."""
        raise NotImplementedError

    def refresh_content(self) -> None:
        """Show the current state."""
        raise NotImplementedError

    def handlers(self) -> Mapping[Action, Handler]:
        """What this screen's own actions do."""
        return {actions.NEXT_ALERT: self.go_to_next_alert}

    def go_to_next_alert(self) -> None:
        """Jump to the next alert, on whatever screen it is."""
        console, row = self.console, self.current_row()
        after = Place(self.screen_name, row) if row else None
        alert = next_alert(active_alerts(console.farm), after)
        if alert is None:
            self.notify("There are no alerts.")
            return
        screen, key = alert_place(alert)
        console.navigate(screen, cursor=key)
        self.app.notify(alert_line(alert), markup=False)  # Esc leaves the row

    def open_alert(self, alert: Alert) -> None:
        """Show the page of what an alert is about, or say that it has none."""
        page = alert_page(alert)
        if page is None:
            self.notify(without_page_text(alert), markup=False)
            return
        self.console.navigate(page.screen, page.screen_filter, cursor=page.row)

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """What an action applies to: the marked rows, else the row under the cursor."""
        return ()

    def alerts_here(self) -> list[Alert]:
        """The alerts of the row under the cursor, which can be acknowledged and muted."""
        return alerts_at(self.console.farm, Place(self.screen_name, self.current_row()))

    async def command_targets(self, targets: tuple[ActionTarget, ...]) -> tuple[ActionTarget, ...]:
        """What a command names for its targets; they are shown before it is sent.

        Raises:
            PiwheelsError: they are not known.
        """
        return targets

    def current_row(self) -> str:
        """The key of the row under the cursor; "" for none."""
        return ""

    def step_to_page(self, by: int, page: ScreenName) -> ScreenFilter | None:  # noqa: ARG002
        """Move the cursor by so many rows, to one with such a page; None: there is no such row."""
        return None

    def make_room(self, line: int | None) -> None:
        """Show the targets of actions above a line, where a sheet begins; None: it is gone."""

    def hidden_mark_count(self) -> int:
        """How many of the targets the filter hides."""
        return 0

    def clear_marks(self) -> None:
        """Unmark all rows."""

    def on_command_finished(self) -> None:
        """A command of this console has its result."""

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Show what the filter selects."""
        self.screen_filter = screen_filter

    def clear_last_filter(self) -> bool:
        """Undo the last thing that filters this screen; False when there is none."""
        return False

    def tab_words(self) -> Sequence[Word]:
        """What is shown at the right of the tabs."""
        return ()

    def key_words(self) -> list[Word]:
        """The row of keys."""
        return status_bars.key_row(self.console, self.screen_name)

    def place_words(self) -> list[Word]:
        """Where the operator is, for the row of messages while there is none."""
        return []

    def refresh_bars(self) -> None:
        """Show the farm's state, the tabs, messages, and the keys."""
        console = self.console
        self.query_one("#header", Bar).show(*status_bars.header(console))
        tabs = status_bars.screen_tabs(self.screen_name, console.size.width)
        self.query_one("#tabs", Bar).show(tabs, self.tab_words())
        message = self.query_one(MessageRow)
        shown = message.show(console, self.place_words()) or self.KEEPS_MESSAGE_ROW
        message.display = shown and not any(line.display for line in self.query(Input))
        self.query_one("#keys", Bar).show(self.key_words())

    def on_mount(self) -> None:
        """Show the current state at once."""
        self.refresh_all()

    def on_screen_resume(self) -> None:
        """Show what has changed meanwhile."""
        self.on_shown()

    def on_shown(self) -> None:
        """The screen is shown, or its filter has changed."""
        self.refresh_all()

    @property
    def has_widgets(self) -> bool:
        """Whether it can be refreshed: not while the app is closing and its widgets are gone."""
        return self.is_mounted and self.app.is_running

    def refresh_all(self) -> None:
        """Refresh the content and the bars."""
        if self.has_widgets:
            self.refresh_content()
            self.refresh_bars()

    # --- the clipboard ---

    def copyables(self) -> list[Copyable]:
        """What of the row under the cursor, or of the page, can be copied."""
        return copyable_names(next(iter(self.action_targets()), None))

    @work
    async def choose_what_to_copy(self, column: str = "") -> None:
        """Ask what to copy, with the cell of a column highlighted, and copy that (OSC 52)."""
        if isinstance(sheet := self.app.screen, CopySheet):  # the second of two fast keys
            sheet.call_later(sheet.action_copy_first)
            return
        status = self.console.farm.status
        target = next(iter(self.action_targets()), None)
        found = self.copyables()
        found += copyable_installs(status.index_url if status else "", target)
        if not found:
            self.notify("There is nothing to copy here.")
            return
        places = [place for place, it in enumerate(found) if column and it.key == column]
        keys = self.console.keys_for(actions.COPY)
        chosen = await self.app.push_screen_wait(CopySheet(found, keys, (*places, 0)[0]))
        if chosen is not None:
            self.app.copy_to_clipboard(found[int(chosen)].text)
            self.app.notify(found[int(chosen)].message, markup=False)

    def on_click(self, event: events.Click) -> None:
        """The right button asks what to copy."""
        if event.button == RIGHT_BUTTON:
            event.stop()
            self.choose_what_to_copy()

    @on(Bar.Clicked)
    def _clicked(self, event: Bar.Clicked) -> None:
        event.stop()
        self.console.perform(event.action)
