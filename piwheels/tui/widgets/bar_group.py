"""Several bars below each other, as many as there are lines to show."""

from collections.abc import Sequence

from piwheels.tui.widgets.bar import Bar, BarLine, Word


class BarGroup(Bar):
    """Lines of words, each cut to the width; hidden while there are none."""

    DEFAULT_CSS = "BarGroup { width: 1fr; height: auto; }"

    def __init__(self, most: int, *, ascii_only: bool, id: str | None = None) -> None:  # noqa: A002
        """most: so many lines can be shown."""
        super().__init__(ascii_only=ascii_only, id=id)
        self._most = most
        self.display = False

    def show_words(self, lines: Sequence[Sequence[Word]]) -> None:
        """Show a line for each of these."""
        self.show_lines([BarLine(tuple(words)) for words in lines[: self._most]])
        self.display = bool(lines)
