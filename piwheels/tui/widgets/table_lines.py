"""The lines of a table as drawn: its header, and a row with the cursor or a mark."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from piwheels.tui.model.tables.table_model import Row
from piwheels.tui.widgets.cell_text import pad_or_truncate
from piwheels.tui.widgets.table_layout import GUTTER_CELLS, ColumnSlot, cell_at, spans

#: The style of a name, under the cursor or not.
StyleFor = Callable[[str, bool], Style]


#: The address that a cell leads to, by the keys of its row and its column; "" for none.
LinkOf = Callable[[str, str], str]


def no_link(_row: str, _column: str) -> str:
    """No cell leads anywhere."""
    return ""


class Sort(NamedTuple):
    """The column that a table is sorted by."""

    column: str
    descending: bool


def header_line(
    slots: Sequence[ColumnSlot],
    width: int,
    style_for: StyleFor,
    *,
    sort: Sort | None,
    ascii_only: bool,
) -> Strip:
    """The columns' titles, with an arrow at the one that sorts."""
    plain = style_for("rowtable--header", False)
    segments = []
    x = 0
    for slot in slots:
        segments.append(Segment(" " * (slot.x - x), plain))
        sorts = sort is not None and sort.column == slot.column.key
        style = style_for("rowtable--sorted", False) if sorts else plain
        segments.append(Segment(_title(slot, sort if sorts else None, ascii_only), style))
        x = slot.end
    segments.append(Segment(" " * (width - x), plain))
    return Strip([segment for segment in segments if segment.text], width)


def _title(slot: ColumnSlot, sort: Sort | None, ascii_only: bool) -> str:
    title = slot.column.title
    if sort is not None:
        arrows = "^v" if ascii_only else "▲▼"
        title = pad_or_truncate(title, min(len(title), slot.width - 1)) + arrows[sort.descending]
    return pad_or_truncate(title, slot.width, slot.column.align, ascii_only=ascii_only)


def row_line(
    row: Row,
    slots: Sequence[ColumnSlot],
    width: int,
    style_for: StyleFor,
    *,
    under_cursor: bool,
    marked: bool,
    ascii_only: bool,
    link_of: LinkOf = no_link,
) -> Strip:
    """A row, with what its gutter says about the cursor and the mark."""
    blank = style_for("", under_cursor)
    segments = list(_gutter(style_for, under_cursor, marked, ascii_only))
    x = GUTTER_CELLS
    for slot, cells in spans(row.cells, slots, width):
        cell = cell_at(row.cells, slot.cell_index)
        if slot.x > x:
            segments.append(Segment(" " * (slot.x - x), blank))
        text = pad_or_truncate(
            cell.shown,
            cells,
            slot.column.align,
            ascii_only=ascii_only,
            keeps_end=slot.column.keeps_end,
        )
        segments += _cell_segments(
            text, style_for(f"cell--{cell.style}", under_cursor), link_of(row.key, slot.column.key)
        )
        x = slot.x + cells
    if x < width:
        segments.append(Segment(" " * (width - x), blank))
    return Strip(segments).adjust_cell_length(width, blank)


def _cell_segments(text: str, style: Style, link: str) -> Iterator[Segment]:
    """A cell; only its text is a link, and not the space around it."""
    bare = text.strip()
    if not link or not bare:
        yield Segment(text, style)
        return
    before, _, after = text.partition(bare)
    for part, look in ((before, style), (bare, style + Style(link=link)), (after, style)):
        if part:
            yield Segment(part, look)


def _gutter(
    style_for: StyleFor, under_cursor: bool, marked: bool, ascii_only: bool
) -> Iterator[Segment]:
    """A mark, else the cursor, which the row's color tells, too."""
    if marked:
        yield Segment("#" if ascii_only else "•", style_for("rowtable--marked", under_cursor))
    else:
        yield Segment(">" if under_cursor else " ", style_for("", under_cursor))
