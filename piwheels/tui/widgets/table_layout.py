"""The layout of a table's line: columns, cells, and their positions at a width."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from rich.cells import cell_len, set_cell_size

#: A text and the name of its style, or "" for none.
Cell = tuple[str, str]

#: Cells before the first column: one for the cursor, one for a mark.
GUTTER_CELLS = 2
#: Cells between two columns.
GAP_CELLS = 1

# Controls move the terminal's cursor, and directional marks reorder a line: a builder's text must
# do neither.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        key: Its name in messages.
        title: The text of its header.
        width: How many terminal cells it needs.
        align: The alignment of its texts.
        priority: The lowest are left out first where not all fit.
        stretch: Takes the remaining width.
    """

    key: str
    title: str
    width: int
    align: Literal["left", "right"] = "left"
    priority: int = 0
    stretch: bool = False


class Row(NamedTuple):
    """A row: its key, and a cell for each column."""

    key: str
    cells: tuple[Cell, ...]


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


def layout_columns(columns: Sequence[Column], width: int) -> tuple[ColumnSlot, ...]:
    """The columns that fit into so many terminal cells, in their order.

    At least one is kept, cut to the width.
    """
    room = max(0, width - GUTTER_CELLS)
    kept = list(enumerate(columns))
    while len(kept) > 1 and _width_of(kept) > room:
        kept.remove(min(kept, key=lambda item: (item[1].priority, -item[0])))
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


def _width_of(columns: list[tuple[int, Column]]) -> int:
    return sum(column.width for _, column in columns) + GAP_CELLS * (len(columns) - 1)


def cell_at(cells: Sequence[Cell], index: int) -> Cell:
    """A row's cell; an empty one where the row has fewer."""
    return cells[index] if index < len(cells) else ("", "")


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
        if slot.column.align == "left" and len(cell_at(cells, slot.cell_index)[0]) > slot.width:
            while place < len(slots) and not cell_at(cells, slots[place].cell_index)[0]:
                end = slots[place].end
                place += 1
            if place == len(slots):
                end = max(end, width)
        drawn.append((slot, end - slot.x))
    return drawn


def printable_text(text: str, *, ascii_only: bool = False) -> str:
    """The text without control characters, and in ASCII if required."""
    if text.isascii():
        return text if text.isprintable() else _UNSAFE.sub("?", text)
    text = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)
    if not ascii_only:
        return text
    folded = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return bare.encode("ascii", "replace").decode()


@lru_cache(maxsize=16_384)
def pad_or_truncate(text: str, width: int, align: str = "left", *, ascii_only: bool = False) -> str:
    """The text in exactly so many terminal cells: padded, or truncated with a mark."""
    text = printable_text(text, ascii_only=ascii_only)
    cells = cell_len(text)
    if cells > width:
        if width < 1:
            return ""
        return set_cell_size(text, width - 1) + ("~" if ascii_only else "…")
    padding = " " * (width - cells)
    return padding + text if align == "right" else text + padding
