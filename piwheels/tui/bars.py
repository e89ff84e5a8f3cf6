"""What the bars around a screen say: functions of the console's state."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from piwheels.protocol.messages import COUNTS_OLD_S, BuilderState
from piwheels.tui import glyphs, text
from piwheels.tui.actions import BY_NAME, PLACES, key_texts, shown_on
from piwheels.tui.playing import where
from piwheels.tui.problems import problems
from piwheels.tui.state import FarmState
from piwheels.tui.widgets.bar import Word

if TYPE_CHECKING:
    from piwheels.tui.app import Console

#: glyphs' names of styles, as bars and tables call them.
STYLES = {"success": "good", "warning": "warn", "error": "bad", "accent": "note"}

#: Below this, other screens are told by their numbers alone.
_NARROW_CELLS = 72
_BUSY = frozenset(
    {BuilderState.BUILDING, BuilderState.UPLOADING, BuilderState.STUCK, BuilderState.TO_SLEEP}
)


def head(console: "Console") -> tuple[list[Word], list[Word]]:
    """The farm's state on the left, who we are to it on the right."""
    left = [Word("piwheels", "strong", rank=6), *_state(console)]
    if console.farm.known:
        left += _figures(console)
    return left, [*_right(console), Word("", gap=0)]


def _state(console: "Console") -> Iterator[Word]:
    farm, sign = console.farm, console.glyph
    if console.replay:
        yield Word(f"{sign('operator')} RECORDING {where(console.replay)}", "note")
    if not farm.known:
        yield Word(f"{sign('pending')} waiting for a master", "warn")
        if farm.lost_reason:
            yield Word(farm.lost_reason, "muted", rank=5)
    elif not farm.connected:
        ago = _rounded(console.stale_s)
        yield Word(f"{sign('bad')} LINK LOST, this is {ago} old", "bad")
        yield Word(farm.lost_reason, "muted", rank=7)
    elif farm.paused:
        yield Word(f"{sign('paused')} PAUSED", "warn")
    else:
        yield Word(f"{sign('building')} running", "good")


def _figures(console: "Console") -> Iterator[Word]:
    farm, sign = console.farm, console.glyph
    states = [builder.view.state for builder in farm.builders.values()]
    troubles = len(problems(farm, console.now))
    busy = sum(state in _BUSY for state in states)
    pending = sum(queue.pending for queue in farm.queues)
    if troubles:
        said = f"{sign('warning')} {troubles} to look at{_how_to(console, 'problem')}"
        yield Word(said, "bad", "problem", rank=1, gap=2)
    yield Word(f"{busy} of {len(states)} building", rank=2, gap=2)
    yield Word(f"{text.count(pending)} waiting{_counted(farm)}", rank=3, gap=2)


def _counted(farm: FarmState) -> str:
    """How old the master's counts are, where a slow database makes that worth saying."""
    age_s = farm.status.counts_age_s if farm.status else 0.0
    return f", counted {_rounded(age_s)} ago" if age_s > COUNTS_OLD_S else ""


def _how_to(console: "Console", name: str) -> str:
    """The key of an action in brackets, on screens where it does that."""
    action = BY_NAME[name]
    if not console.able(action) or action not in shown_on(console.farm_screen.place):
        return ""
    return f" ({key_texts(console.keys_of(action))[0]})"


def _right(console: "Console") -> Iterator[Word]:
    if console.source.read_only:
        yield Word("read only", "note", rank=1, gap=2)
    yield Word(console.source.address, "muted", rank=8, gap=2)


def places(here: str, width: int) -> list[Word]:
    """The screens, with the one that is shown in another look; where it is narrow, numbers."""
    words = []
    for name in PLACES:
        action = BY_NAME[name]
        number = key_texts(action.keys)[0]
        at = name == here
        style = "here" if at else "muted"
        said = f"{number} {action.label}" if at or width >= _NARROW_CELLS else number
        words.append(Word(said, style, name, rank=0 if at else 1))
    return words


def last_fate(console: "Console") -> list[Word]:
    """The last command and what became of it."""
    fate = next(iter(console.fates), None)
    if fate is None:
        return []
    sign, style = glyphs.TURN_LOOK[fate.turn]
    words = [Word(f"{console.glyph(sign)} {fate.line}", STYLES.get(style, style), "fates")]
    waiting = len(console.fates.under_way)
    if waiting > 1:
        words.insert(0, Word(f"{waiting} under way", "note", "fates"))
    return words


def keys(console: "Console", place: str) -> list[Word]:
    """The keys of a screen, the dead ones greyed."""
    words = []
    for action in shown_on(place):
        state = console.able(action)
        if state is False or action.name in PLACES:
            continue
        style = "dead" if state is None else ""
        lead = key_texts(console.keys_of(action))[0]
        words.append(Word(action.label, style, action.name, action.rank, 1, lead))
    return words


def _rounded(seconds: float) -> str:
    """A span of time in words that change rarely."""
    if seconds < 60:
        return f"{int(seconds // 10) * 10}s" if seconds >= 10 else "a few seconds"
    return text.duration(seconds - seconds % 60)
