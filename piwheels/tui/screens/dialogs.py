"""What is asked before a command goes out, or for a word: dialogs over the screen at hand.

A dialog holds what it was opened on; the table below goes on moving and changes nothing in it.
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
    """Asks a Question. Gives the wish ("" where none was asked for), or None for no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, confirmation: Confirmation) -> None:
        super().__init__()
        self._confirmation = confirmation

    def compose(self) -> ComposeResult:
        """The question, its targets, what is lost, and two ways out."""
        asked = self._confirmation
        with Vertical(id="dialog"):
            yield Static(asked.title, id="title", markup=False)
            with VerticalScroll(id="targets", can_focus=len(asked.target_lines) > 4):
                yield Static("\n".join(asked.target_lines), markup=False)
            if asked.hidden_count:
                yield Static(_hidden_note(asked), id="hidden", markup=False)
            if asked.action.consequence:
                yield Static(asked.action.consequence, id="loses", markup=False)
            if asked.prompt:
                yield Static(f"{asked.prompt.label}:", markup=False)
                yield Input(asked.prompt.default, id="wish", compact=True)
            if asked.confirm_word:
                yield Static(f"Type {asked.confirm_word} to go on:", markup=False)
                yield Input(id="word", compact=True)
            yield Static("", id="objection", markup=False)
            with Horizontal(id="ways"):
                yield Button("Cancel", id=_CANCEL, compact=True)
                yield Button(asked.action.label, id=_CONFIRM, variant="error", compact=True)

    def on_mount(self) -> None:
        """A field has the focus, so that nothing typed is lost; without one, Cancel has it."""
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
        """No."""
        self.dismiss(None)

    def _validate(self) -> None:
        objection = self._validation_error()
        self.query_one(f"#{_CONFIRM}", Button).disabled = bool(objection)
        self.query_one("#objection", Static).update(objection)

    def _validation_error(self) -> str:
        asked = self._confirmation
        wrong = validation_error(asked.action, self._prompt_value())
        if wrong:
            return f"This needs {wrong}."
        if (
            asked.confirm_word
            and self.query_one("#word", Input).value.strip() != asked.confirm_word
        ):
            return f"{asked.action.label} waits for the word."
        return ""

    def _prompt_value(self) -> str:
        return self.query_one("#wish", Input).value if self._confirmation.prompt else ""


def _hidden_note(asked: Confirmation) -> str:
    if asked.hidden_count == 1:
        return "One of them is hidden by the filter."
    return f"{asked.hidden_count} of them are hidden by the filter."


class TextInputDialog(ModalScreen[str | None]):
    """Asks for one line of text; gives None when it was left."""

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
        """Leave it as it was."""
        self.dismiss(None)


class ChoiceDialog(ModalScreen[str | None]):
    """Asks for one of several words; gives None when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, label: str, choices: tuple[str, ...], chosen: str) -> None:
        super().__init__()
        self._label = label
        self._choices = choices
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """A label and a list."""
        with Vertical(id="dialog"):
            yield Static(self._label, id="title", markup=False)
            yield OptionList(*(Option(choice, id=choice) for choice in self._choices))

    def on_mount(self) -> None:
        """What is chosen now is under the cursor."""
        options = self.query_one(OptionList)
        if self._chosen in self._choices:
            options.highlighted = self._choices.index(self._chosen)
        options.focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_cancel(self) -> None:
        """Leave it as it was."""
        self.dismiss(None)


class KeyDialog(ModalScreen[str | None]):
    """Asks for a key by having it pressed; Escape leaves it as it was."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def compose(self) -> ComposeResult:
        """What is waited for."""
        with Vertical(id="dialog"):
            yield Static(f"Press the key that is to be {self._label}.", id="title", markup=False)
            yield Static("Esc leaves it as it is.", markup=False)

    def on_key(self, event: events.Key) -> None:
        """This is the key."""
        event.stop()
        self.dismiss(None if event.key == "escape" else event.key)
