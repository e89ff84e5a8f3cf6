"""A table that redraws only what changed, and whose cursor follows a row, not a position."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from piwheels.tui.model.tables.table_model import Column, Row
from piwheels.tui.widgets.mouse_buttons import RIGHT_BUTTON
from piwheels.tui.widgets.table_layout import (
    FIXED_COLUMNS,
    GUTTER_CELLS,
    Columns,
    ColumnSlot,
    cell_at,
    layout_columns,
    spans,
)
from piwheels.tui.widgets.table_lines import LinkOf, Sort, header_line, no_link, row_line

#: The style names of cells; any other is drawn without a style.
CELL_STYLES = ("muted", "strong", "success", "accent", "warning", "error")

_HEADER_LINES = 1
_DOUBLE_CLICK = 2


class RowTable(ScrollView, can_focus=True):
    """Rows of plain text under a header.

    The cursor belongs to a row's key and follows the row through every new order. When the row is
    removed, the cursor moves to its neighbor and `RowRemoved` is posted. Texts are drawn without
    markup.
    """

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rowtable--header",
        "rowtable--sorted",
        "rowtable--cursor",
        "rowtable--marked",
        *(f"cell--{name}" for name in CELL_STYLES),
    }

    DEFAULT_CSS = """
    RowTable {
        height: 1fr;
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & > .rowtable--header { text-style: bold; background: $panel; color: $foreground; }
        & > .rowtable--sorted {
            text-style: bold underline; background: $panel; color: $foreground;
        }
        & > .rowtable--cursor { background: $surface; text-style: bold; }
        & > .rowtable--marked { color: $accent; }
        & > .cell--muted { color: $text-muted; }
        & > .cell--strong { text-style: bold; }
        & > .cell--success { color: $text-success; }
        & > .cell--accent { color: $text-accent; }
        & > .cell--warning { color: $text-warning; }
        & > .cell--error { color: $text-error; text-style: bold; }
        &:focus > .rowtable--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
        }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("left", "scroll_columns(-1)", "Columns to the left", show=False),
        Binding("right", "scroll_columns(1)", "Columns to the right", show=False),
        Binding("enter", "select", "Open", show=False),
        Binding("space", "mark", "Mark", show=False),
    ]

    @dataclass
    class _TableMessage(Message):
        table: "RowTable"

        @property
        def control(self) -> "RowTable":
            return self.table

    @dataclass
    class Highlighted(_TableMessage):
        """The cursor moved to another row; None when there are no rows."""

        key: str | None

    @dataclass
    class EdgeReached(_TableMessage):
        """A key would move the cursor up (-1) beyond the first row, or down (1) beyond the last."""

        direction: int

    @dataclass
    class Selected(_TableMessage):
        """Enter, or a double click on a row."""

        key: str

    @dataclass
    class CellPointed(_TableMessage):
        """A click of the right button on a cell; "" where there is no column."""

        column: str

    @dataclass
    class HeaderSelected(_TableMessage):
        """A click on a column's title."""

        column: str

    @dataclass
    class ColumnsScrolled(_TableMessage):
        """Other columns are in sight."""

    @dataclass
    class RowRemoved(_TableMessage):
        """The row under the cursor was removed; the cursor moved to a neighbor."""

        key: str
        neighbor: str | None

    @dataclass
    class MarksChanged(_TableMessage):
        """The set of marked rows has changed."""

        marks: frozenset[str]

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        ascii_only: bool = False,
        can_mark: bool = True,
        shows_cursor_without_focus: bool = True,
        id: str | None = None,  # noqa: A002 Textual says id
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._can_mark = can_mark
        self._shows_cursor_without_focus = shows_cursor_without_focus
        self._columns = Columns(tuple(columns))
        self._ascii_only = ascii_only
        self._slots: tuple[ColumnSlot, ...] = ()
        self._slots_width = 0  # that they were laid out for
        self._rows: tuple[Row, ...] = ()
        self._indexes: dict[str, int] = {}
        self._cursor: str | None = None
        self._marks: frozenset[str] = frozenset()
        #: Rows that are shown rather than the cursor while others cover a part of the table.
        self.kept_in_view: frozenset[str] = frozenset()
        self._sort: Sort | None = None
        self._styles_by_name: dict[tuple[str, bool], Style] = {}
        #: The address that a cell leads to.
        self.link_of: LinkOf = no_link

    # -- contents -----------------------------------------------------------------

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows, in the order shown."""
        return self._rows

    @property
    def cursor(self) -> str | None:
        """The key of the row under the cursor."""
        return self._cursor

    @property
    def marks(self) -> frozenset[str]:
        """The marked keys. Hidden rows stay marked."""
        return self._marks

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, also those that do not fit."""
        return self._columns.columns

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """The keys of the columns that fit."""
        return tuple(slot.column.key for slot in self._slots)

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Show these rows, in this order; only what differs is redrawn."""
        before, rows = self._rows, tuple(rows)
        with self._refresh_changes():
            self._rows = rows
            self._indexes = {row.key: place for place, row in enumerate(rows)}
            if len(rows) != len(before):
                self.virtual_size = Size(self._width, len(rows) + _HEADER_LINES)
            self._restore_cursor(before)

    @property
    def columns_place(self) -> str:
        """Which of the columns are in sight: `columns 1-8 of 14`; "" where all are."""
        count, shown = len(self._columns.columns), len(self._slots)
        if shown >= count:
            return ""
        first = self._columns.skipped + (FIXED_COLUMNS if self._columns.skipped else 0) + 1
        last = self._columns.skipped + shown
        return f"columns {first}-{last} of {count}"

    def set_columns(
        self, columns: Sequence[Column], places: Sequence[int] = (), *, by_priority: bool = True
    ) -> None:
        """Change the columns, with the indexes of their cells; by default these are all, in order.

        By priority, those that do not fit are left out by their `drop_order`, else from the end.
        """
        skipped = min(self._columns.skipped, max(0, len(columns) - FIXED_COLUMNS - 1))
        self._columns = Columns(tuple(columns), tuple(places), skipped, by_priority)
        self._layout_columns()

    def _layout_columns(self) -> None:
        self._fit_columns()
        self.refresh()

    def _fit_columns(self) -> None:
        self._slots_width = self._width
        self._slots = layout_columns(self._columns, self._slots_width)

    def action_scroll_columns(self, by: int) -> None:
        """Show the columns to the left or to the right; the first two stay."""
        skipped, shown = self._columns.skipped, len(self._slots)
        count = len(self._columns.columns)
        if (by > 0 and skipped + shown >= count) or skipped + by < 0:
            return
        self._columns = self._columns._replace(skipped=skipped + by)
        self._layout_columns()
        self.post_message(self.ColumnsScrolled(self))

    def set_ascii(self, ascii_only: bool) -> None:
        """Draw with ASCII only, or with Unicode."""
        self._ascii_only = ascii_only
        self.refresh()

    def set_marks(self, marks: Iterable[str]) -> None:
        """Mark exactly these keys."""
        marks = frozenset(marks)
        if marks == self._marks:
            return
        with self._refresh_changes():
            self._marks = marks
        self.post_message(self.MarksChanged(self, marks))

    def show_sort(self, column: str | None, *, descending: bool = False) -> None:
        """Draw the arrow at this column's title. The rows are already sorted."""
        sort = None if column is None else Sort(column, descending)
        if sort != self._sort:
            self._sort = sort
            self.refresh(Region(0, 0, self._width, _HEADER_LINES))

    def move_cursor(self, key: str) -> bool:
        """Move the cursor to a row and scroll it into view; False when there is no such row."""
        if key not in self._indexes or self._rows[self._indexes[key]].is_heading:
            return False
        if key != self._cursor:
            with self._refresh_changes():
                self._cursor = key
            self.post_message(self.Highlighted(self, key))
        self._show_cursor()
        return True

    # -- the cursor --------------------------------------------------------------------

    def _restore_cursor(self, before: Sequence[Row]) -> None:
        """After new rows: the same row, else the next old one that remains, else none."""
        lost = self._cursor
        if lost in self._indexes:
            if self._was_in_view(lost, before):
                self._show_cursor()
            return
        self._cursor = self._nearest_row(lost, before)
        if lost is not None:
            self.post_message(self.RowRemoved(self, lost, self._cursor))
        if self._cursor != lost:
            self.post_message(self.Highlighted(self, self._cursor))
        if self._cursor is not None and lost is not None:
            self._show_cursor()

    def _nearest_row(self, lost: str | None, before: Sequence[Row]) -> str | None:
        place = next((n for n, row in enumerate(before) if row.key == lost), 0)
        after = (row.key for row in before[place:])
        ahead = (row.key for row in reversed(before[:place]))
        for key in (*after, *ahead):
            if key in self._indexes and not self._rows[self._indexes[key]].is_heading:
                return key
        return next((row.key for row in self._rows if not row.is_heading), None)

    def _was_in_view(self, key: str | None, before: Sequence[Row]) -> bool:
        top = self.scroll_offset.y
        return any(row.key == key for row in before[top : top + self._page_rows])

    @property
    def _width(self) -> int:
        """The cells of a line, without the scrollbar."""
        return self.scrollable_content_region.width

    def watch_show_vertical_scrollbar(self) -> None:
        """Lay out the columns for the changed width."""
        self._layout_columns()

    @property
    def _page_rows(self) -> int:
        return max(1, self.size.height - _HEADER_LINES)

    def _show_cursor(self) -> None:
        kept = [self._indexes[key] for key in self.kept_in_view if key in self._indexes]
        place = min(kept) if kept else self._indexes.get(self._cursor or "", 0)
        top = self.scroll_offset.y
        if not self.size.height:
            return
        if place < top:
            self.scroll_to(y=place, animate=False, force=True)
        elif place >= top + self._page_rows:
            top = place if kept else place - self._page_rows + 1
            self.scroll_to(y=top, animate=False, force=True)

    def _move_to_index(self, place: int, direction: int) -> None:
        """Move the cursor there, over headings in this direction (-1, 1), else to the nearest."""
        place = max(0, min(place, len(self._rows) - 1))
        beyond, before = self._rows[place:], self._rows[: place + 1]
        if direction < 0:
            beyond, before = before[::-1], beyond[::-1]
        for row in (*beyond, *reversed(before)):
            if not row.is_heading:
                self.move_cursor(row.key)
                return

    def _cursor_index(self) -> int:
        return self._indexes.get(self._cursor or "", 0)

    def action_move(self, lines: int) -> None:
        """Move the cursor by so many rows."""
        index = self._cursor_index() + lines
        if not 0 <= index < len(self._rows):
            self.post_message(self.EdgeReached(self, -1 if lines < 0 else 1))
        self._move_to_index(index, lines)

    def action_page(self, pages: int) -> None:
        """Move the cursor by so many pages."""
        self._move_to_index(self._cursor_index() + pages * self._page_rows, pages)

    def action_first(self) -> None:
        """Move the cursor to the first row."""
        self._move_to_index(0, 1)

    def action_last(self) -> None:
        """Move the cursor to the last row."""
        self._move_to_index(len(self._rows) - 1, -1)

    def action_select(self) -> None:
        """Select the row under the cursor."""
        if self._cursor is not None:
            self.post_message(self.Selected(self, self._cursor))

    def action_mark(self) -> None:
        """Mark or unmark the row under the cursor, and go to the next."""
        if self._cursor is not None and self._can_mark:
            self.set_marks(self._marks ^ {self._cursor})
            self.action_move(1)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        """Scroll columns, as the wheel with Shift does."""
        event.stop()
        self.action_scroll_columns(-1)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        """Scroll columns."""
        event.stop()
        self.action_scroll_columns(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """With Shift, scroll columns."""
        self._scroll_by_wheel(event, -1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """With Shift, scroll columns."""
        self._scroll_by_wheel(event, 1)

    def _scroll_by_wheel(self, event: events.MouseEvent, by: int) -> None:
        if event.shift or event.ctrl:
            event.prevent_default()
            event.stop()
            self.action_scroll_columns(by)

    def on_click(self, event: events.Click) -> None:
        """Sort at a title, mark in the gutter, else move the cursor; twice selects the row."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        event.stop()
        if offset.y < _HEADER_LINES:
            self._click_header(offset.x)
            return
        place = self.scroll_offset.y + offset.y - _HEADER_LINES
        if place >= len(self._rows):
            return
        if self._rows[place].is_heading:
            return
        key = self._rows[place].key
        if event.button == RIGHT_BUTTON:
            self.move_cursor(key)
            self.post_message(self.CellPointed(self, self._column_at(offset.x)))
        elif offset.x < GUTTER_CELLS and self._can_mark:
            self.set_marks(self._marks ^ {key})
        else:
            self.move_cursor(key)
            if event.chain == _DOUBLE_CLICK:
                self.action_select()

    def _click_header(self, x: int) -> None:
        if column := self._column_at(x):
            self.post_message(self.HeaderSelected(self, column))

    def _column_at(self, x: int) -> str:
        return next((it.column.key for it in self._slots if it.x <= x <= it.end), "")

    # -- drawing -----------------------------------------------------------------------

    @contextmanager
    def _refresh_changes(self) -> Iterator[None]:
        """Refresh the parts of visible lines that the block changes."""
        top = self.scroll_offset.y
        before = self._visible_lines()
        yield
        if self.scroll_offset.y != top:
            return  # scrolling refreshes everything
        regions: list[Region] = []
        for y, (old, new) in enumerate(
            zip(before, self._visible_lines(), strict=True), _HEADER_LINES
        ):
            if old != new:
                regions += self._changed_regions(y, old, new)
        if regions:
            self.refresh(*regions)

    def _visible_lines(self) -> list[tuple[Row, bool, bool] | None]:
        top = self.scroll_offset.y
        rows = self._rows[top : top + self._page_rows]
        lines: list[tuple[Row, bool, bool] | None] = [
            (row, row.key == self._cursor, row.key in self._marks) for row in rows
        ]
        return lines + [None] * (self._page_rows - len(lines))

    def _changed_regions(
        self, y: int, old: tuple[Row, bool, bool] | None, new: tuple[Row, bool, bool] | None
    ) -> Iterator[Region]:
        if old is None or new is None or old[1:] != new[1:]:
            yield Region(0, y, self._width, 1)
            return
        before, after = old[0].cells, new[0].cells
        drawn = spans(after, self._slots, self._width)
        if drawn != spans(before, self._slots, self._width):
            yield Region(0, y, self._width, 1)
            return
        for slot, width in drawn:
            old_cell, new_cell = cell_at(before, slot.cell_index), cell_at(after, slot.cell_index)
            # Not by the value that it sorts by, which changes more often than what it shows.
            if (old_cell.shown, old_cell.style) != (new_cell.shown, new_cell.style):
                yield Region(slot.x, y, width, 1)

    def on_resize(self, _event: events.Resize) -> None:
        """Lay out the columns for the new width."""
        self._layout_columns()
        self.virtual_size = Size(self._width, len(self._rows) + _HEADER_LINES)
        self._show_cursor()

    @property
    def _draws_cursor(self) -> bool:
        return self._shows_cursor_without_focus or self.has_focus

    def on_focus(self) -> None:
        """Draw the cursor where it is drawn with the focus only."""
        self.refresh()

    def on_blur(self) -> None:
        """Draw it no longer."""
        self.refresh()

    def notify_style_update(self) -> None:
        """Called by Textual when the theme or the focus has changed."""
        super().notify_style_update()
        self._styles_by_name.clear()

    def _style_for(self, name: str, under_cursor: bool) -> Style:
        look = self._styles_by_name.get((name, under_cursor))
        if look is None:
            look = self.rich_style + self.get_component_rich_style(
                name, partial=True, default=Style.null()
            )
            if under_cursor:
                look += self.get_component_rich_style("rowtable--cursor", partial=True)
            self._styles_by_name[name, under_cursor] = look
        return look

    def render_line(self, y: int) -> Strip:
        """The line at `y` lines below the widget's upper edge."""
        if self._slots_width != self._width:  # drawn before its resize event
            self._fit_columns()
        if y < _HEADER_LINES:
            return header_line(
                self._slots,
                self._width,
                self._style_for,
                sort=self._sort,
                ascii_only=self._ascii_only,
            )
        place = self.scroll_offset.y + y - _HEADER_LINES
        if place >= len(self._rows):
            return Strip.blank(self._width, self.rich_style)
        row = self._rows[place]
        return row_line(
            row,
            self._slots,
            self._width,
            self._style_for,
            under_cursor=self._draws_cursor and row.key == self._cursor,
            marked=row.key in self._marks,
            ascii_only=self._ascii_only,
            link_of=self.link_of,
        )
