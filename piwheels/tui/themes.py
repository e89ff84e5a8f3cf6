"""The console's own colours; textual's themes can be chosen too.

Every state has a glyph and a word besides, so no theme has to be told apart by eye alone. Blue
and orange carry the most, which all kinds of colour blindness keep apart.
"""

from typing import ClassVar

from textual.scrollbar import ScrollBarRender
from textual.theme import Theme

THEMES = (
    Theme(
        name="piwheels",
        primary="#5fafff",
        secondary="#87d7d7",
        accent="#5fafff",
        warning="#ffaf5f",
        error="#ff8787",
        success="#87d787",
        foreground="#e4e4e4",
        background="#121212",
        surface="#1c1c1c",
        panel="#262626",
        dark=True,
        variables={
            "block-cursor-background": "#005f87",
            "block-cursor-foreground": "#ffffff",
        },
    ),
    Theme(
        name="piwheels-light",
        primary="#005faf",
        secondary="#005f5f",
        accent="#005faf",
        warning="#875f00",
        error="#af0000",
        success="#005f00",
        foreground="#1c1c1c",
        background="#ffffff",
        surface="#eeeeee",
        panel="#e4e4e4",
        dark=False,
        variables={
            "block-cursor-background": "#afd7ff",
            "block-cursor-foreground": "#000000",
        },
    ),
)

#: For terminals of 16 colours, for links that are slow, and with NO_COLOR.
PLAIN_THEME = "ansi-dark"


class WholeCellScrollBar(ScrollBarRender):
    """Scrollbars without parts of cells: they need no Unicode, and change less often."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8
