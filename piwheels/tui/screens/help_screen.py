"""The keys of the screen at hand, and what each does."""

from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from piwheels.tui.model.actions import ACTIONS, Action, Group, actions_of, key_labels

if TYPE_CHECKING:
    from piwheels.tui.app import Console

_KEY_WIDTH = 6
_DIALOG_WIDTH = 76
_FRAME_WIDTH = 6  # border, padding and scrollbar
_FORMER_NAME_NOTE = "Builders were called slaves in piwheels' first generation."


class HelpScreen(ModalScreen[None]):
    """All keys of a screen, by what they are about."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "Close"),
    ]

    def compose(self) -> ComposeResult:
        """One page of text."""
        console = cast("Console", self.app)
        with Vertical(id="dialog"):
            yield Static(f"Keys of {console.current_screen.screen_name}", id="title")
            with VerticalScroll(id="keyhelp"):
                yield Static(_content(console), markup=False)

    def on_mount(self) -> None:
        """The page can be scrolled at once."""
        self.query_one("#keyhelp").focus()


def _content(console: "Console") -> Content:
    here = sorted(
        (
            action
            for action in actions_of(console.current_screen.screen_name)
            if console.is_available(action) is not False
        ),
        key=lambda action: (tuple(Group).index(action.group), ACTIONS.index(action)),
    )
    parts = []
    for group, actions in groupby(here, key=lambda action: action.group):
        parts.append(Content.styled(f"{group.value}\n", "bold $text-accent"))
        parts += [_line(console, action) for action in actions]
        parts.append(Content("\n"))
    parts.append(Content.styled(_FORMER_NAME_NOTE, "$text-muted"))
    return Content("").join(parts)


def _line(console: "Console", action: Action) -> Content:
    keys = f"{' '.join(key_labels(console.keys_for(action))):<{_KEY_WIDTH}} "
    dead = console.is_available(action) is None
    style = "$text-muted" if dead else ""
    note = " (not now)" if dead else ""
    width = min(_DIALOG_WIDTH, console.size.width) - _FRAME_WIDTH - len(keys)
    lines = f"\n{' ' * len(keys)}".join(wrap(f"{console.help_for(action)}{note}", max(10, width)))
    return Content.assemble((keys, style or "bold"), (f"{lines}\n", style))
