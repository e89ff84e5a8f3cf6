"""A growing log and what is known of its lines: kinds, folds, times, matches, rows."""

from collections.abc import Sequence

from piwheels.tui.widgets.log_buffer import LogBuffer, max_width
from piwheels.tui.widgets.log_folds import LogFolds
from piwheels.tui.widgets.log_marks import LogMarks
from piwheels.tui.widgets.log_rows import RowIndex
from piwheels.tui.widgets.log_search import LogSearch
from piwheels.tui.widgets.log_times import LineTimes, split_at_arrivals


class LogContent:
    """The lines of a log, and the rows that they take."""

    def __init__(self, buffer: LogBuffer, *, folding: bool) -> None:
        self.buffer = buffer
        self.marks = LogMarks()
        self.folds = LogFolds(self.marks, folding=folding)
        self.times = LineTimes()
        self.search = LogSearch(buffer)
        self.rows = RowIndex(self.folds)
        self.max_width = 0  # of lines that do not wrap

    def clear(self) -> None:
        """For another log."""
        for part in (self.buffer, self.marks, self.folds, self.times):
            part.clear()
        self.search.end()
        self.make_rows(self.rows.width)

    def append(self, data: bytes, arrivals: Sequence[tuple[int, float]]) -> None:
        """Append a chunk, which may end anywhere; `arrivals` as in `split_at_arrivals`."""
        changed = self.buffer.next_line_number
        for piece, seconds in split_at_arrivals(data, arrivals):
            begins = self.buffer.append(piece)
            changed = min(changed, begins)
            if seconds is not None:
                self.times.add(begins, seconds)
        changed = max(changed, self.buffer.first_line_number)
        self.marks.update(self.buffer, changed)
        self.rows.update(self.buffer, self.folds.update(self.buffer, changed))
        self.search.extend(changed)
        if not self.rows.width:
            self.max_width = max(self.max_width, max_width(self.buffer.lines_from(changed)))

    def make_rows(self, width: int) -> None:
        """Find the rows of all lines, which wrap at `width` cells; 0: they do not."""
        self.rows = RowIndex(self.folds, width)
        self.rows.update(self.buffer, self.buffer.first_line_number)
        self.max_width = 0 if width else max_width(self.buffer.lines_from(0))

    def set_folding(self, *, folding: bool) -> None:
        """Fold all runs of noise, or none."""
        self.folds.set_folding(self.buffer, folding=folding)
        self.make_rows(self.rows.width)

    def unfold(self, number: int) -> None:
        """Open the fold that hides a line, if there is one."""
        if fold := self.folds.at(number):
            self.folds.open(fold)
            self.rows.update(self.buffer, fold.start)

    def has_line(self, number: int) -> bool:
        """Whether the line of this number, from 0, is there."""
        return self.buffer.first_line_number <= number < self.buffer.next_line_number
