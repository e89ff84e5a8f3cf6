"""A strip of load over time of which one tick changes two cells.

A sparkline moves all its cells at each tick, and a bad link has to carry them all. This strip
is drawn as a heart monitor draws: each value stays where it was put, and the newest replaces
the oldest, behind a gap that wanders from left to right and round.
"""

from collections import deque
from collections.abc import Sequence

_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.:-=+*#"
_GAP = " "


def sweep_chart(
    values: Sequence[float],
    total: int,
    width: int,
    *,
    ceiling: float = 0.0,
    ascii_only: bool = False,
) -> str:
    """The strip of so many cells.

    Args:
        values: The latest values, the newest last; older than `width - 1` are not drawn.
        total: How many values there ever were: it says where the newest stands.
        width: In terminal cells.
        ceiling: What fills a cell; 0 takes the highest value in view, which is worse for a
            bad link, as every new highest value moves all the others.
        ascii_only: Draw with ASCII alone.
    """
    if width < 2:
        return _GAP * width
    shown = values[-(width - 1) :]
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    top = ceiling if ceiling > 0 else max(shown, default=0.0)
    cells = [_GAP] * width
    for number, value in enumerate(shown, total - len(shown)):
        cells[number % width] = _level(value, top, levels)
    return "".join(cells)


def _level(value: float, top: float, levels: str) -> str:
    # Also for NaN, which compares to nothing.
    if not 0 < value < top:
        return levels[-1] if top and value >= top else levels[0]
    return levels[int(value / top * len(levels))]


def nice_ceiling(highest: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ... above a value: a scale that seldom changes."""
    ceiling = 1.0
    while ceiling < highest:
        for step in (2.0, 2.5, 2.0):
            ceiling *= step
            if ceiling >= highest:
                break
    return ceiling


class RollingSeries:
    """The latest values of something that is measured each tick, for a strip of it."""

    def __init__(self, length: int = 240) -> None:
        self._values: deque[float] = deque(maxlen=length)
        self._total = 0

    def add(self, value: float) -> None:
        """The next tick's value."""
        self._values.append(value)
        self._total += 1

    @property
    def highest(self) -> float:
        """The highest of the latest values; 0 when there is none."""
        return max(self._values, default=0.0)

    def strip(self, width: int, *, ceiling: float = 0.0, ascii_only: bool = False) -> str:
        """Drawn in so many cells; without a ceiling the scale is a round one above them all."""
        top = ceiling or nice_ceiling(self.highest)
        values = list(self._values)
        return sweep_chart(values, self._total, width, ceiling=top, ascii_only=ascii_only)
