"""The rows of a log as they are drawn: margin, text, folds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from piwheels.tui.model.glyphs import glyph
from piwheels.tui.widgets.cell_text import pad_or_truncate
from piwheels.tui.widgets.log_content import LogContent
from piwheels.tui.widgets.log_folds import Fold
from piwheels.tui.widgets.log_marks import LineKind
from piwheels.tui.widgets.log_rows import wrap_offsets
from piwheels.tui.widgets.log_times import format_elapsed

#: Before a line, on views that are wide enough: the mark of the current line, its number, the time
#: of its arrival, the mark of an error or a warning.
_NUMBER_CELLS, _TIME_CELLS = 5, 7
_MARGIN_CELLS = 1 + _NUMBER_CELLS + _TIME_CELLS + 3
_MIN_WIDTH_WITH_MARGIN = 72
_STYLES = {LineKind.ERROR: "error", LineKind.WARNING: "warning"}
_GLYPHS = {LineKind.ERROR: "bad", LineKind.WARNING: "warning"}


def margin_cells(width: int) -> int:
    """The cells before the lines on a view of this width."""
    return _MARGIN_CELLS if width >= _MIN_WIDTH_WITH_MARGIN else 0


def margin_heading() -> str:
    """What stands above the margin."""
    return f" {'line':>{_NUMBER_CELLS}}{'+time':>{_TIME_CELLS}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPainter:
    """Draws rows of a log for a view; `style` gives the style of component names together."""

    content: LogContent
    style: Callable[..., Style]
    width: int
    scroll_x: int = 0
    current: int | None = None  # the line that was gone to
    ascii_only: bool = False

    def row(self, row: int) -> Strip:
        """A row, which need not exist."""
        if row >= self.content.rows.rows:
            return Strip.blank(self.width, self.style())
        number, part = self.content.rows.line_at(row)
        if fold := self.content.folds.at(number):
            return self._fold(fold)
        text = self._text(number, part)
        if not margin_cells(self.width):
            return text
        return Strip([*self._margin(number, part), *text], self.width)

    def _fold(self, fold: Fold) -> Strip:
        """The row that stands for lines of noise."""
        label = f"{' ' * margin_cells(self.width)}v {self.content.folds.label(fold)} (o opens)"
        text = pad_or_truncate(label, self.width, ascii_only=self.ascii_only)
        return Strip([Segment(text, self.style("number"))], self.width)

    def _margin(self, number: int, part: int) -> Iterator[Segment]:
        if part:  # a line that wraps
            yield Segment(" " * _MARGIN_CELLS, self.style("number"))
            return
        label = f"{number + 1:>{_NUMBER_CELLS}}"
        seconds = self.content.times.at(number)
        elapsed = "" if seconds is None else format_elapsed(seconds)
        rest = _NUMBER_CELLS + _TIME_CELLS - len(label)
        current = ">" if number == self.current else " "
        yield Segment(f"{current}{label}{elapsed:>{rest}} ", self.style("number"))
        kind = self.content.marks.kind(number)
        mark = glyph(_GLYPHS[kind], ascii_only=self.ascii_only) if kind in _GLYPHS else " "
        yield Segment(f"{mark} ", self._line_style(number))

    def _line_style(self, number: int, *more: str) -> Style:
        kind = self.content.marks.kind(number)
        names = (_STYLES[kind],) if kind in _STYLES else ()
        return self.style(*names, *more)

    def _text(self, number: int, part: int) -> Strip:
        """A part of a line, as wide as the text."""
        width = self.width - margin_cells(self.width)
        line = self.content.buffer[number]
        if self.ascii_only and not line.isascii():
            line = line.encode("ascii", "replace").decode()
        start, end = self.scroll_x, self.scroll_x + width
        if wraps_at := self.content.rows.width:
            cuts = wrap_offsets(line, wraps_at)
            start, end = cuts[part : part + 2] if part + 1 < len(cuts) else (0, 0)
        strip = Strip(self._segments(line, number)).crop(start, end)
        return strip.adjust_cell_length(width, self.style())

    def _segments(self, line: str, number: int) -> Iterator[Segment]:
        current = ("current",) if number == self.current else ()
        base, found = self._line_style(number, *current), self.style("match", *current)
        pattern = self.content.search.pattern
        at = 0
        for match in pattern.finditer(line) if pattern else ():
            if match.start() > at:
                yield Segment(line[at : match.start()], base)
            yield Segment(match.group(), found)
            at = match.end()
        if at < len(line):
            yield Segment(line[at:], base)
