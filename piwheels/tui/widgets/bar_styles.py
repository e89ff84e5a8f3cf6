"""The styles of a bar's words, as the theme has them.

They are no component classes: Textual makes a node for each of those in each widget, and applies
the whole style sheet to it whenever a style of the widget may have changed.
"""

from collections.abc import Mapping

from rich.style import Style
from textual.color import Color

_IN_REVERSE = "bold reverse"
#: The theme's color (none: that of the bar) and the text's style.
_LOOKS = {
    "muted": ("text-muted", ""),
    "strong": ("", "bold"),
    "success": ("text-success", ""),
    "accent": ("text-accent", ""),
    "warning": ("text-warning", "bold"),
    "error": ("text-error", "bold"),
    "here": ("", _IN_REVERSE),
    "key": ("text-accent", "bold"),
    "dead": ("text-disabled", "dim"),
    "context-blue": ("text-accent", _IN_REVERSE),
    "context-green": ("text-success", _IN_REVERSE),
    "context-yellow": ("text-warning", _IN_REVERSE),
    "context-red": ("text-error", _IN_REVERSE),
    "context-cyan": ("secondary", _IN_REVERSE),
}

#: The names of styles that a word may have.
BAR_STYLES = tuple(_LOOKS)


def bar_style(name: str, theme_variables: Mapping[str, str]) -> Style:
    """What a style changes of the bar's own."""
    variable, text_style = _LOOKS[name]
    style = Style.parse(text_style)
    if not variable:
        return style
    # The grays of Textual's themes for 16 colors are a color and a share, which no terminal draws.
    color = theme_variables[variable].partition(" ")[0]
    return Style(color=Color.parse(color).rich_color) + style
