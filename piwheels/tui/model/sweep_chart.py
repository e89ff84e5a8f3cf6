"""A chart of load over time of which one sample changes two cells.

A sparkline moves all its cells with each sample, and a slow link has to carry them all. This chart
is drawn like a heart monitor: values stay in place, and the newest replaces the oldest, behind a
gap that moves from left to right and starts over.
"""

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
    """A chart of `width` cells.

    Args:
        values: The latest values, the newest last; at most `width - 1` are drawn.
        total: How many values there ever were; it determines the position of the newest.
        width: In terminal cells.
        ceiling: The value that fills a cell; 0 takes the highest in view, with more changes, as
            each new highest value changes all cells.
        ascii_only: Draw with ASCII only.
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
    # Also for NaN, which no comparison matches.
    if not 0 < value < top:
        return levels[-1] if top and value >= top else levels[0]
    return levels[int(value / top * len(levels))]


def nice_ceiling(highest: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ... above a value: a scale that rarely changes."""
    ceiling = 1.0
    while ceiling < highest:
        for step in (2.0, 2.5, 2.0):
            ceiling *= step
            if ceiling >= highest:
                break
    return ceiling
