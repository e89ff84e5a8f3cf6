"""The sheet of what can be copied from a row or a page."""

from collections.abc import Iterator, Sequence

from textual import events, on
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from piwheels.tui.model.copying import Copyable
from piwheels.tui.model.key_names import key_label
from piwheels.tui.screens.dialogs import CANCEL, SheetScreen
from piwheels.tui.widgets.click_text import clickable_keys

_LABEL_CELLS = 14


class CopySheet(SheetScreen):
    """Returns the place of what was chosen; the key that opened the sheet chooses the first."""

    def __init__(self, found: Sequence[Copyable], keys: str, highlighted: int = 0) -> None:
        super().__init__("Copy")
        self._found = found
        self._keys = keys
        self._highlighted = highlighted

    def compose_sheet(self) -> Iterator[Widget]:
        """A line for each, with the beginning of its text."""
        options = (Option(_line(it), id=str(place)) for place, it in enumerate(self._found))
        yield OptionList(*options, markup=False, id="copyable")
        first = f"{key_label(self._keys)} {self._found[0].label.capitalize()}"
        keys = (("Enter Copy", "screen.copy"), (first, "screen.copy_first"), CANCEL)
        yield Static(clickable_keys(keys), id="sheet-keys")

    def on_mount(self) -> None:
        """Highlight the first, or what was pointed at."""
        options = self.query_one(OptionList)
        options.highlighted = self._highlighted
        self.set_focus(options)

    def on_key(self, event: events.Key) -> None:
        """The same key twice copies the first."""
        if event.key in self._keys.split(","):
            event.stop()
            self.dismiss("0")

    def action_copy(self) -> None:
        """Copy what is highlighted."""
        self.query_one(OptionList).action_select()

    def action_copy_first(self) -> None:
        """Copy the first."""
        self.dismiss("0")

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)


def _line(found: Copyable) -> str:
    text = found.text.replace("\n", " ").replace("\t", "  ")
    return f"{found.label:<{_LABEL_CELLS}} {text}"
