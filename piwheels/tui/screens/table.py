"""A screen that is one table: filter, sorting, marks, and jumps to the next alert."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from textual import on, work
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from piwheels.errors import PiwheelsError
from piwheels.formatting import format_count, pluralize
from piwheels.tui.atomic_file import write_new_file
from piwheels.tui.model import actions
from piwheels.tui.model.action_targets import page_filter_for
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.copying import Copyable, copyable_cells, copyable_rows
from piwheels.tui.model.detail_lines import DetailLine
from piwheels.tui.model.navigation import NO_FILTER, ScreenFilter, ScreenName
from piwheels.tui.model.table_export import rows_as_csv, rows_as_json
from piwheels.tui.model.tables.row_filter import row_filter
from piwheels.tui.model.tables.table_model import Column, Row, filter_and_sort
from piwheels.tui.model.tables.table_view import TableView
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.column_sheets import USUAL_ORDER, ColumnsSheet, SortSheet
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.dialogs import ChoiceDialog, TextInputDialog
from piwheels.tui.widgets.bar import Word
from piwheels.tui.widgets.detail_pane import DetailPane
from piwheels.tui.widgets.table import RowTable

_NARROW_WIDTH = 60
_MAX_GROWN_WIDTH = 28
#: From these widths on, details are beside the table, and beside it in a wider pane.
_DETAILS_WIDTH = 120
_WIDE_DETAILS_WIDTH = 200
#: Header, tabs, keys and the bar of the filter.
_BARS = 4


class TableScreen(FarmScreen):
    """A table of the farm; a subclass provides columns and rows."""

    COLUMNS: ClassVar[Sequence[Column]] = ()
    #: Widths of columns that can be narrower than their usual width.
    MIN_WIDTHS: ClassVar[dict[str, int]] = {}
    #: Least widths of columns where the screen is not narrow.
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {}
    #: Columns that grow with their content, up to _MAX_GROWN_WIDTH.
    AUTO_GROW: ClassVar[tuple[str, ...]] = ()
    #: The column that takes the remaining width.
    STRETCH: ClassVar[str] = ""
    #: What is shown when there are no rows.
    EMPTY_TEXT: ClassVar[str] = ""

    #: What the order without a sort column is by, in words.
    DEFAULT_ORDER: ClassVar[str] = ""
    #: Whether `details` has lines about a row.
    HAS_DETAILS: ClassVar[bool] = False

    AUTO_FOCUS = "RowTable"

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        kept = console.table_views.get(self.screen_name, TableView())
        self.view = kept.for_columns(self.COLUMNS)
        self._widths: dict[str, int] = {}
        self._wants_details: bool | None = None  # None: where there is room beside the table

    # --- provided by subclasses ---

    def all_rows(self) -> list[Row]:
        """All rows that the screen filter selects, in any order."""
        raise NotImplementedError

    def action_target(self, key: str) -> ActionTarget | None:
        """A row as actions see it; None when it no longer exists."""
        raise NotImplementedError

    def open_row(self, key: str) -> None:
        """Show the details of a row."""

    def details(self, key: str, width: int) -> Sequence[DetailLine]:
        """What is shown about a row, in lines of this width."""
        raise NotImplementedError

    def active_filters(self) -> list[Word]:
        """What else filters the rows, in words."""
        return (
            [Word(f"{self.screen_filter.title} only", "accent")] if self.screen_filter.title else []
        )

    # --- the screen ---

    def visible_rows(self, filter_text: str) -> list[Row]:
        """The rows that match the filter text, sorted."""
        return filter_and_sort(
            self.all_rows(),
            self.COLUMNS,
            sort=self.view.sort,
            reverse=self.view.reverse,
            keep=row_filter(filter_text, self.COLUMNS, self.console.settings.filters),
        )

    def change_view(self, **changes: Any) -> None:
        """Change how the table is arranged, and keep that."""
        self.view = msgspec.structs.replace(self.view, **changes)
        self.console.table_views[self.screen_name] = self.view

    @property
    def filter_text(self) -> str:
        """The filter as it was typed."""
        return self.view.filter

    @property
    def table(self) -> RowTable:
        """The table itself."""
        return self.query_one(RowTable)

    def compose_body(self) -> Sequence[Widget]:
        """The table, the filter bar, and the input of the filter."""
        ascii_only = self.console.ascii_only
        table = RowTable(
            (),
            ascii_only=ascii_only,
            can_mark=self.screen_name in actions.MARK.screens,
        )
        table.link_of = lambda key, column: self.console.web_links.of_cell(
            self.action_target(key), column
        )
        filter_line = Input(placeholder="words that rows contain", compact=True)
        pane = DetailPane(ascii_only=ascii_only)
        return (
            Horizontal(table, pane, id="split") if self.HAS_DETAILS else table,
            Static("", id="empty", markup=False),
            Horizontal(Static("Filter: ", markup=False), filter_line, id="filter"),
        )

    def _set_columns(self) -> None:
        """Show the chosen columns, as wide as they have to be."""
        places = self.view.chosen(self.COLUMNS)
        columns = [
            replace(column, width=self._width(column), stretch=column.key == self.STRETCH)
            for column in (self.COLUMNS[place] for place in places)
        ]
        self.table.set_columns(columns, places, by_priority=not self.view.columns)

    def _width(self, column: Column) -> int:
        minimum = self.MIN_WIDTHS.get(column.key, column.width)
        if self.console.size.width < _NARROW_WIDTH:
            return minimum
        return max(minimum, self.WIDE_WIDTHS.get(column.key, 0), self._widths.get(column.key, 0))

    def _grow_columns(self, shown: Sequence[Row]) -> None:
        """Widen columns for their content; they never shrink, so that columns do not jump."""
        grown = dict(self._widths)
        for place, column in enumerate(self.COLUMNS):
            if column.key in self.AUTO_GROW:
                needed = max((len(row.cells[place].shown) for row in shown), default=0)
                grown[column.key] = max(grown.get(column.key, 0), min(needed, _MAX_GROWN_WIDTH))
        if grown != self._widths:
            self._widths = grown
            self._set_columns()

    # --- the pane of details ---

    @property
    def _is_wide(self) -> bool:
        """Whether there is room for details beside the table."""
        return self.console.size.width >= _DETAILS_WIDTH

    @property
    def _shows_details(self) -> bool:
        wanted = self._is_wide if self._wants_details is None else self._wants_details
        return self.HAS_DETAILS and wanted and bool(self.table.rows)

    @property
    def details_height(self) -> int:
        """The lines of the pane, as far as they are known."""
        return self.query_one(DetailPane).size.height or self.console.size.height - _BARS

    def toggle_details(self) -> None:
        """Show the details of the row under the cursor, or hide them."""
        self._wants_details = not self._shows_details
        self.refresh_all()

    def refresh_details_pane(self) -> None:
        """Beside the table where there is room, else in its place."""
        if not self.HAS_DETAILS or not self.has_widgets:
            return
        shown, pane = self._shows_details, self.query_one(DetailPane)
        pane.display = shown
        self.table.display = self._is_wide or not shown
        is_very_wide = self.console.size.width >= _WIDE_DETAILS_WIDTH
        pane.styles.width = (80 if is_very_wide else 50) if self._is_wide else "1fr"
        if shown and (key := self.current_row()):
            pane.show_details(self.details(key, pane.line_width))

    def on_resize(self) -> None:
        """Lay out the columns for the new width."""
        self._set_columns()
        self.refresh_details_pane()
        self.refresh_bars()

    def refresh_content(self) -> None:
        """Show the current rows."""
        shown = self.visible_rows(self.filter_text)
        table = self.table
        if not table.columns:
            self._set_columns()
        self._grow_columns(shown)
        table.set_marks(key for key in table.marks if self.action_target(key))
        table.set_rows(shown)
        if self.pending_cursor and self._move_cursor_to(self.pending_cursor):
            shown = self.visible_rows(self.filter_text)
        table.show_sort(self.view.sort or None, descending=self.view.reverse)
        self._refresh_empty_text(nothing=not shown)
        self.refresh_details_pane()

    def _refresh_empty_text(self, *, nothing: bool) -> None:
        empty = self.query_one("#empty", Static)
        empty.display = nothing
        for widget in self.query("RowTable, #split"):
            widget.set_class(nothing, "-nothing")
        if nothing:
            empty.update(self._empty_text())

    def _empty_text(self) -> str:
        if not self.console.farm.has_snapshot:
            return self.console.waiting_message
        if self.filter_text:
            return f"No matching rows for {self.filter_text!r}. Esc clears the filter."
        if self.active_filters():
            return "No matching rows. Esc clears the filter."
        return self.EMPTY_TEXT

    def place_words(self) -> list[Word]:
        """The row of the cursor, the order, what hides rows, marks, and columns out of sight."""
        table = self.table
        words = [Word(self._place_text(), "muted", actions.SORT), *self.active_filters()]
        if self.filter_text:
            words.append(Word(f"filter: {self.filter_text}", "accent", actions.FILTER))
        if marks := table.marks:
            hidden = self.hidden_mark_count()
            of_them = f", {hidden} hidden by the filter" if hidden else ""
            words.append(
                Word(f"{format_count(len(marks))} marked{of_them}", "warning", actions.MARK_ALL)
            )
        if place := table.columns_place:
            words.append(Word(f"{place}, arrows scroll", "muted", actions.COLUMNS, drop_order=1))
        others = [word._replace(text=f"; {word.text}", gap_before=0) for word in words[1:]]
        return [words[0], *others]

    def _place_text(self) -> str:
        table = self.table
        rows = [row for row in table.rows if not row.is_heading]
        at = next((n for n, row in enumerate(rows, 1) if row.key == table.cursor), 0)
        if not at:
            return "no rows"
        order = f"by {self._title(self.view.sort)}" if self.view.sort else self.DEFAULT_ORDER
        reverse = "reversed" if self.view.reverse else ""
        place = f"row {format_count(at)} of {format_count(len(rows))}"
        return ", ".join(filter(None, (place, order, reverse)))

    def _title(self, key: str) -> str:
        return next(column.title for column in self.COLUMNS if column.key == key)

    # --- the targets of actions ---

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """The marked rows, also hidden ones; without marks, the row under the cursor."""
        table = self.table
        keys = [row.key for row in table.rows if row.key in table.marks]
        keys += sorted(table.marks - set(keys))
        if not table.marks and table.cursor is not None:
            keys = [table.cursor]
        return tuple(target for key in keys if (target := self.action_target(key)))

    def current_row(self) -> str:
        """The key of the row under the cursor; "" also while there is no table yet."""
        return (self.table.cursor or "") if self.has_widgets else ""

    def step_to_page(self, by: int, page: ScreenName) -> ScreenFilter | None:
        """Move the cursor to the next row that has such a page."""
        table = self.table
        keys = [row.key for row in table.rows]
        at = keys.index(table.cursor) if table.cursor in keys else -1
        place = at + by
        while 0 <= place < len(keys):
            target = self.action_target(keys[place])
            if target and (page_filter := page_filter_for(page, target)):
                table.move_cursor(keys[place])
                return page_filter
            place += by
        return None

    def clear_marks(self) -> None:
        """Unmark all rows."""
        self.table.set_marks(())

    def make_room(self, line: int | None) -> None:
        """Keep the marked rows, else the one under the cursor, out of a sheet's way."""
        table = self.table
        covered = 0 if line is None else max(0, min(table.region.bottom - line, table.size.height))
        table.kept_in_view = table.marks if covered else frozenset()
        table.styles.margin = (0, 0, covered, 0)

    def hidden_mark_count(self) -> int:
        """How many marked rows the filter hides."""
        return len(self.table.marks - {row.key for row in self.table.rows})

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Show the rows of a target or a project, and clear the filter text."""
        super().set_filter(screen_filter)
        if screen_filter:
            self.change_view(filter="")

    def clear_last_filter(self) -> bool:
        """Clear the filter text, then the marks."""
        line = self.query_one(Input)
        if self._shows_details and not self._is_wide:  # they cover the table
            self._wants_details = None
        elif self.filter_text or line.display:
            self._set_filter_text("")
            self.close_filter()
        elif self.table.marks:
            self.table.set_marks(())
        else:
            return False
        self.refresh_all()
        return True

    # --- actions ---

    def handlers(self) -> Mapping[Action, Handler]:
        """The actions of every table."""
        return {
            **super().handlers(),
            actions.OPEN: self.open_current_row,
            actions.DETAILS: self.toggle_details,
            actions.FILTER: self.edit_filter,
            actions.MARK: self.table.action_mark,
            actions.MARK_ALL: self.mark_all,
            actions.SORT: self.choose_sort,
            actions.COLUMNS: self.choose_columns,
            actions.SAVE_FILTER: self.save_filter,
            actions.SAVED_FILTERS: self.choose_saved_filter,
            actions.REVERSE_SORT: self.reverse_sort,
            actions.EXPORT: self.export,
        }

    def open_current_row(self) -> None:
        """Open the row under the cursor, also when the table is not focused."""
        if self.table.cursor is not None:
            self.open_row(self.table.cursor)

    def edit_filter(self) -> None:
        """Show and focus the input of the filter; a click while it is open keeps what was typed."""
        line = self.query_one(Input)
        if line.display:
            self.close_filter()
            return
        line.value = self.filter_text
        self._show_filter(shown=True)
        line.focus()
        self.refresh_bars()

    def _show_filter(self, *, shown: bool) -> None:
        self.query_one("#filter").display = self.query_one(Input).display = shown

    def key_words(self) -> list[Word]:
        """The row of keys: while the filter is typed, its own."""
        if not self.query_one(Input).display:
            return super().key_words()
        keep = Word("Keep", action=actions.FILTER, key="Enter")
        return [keep, Word("Clear", action=actions.BACK, gap_before=2, key="Esc")]

    @work
    async def save_filter(self) -> None:
        """Keep the filter by a name."""
        if not self.filter_text:
            self.notify("There is no filter to save; / sets one.", severity="warning")
            return
        text = self.filter_text
        name = await self.app.push_screen_wait(TextInputDialog(f"Name of the filter {text}"))
        if name and (name := name.strip().lstrip("@").replace(" ", "-").lower()):
            self.console.save_filter(name, text)
            self.notify(f"Saved; @{name} in a filter stands for it.")

    @work
    async def choose_saved_filter(self) -> None:
        """Show the rows that a saved filter selects."""
        names = tuple(sorted(self.console.settings.filters))
        if not names:
            self.notify("No filter was saved yet: Save filter in the finder does it.")
            return
        name = await self.app.push_screen_wait(ChoiceDialog("Saved filters", names))
        if name:
            self._set_filter_text(self.console.settings.filters[name])
            self.refresh_all()

    def _set_filter_text(self, text: str) -> None:
        self.change_view(filter=text)
        self.query_one(Input).value = text

    def mark_all(self) -> None:
        """Mark all visible rows, or unmark them when all are marked."""
        shown = {row.key for row in self.table.rows}
        marks = self.table.marks
        self.table.set_marks(marks - shown if shown <= marks else marks | shown)

    @work
    async def choose_sort(self) -> None:
        """Pick the column to sort by; the one that sorts already reverses the order."""
        sheet = SortSheet(self.COLUMNS, self.view, self.DEFAULT_ORDER)
        key = await self.app.push_screen_wait(sheet)
        if key is not None and key == (self.view.sort or USUAL_ORDER):
            self.reverse_sort()
        elif key is not None:
            self._sort_by("" if key == USUAL_ORDER else key)

    @work
    async def choose_columns(self) -> None:
        """Choose the columns that are shown, and their order."""
        columns = self.COLUMNS
        chosen = [columns[place].key for place in self.view.chosen(columns)]
        keys = await self.app.push_screen_wait(ColumnsSheet(columns, chosen))
        if keys is not None:
            usual = ",".join(column.key for column in columns)
            self.change_view(columns=tuple(keys.split(",")) if keys and keys != usual else ())
            self._set_columns()
            self.refresh_all()

    def reverse_sort(self) -> None:
        """Reverse the sort order."""
        self.change_view(reverse=not self.view.reverse)
        self.refresh_all()

    def copyables(self) -> list[Copyable]:
        """The marked rows, else the one under the cursor; the cells of that."""
        table = self.table
        keys = table.marks or {table.cursor}
        found = copyable_rows([row for row in table.rows if row.key in keys])
        row = next((row for row in table.rows if row.key == table.cursor), None)
        places = self.view.chosen(self.COLUMNS)
        return found + (copyable_cells(self.COLUMNS, places, row) if row else [])

    @on(RowTable.CellPointed)
    def _cell_pointed(self, event: RowTable.CellPointed) -> None:
        self.choose_what_to_copy(event.column)

    @work
    async def export(self) -> None:
        """Save the rows that are shown to a file on this machine."""
        rows = tuple(self.table.rows)  # those that the operator saw when asking
        name = await self.app.push_screen_wait(
            TextInputDialog("Save the table on this machine as", f"{self.screen_name}.csv")
        )
        if not name:
            return
        to_text = rows_as_json if name.strip().endswith(".json") else rows_as_csv
        try:
            path = Path(name.strip()).expanduser()
            write_new_file(path, to_text(self.COLUMNS, rows))
        except (PiwheelsError, RuntimeError) as error:  # RuntimeError: no home directory
            self.notify(str(error), severity="error", markup=False)
        else:
            text = f"{pluralize(len(rows), 'row')} saved as {path.absolute()}."
            self.notify(text, markup=False)

    def _move_cursor_to(self, key: str) -> bool:
        """Move the cursor to a row; True when filters had to be cleared for it."""
        self.pending_cursor = ""
        if self.table.move_cursor(key):
            return False
        self.change_view(filter="")
        self.screen_filter = NO_FILTER
        self.table.set_rows(self.visible_rows(""))
        self.table.move_cursor(key)
        return True

    def _sort_by(self, key: str) -> None:
        """Sort by a column, figures from the highest on; "" is the usual order."""
        self.change_view(sort=key, reverse=self._begins_reversed(key))
        self.refresh_all()

    def _begins_reversed(self, key: str) -> bool:
        return any(column.is_figure for column in self.COLUMNS if column.key == key)

    # --- messages of the widgets ---

    @on(RowTable.Selected)
    def _selected(self, event: RowTable.Selected) -> None:
        self.open_row(event.key)

    @on(RowTable.Highlighted)
    @on(RowTable.MarksChanged)
    @on(RowTable.ColumnsScrolled)
    def _cursor_moved(self) -> None:
        self.refresh_details_pane()
        self.refresh_bars()
        self.refresh_bindings()

    @on(RowTable.HeaderSelected)
    def _header(self, event: RowTable.HeaderSelected) -> None:
        if event.column != self.view.sort:
            self._sort_by(event.column)
        elif self.view.reverse != self._begins_reversed(event.column):
            self._sort_by("")
        else:
            self.reverse_sort()

    @on(Input.Changed)
    def _filter_changed(self, event: Input.Changed) -> None:
        self.change_view(filter=event.value)
        self.refresh_content()

    @on(Input.Submitted)
    def _filter_submitted(self) -> None:
        self.close_filter()

    def close_filter(self) -> None:
        """Return to the table; the filter stays."""
        self._show_filter(shown=False)
        self.table.focus()
        self.refresh_all()
