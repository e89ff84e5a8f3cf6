"""Rows and columns of tables as data, with filtering and sorting."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

Align = Literal["left", "right"]
SortValue = float | str | tuple[float | str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        key: Its name in messages and settings.
        title: The text of its header.
        width: How many terminal cells its cells usually need, with the glyph.
        drop_order: The highest are left out first where not all fit; 0 are the last.
        align: The alignment of its texts.
        stretch: Takes the remaining width.
        keeps_end: Texts that are too long are cut in the middle.
        short_width: Its width where another column would be left out otherwise; 0: as usual.
        short_title: Its header then; "": as usual.
    """

    key: str
    title: str
    width: int
    drop_order: int = 0
    align: Align = "left"
    stretch: bool = False
    keeps_end: bool = False
    short_width: int = 0
    short_title: str = ""

    @property
    def in_short_form(self) -> "Column":
        """The column where there is little room."""
        title, width = self.short_title or self.title, self.short_width or self.width
        return replace(self, title=title, width=min(width, self.width))

    @property
    def is_figure(self) -> bool:
        """Whether it has figures: sorting by it begins with the highest."""
        return self.align == "right"


class Cell(NamedTuple):
    """Plain text (never markup), its glyph ("" for none), and the name of its style.

    A column sorts by `sort_value`; None is last in both directions.
    """

    text: str
    style: str = ""
    glyph: str = ""
    sort_value: SortValue | None = None

    @property
    def shown(self) -> str:
        """The glyph and the text."""
        return f"{self.glyph} {self.text}" if self.glyph else self.text


class Row(NamedTuple):
    """A row; `key` identifies it for as long as it exists."""

    key: str
    cells: tuple[Cell, ...]  # one for each column
    has_alert: bool = False
    filter_text: str = ""  # what the filter searches, in lower case
    default_sort_key: tuple[Hashable, ...] = ()  # the order without a sort column
    age_s: float | None = None  # for filters: since when it is so; None: it has no age
    is_heading: bool = False  # of the rows below it: the cursor skips it


def filter_and_sort(
    rows: Iterable[Row],
    columns: Sequence[Column],
    *,
    sort: str = "",
    reverse: bool = False,
    keep: Callable[[Row], bool] = lambda _: True,
) -> list[Row]:
    """The rows that are kept, sorted.

    Without a sort column, by their default order (alerts first). With one, rows with equal values
    keep that order in both directions, and rows without a value are last.
    """
    kept = sorted(filter(keep, rows), key=_default_sort_key)
    place = next((i for i, column in enumerate(columns) if column.key == sort), None)
    if place is None:
        return kept[::-1] if reverse else kept
    valued = [row for row in kept if row.cells[place].sort_value is not None]
    bare = [row for row in kept if row.cells[place].sort_value is None]
    valued.sort(key=_sort_value_at(place), reverse=reverse)
    return valued + bare


def _default_sort_key(row: Row) -> tuple[Hashable, ...]:
    return row.default_sort_key


def _sort_value_at(place: int) -> Callable[[Row], SortValue]:
    def order(row: Row) -> SortValue:
        value = row.cells[place].sort_value
        return value if value is not None else ""

    return order


@lru_cache(8192)
def natural_sort_key(text: str) -> tuple[float | str, ...]:
    """A key that sorts pi2 before pi10; equal only for equal texts."""
    parts: list[float | str] = []
    digits = letters = ""
    for char in text.lower():
        if "0" <= char <= "9":
            digits += char
            continue
        if digits:
            parts += [letters, float(digits[:300])]
            digits = letters = ""
        letters += char
    parts += [letters, float(digits[:300] or -1), text]
    return tuple(parts)
