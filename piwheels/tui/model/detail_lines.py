"""Lines of styled text, as panes and pages show them."""

import textwrap
from typing import NamedTuple

from piwheels.tui.model.terminal_text import terminal_safe

#: Lines of a long text: a reason, the names of files.
_MAX_TEXT_LINES = 6


class DetailLine(NamedTuple):
    """One line, its style (as of a Cell), and the label before it."""

    text: str = ""
    style: str = ""
    label: str = ""  # " " continues the one above


BLANK = DetailLine()


def paragraph(text: str, width: int, style: str = "") -> list[DetailLine]:
    """A text in lines of this width, a long one cut."""
    lines = textwrap.wrap(
        terminal_safe(text), max(8, width), max_lines=_MAX_TEXT_LINES, break_on_hyphens=False
    )
    return [DetailLine(line, style) for line in lines]
