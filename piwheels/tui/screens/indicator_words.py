"""The overview's indicators as the words of bars: a line each."""

from collections.abc import Callable, Sequence

from piwheels.formatting import format_count, format_duration
from piwheels.model import SeriesWindow
from piwheels.tui.model import actions
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.bar_chart import bar_chart
from piwheels.tui.model.indicators import BEFORE, NEVER, Indicator
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.overview import NEEDS_PERSON, FarmLine, StateCount
from piwheels.tui.widgets.bar import Word

#: So many of the newest bars fit into 40 columns.
_NARROW_BARS = 14
_LABEL_CELLS = 11
_VALUE_CELLS = 7
_NARROW_VALUE_CELLS = 6
_TOP_CELLS = 6
_MEAN_CELLS = 6
_CHANGE_CELLS = 5
#: What stands beside the bars and the period before, with the gaps.
_OTHER_CELLS = 35
_SHOW_BUILDERS = next(it for it in actions.TABS if it.opens is ScreenName.BUILDERS)


def bars_shown(window: SeriesWindow, width: int, *, narrow: bool) -> int:
    """How many of the newest bars are shown, so that mean and change fit beside them."""
    room = _NARROW_BARS if narrow else width - _OTHER_CELLS - len(BEFORE[window])
    return min(window.bars, room)


def heading_words(window: SeriesWindow, bars: int, *, narrow: bool) -> list[Word]:
    """What the columns of the indicators are."""
    value_cells = _NARROW_VALUE_CELLS if narrow else _VALUE_CELLS
    words = [
        Word(f"{window:<{_LABEL_CELLS}}", "strong", actions.WINDOW),
        Word(f"{'now':>{value_cells}}", "muted", gap_before=0),
    ]
    if narrow:
        change_cells = bars + _CHANGE_CELLS - len("bars")
        change = f"{'mean vs before':>{change_cells}}"
        return [*words, Word("bars", "muted", actions.WINDOW), Word(change, "muted")]
    chart = f"bars of {format_duration(window.bar_s)}, newest right"
    if len(chart) > bars:
        chart = "newest right"
    return [
        *words,
        Word(f"{chart:<{bars}}", "muted", actions.WINDOW),
        Word(f"{'top':>{_TOP_CELLS}}", "muted", drop_order=3),
        Word(f"{'mean':>{_MEAN_CELLS}}", "muted"),
        Word(BEFORE[window], "muted"),
        Word(" " * _CHANGE_CELLS),
    ]


def indicator_words(
    indicator: Indicator, window: SeriesWindow, bars: int, *, narrow: bool, ascii_only: bool
) -> list[Word]:
    """An indicator: its value now, its bars, its mean, and the period before."""
    opens = screen_action(indicator.opens)
    chart, _ = bar_chart(indicator.bars[-bars:], top=indicator.top, ascii_only=ascii_only)
    value_cells = _NARROW_VALUE_CELLS if narrow else _VALUE_CELLS
    words = [
        Word(f"{indicator.label:<{_LABEL_CELLS}}", "muted", opens),
        Word(f"{indicator.now:>{value_cells}}", "strong", opens, gap_before=0),
        Word(f"{chart:<{bars}}", "accent", opens),
    ]
    if not narrow:
        words += [
            Word(f"{indicator.top_text:>{_TOP_CELLS}}", "muted", opens, drop_order=3),
            Word(f"{indicator.mean:>{_MEAN_CELLS}}", "", opens),
            Word(f"{indicator.before:>{len(BEFORE[window])}}", "muted", opens),
        ]
    return [*words, change_word(indicator, _CHANGE_CELLS)]


def change_word(indicator: Indicator, cells: int = 0) -> Word:
    """By how much the window differs from the period before."""
    style = "warning" if indicator.is_worse else ""
    return Word(f"{indicator.change:>{cells}}", style, screen_action(indicator.opens))


def screen_action(screen_name: ScreenName) -> Action | None:
    """The action that opens a screen."""
    return next((it for it in actions.SCREEN_ACTIONS if it.opens is screen_name), None)


def state_words(counts: Sequence[StateCount], glyph: Callable[[str], str]) -> list[Word]:
    """How many builders are in each state."""
    total = sum(count.number for count in counts)
    words = [Word(f"Builders {format_count(total)}", "muted", _SHOW_BUILDERS)]
    for place, (state, count, style, glyph_name) in enumerate(counts):
        text = f"{glyph(glyph_name)} {format_count(count)} {state}"
        rank = 0 if state == NEEDS_PERSON else 1 + place
        words.append(Word(text, style, _SHOW_BUILDERS, drop_order=rank, gap_before=2))
    return words


def state_bar_words(
    counts: Sequence[StateCount], glyph: Callable[[str], str], width: int, *, ascii_only: bool
) -> list[list[Word]]:
    """A line for each state of builders, with a bar as long as its number, and a heading."""
    total = sum(count.number for count in counts)
    most = max((count.number for count in counts), default=0)
    lines = [[Word(f"Builders {format_count(total)}", "muted", _SHOW_BUILDERS)]]
    for state, number, style, glyph_name in counts:
        text = f"{glyph(glyph_name)} {state:<11}{format_count(number):>5}"
        room = max(0, width - len(text) - 3)
        cells = number if most <= room else max(1, number * room // most)
        bar = ("#" if ascii_only else "█") * min(cells, room)
        lines.append([Word(text, style, _SHOW_BUILDERS), Word(bar, style, _SHOW_BUILDERS)])
    return lines


def summary_words(busy: int, builders: int, empty: str) -> list[Word]:
    """What a narrow overview shows in one line: `Busy 44/50  Empty in 19h`."""
    words = [Word(f"Busy {busy}/{builders}", "", _SHOW_BUILDERS)]
    if empty:
        words.append(Word(f"Empty in {empty}" if empty != NEVER else "Never empty", gap_before=2))
    return words


def farm_line_words(line: FarmLine) -> list[Word]:
    """A line about a part of the farm."""
    opens = screen_action(line.opens)
    first, *others = line.parts
    words = [Word(f"{line.label:<10}", "muted", opens, gap_before=1), Word(first, "", opens, 0, 0)]
    return [*words, *(Word(part, "", opens, place, 2) for place, part in enumerate(others, 1))]
