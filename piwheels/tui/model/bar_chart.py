"""A chart of values over time: a bar each, the newest at the right."""

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
    share = value / top if top > 0 else 0.0
    return levels[max(0, int(share * (len(levels) - 1)))]  # only `top` fills a cell
