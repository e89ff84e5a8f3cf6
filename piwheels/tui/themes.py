"""The console's own themes; those of Textual can be chosen, too.

Every state also has a glyph and a word, so that no theme relies on color alone. Blue and orange are
used most, which all kinds of color blindness can distinguish.
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

#: For terminals with 16 colors, slow links, and NO_COLOR.
PLAIN_THEME = "ansi-dark"


class WholeCellScrollBar(ScrollBarRender):
    """Scrollbars of whole cells: they need no Unicode, and change less often."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8
