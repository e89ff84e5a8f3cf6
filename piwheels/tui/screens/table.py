"""A screen that is one table: filter, order, marks, and the way to the next problem."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Static

from piwheels.tui.model import tables
from piwheels.tui.model.actions import ACTIONS_BY_NAME, ActionTarget
from piwheels.tui.model.alerts import find_alerts, next_alert
from piwheels.tui.model.formatting import format_count
from piwheels.tui.screens import status_bars
from piwheels.tui.screens.base import NO_FILTER, FarmScreen, ScreenFilter
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.table import Column, Row, RowTable

_NARROW_WIDTH = 60
_MAX_GROWN_WIDTH = 28


class TableScreen(FarmScreen):
    """Rows of the farm; what a subclass shows are its columns and what stands in them."""

    COLUMNS: ClassVar[Sequence[tables.Column]] = ()
    #: Columns that can do with less than they would like to have.
    MIN_WIDTHS: ClassVar[dict[str, int]] = {}
    #: What columns get at least where it is not narrow, over LEAST.
    WIDE_WIDTHS: ClassVar[dict[str, int]] = {}
    #: Columns that grow with what stands in them, up to _WIDEST.
    AUTO_GROW: ClassVar[tuple[str, ...]] = ()
    #: The column that takes what room is left.
    STRETCH: ClassVar[str] = ""
    #: What is said where there is nothing to show.
    EMPTY_TEXT: ClassVar[str] = ""

    AUTO_FOCUS = "RowTable"

    def __init__(self) -> None:
        super().__init__()
        self.filter_text = ""  # of the filter
        self.sort_column = ""
        self.sort_reversed = False
        self._widths: dict[str, int] = {}

    # --- what a subclass tells ---

    def all_rows(self) -> list[tables.Row]:
        """All rows of what the screen was opened for; each knows where it stands by default."""
        raise NotImplementedError

    def action_target(self, key: str) -> ActionTarget | None:
        """A row as actions see it; None when it is not there any more."""
        raise NotImplementedError

    def open_row(self, key: str) -> None:
        """Show what is behind a row."""

    def active_filters(self) -> list[Word]:
        """What else narrows the rows, in words."""
        return [Word(f"of {self.scope.title}", "note")] if self.scope.title else []

    # --- the screen ---

    def visible_rows(self, filter_text: str) -> list[tables.Row]:
        """The rows that hold these words, in the order that is chosen."""
        return tables.filter_and_sort(
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
        """A table, what narrows it, and a line to type a filter into."""
        table = RowTable(
            self._columns(),
            ascii_only=self.console.ascii_only,
            can_mark=self.screen_name in ACTIONS_BY_NAME["mark"].screens,
        )
        filter_line = Input(placeholder="words that rows hold", compact=True)
        return (
            table,
            Static("", id="empty", markup=False),
            Bar(id="narrow", ascii_only=self.console.ascii_only),
            filter_line,
        )

    def _columns(self) -> list[Column]:
        return [
            Column(
                key=column.key,
                title=column.title,
                width=self._width(column),
                align=column.align,
                priority=-column.drop_order,
                stretch=column.key == self.STRETCH,
            )
            for column in self.COLUMNS
        ]

    def _width(self, column: tables.Column) -> int:
        least = self.MIN_WIDTHS.get(column.key, column.width)
        if self.console.size.width < _NARROW_WIDTH:
            return least
        return max(least, self.WIDE_WIDTHS.get(column.key, 0), self._widths.get(column.key, 0))

    def _grow_columns(self, shown: Sequence[tables.Row]) -> None:
        """Give columns room for what stands in them; they never shrink, so that nothing jumps."""
        grown = dict(self._widths)
        for place, column in enumerate(self.COLUMNS):
            if column.key in self.AUTO_GROW:
                needed = max((len(row.cells[place].text) for row in shown), default=0)
                grown[column.key] = max(grown.get(column.key, 0), min(needed, _MAX_GROWN_WIDTH))
        if grown != self._widths:
            self._widths = grown
            self.table.set_columns(self._columns())

    def on_resize(self) -> None:
        """A narrow screen has other columns than a wide one."""
        self.table.set_columns(self._columns())
        self.refresh_bars()

    def refresh_content(self) -> None:
        """Show the rows as they are now."""
        shown = self.visible_rows(self.filter_text)
        table = self.table
        self._grow_columns(shown)
        table.set_marks(key for key in table.marks if self.action_target(key))
        table.set_rows(Row(row.key, _cells(row)) for row in shown)
        if self.wanted_cursor and self._move_cursor_to(self.wanted_cursor):
            shown = self.visible_rows(self.filter_text)
        table.show_sort(self.sort_column or None, descending=self.sort_reversed)
        self._refresh_empty_text(nothing=not shown)
        self._refresh_filter_bar(len(shown))

    def _refresh_empty_text(self, *, nothing: bool) -> None:
        empty = self.query_one("#empty", Static)
        empty.display = nothing
        self.table.set_class(nothing, "-nothing")
        if nothing:
            empty.update(self._empty_text())

    def _empty_text(self) -> str:
        if not self.console.farm.has_snapshot:
            return self.console.waiting_message
        if self.filter_text:
            return f"No row holds {self.filter_text!r}. Esc shows all."
        if self.active_filters():
            return "Nothing here is so. Esc shows all."
        return self.EMPTY_TEXT

    def _refresh_filter_bar(self, shown: int) -> None:
        words = self.active_filters()
        if self.filter_text:
            words.append(Word(f"filter: {self.filter_text}", "note", "filter"))
        if words:
            words.append(Word(f"{format_count(shown)} shown", "muted", drop_order=1))
        if marks := self.table.marks:
            hidden = self.hidden_mark_count()
            of_them = f", {hidden} hidden by the filter" if hidden else ""
            words.append(Word(f"{format_count(len(marks))} marked{of_them}", "warn", "mark_all"))
        if self.sort_column:
            words.append(Word(f"by {self._title(self.sort_column)}", "muted", "sort", drop_order=2))
        bar = self.query_one("#narrow", Bar)
        bar.display = bool(words)
        bar.show(words, [Word("Esc: all", "muted", "back", drop_order=3), Word("", gap_before=0)])

    def _title(self, key: str) -> str:
        return next(column.title for column in self.COLUMNS if column.key == key)

    # --- what actions are done to ---

    def action_targets(self) -> tuple[ActionTarget, ...]:
        """The marked rows, hidden ones too; without marks the row under the cursor."""
        table = self.table
        keys = [row.key for row in table.rows if row.key in table.marks]
        keys += sorted(table.marks - set(keys))
        if not table.marks and table.cursor is not None:
            keys = [table.cursor]
        return tuple(subject for key in keys if (subject := self.action_target(key)))

    def clear_marks(self) -> None:
        """What was marked has been dealt with."""
        self.table.set_marks(())

    def hidden_mark_count(self) -> int:
        """How many marked rows the filter hides."""
        return len(self.table.marks - {row.key for row in self.table.rows})

    def set_filter(self, screen_filter: ScreenFilter) -> None:
        """Show the rows of a target or a project, without an old filter."""
        super().set_filter(screen_filter)
        if screen_filter:
            self.filter_text = ""

    def clear_last_filter(self) -> bool:
        """Take the filter off, then the marks."""
        line = self.query_one(Input)
        if self.filter_text or line.display:
            self.filter_text = line.value = ""
            self.close_filter()
        elif self.table.marks:
            self.table.set_marks(())
        else:
            return False
        self.refresh_all()
        return True

    # --- actions ---

    def do_open(self) -> None:
        """Enter, where the table has not the focus."""
        if self.table.cursor is not None:
            self.open_row(self.table.cursor)

    def do_filter(self) -> None:
        """Type a filter."""
        line = self.query_one(Input)
        line.display = True
        line.focus()

    def do_mark(self) -> None:
        """Mark the row under the cursor."""
        self.table.action_mark()

    def do_mark_all(self) -> None:
        """Mark all rows that are shown; a second time, none."""
        shown = {row.key for row in self.table.rows}
        marks = self.table.marks
        self.table.set_marks(marks - shown if shown <= marks else marks | shown)

    def do_sort(self) -> None:
        """Sort by the next column that is shown, and after the last by none."""
        keys = ["", *self.table.shown_columns]
        at = keys.index(self.sort_column) if self.sort_column in keys else 0
        self._sort_by(keys[(at + 1) % len(keys)])

    def do_turn(self) -> None:
        """The other way round."""
        self.sort_reversed = not self.sort_reversed
        self.refresh_all()

    def do_problem(self) -> None:
        """To the next problem, wherever it is."""
        console = self.console
        after = (self.screen_name, self.table.cursor) if self.table.cursor else None
        trouble = next_alert(find_alerts(console.farm, console.now), after)
        if trouble is None:
            self.notify("There is no problem.")
            return
        console.navigate(trouble.screen, cursor=trouble.key)
        console.notify(trouble.text, severity="warning", markup=False)

    def _move_cursor_to(self, key: str) -> bool:
        """Put the cursor on a row; what hides it is taken off, and then it is True."""
        self.wanted_cursor = ""
        if self.table.move_cursor(key):
            return False
        self.filter_text, self.scope = "", NO_FILTER
        self.table.set_rows(Row(row.key, _cells(row)) for row in self.visible_rows(""))
        self.table.move_cursor(key)
        return True

    def _sort_by(self, key: str) -> None:
        self.sort_column, self.sort_reversed = key, False
        self.refresh_all()

    # --- what the widgets tell ---

    @on(RowTable.Selected)
    def _selected(self, event: RowTable.Selected) -> None:
        self.open_row(event.key)

    @on(RowTable.Highlighted)
    @on(RowTable.MarksChanged)
    def _cursor_moved(self) -> None:
        self._refresh_filter_bar(len(self.table.rows))
        self.refresh_bars()
        self.refresh_bindings()

    @on(RowTable.HeaderSelected)
    def _header(self, event: RowTable.HeaderSelected) -> None:
        if event.column != self.sort_column:
            self._sort_by(event.column)
        elif self.sort_reversed:
            self._sort_by("")
        else:
            self.do_turn()

    @on(Input.Changed)
    def _filter_changed(self, event: Input.Changed) -> None:
        self.filter_text = event.value
        self.refresh_content()

    @on(Input.Submitted)
    def _filter_submitted(self) -> None:
        self.close_filter()

    def close_filter(self) -> None:
        """Back to the table; the filter stays."""
        self.query_one(Input).display = False
        self.table.focus()
        self.refresh_all()


def _cells(row: tables.Row) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            f"{cell.glyph} {cell.text}" if cell.glyph else cell.text,
            status_bars.STYLES.get(cell.style, cell.style),
        )
        for cell in row.cells
    )
