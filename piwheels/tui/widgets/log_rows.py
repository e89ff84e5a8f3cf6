"""The rows on the screen that the lines of a log take: several if they wrap, none if folded."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator

from rich.cells import get_character_cell_size

from piwheels.tui.widgets.log_buffer import LogBuffer
from piwheels.tui.widgets.log_folds import LogFolds


def wrap_offsets(line: str, width: int) -> list[int]:
    """Where a line wraps at a width, in terminal cells from its start: first 0, last its end.

    A wide character is never split.
    """
    if line.isascii():
        return [*range(0, len(line), width), len(line)] if line else [0, 0]
    cuts = [0]
    at = 0
    for letter in line:
        cells = get_character_cell_size(letter)
        if at + cells - cuts[-1] > width and at > cuts[-1]:
            cuts.append(at)
        at += cells
    return [*cuts, at]


class RowIndex:
    """Maps rows on the screen to lines and their parts; lines wrap at `width`, if it is not 0."""

    def __init__(self, folds: LogFolds, width: int = 0) -> None:
        self.width = max(2, width) if width else 0
        self._folds = folds
        self._row_starts = array("q", [0])  # the first row of each line, and the end
        self._first = 0

    @property
    def rows(self) -> int:
        """How many rows all lines take."""
        return self._row_starts[-1]

    def update(self, text: LogBuffer, changed: int) -> int:
        """Update from the first changed line; returns the rows dropped at the top."""
        dropped_lines = min(text.first_line_number - self._first, len(self._row_starts) - 1)
        dropped = self._row_starts[dropped_lines]
        if dropped_lines:
            self._row_starts = array(
                "q", (start - dropped for start in self._row_starts[dropped_lines:])
            )
        self._first = text.first_line_number
        del self._row_starts[max(0, changed - text.first_line_number) + 1 :]
        at = self._row_starts[-1]
        for height in self._heights(text, self._first + len(self._row_starts) - 1):
            at += height
            self._row_starts.append(at)
        return dropped

    def _heights(self, text: LogBuffer, start: int) -> Iterator[int]:
        """The rows of each line from number `start` on."""
        folds = self._folds.after(start)
        fold = next(folds, None)
        for number, line in enumerate(text.lines_from(start), start):
            while fold is not None and fold.end <= number:
                fold = next(folds, None)
            if fold is not None and fold.start <= number:
                yield int(number == fold.start)
            else:
                yield self._height(line)

    def _height(self, line: str) -> int:
        if not self.width or (len(line) <= self.width and line.isascii()):
            return 1
        return len(wrap_offsets(line, self.width)) - 1

    def row_of(self, number: int) -> int:
        """The first row of the line of this number."""
        return self._row_starts[max(0, min(number - self._first, len(self._row_starts) - 1))]

    def line_at(self, row: int) -> tuple[int, int]:
        """The number of the line that a row shows, and the index of its part."""
        place = bisect_right(self._row_starts, row) - 1
        return self._first + place, row - self._row_starts[place]
