"""The help: the keys of a screen, and what each does."""

from itertools import groupby
from textwrap import wrap
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from piwheels.tui.model.action_types import Action, Group
from piwheels.tui.model.actions import FIND, action_named, actions_of, all_actions
from piwheels.tui.model.key_names import key_label, key_labels
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.widgets.click_text import clickable, clickable_keys

_KEY_WIDTH = 6
_DIALOG_WIDTH = 76
_FRAME_WIDTH = 6  # border, padding and scrollbar
_FORMER_NAME_NOTE = "Builders were called slaves in piwheels' first generation."


class HelpScreen(ModalScreen[Action | None]):
    """All keys of a screen, grouped by subject. Returns the action that was clicked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "Close"),
    ]

    def __init__(self, console: ConsoleContext, screen_name: ScreenName) -> None:
        super().__init__()
        self._app_context = console
        self._screen_name = screen_name

    def compose(self) -> ComposeResult:
        """One page of text."""
        with Vertical(id="dialog", classes="-help"):
            yield Static(f"Keys of the {self._screen_name.capitalize()} screen", id="title")
            with VerticalScroll(id="keyhelp"):
                yield Static(self._content())
            yield Static(clickable_keys(self._footer()), id="keyhint")

    def on_mount(self) -> None:
        """Focus the page, so that it can be scrolled at once."""
        self.query_one("#keyhelp").focus()

    def _content(self) -> Content:
        console = self._app_context
        available = [
            action
            for action in actions_of(self._screen_name)
            if console.is_available(action) is not False
        ]
        groups, order = list(Group), all_actions()
        available.sort(
            key=lambda it: (groups.index(it.group), not console.keys_for(it), order.index(it))
        )
        parts = []
        for group, actions in groupby(available, key=lambda action: action.group):
            parts.append(Content.styled(f"{group.value}\n", "bold $text-accent"))
            parts += [self._line(action) for action in actions]
            parts.append(Content("\n"))
        parts.append(Content.styled(_FORMER_NAME_NOTE, "$text-muted"))
        return Content("").join(parts)

    def _finder_key(self) -> str:
        return key_label(self._app_context.keys_for(FIND))

    def _footer(self) -> list[tuple[str, str]]:
        """How to read on, and how to run what has no key of its own."""
        finder = self._finder_key()
        named = [(f"{finder} Type the action's name in the finder", "")] if finder else []
        return [("Arrows Scroll", ""), *named, ("Esc Close", "screen.dismiss")]

    def action_perform(self, name: str) -> None:
        """Do what a clicked line says."""
        self.dismiss(action_named(name))

    def on_click(self, event: events.Click) -> None:
        """Close it by a click beside it."""
        if self.get_widget_at(*event.screen_offset)[0] is self:
            self.dismiss(None)

    def _line(self, action: Action) -> Content:
        console = self._app_context
        labels = key_labels(console.keys_for(action)) or [self._finder_key()]
        keys = f"{' '.join(labels):<{_KEY_WIDTH}} "
        unavailable = console.is_available(action) is None
        style = "$text-muted" if unavailable else ""
        text = f"{console.help_for(action)}{' (not now)' if unavailable else ''}"
        width = min(_DIALOG_WIDTH, console.size.width) - _FRAME_WIDTH - len(keys)
        lines = f"\n{' ' * len(keys)}".join(wrap(text, max(10, width)))
        line = Content.assemble((keys, style or "bold"), (lines, style))
        if not unavailable:
            line = clickable(line, f"screen.perform({str(action.name)!r})")
        return line + Content("\n")
