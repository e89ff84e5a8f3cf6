"""A screen that is one table: filter, sorting, marks, and jumps to the next alert."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

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
from piwheels.tui.model.details import DetailLine
from piwheels.tui.model.navigation import NO_FILTER, ScreenFilter, ScreenName
from piwheels.tui.model.table_export import rows_as_csv, rows_as_json, rows_as_text
from piwheels.tui.model.tables.table_model import Column, Row, filter_and_sort
from piwheels.tui.screens.base import FarmScreen, Handler
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.screens.dialogs import TextInputDialog
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.detail_pane import DetailPane
from piwheels.tui.widgets.table import RowTable

_NARROW_WIDTH = 60
_MAX_GROWN_WIDTH = 28
#: From these widths on, details are beside the table, and beside it in a wider pane.
_DETAILS_WIDTH = 120
_WIDE_DETAILS_WIDTH = 200


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

    #: Whether `details` has lines about a row.
    HAS_DETAILS: ClassVar[bool] = False

    AUTO_FOCUS = "RowTable"

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__(console)
        self.filter_text = ""
        self.sort_column = ""
        self.sort_reversed = False
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
        """What else filters the rows, for the filter bar."""
        return (
            [Word(f"{self.screen_filter.title} only", "accent")] if self.screen_filter.title else []
        )

    # --- the screen ---

    def visible_rows(self, filter_text: str) -> list[Row]:
        """The rows that match the filter text, sorted."""
        return filter_and_sort(
            self.all_rows(),
            self.COLUMNS,
            sort=self.sort_column,
            reverse=self.sort_reversed,
            text_filter=filter_text,
        )

    @property
    def table(self) -> RowTable:
        """The table itself."""
        return self.query_one(RowTable)

    def compose_body(self) -> Sequence[Widget]:
        """The table, the filter bar, and the input of the filter."""
        table = RowTable(
            self._columns(),
            ascii_only=self.console.ascii_only,
            can_mark=self.screen_name in actions.MARK.screens,
        )
        filter_line = Input(placeholder="words that rows contain", compact=True)
        return (
            Horizontal(table, DetailPane(), id="split") if self.HAS_DETAILS else table,
            Static("", id="empty", markup=False),
            Bar(id="filters", ascii_only=self.console.ascii_only),
            filter_line,
        )

    def _columns(self) -> list[Column]:
        return [
            replace(column, width=self._width(column), stretch=column.key == self.STRETCH)
            for column in self.COLUMNS
        ]

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
            self.table.set_columns(self._columns())

    # --- the pane of details ---

    @property
    def _is_wide(self) -> bool:
        """Whether there is room for details beside the table."""
        return self.console.size.width >= _DETAILS_WIDTH

    @property
    def _shows_details(self) -> bool:
        wanted = self._is_wide if self._wants_details is None else self._wants_details
        return self.HAS_DETAILS and wanted and bool(self.table.rows)

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
        pane.styles.width = (80 if is_very_wide else 46) if self._is_wide else "1fr"
        if shown and (key := self.current_row()):
            pane.show(self.details(key, pane.line_width))

    def on_resize(self) -> None:
        """Lay out the columns for the new width."""
        self.table.set_columns(self._columns())
        self.refresh_details_pane()
        self.refresh_bars()

    def refresh_content(self) -> None:
        """Show the current rows."""
        shown = self.visible_rows(self.filter_text)
        table = self.table
        self._grow_columns(shown)
        table.set_marks(key for key in table.marks if self.action_target(key))
        table.set_rows(shown)
        if self.pending_cursor and self._move_cursor_to(self.pending_cursor):
            shown = self.visible_rows(self.filter_text)
        table.show_sort(self.sort_column or None, descending=self.sort_reversed)
        self._refresh_empty_text(nothing=not shown)
        self._refresh_filter_bar(len(shown))
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

    def _refresh_filter_bar(self, shown: int) -> None:
        words = self.active_filters()
        if self.filter_text:
            words.append(Word(f"filter: {self.filter_text}", "accent", actions.FILTER))
        if words:
            words.append(Word(f"{format_count(shown)} shown", "muted", drop_order=1))
        if marks := self.table.marks:
            hidden = self.hidden_mark_count()
            of_them = f", {hidden} hidden by the filter" if hidden else ""
            words.append(
                Word(f"{format_count(len(marks))} marked{of_them}", "warning", actions.MARK_ALL)
            )
        if self.sort_column:
            text = f"sorted by {self._title(self.sort_column)}"
            words.append(Word(text, "muted", actions.SORT, drop_order=2))
        bar = self.query_one("#filters", Bar)
        bar.display = bool(words)
        show_all = Word("Esc: show all", "muted", actions.BACK, drop_order=3)
        bar.show(words, [show_all, Word("", gap_before=0)])

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
        """The key of the row under the cursor."""
        return self.table.cursor or ""

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

    def hidden_mark_count(self) -> int:
        """How many marked rows the filter hides."""
        return len(self.table.marks - {row.key for row in self.table.rows})

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Show the rows of a target or a project, and clear the filter text."""
        super().set_filter(screen_filter)
        if screen_filter:
            self.filter_text = ""

    def clear_last_filter(self) -> bool:
        """Clear the filter text, then the marks."""
        line = self.query_one(Input)
        if self._shows_details and not self._is_wide:  # they cover the table
            self._wants_details = None
        elif self.filter_text or line.display:
            self.filter_text = line.value = ""
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
            actions.SORT: self.sort_by_next_column,
            actions.REVERSE_SORT: self.reverse_sort,
            actions.COPY_ROW: self.copy_rows,
            actions.EXPORT: self.export,
        }

    def open_current_row(self) -> None:
        """Open the row under the cursor, also when the table is not focused."""
        if self.table.cursor is not None:
            self.open_row(self.table.cursor)

    def edit_filter(self) -> None:
        """Show and focus the input of the filter."""
        line = self.query_one(Input)
        line.display = True
        line.focus()

    def mark_all(self) -> None:
        """Mark all visible rows, or unmark them when all are marked."""
        shown = {row.key for row in self.table.rows}
        marks = self.table.marks
        self.table.set_marks(marks - shown if shown <= marks else marks | shown)

    def sort_by_next_column(self) -> None:
        """Sort by the next visible column, and after the last by none."""
        keys = ["", *self.table.shown_columns]
        at = keys.index(self.sort_column) if self.sort_column in keys else 0
        self._sort_by(keys[(at + 1) % len(keys)])

    def reverse_sort(self) -> None:
        """Reverse the sort order."""
        self.sort_reversed = not self.sort_reversed
        self.refresh_all()

    def copy_rows(self) -> None:
        """Copy the marked rows, else the one under the cursor."""
        table = self.table
        keys = table.marks or {table.cursor}
        rows = [row for row in table.rows if row.key in keys]
        self.app.copy_to_clipboard(rows_as_text(rows))
        self.notify(f"{pluralize(len(rows), 'row')} copied.")

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
        self.filter_text, self.screen_filter = "", NO_FILTER
        self.table.set_rows(self.visible_rows(""))
        self.table.move_cursor(key)
        return True

    def _sort_by(self, key: str) -> None:
        self.sort_column, self.sort_reversed = key, False
        self.refresh_all()

    # --- messages of the widgets ---

    @on(RowTable.Selected)
    def _selected(self, event: RowTable.Selected) -> None:
        self.open_row(event.key)

    @on(RowTable.Highlighted)
    @on(RowTable.MarksChanged)
    def _cursor_moved(self) -> None:
        self._refresh_filter_bar(len(self.table.rows))
        self.refresh_details_pane()
        self.refresh_bars()
        self.refresh_bindings()

    @on(RowTable.HeaderSelected)
    def _header(self, event: RowTable.HeaderSelected) -> None:
        if event.column != self.sort_column:
            self._sort_by(event.column)
        elif self.sort_reversed:
            self._sort_by("")
        else:
            self.reverse_sort()

    @on(Input.Changed)
    def _filter_changed(self, event: Input.Changed) -> None:
        self.filter_text = event.value
        self.refresh_content()

    @on(Input.Submitted)
    def _filter_submitted(self) -> None:
        self.close_filter()

    def close_filter(self) -> None:
        """Return to the table; the filter stays."""
        self.query_one(Input).display = False
        self.table.focus()
        self.refresh_all()
