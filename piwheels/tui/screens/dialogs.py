"""Dialogs: confirmation of an action, and input of a text, a choice or a key.

A dialog keeps the targets that it was opened with, whatever the table below does meanwhile.
"""

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from piwheels.tui.model.commands import Confirmation, validation_error

_CANCEL, _CONFIRM = "cancel", "go"


class ConfirmDialog(ModalScreen[str | None]):
    """Asks for confirmation. Returns the prompt's value ("" without a prompt), or None for no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, confirmation: Confirmation) -> None:
        super().__init__()
        self._confirmation = confirmation

    def compose(self) -> ComposeResult:
        """The question, its targets, the consequence, and two buttons."""
        confirmation = self._confirmation
        with Vertical(id="dialog"):
            yield Static(confirmation.title, id="title", markup=False)
            with VerticalScroll(id="targets", can_focus=len(confirmation.target_lines) > 4):
                yield Static("\n".join(confirmation.target_lines), markup=False)
            if confirmation.hidden_count:
                yield Static(_hidden_note(confirmation), id="hidden", markup=False)
            if confirmation.consequence:
                yield Static(confirmation.consequence, id="consequence", markup=False)
            if confirmation.prompt:
                yield Static(f"{confirmation.prompt.label}:", markup=False)
                yield Input(confirmation.prompt.default, id="prompt", compact=True)
            if confirmation.confirm_word:
                yield Static(
                    f"Type {confirmation.confirm_word} to confirm:",
                    markup=False,
                )
                yield Input(id="word", compact=True)
            yield Static("", id="error", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Cancel", id=_CANCEL, compact=True)
                yield Button(confirmation.action.label, id=_CONFIRM, variant="error", compact=True)

    def on_mount(self) -> None:
        """Focus the first field, so that nothing typed is lost; without one, Cancel."""
        field = next(iter(self.query(Input)), None)
        (field or self.query_one(f"#{_CANCEL}")).focus()
        self._validate()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._validate()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        if not self._validation_error():
            self.dismiss(self._prompt_value())

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(self._prompt_value() if event.button.id == _CONFIRM else None)

    def action_cancel(self) -> None:
        """Do nothing."""
        self.dismiss(None)

    def _validate(self) -> None:
        error = self._validation_error()
        self.query_one(f"#{_CONFIRM}", Button).disabled = bool(error)
        self.query_one("#error", Static).update(error)

    def _validation_error(self) -> str:
        confirmation = self._confirmation
        error = validation_error(confirmation.action, self._prompt_value())
        if error:
            return error
        if (
            confirmation.confirm_word
            and self.query_one("#word", Input).value.strip() != confirmation.confirm_word
        ):
            return f"Type the word to enable {confirmation.action.label}."
        return ""

    def _prompt_value(self) -> str:
        return self.query_one("#prompt", Input).value if self._confirmation.prompt else ""


def _hidden_note(confirmation: Confirmation) -> str:
    if confirmation.hidden_count == 1:
        return "1 of them is hidden by the filter."
    return f"{confirmation.hidden_count} of them are hidden by the filter."


class TextInputDialog(ModalScreen[str | None]):
    """Asks for one line of text; returns None when canceled."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, label: str, value: str = "") -> None:
        super().__init__()
        self._label = label
        self._value = value

    def compose(self) -> ComposeResult:
        """A label and a line."""
        with Vertical(id="dialog"):
            yield Static(self._label, id="title", markup=False)
            yield Input(self._value, id="line", compact=True)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


class ChoiceDialog(ModalScreen[str | None]):
    """Asks for one of several choices; returns None when canceled."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, label: str, choices: tuple[str, ...], current: str = "") -> None:
        super().__init__()
        self._label = label
        self._choices = choices
        self._current = current

    def compose(self) -> ComposeResult:
        """A label and a list."""
        with Vertical(id="dialog"):
            yield Static(self._label, id="title", markup=False)
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

    def action_cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


class KeyDialog(ModalScreen[str | None]):
    """Asks for a key by having it pressed; Escape changes nothing."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def compose(self) -> ComposeResult:
        """What to press."""
        with Vertical(id="dialog"):
            yield Static(f"Press the new key of {self._label}.", id="title", markup=False)
            yield Static("Esc cancels.", markup=False)

    def on_key(self, event: events.Key) -> None:
        """Return the key."""
        event.stop()
        self.dismiss(None if event.key == "escape" else event.key)
