"""The overview's indicators as the words of bars."""

from collections.abc import Callable, Sequence

from piwheels.formatting import format_count, pluralize
from piwheels.tui.model import actions
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.overview import Indicator, StateCount
from piwheels.tui.widgets.bar import Word

_LABEL_CELLS = 11
_VALUE_CELLS = 7
_NARROW_VALUE_CELLS = 6
_TODAY_CELLS = 8
_YESTERDAY_CELLS = 9
_CHANGE_CELLS = 6
_SHOW_BUILDERS = next(it for it in actions.TABS if it.opens is ScreenName.BUILDERS)


def heading_words(hours: int, *, narrow: bool) -> list[Word]:
    """What the columns of indicators with a chart are."""
    chart = f"last {hours}h" if narrow else f"last {hours}h, 1h a bar"
    value_cells = _NARROW_VALUE_CELLS if narrow else _VALUE_CELLS
    words = [Word(f"{'':<{_LABEL_CELLS}}{'now':>{value_cells}} {chart:<{hours}}", "muted")]
    if not narrow:
        words += [
            Word(f"{'top':>{_VALUE_CELLS}}", "muted", drop_order=3),
            Word(f"{'24h':>{_TODAY_CELLS}}", "muted"),
            Word(f"{'yesterday':>{_YESTERDAY_CELLS}}", "muted"),
        ]
    return words


def indicator_words(indicator: Indicator, hours: int, *, narrow: bool) -> list[Word]:
    """An indicator: its name, its value now, and its chart with yesterday's or its note."""
    value_cells = _NARROW_VALUE_CELLS if narrow else _VALUE_CELLS
    opens = _screen_action(indicator.opens)
    words = [
        Word(f"{indicator.label:<{_LABEL_CELLS}}", "muted", opens),
        Word(f"{indicator.now:>{value_cells}}", "strong", opens, gap_before=0),
    ]
    if indicator.note:
        return [*words, Word(indicator.note, "", opens)]
    if not indicator.today:
        return words
    words.append(Word(f"{indicator.chart:<{hours}}", "accent", opens))
    if not narrow:
        words += [
            Word(f"{indicator.top:>{_VALUE_CELLS}}", "muted", opens, drop_order=3),
            Word(f"{indicator.today:>{_TODAY_CELLS}}", "", opens),
            Word(f"{indicator.yesterday:>{_YESTERDAY_CELLS}}", "muted", opens),
        ]
    style = "warning" if indicator.is_worse else ""
    return [*words, Word(f"{indicator.change:>{_CHANGE_CELLS}}", style, opens)]


def _screen_action(screen_name: ScreenName | None) -> Action | None:
    return next((action for action in actions.TABS if action.opens is screen_name), None)


def state_words(counts: Sequence[StateCount], glyph: Callable[[str], str]) -> list[Word]:
    """How many builders are in each state."""
    total = sum(count.number for count in counts)
    words = [Word(pluralize(total, "builder"), "muted", _SHOW_BUILDERS)]
    for place, (state, count, style, glyph_name) in enumerate(counts):
        text = f"{glyph(glyph_name)} {format_count(count)} {state}"
        words.append(Word(text, style, _SHOW_BUILDERS, drop_order=1 + place, gap_before=2))
    return words
