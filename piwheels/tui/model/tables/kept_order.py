"""The order of a table that an operator reads: rows do not move while it is kept."""

from bisect import bisect_left
from collections.abc import Hashable, Sequence

from piwheels.tui.model.tables.table_model import Row


class KeptOrder:
    """Rows stay where they were first shown; new ones follow, and those that are gone are dimmed.

    Attributes:
        changed: How many rows are gone, or would be elsewhere in the order of now.
    """

    def __init__(self) -> None:
        self.changed = 0
        self._rows: dict[str, Row] = {}  # as last shown, in the order that is kept
        self._arrangement: Hashable = None

    def forget(self) -> None:
        """Take the order of the next rows."""
        self._rows, self.changed = {}, 0

    def apply(self, rows: Sequence[Row], arrangement: Hashable) -> list[Row]:
        """The rows in the order that is kept.

        Another arrangement (sort column, direction, filter) takes their own order; so does the
        first one, and a table that is empty.
        """
        if arrangement != self._arrangement or not self._rows or not rows:
            self._arrangement, self.changed = arrangement, 0
            self._rows = {row.key: row for row in rows}
            return list(rows)
        fresh = {row.key: row for row in rows}
        kept = [key for key in self._rows if key in fresh]
        new = [row.key for row in rows if row.key not in self._rows]
        gone = len(self._rows) - len(kept)
        places = {key: place for place, key in enumerate(fresh)}
        self.changed = gone + _moved([places[key] for key in (*kept, *new)])
        shown = [fresh.get(key) or _dimmed(row) for key, row in self._rows.items()]
        shown += [fresh[key] for key in new]
        self._rows = {row.key: row for row in shown}
        return shown


def _dimmed(row: Row) -> Row:
    return row._replace(cells=tuple(cell._replace(style="muted") for cell in row.cells))


def _moved(places: Sequence[int]) -> int:
    """How many have to move at least so that the others are in order."""
    ends: list[int] = []  # the least last place of an ascending run of each length
    for place in places:
        at = bisect_left(ends, place)
        ends[at : at + 1] = [place]
    return len(places) - len(ends)
