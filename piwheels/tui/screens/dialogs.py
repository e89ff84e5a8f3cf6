"""Sheets: confirmation of an action, and input of a text, a choice or a key.

A sheet covers the bottom rows. It keeps the targets that it was opened with, whatever the table
above it does meanwhile.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from piwheels.tui.model.commands import Confirmation, validation_error
from piwheels.tui.widgets.click_text import clickable_keys

_CANCEL, _CONFIRM = "cancel", "go"
#: Keys of sheets, and what a click on them does.
CANCEL = ("Esc Cancel", "screen.cancel")
_ACCEPT = ("Enter Accept", "screen.accept")


class SheetScreen(ModalScreen[str | None]):
    """A sheet with a title; Esc, or a click beside it, closes it and returns None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title_text = title

    def compose(self) -> ComposeResult:
        """The sheet, and what is in it."""
        with Vertical(id="sheet") as sheet:
            sheet.border_title = f" {self._title_text} ".replace("[", r"\[")
            yield from self.compose_sheet()

    def compose_sheet(self) -> Iterator[Widget]:
        """What is in the sheet."""
        raise NotImplementedError

    def action_cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        """Cancel by a click beside the sheet."""
        if self.get_widget_at(*event.screen_offset)[0] is self:
            self.action_cancel()


class ConfirmDialog(SheetScreen):
    """Asks for confirmation. Returns the prompt's value ("" without a prompt), or None for no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
    ]

    def __init__(
        self, confirmation: Confirmation, make_room: Callable[[int], None] = lambda _: None
    ) -> None:
        """make_room: shows the targets above a line of the terminal, where the sheet begins."""
        super().__init__(confirmation.title)
        self._confirmation = confirmation
        self._make_room = make_room

    def compose_sheet(self) -> Iterator[Widget]:
        """The targets, the consequence, a line to type into, and two buttons."""
        confirmation = self._confirmation
        if lines := confirmation.target_lines:
            text = Static("\n".join(lines), markup=False)
            yield VerticalScroll(text, id="targets", can_focus=False)
        if confirmation.hidden_count:
            yield Static(_hidden_note(confirmation), id="hidden", markup=False)
        if confirmation.consequence:
            yield Static(confirmation.consequence, id="consequence", markup=False)
        if note := confirmation.note:
            yield Static(note, id="note", markup=False)
        yield from self._answer_lines()
        yield Static("", id="error", markup=False)
        yield Horizontal(
            Button("Cancel", id=_CANCEL, compact=True),
            Button(confirmation.action.label, id=_CONFIRM, variant="error", compact=True),
            id="buttons",
        )
        yield Static("", id="sheet-keys", markup=False)

    def _answer_lines(self) -> Iterator[Widget]:
        confirmation = self._confirmation
        if confirmation.prompt:
            yield Static(f"{confirmation.prompt.label}:", markup=False)
            yield Input(confirmation.prompt.default, id="prompt", compact=True)
        if confirmation.confirm_word:
            label = Static(f"Type {confirmation.confirm_word} and press Enter:", markup=False)
            yield Horizontal(label, Input(id="word", compact=True), id="answer")

    def _keys_text(self) -> str:
        """What the keys do now: Enter depends on what has the focus."""
        more = "  PgDn More names" if len(self._confirmation.target_lines) > 3 else ""
        if self.focused is self.query_one(f"#{_CANCEL}"):
            return f"Enter Cancel, nothing is sent  Tab Next field{more}  Esc Cancel"
        enter = "Nothing yet" if self._validation_error() else "Send"
        return f"Enter {enter}  Tab Next field{more}  Esc Cancel, sends nothing"

    def on_mount(self) -> None:
        """Focus the first field, so that nothing typed is lost; without one, Cancel."""
        field = next(iter(self.query(Input)), None)
        (field or self.query_one(f"#{_CANCEL}")).focus()
        self._validate()
        self.call_after_refresh(self._show_targets)

    def _show_targets(self) -> None:
        if self.is_mounted:
            self._make_room(self.query_one("#sheet").region.y)

    def action_page(self, pages: int) -> None:
        """Show more of the targets."""
        for targets in self.query("#targets"):
            targets.scroll_relative(y=pages * max(1, targets.size.height), animate=False)

    @on(Input.Changed)
    def _typed(self) -> None:
        self._validate()

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        self._show_keys()

    def _show_keys(self) -> None:
        self.query_one("#sheet-keys", Static).update(self._keys_text())

    @on(Input.Submitted)
    def _submitted(self) -> None:
        if not self._validation_error():
            self.dismiss(self._prompt_value())

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(self._prompt_value() if event.button.id == _CONFIRM else None)

    def _validate(self) -> None:
        error = self._validation_error()
        self.query_one(f"#{_CONFIRM}", Button).disabled = bool(error)
        self.query_one("#error", Static).update(error)
        self._show_keys()

    def _validation_error(self) -> str:
        confirmation = self._confirmation
        error = validation_error(confirmation.prompt, self._prompt_value())
        if error:
            return error
        word = confirmation.confirm_word
        if word and self.query_one("#word", Input).value.strip() != word:
            return "Enter does nothing until the word is whole."
        return ""

    def _prompt_value(self) -> str:
        return self.query_one("#prompt", Input).value if self._confirmation.prompt else ""


def _hidden_note(confirmation: Confirmation) -> str:
    if confirmation.hidden_count == 1:
        return "1 of them is hidden by the filter."
    return f"{confirmation.hidden_count} of them are hidden by the filter."


class TextInputDialog(SheetScreen):
    """Asks for one line of text; returns None when canceled."""

    def __init__(self, label: str, value: str = "") -> None:
        super().__init__(label)
        self._value = value

    def compose_sheet(self) -> Iterator[Widget]:
        """A line."""
        yield Input(self._value, id="line", compact=True)
        yield Static(clickable_keys((_ACCEPT, CANCEL)), id="sheet-keys")

    @on(Input.Submitted)
    def action_accept(self) -> None:
        """Return the line."""
        self.dismiss(self.query_one(Input).value)


class ChoiceDialog(SheetScreen):
    """Asks for one of several choices; returns None when canceled."""

    def __init__(self, label: str, choices: tuple[str, ...], current: str = "") -> None:
        super().__init__(label)
        self._choices = choices
        self._current = current

    def compose_sheet(self) -> Iterator[Widget]:
        """A list."""
        yield OptionList(*(Option(choice, id=choice) for choice in self._choices))

    def on_mount(self) -> None:
        """Highlight the current choice."""
        options = self.query_one(OptionList)
        if self._current in self._choices:
            options.highlighted = self._choices.index(self._current)
        options.focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)


class KeyDialog(SheetScreen):
    """Asks for a key by having it pressed; Escape changes nothing."""

    def __init__(self, label: str) -> None:
        super().__init__(f"Press the new key of {label}.")

    def compose_sheet(self) -> Iterator[Widget]:
        """What to press."""
        yield Static("Esc cancels.", markup=False)

    def on_key(self, event: events.Key) -> None:
        """Return the key."""
        event.stop()
        self.dismiss(None if event.key == "escape" else event.key)
