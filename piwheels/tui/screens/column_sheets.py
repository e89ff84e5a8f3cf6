"""Sheets over a table: the column to sort by, and the columns to show in their order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from piwheels.tui.model.tables.table_model import Column
from piwheels.tui.model.tables.table_view import TableView
from piwheels.tui.screens.dialogs import CANCEL, SheetScreen
from piwheels.tui.widgets.click_text import clickable_keys

#: The id of the usual order: an option has one.
USUAL_ORDER = "-"


class SortSheet(SheetScreen):
    """Returns the key of the column to sort by, or USUAL_ORDER; None changes nothing."""

    def __init__(self, columns: Sequence[Column], view: TableView, usual: str) -> None:
        super().__init__("Sort by")
        self._columns = columns
        self._view = view
        self._usual = f"the usual order{f': {usual}' if usual else ''}"

    def compose_sheet(self) -> Iterator[Widget]:
        """The columns."""
        options = [Option(self._usual, id=USUAL_ORDER)]
        options += [Option(self._label(column), id=column.key) for column in self._columns]
        yield OptionList(*options, markup=False)
        keys = (("Enter Sort, once more: reverse", ""), CANCEL)
        yield Static(clickable_keys(keys), id="sheet-keys")

    def _label(self, column: Column) -> str:
        if column.key != self._view.sort:
            return column.title
        return f"{column.title} ({'largest' if self._view.reverse else 'smallest'} first)"

    def on_mount(self) -> None:
        """Highlight what the table is sorted by."""
        options = self.query_one(OptionList)
        options.highlighted = options.get_option_index(self._view.sort or USUAL_ORDER)
        options.focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)


class _ColumnList(OptionList):
    """A click shows or hides a column; Enter accepts them all."""

    @dataclass
    class Clicked(Message):
        """A column was clicked."""

        place: int

    def on_click(self, event: events.Click) -> None:
        """Select nothing."""
        event.prevent_default()
        place = event.style.meta.get("option")
        if place is not None:
            self.post_message(self.Clicked(place))


class ColumnsSheet(SheetScreen):
    """Returns the keys of the columns to show, with commas; "" for the usual ones."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "show_or_hide", show=False),
        Binding("left", "shift(-1)", show=False),
        Binding("right", "shift(1)", show=False),
        Binding("u", "usual", show=False),
    ]

    def __init__(self, columns: Sequence[Column], chosen: Sequence[str]) -> None:
        super().__init__("Columns")
        self._titles = {column.key: column.title for column in columns}
        self._order = [*chosen, *(key for key in self._titles if key not in chosen)]
        self._shown = set(chosen)

    def compose_sheet(self) -> Iterator[Widget]:
        """The columns, and how to choose among them."""
        yield _ColumnList(markup=False)
        keys = (
            ("Space Show or hide", "screen.show_or_hide"),
            ("←", "screen.shift(-1)"),
            ("→ Move", "screen.shift(1)"),
            ("Enter Accept", "screen.accept"),
            ("u Usual", "screen.usual"),
            CANCEL,
        )
        yield Static(clickable_keys(keys), id="sheet-keys")

    def on_mount(self) -> None:
        """List the columns."""
        self._refresh(0)
        self.query_one(OptionList).focus()

    def _refresh(self, highlighted: int) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(
            Option(f"{'+' if key in self._shown else '-'} {self._titles[key]}", id=key)
            for key in self._order
        )
        options.highlighted = highlighted

    @property
    def _place(self) -> int:
        return self.query_one(OptionList).highlighted or 0

    def action_show_or_hide(self) -> None:
        """Show or hide the highlighted column; the last one stays."""
        key = self._order[self._place]
        if self._shown != {key}:
            self._shown ^= {key}
            self._refresh(self._place)

    def action_shift(self, by: int) -> None:
        """Move the highlighted column to the left or to the right."""
        place = self._place
        there = place + by
        if 0 <= there < len(self._order):
            order = self._order
            order[place], order[there] = order[there], order[place]
            self._refresh(there)

    def action_usual(self) -> None:
        """Show the usual columns."""
        self.dismiss("")

    @on(_ColumnList.Clicked)
    def _clicked(self, event: _ColumnList.Clicked) -> None:
        self.query_one(OptionList).highlighted = event.place
        self.action_show_or_hide()

    @on(OptionList.OptionSelected)
    def action_accept(self) -> None:
        """Show these columns."""
        self.dismiss(",".join(key for key in self._order if key in self._shown))
