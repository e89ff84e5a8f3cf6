"""A terminal emulator for the tests: what a stream of bytes leaves on a screen, cell by cell."""

from typing import Any

import pyte


class Terminal:
    """A screen of pyte's, without line wrap, as Textual sets its terminal."""

    def __init__(self, width: int, height: int) -> None:
        self.screen = pyte.Screen(width, height)
        self.screen.reset_mode(pyte.modes.DECAWM)
        self._stream = pyte.Stream(self.screen)

    def feed(self, data: str) -> None:
        """Process these bytes, without links, which pyte does not support."""
        self._stream.feed(data)

    def resize(self, width: int, height: int) -> None:
        """Another size; what is on the screen stays."""
        self.screen.resize(height, width)

    def cells(self) -> list[list[Any]]:
        """All cells, with their colors and attributes, line by line."""
        buffer = self.screen.buffer
        return [
            [buffer[y][x] for x in range(self.screen.columns)] for y in range(self.screen.lines)
        ]

    def text(self) -> list[str]:
        """What is to be read, line by line."""
        return list(self.screen.display)
