"""Charts of values over time: a bar each, the newest at the right."""

from collections.abc import Sequence

_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = ".:-=+*%#"


def bar_chart(
    values: Sequence[float | None], *, top: float = 0.0, ascii_only: bool = False
) -> tuple[str, float]:
    """A bar for each value, and the value of a full bar.

    None (unknown) is blank. The scale begins at 0 and ends at `top`, else at the largest value.
    """
    known = [value for value in values if value is not None]
    top = top or max(known, default=0.0)
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    return "".join(_bar(value, top, levels) for value in values), top


def _bar(value: float | None, top: float, levels: str) -> str:
    if value is None:
        return " "
    return levels[max(0, int(_share(value, top) * (len(levels) - 1)))]  # only `top` fills a cell


def bar_graph(
    values: Sequence[float | None],
    *,
    top: float,
    height: int,
    bar_cells: int = 1,
    ascii_only: bool = False,
) -> list[str]:
    """The lines of a chart whose bars are higher than a line, from above.

    Args:
        values: A bar each; None (unknown) is blank, and zero the lowest block.
        top: The value of a full bar; the scale begins at 0.
        height: In lines.
        bar_cells: The width of a bar.
        ascii_only: Draw with ASCII only.
    """
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    steps = [_steps(value, top, height * len(levels)) for value in values]
    return [
        "".join(_cell(step - line * len(levels), levels) * bar_cells for step in steps)
        for line in reversed(range(height))
    ]


def _steps(value: float | None, top: float, most: int) -> int:
    """How many of the steps of a bar are filled."""
    return 0 if value is None else max(1, int(_share(value, top) * most))


def _cell(steps: int, levels: str) -> str:
    return " " if steps <= 0 else levels[min(steps, len(levels)) - 1]


def _share(value: float, top: float) -> float:
    return min(1.0, value / top) if top > 0 else 0.0


def nice_ceiling(highest: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ... above a value: a scale that rarely changes."""
    ceiling = 1.0
    while ceiling < highest:
        for step in (2.0, 2.5, 2.0):
            ceiling *= step
            if ceiling >= highest:
                break
    return ceiling
