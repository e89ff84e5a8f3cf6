"""Texts that do something when they are clicked, as their keys do."""

from collections.abc import Sequence

from textual.content import Content
from textual.style import Style


def clickable(text: Content, action: str) -> Content:
    """A text that runs an action of Textual, such as `screen.cancel`."""
    return text.stylize(Style.from_meta({"@click": action}))


def clickable_keys(keys: Sequence[tuple[str, str]]) -> Content:
    """A row of keys: the text of each, and what a click does; "" is nothing."""
    words = (clickable(Content(text), action) if action else Content(text) for text, action in keys)
    return Content("  ").join(words)
