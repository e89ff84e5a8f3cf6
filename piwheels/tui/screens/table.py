"""A screen that is one table: filter, order, marks, and the way to the next problem."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Static

from piwheels.tui import bars, rows
from piwheels.tui.actions import BY_NAME, Subject
from piwheels.tui.problems import next_problem, problems
from piwheels.tui.screens.base import ANYTHING, FarmScreen, Scope
from piwheels.tui.text import count
from piwheels.tui.widgets.bar import Bar, Word
from piwheels.tui.widgets.rows import Column, Row, RowTable

_NARROW_CELLS = 60
_WIDEST_CELLS = 28


class TableScreen(FarmScreen):
    """Rows of the farm; what a subclass shows are its columns and what stands in them."""

    COLUMNS: ClassVar[Sequence[rows.Column]] = ()
    #: Columns that can do with less than they would like to have.
    LEAST: ClassVar[dict[str, int]] = {}
    #: What columns get at least where it is not narrow, over LEAST.
    ROOMY: ClassVar[dict[str, int]] = {}
    #: Columns that grow with what stands in them, up to _WIDEST.
    GROWS: ClassVar[tuple[str, ...]] = ()
    #: The column that takes what room is left.
    STRETCH: ClassVar[str] = ""
    #: What is said where there is nothing to show.
    EMPTY: ClassVar[str] = ""

    AUTO_FOCUS = "RowTable"

    def __init__(self) -> None:
        super().__init__()
        self.words = ""  # of the filter
        self.sort = ""
        self.reverse = False
        self._widths: dict[str, int] = {}

    # --- what a subclass tells ---

    def found(self) -> list[rows.Row]:
        """All rows of what the screen was opened for; each knows where it stands by default."""
        raise NotImplementedError

    def subject(self, key: str) -> Subject | None:
        """A row as actions see it; None when it is not there any more."""
        raise NotImplementedError

    def open(self, key: str) -> None:
        """Show what is behind a row."""

    def narrowed(self) -> list[Word]:
        """What else narrows the rows, in words."""
        return [Word(f"of {self.scope.title}", "note")] if self.scope.title else []

    # --- the screen ---

    def all_rows(self, words: str) -> list[rows.Row]:
        """The rows that hold these words, in the order that is chosen."""
        return rows.arrange(
            self.found(), self.COLUMNS, sort=self.sort, reverse=self.reverse, text_filter=words
        )

    @property
    def table(self) -> RowTable:
        """The table itself."""
        return self.query_one(RowTable)

    def body(self) -> Sequence[Widget]:
        """A table, what narrows it, and a line to type a filter into."""
        table = RowTable(
            self._columns(),
            ascii_only=self.console.ascii_only,
            can_mark=self.place in BY_NAME["mark"].screens,
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
                priority=-column.importance,
                stretch=column.key == self.STRETCH,
            )
            for column in self.COLUMNS
        ]

    def _width(self, column: rows.Column) -> int:
        least = self.LEAST.get(column.key, column.width)
        if self.console.size.width < _NARROW_CELLS:
            return least
        return max(least, self.ROOMY.get(column.key, 0), self._widths.get(column.key, 0))

    def _grow(self, shown: Sequence[rows.Row]) -> None:
        """Give columns room for what stands in them; they never shrink, so that nothing jumps."""
        grown = dict(self._widths)
        for place, column in enumerate(self.COLUMNS):
            if column.key in self.GROWS:
                needed = max((len(row.cells[place].text) for row in shown), default=0)
                grown[column.key] = max(grown.get(column.key, 0), min(needed, _WIDEST_CELLS))
        if grown != self._widths:
            self._widths = grown
            self.table.set_columns(self._columns())

    def on_resize(self) -> None:
        """A narrow screen has other columns than a wide one."""
        self.table.set_columns(self._columns())
        self.paint_bars()

    def paint(self) -> None:
        """Show the rows as they are now."""
        shown = self.all_rows(self.words)
        table = self.table
        self._grow(shown)
        table.set_marks(key for key in table.marks if self.subject(key))
        table.set_rows(Row(row.key, _cells(row)) for row in shown)
        if self.wanted_cursor and self._reach(self.wanted_cursor):
            shown = self.all_rows(self.words)
        table.show_sort(self.sort or None, descending=self.reverse)
        self._paint_empty(nothing=not shown)
        self._paint_narrow(len(shown))

    def _paint_empty(self, *, nothing: bool) -> None:
        empty = self.query_one("#empty", Static)
        empty.display = nothing
        self.table.set_class(nothing, "-nothing")
        if nothing:
            empty.update(self._empty_text())

    def _empty_text(self) -> str:
        if not self.console.farm.known:
            return self.console.waiting_text
        if self.words:
            return f"No row holds {self.words!r}. Esc shows all."
        if self.narrowed():
            return "Nothing here is so. Esc shows all."
        return self.EMPTY

    def _paint_narrow(self, shown: int) -> None:
        words = self.narrowed()
        if self.words:
            words.append(Word(f"filter: {self.words}", "note", "filter"))
        if words:
            words.append(Word(f"{count(shown)} shown", "muted", rank=1))
        if marks := self.table.marks:
            hidden = self.hidden_marks()
            of_them = f", {hidden} hidden by the filter" if hidden else ""
            words.append(Word(f"{count(len(marks))} marked{of_them}", "warn", "mark_all"))
        if self.sort:
            words.append(Word(f"by {self._title(self.sort)}", "muted", "sort", rank=2))
        bar = self.query_one("#narrow", Bar)
        bar.display = bool(words)
        bar.show(words, [Word("Esc: all", "muted", "back", rank=3), Word("", gap=0)])

    def _title(self, key: str) -> str:
        return next(column.title for column in self.COLUMNS if column.key == key)

    # --- what actions are done to ---

    def subjects(self) -> tuple[Subject, ...]:
        """The marked rows, hidden ones too; without marks the row under the cursor."""
        table = self.table
        keys = [row.key for row in table.rows if row.key in table.marks]
        keys += sorted(table.marks - set(keys))
        if not table.marks and table.cursor is not None:
            keys = [table.cursor]
        return tuple(subject for key in keys if (subject := self.subject(key)))

    def forget_marks(self) -> None:
        """What was marked has been dealt with."""
        self.table.set_marks(())

    def hidden_marks(self) -> int:
        """How many marked rows the filter hides."""
        return len(self.table.marks - {row.key for row in self.table.rows})

    def show_scope(self, scope: Scope) -> None:
        """Show the rows of a target or a project, without an old filter."""
        super().show_scope(scope)
        if scope:
            self.words = ""

    def retreat(self) -> bool:
        """Take the filter off, then the marks."""
        line = self.query_one(Input)
        if self.words or line.display:
            self.words = line.value = ""
            self.leave_filter()
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
            self.open(self.table.cursor)

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
        at = keys.index(self.sort) if self.sort in keys else 0
        self._sort_by(keys[(at + 1) % len(keys)])

    def do_turn(self) -> None:
        """The other way round."""
        self.reverse = not self.reverse
        self.refresh_all()

    def do_problem(self) -> None:
        """To the next problem, wherever it is."""
        console = self.console
        after = (self.place, self.table.cursor) if self.table.cursor else None
        trouble = next_problem(problems(console.farm, console.now), after)
        if trouble is None:
            self.notify("There is no problem.")
            return
        console.go(trouble.screen, cursor=trouble.key)
        console.notify(trouble.text, severity="warning", markup=False)

    def _reach(self, key: str) -> bool:
        """Put the cursor on a row; what hides it is taken off, and then it is True."""
        self.wanted_cursor = ""
        if self.table.move_cursor(key):
            return False
        self.words, self.scope = "", ANYTHING
        self.table.set_rows(Row(row.key, _cells(row)) for row in self.all_rows(""))
        self.table.move_cursor(key)
        return True

    def _sort_by(self, key: str) -> None:
        self.sort, self.reverse = key, False
        self.refresh_all()

    # --- what the widgets tell ---

    @on(RowTable.Selected)
    def _selected(self, event: RowTable.Selected) -> None:
        self.open(event.key)

    @on(RowTable.Highlighted)
    @on(RowTable.MarksChanged)
    def _moved(self) -> None:
        self._paint_narrow(len(self.table.rows))
        self.paint_bars()
        self.refresh_bindings()

    @on(RowTable.HeaderSelected)
    def _header(self, event: RowTable.HeaderSelected) -> None:
        if event.column != self.sort:
            self._sort_by(event.column)
        elif self.reverse:
            self._sort_by("")
        else:
            self.do_turn()

    @on(Input.Changed)
    def _typing(self, event: Input.Changed) -> None:
        self.words = event.value
        self.paint()

    @on(Input.Submitted)
    def _typed(self) -> None:
        self.leave_filter()

    def leave_filter(self) -> None:
        """Back to the table; the filter stays."""
        self.query_one(Input).display = False
        self.table.focus()
        self.refresh_all()


def _cells(row: rows.Row) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            f"{cell.glyph} {cell.text}" if cell.glyph else cell.text,
            bars.STYLES.get(cell.style, cell.style),
        )
        for cell in row.cells
    )
