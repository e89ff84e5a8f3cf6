"""The layout of a table's line: columns, cells, and their positions at a width."""

from collections.abc import Sequence
from typing import NamedTuple

from piwheels.tui.model.tables.table_model import Cell, Column

#: Cells before the first column, for a mark or the cursor.
GUTTER_CELLS = 1
#: Cells between two columns.
GAP_CELLS = 1
_NO_CELL = Cell("")


class ColumnSlot(NamedTuple):
    """The position of a column on the line: index of its cell, start and width."""

    cell_index: int
    column: Column
    x: int
    width: int

    @property
    def end(self) -> int:
        """The first terminal cell after it."""
        return self.x + self.width


class Columns(NamedTuple):
    """The columns of a table, and which of them are out of sight to the left.

    Attributes:
        places: The indexes of the cells of `columns`; () where these are all, in order.
        skipped: So many are left out after the first two, which stay.
        by_priority: Those that do not fit are left out by their `drop_order`, else from the end.
    """

    columns: tuple[Column, ...]
    places: tuple[int, ...] = ()
    skipped: int = 0
    by_priority: bool = True

    @property
    def with_places(self) -> list[tuple[int, Column]]:
        """The columns with the indexes of their cells."""
        return list(zip(self.places or range(len(self.columns)), self.columns, strict=True))


#: So many columns stay in sight when the others scroll.
FIXED_COLUMNS = 2


def layout_columns(columns: Columns, width: int) -> tuple[ColumnSlot, ...]:
    """The columns that fit into so many terminal cells, in their order.

    At least one is kept, cut to the width. Those that were left out by their priority follow the
    others when columns scroll.
    """
    room = max(0, width - GUTTER_CELLS)
    kept = columns.with_places
    if columns.by_priority:
        kept = _most_important(kept, room)
        shorter = _most_important(_in_short_form(columns, kept), room)
        kept = shorter if len(shorter) > len(kept) else kept
    if columns.skipped:
        places = {place for place, _ in kept}
        kept += [item for item in columns.with_places if item[0] not in places]
        del kept[FIXED_COLUMNS : FIXED_COLUMNS + columns.skipped]
    while len(kept) > 1 and _width_of(kept) > room:
        kept.pop()
    spare = max(0, room - _width_of(kept))
    slots = []
    x = GUTTER_CELLS
    for place, column in kept:
        cells = min(column.width, room)
        if column.stretch:
            cells, spare = cells + spare, 0
        slots.append(ColumnSlot(place, column, x, cells))
        x += cells + GAP_CELLS
    return tuple(slots)


def _in_short_form(
    columns: Columns, kept: Sequence[tuple[int, Column]]
) -> list[tuple[int, Column]]:
    """The columns in their short forms, if one that has a short title is left out."""
    places = {place for place, _ in kept}
    every = columns.with_places
    if all(place in places for place, column in every if column.short_title):
        return every
    return [(place, column.in_short_form) for place, column in every]


def _most_important(columns: Sequence[tuple[int, Column]], room: int) -> list[tuple[int, Column]]:
    """The columns of the least `drop_order`, and of the others those for which there is room."""
    by_importance = sorted(columns, key=lambda item: (item[1].drop_order, item[0]))
    kept = by_importance[:1]
    for item in by_importance[1:]:
        if _width_of([*kept, item]) <= room:
            kept.append(item)
    return [item for item in columns if item in kept]


def _width_of(columns: list[tuple[int, Column]]) -> int:
    return sum(column.width for _, column in columns) + GAP_CELLS * (len(columns) - 1)


def cell_at(cells: Sequence[Cell], index: int) -> Cell:
    """A row's cell; an empty one where the row has fewer."""
    return cells[index] if index < len(cells) else _NO_CELL


def spans(
    cells: Sequence[Cell], slots: Sequence[ColumnSlot], width: int
) -> list[tuple[ColumnSlot, int]]:
    """The slots of a row that are drawn, and how many terminal cells each takes.

    A text that is too long for its column continues over empty cells after it, at most to the end
    of the line, such as the reason why a row has nothing else to show.
    """
    drawn: list[tuple[ColumnSlot, int]] = []
    place = 0
    while place < len(slots):
        slot, end = slots[place], slots[place].end
        place += 1
        if slot.column.align == "left" and len(cell_at(cells, slot.cell_index).shown) > slot.width:
            while place < len(slots) and not cell_at(cells, slots[place].cell_index).shown:
                end = slots[place].end
                place += 1
            if place == len(slots):
                end = max(end, width)
        drawn.append((slot, end - slot.x))
    return drawn
