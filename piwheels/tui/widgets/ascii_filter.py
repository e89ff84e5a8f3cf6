"""Draws what Textual itself adds, such as the mark of a truncated label, in ASCII."""

from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from piwheels.tui.widgets.cell_text import printable_text

_TRUNCATION_MARK = {ord("…"): "~"}


class AsciiFilter(LineFilter):
    """Replaces every character outside ASCII, in as many cells as it takes."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 as LineFilter
        """The segments of a line, in ASCII."""
        return [
            segment
            if segment.control or segment.text.isascii()
            else Segment(_ascii_text(segment.text), segment.style)
            for segment in segments
        ]


@lru_cache(maxsize=4096)
def _ascii_text(text: str) -> str:
    return "".join(map(_ascii_cells, text.translate(_TRUNCATION_MARK)))


def _ascii_cells(letter: str) -> str:
    if letter.isascii():
        return letter
    width = cell_len(letter)
    folded = printable_text(letter, ascii_only=True)
    return folded if len(folded) == width else "?" * width
