"""The overview's indicators as graphs side by side, for large terminals."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len

from piwheels.model import SeriesWindow
from piwheels.tui.model.bar_chart import bar_graph
from piwheels.tui.model.indicators import BEFORE, Indicator
from piwheels.tui.screens.indicator_words import change_word, screen_action
from piwheels.tui.widgets.bar import Word

#: Cells of the scale beside a graph.
_SCALE_CELLS = 6


class GraphSize(NamedTuple):
    """The size of each graph: the whole pane's width, the height and width of bars."""

    width: int
    height: int
    bar_cells: int = 1


def graph_lines(
    shown: Sequence[Indicator], window: SeriesWindow, size: GraphSize, *, ascii_only: bool
) -> list[list[Word]]:
    """The lines of graphs that are side by side: titles, bars with a scale, ages, and a blank."""
    panes = [_pane(indicator, window, size, ascii_only) for indicator in shown]
    lines = [
        _side_by_side([pane[place] for pane in panes], size.width) for place in range(len(panes[0]))
    ]
    return [*lines, []]


def _pane(
    indicator: Indicator, window: SeriesWindow, size: GraphSize, ascii_only: bool
) -> list[list[Word]]:
    opens = screen_action(indicator.opens)
    rows = bar_graph(
        indicator.bars or (None,) * window.bars,
        top=indicator.top,
        height=size.height,
        bar_cells=size.bar_cells,
        ascii_only=ascii_only,
    )
    zero = "0%" if indicator.top_text.endswith("%") else "0"
    scale = [indicator.top_text, *[""] * (size.height - 2), zero if indicator.top_text else ""]
    lines = [_title(indicator, window, size.width)]
    for mark, row in zip(scale, rows, strict=True):
        lines.append(
            [
                Word(f"{mark:>{_SCALE_CELLS}}", "muted", opens, gap_before=0),
                Word(row, "accent", opens),
            ]
        )
    bars = window.bars * size.bar_cells
    ages = f"{f'{window} ago':<{bars - 3}}now"
    return [*lines, [Word(ages, "muted", gap_before=_SCALE_CELLS + 1)]]


def _title(indicator: Indicator, window: SeriesWindow, width: int) -> list[Word]:
    """Name and value, and as much of the comparison as fits: the change never without the mean."""
    opens = screen_action(indicator.opens)
    words = [
        Word(indicator.label, "muted", opens),
        Word(indicator.now, "strong", opens),
        Word(f"mean {indicator.mean}", "", opens, gap_before=2),
        Word(f"{BEFORE[window]} {indicator.before}", "muted", opens, gap_before=2),
        change_word(indicator)._replace(gap_before=2),
    ]
    if _cells(words) >= width:
        words = [word._replace(gap_before=1) for word in words]
    if _cells(words) >= width:
        del words[3]
    while len(words) > 2 and _cells(words) >= width:
        del words[-1]
    return words


def _cells(words: Sequence[Word]) -> int:
    return sum(word.gap_before + cell_len(word.text) for word in words)


def _side_by_side(panes: Sequence[list[Word]], width: int) -> list[Word]:
    """Lines as one; each begins at a multiple of the width."""
    words: list[Word] = []
    missing = 0
    for pane in panes:
        first, *others = pane
        words += [first._replace(gap_before=first.gap_before + missing), *others]
        missing = width - _cells(pane)
    return words
