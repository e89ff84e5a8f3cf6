"""What the bars around a screen say: functions of the console's state."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from piwheels.protocol.messages import STALE_COUNTS_S, BuilderState
from piwheels.tui.model import formatting, glyphs
from piwheels.tui.model.actions import ACTIONS_BY_NAME, SCREENS, actions_of, key_labels
from piwheels.tui.model.alerts import find_alerts
from piwheels.tui.model.state import FarmState
from piwheels.tui.replay_controls import replay_position
from piwheels.tui.widgets.bar import Word

if TYPE_CHECKING:
    from piwheels.tui.app import Console

#: glyphs' names of styles, as bars and tables call them.
STYLES = {"success": "good", "warning": "warn", "error": "bad", "accent": "note"}

#: Below this, other screens are told by their numbers alone.
_NARROW_WIDTH = 72
_BUSY_STATES = frozenset(
    {BuilderState.BUILDING, BuilderState.UPLOADING, BuilderState.OVERDUE, BuilderState.TO_SLEEP}
)


def header(console: "Console") -> tuple[list[Word], list[Word]]:
    """The farm's state on the left, who we are to it on the right."""
    left = [Word("piwheels", "strong", drop_order=6), *_state_words(console)]
    if console.farm.has_snapshot:
        left += _summary_words(console)
    return left, [*_connection_words(console), Word("", gap_before=0)]


def _state_words(console: "Console") -> Iterator[Word]:
    farm, sign = console.farm, console.glyph
    if console.replay:
        yield Word(f"{sign('operator')} RECORDING {replay_position(console.replay)}", "note")
    if not farm.has_snapshot:
        yield Word(f"{sign('pending')} waiting for a master", "warn")
        if farm.lost_reason:
            yield Word(farm.lost_reason, "muted", drop_order=5)
    elif not farm.connected:
        ago = _coarse_duration(console.stale_s)
        yield Word(f"{sign('bad')} LINK LOST, this is {ago} old", "bad")
        yield Word(farm.lost_reason, "muted", drop_order=7)
    elif farm.paused:
        yield Word(f"{sign('paused')} PAUSED", "warn")
    else:
        yield Word(f"{sign('building')} running", "good")


def _summary_words(console: "Console") -> Iterator[Word]:
    farm, sign = console.farm, console.glyph
    states = [builder.view.state for builder in farm.builders.values()]
    troubles = len(find_alerts(farm, console.now))
    busy = sum(state in _BUSY_STATES for state in states)
    pending = sum(queue.pending for queue in farm.queues)
    if troubles:
        said = f"{sign('warning')} {troubles} to look at{_key_hint(console, 'problem')}"
        yield Word(said, "bad", "problem", drop_order=1, gap_before=2)
    yield Word(f"{busy} of {len(states)} building", drop_order=2, gap_before=2)
    yield Word(
        f"{formatting.format_count(pending)} waiting{_count_age(farm)}", drop_order=3, gap_before=2
    )


def _count_age(farm: FarmState) -> str:
    """How old the master's counts are, where a slow database makes that worth saying."""
    age_s = farm.status.counts_age_s if farm.status else 0.0
    return f", counted {_coarse_duration(age_s)} ago" if age_s > STALE_COUNTS_S else ""


def _key_hint(console: "Console", name: str) -> str:
    """The key of an action in brackets, on screens where it does that."""
    action = ACTIONS_BY_NAME[name]
    if not console.is_available(action) or action not in actions_of(
        console.current_screen.screen_name
    ):
        return ""
    return f" ({key_labels(console.keys_for(action))[0]})"


def _connection_words(console: "Console") -> Iterator[Word]:
    if console.source.read_only:
        yield Word("read only", "note", drop_order=1, gap_before=2)
    yield Word(console.source.address, "muted", drop_order=8, gap_before=2)


def screen_tabs(current: str, width: int) -> list[Word]:
    """The screens, with the one that is shown in another look; where it is narrow, numbers."""
    words = []
    for name in SCREENS:
        action = ACTIONS_BY_NAME[name]
        number = key_labels(action.keys)[0]
        at = name == current
        style = "here" if at else "muted"
        said = f"{number} {action.label}" if at or width >= _NARROW_WIDTH else number
        words.append(Word(said, style, name, drop_order=0 if at else 1))
    return words


def last_command(console: "Console") -> list[Word]:
    """The last command and what became of it."""
    fate = next(iter(console.command_history), None)
    if fate is None:
        return []
    sign, style = glyphs.COMMAND_STYLE[fate.state]
    words = [Word(f"{console.glyph(sign)} {fate.line}", STYLES.get(style, style), "commands")]
    waiting = len(console.command_history.pending)
    if waiting > 1:
        words.insert(0, Word(f"{waiting} under way", "note", "commands"))
    return words


def key_hints(console: "Console", screen_name: str) -> list[Word]:
    """The keys of a screen, the dead ones greyed."""
    words = []
    for action in actions_of(screen_name):
        state = console.is_available(action)
        if state is False or action.name in SCREENS:
            continue
        style = "dead" if state is None else ""
        lead = key_labels(console.keys_for(action))[0]
        words.append(Word(action.label, style, action.name, action.rank, 1, lead))
    return words


def _coarse_duration(seconds: float) -> str:
    """A span of time in words that change rarely."""
    if seconds < 60:
        return f"{int(seconds // 10) * 10}s" if seconds >= 10 else "a few seconds"
    return formatting.format_duration(seconds - seconds % 60)
