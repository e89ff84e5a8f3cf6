"""Several bars below each other, as many as there are lines to show."""

from collections.abc import Sequence
from itertools import zip_longest

from textual.containers import Vertical

from piwheels.tui.widgets.bar import Bar, Word


class BarGroup(Vertical):
    """Bars below each other; they are made as they are needed, and hidden when they are not."""

    DEFAULT_CSS = "BarGroup { height: auto; }"

    def __init__(self, most: int, *, ascii_only: bool, id: str | None = None) -> None:  # noqa: A002
        """most: so many lines can be shown."""
        self._bars = [Bar(ascii_only=ascii_only) for _ in range(most)]
        super().__init__(*self._bars, id=id)

    def show(self, lines: Sequence[Sequence[Word]]) -> None:
        """Show a bar for each line."""
        for bar, line in zip_longest(self._bars, lines[: len(self._bars)]):
            bar.display = line is not None
            bar.show(line or ())

    @property
    def text(self) -> str:
        """The text of all lines."""
        return "\n".join(bar.text for bar in self._bars if bar.display)
