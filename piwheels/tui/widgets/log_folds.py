"""Which lines of a log are folded: runs of noise, each shown as one row until it is opened."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from piwheels.formatting import join_words, pluralize
from piwheels.tui.widgets.log_buffer import LogBuffer
from piwheels.tui.widgets.log_marks import NOISE, LogMarks

#: A shorter run of noise is shown as it is.
MIN_FOLD_LINES = 4


class Fold(NamedTuple):
    """The numbers of lines that one row stands for: from `start` to before `end`."""

    start: int
    end: int


class LogFolds:
    """The folds of a log, from what its lines are; new lines are added with `update`."""

    def __init__(self, marks: LogMarks, *, folding: bool = True) -> None:
        self._marks = marks
        self.folding = folding
        self.clear()

    def clear(self) -> None:
        """For another log."""
        self._folds: list[Fold] = []
        self._starts: list[int] = []
        self._opened: set[int] = set()  # where runs begin that were opened
        self._tail = 0  # where the run of noise begins at the end of the log

    def update(self, log_buffer: LogBuffer, changed: int) -> int:
        """Fold the lines from number `changed` on; returns the first one that is shown otherwise.

        It looks at none of the lines before, so that a log that grows costs only what is added.
        """
        if not self.folding:
            return changed
        first, end = log_buffer.first_line_number, log_buffer.next_line_number
        changed = max(changed, first)
        cut = self._forget_before(first)
        run = begun = self._run_start(changed, first)
        self._remove(bisect_left(self._starts, run), len(self._starts))
        for number in range(changed, end):
            if not self._marks.is_noise(number):
                self._add(begun, number)
                begun = number + 1
        self._add(begun, end)
        self._tail = begun
        if cut:
            return first
        return run if changed - run < MIN_FOLD_LINES else changed

    def _forget_before(self, first: int) -> bool:
        """Forget the lines before the first one; whether a fold has lost some of its lines."""
        dropped = 0
        while dropped < len(self._folds) and self._folds[dropped].end <= first:
            dropped += 1
        self._remove(0, dropped)
        self._tail = max(self._tail, first)
        cut = bool(self._folds) and self._folds[0].start < first
        if cut:
            rest = Fold(first, self._folds[0].end)
            self._remove(0, 1)
            if rest.end - rest.start >= MIN_FOLD_LINES:
                self._folds.insert(0, rest)
                self._starts.insert(0, first)
        return cut

    def _run_start(self, changed: int, first: int) -> int:
        """Where the run of noise begins that reaches up to line `changed`."""
        if self._tail < changed:
            return self._tail
        if self._folds and self._folds[-1].start < changed <= self._folds[-1].end:
            return self._folds[-1].start
        start = changed
        while start > first and self._marks.is_noise(start - 1):
            start -= 1
        return start

    def _add(self, start: int, end: int) -> None:
        if end - start >= MIN_FOLD_LINES and start not in self._opened:
            self._folds.append(Fold(start, end))
            self._starts.append(start)

    def _remove(self, start: int, end: int) -> None:
        del self._folds[start:end], self._starts[start:end]

    def at(self, number: int) -> Fold | None:
        """The fold that hides a line, or stands at it."""
        place = bisect_right(self._starts, number) - 1
        fold = self._folds[place] if place >= 0 else None
        return fold if fold is not None and number < fold.end else None

    def after(self, number: int) -> Iterator[Fold]:
        """The folds from the one on that has this line, or the next."""
        place = bisect_right(self._starts, number) - 1
        place += 1 if place < 0 or self._folds[place].end <= number else 0
        yield from self._folds[place:]

    def open(self, fold: Fold) -> None:
        """Show the lines of one fold."""
        self._opened.add(fold.start)
        place = bisect_right(self._starts, fold.start) - 1
        self._remove(place, place + 1)

    def set_folding(self, log_buffer: LogBuffer, *, folding: bool) -> None:
        """Fold all runs of noise, or none."""
        self.clear()
        self.folding = folding
        self.update(log_buffer, log_buffer.first_line_number)

    def label(self, fold: Fold) -> str:
        """What the row of a fold says."""
        kinds = {self._marks.kind(number) for number in range(fold.start, fold.end)}
        words = join_words([word for kind, word in NOISE.items() if kind in kinds])
        return f"{pluralize(fold.end - fold.start, 'line')} of {words}"
