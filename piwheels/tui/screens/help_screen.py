"""The help: the keys of a screen, and what each does."""

from itertools import groupby
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from piwheels.tui.model.action_types import Action, Group
from piwheels.tui.model.actions import FIND, actions_of, all_actions
from piwheels.tui.model.key_names import key_label, key_labels
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.context import ConsoleContext

_KEY_WIDTH = 6
_DIALOG_WIDTH = 76
_FRAME_WIDTH = 6  # border, padding and scrollbar
_FORMER_NAME_NOTE = "Builders were called slaves in piwheels' first generation."


class HelpScreen(ModalScreen[None]):
    """All keys of a screen, grouped by subject."""

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
                yield Static(self._content(), markup=False)
            yield Static(self._footer(), id="keyhint", markup=False)

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

    def _footer(self) -> str:
        """How to read on, and how to run what has no key of its own."""
        finder = self._finder_key()
        without_key = f"  {finder} Type the action's name in the finder" if finder else ""
        return f"Arrows Scroll{without_key}  Esc Close"

    def _line(self, action: Action) -> Content:
        console = self._app_context
        labels = key_labels(console.keys_for(action)) or [self._finder_key()]
        keys = f"{' '.join(labels):<{_KEY_WIDTH}} "
        unavailable = console.is_available(action) is None
        style = "$text-muted" if unavailable else ""
        text = f"{console.help_for(action)}{' (not now)' if unavailable else ''}"
        width = min(_DIALOG_WIDTH, console.size.width) - _FRAME_WIDTH - len(keys)
        lines = f"\n{' ' * len(keys)}".join(wrap(text, max(10, width)))
        return Content.assemble((keys, style or "bold"), (f"{lines}\n", style))
