"""The texts of the bars around a screen, as functions of the console's state."""

from collections.abc import Iterator

from piwheels.formatting import (
    format_coarse_duration,
    format_count,
    format_percent,
    format_unix_time,
    noun,
)
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.messages import STALE_COUNTS_S
from piwheels.tui.client.replay import MAX_SPEED, MIN_SPEED, Replay
from piwheels.tui.model import actions
from piwheels.tui.model.alerts import active_alerts
from piwheels.tui.model.indicators import (
    NEVER,
    built_per_hour,
    empty_in,
    good_last_hour,
)
from piwheels.tui.model.key_names import key_label
from piwheels.tui.model.key_row import key_hints
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.queue_lengths import waiting_jobs
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.operators import others_text, short_operator_name
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.widgets.bar import Word

#: The tabs of screens without a number key, where they are usually opened.
_TAB_OF = {
    ScreenName.BUILD: ScreenName.BUILDS,
    ScreenName.LOG: ScreenName.BUILDS,
    ScreenName.EXPLAIN: ScreenName.BUILDS,
    ScreenName.QUEUE: ScreenName.QUEUES,
    ScreenName.BUILDER: ScreenName.BUILDERS,
}
#: From these widths on, the header has figures, more figures, and the master's address.
_NORMAL_WIDTH = 60
_WIDE_WIDTH = 110
_ADDRESS_WIDTH = 160
#: `15:04` of `15:04:05`.
_MINUTE_CHARS = 5
#: Below this width the other tabs are digits only.
_NARROW_WIDTH = 72
#: From this width on, the header tells who else is connected.
_OPERATORS_WIDTH = 200


def header(console: ConsoleContext) -> tuple[list[Word], list[Word]]:
    """The farm's state on the left, the connection and the time on the right."""
    left = [Word("piwheels", "strong", drop_order=6)] if _is_from(console, _NORMAL_WIDTH) else []
    left += _state_words(console)
    if console.farm.has_snapshot:
        left += _summary_words(console)
    return left, [*_connection_words(console), Word("", gap_before=0)]


def _is_from(console: ConsoleContext, width: int) -> bool:
    return console.size.width >= width


def _state_words(console: ConsoleContext) -> Iterator[Word]:
    farm, glyph = console.farm, console.glyph
    if console.replay:
        yield Word(f"{glyph('operator')} RECORDING {replay_position(console.replay)}", "accent")
    if console.recorded_at is not None:
        at = format_unix_time(console.recorded_at)[:5]
        yield Word(f"{glyph('operator')} RECORDED {at}", "accent", actions.BACK)
        if console.is_link_lost:
            yield Word(f"{glyph('bad')} link lost", "error", drop_order=1)
    if not farm.has_snapshot:
        yield Word(f"{glyph('pending')} waiting for a master", "warning")
        if farm.lost_reason:
            yield Word(farm.lost_reason, "muted", drop_order=5, gap_before=2)
    elif not farm.connected:
        age = format_coarse_duration(console.stale_s)
        yield Word(f"{glyph('bad')} LINK LOST, this is {age} old", "error")
        yield Word(farm.lost_reason, "muted", drop_order=7)
    elif farm.paused:
        yield Word(f"{glyph('paused')} PAUSED", "warning")
        if farm.status is not None and farm.status.paused_by:
            yield Word(f"by {short_operator_name(farm.status.paused_by)}", "muted", drop_order=7)
    else:
        yield Word(f"{glyph('building')} running", "success")


def _summary_words(console: ConsoleContext) -> Iterator[Word]:
    """Alerts, and as many figures as the width has place for."""
    farm, status = console.farm, console.farm.status
    yield from _alert_words(console)
    if status is None or not _is_from(console, _NORMAL_WIDTH):
        return
    is_wide = _is_from(console, _WIDE_WIDTH)
    builders = farm.present_builders
    busy = sum(builder.view.build is not None for builder in builders)
    of = " of " if is_wide else "/"
    waiting = format_count(waiting_jobs(status.queues))
    good = good_last_hour(status)
    yield Word(f"{busy}{of}{len(builders)} busy", drop_order=2, gap_before=2)
    yield Word(f"{waiting} waiting{_count_age(farm)}", drop_order=3, gap_before=2)
    if is_wide:
        rate = built_per_hour(status)
        built = "-" if rate is None else format_count(round(rate))
        yield Word(f"{built} built/h", drop_order=4, gap_before=2)
    yield Word(f"{'-' if good is None else format_percent(good, 1)} good", "", None, 4, 2)
    if is_wide and (empty := empty_in(status.queues)):
        text = "never empty" if empty == NEVER else f"empty in {empty}"
        yield Word(text, drop_order=5, gap_before=2)


def _alert_words(console: ConsoleContext) -> Iterator[Word]:
    """How many alerts are critical, and how many are not."""
    found = active_alerts(console.farm)
    critical = sum(alert.is_critical for alert in found)
    unit = f" {noun(len(found), 'alert')}"
    counts = (("lost", critical, "error"), ("warning", len(found) - critical, "warning"))
    shown = [count for count in counts if count[1]]
    for place, (glyph, number, style) in enumerate(shown):
        is_last = place == len(shown) - 1
        text = f"{console.glyph(glyph)} {format_count(number)}{unit if is_last else ''}"
        gap = 1 if place else 2
        yield Word(text, style, actions.NEXT_ALERT, drop_order=1, gap_before=gap)
    if not found:
        text = f"{console.glyph('good')} no alerts"
        yield Word(text, "success", drop_order=4, gap_before=2)


def _count_age(farm: FarmState) -> str:
    """How old the master's counts are, where a slow database makes that worth saying."""
    age_s = farm.status.counts_age_s if farm.status else 0.0
    return f" ({format_coarse_duration(age_s)} ago)" if age_s > STALE_COUNTS_S else ""


def _connection_words(console: ConsoleContext) -> Iterator[Word]:
    limit = _limit_text(console)
    if limit and console.recorded_at is None:
        yield Word(limit, "accent", drop_order=1, gap_before=2)
    others = others_text(console.farm.other_operators)
    if others and console.size.width >= _OPERATORS_WIDTH:
        yield Word(others, "muted", actions.SHOW_OPERATORS, drop_order=9, gap_before=2)
    context = console.context
    if context.color:
        style = f"context-{context.color}"
        yield Word(f" {terminal_safe(context.name)} ", style, drop_order=5, gap_before=2)
    if _is_from(console, _ADDRESS_WIDTH):
        yield Word(context.address, "muted", drop_order=8, gap_before=2)
    if console.farm.has_snapshot:
        yield Word(format_unix_time(console.source.now())[:_MINUTE_CHARS], gap_before=2)


def _limit_text(console: ConsoleContext) -> str:
    """How this console is limited; "" where it may do everything."""
    if console.source.read_only:
        return "read-only"
    role = console.farm.role
    return "" if role is ControlRole.ADMINISTER else f"may {role}"


def screen_tabs(current: ScreenName, width: int) -> list[Word]:
    """The screens with a number key, the current one in capitals; digits only where narrow."""
    words: list[Word] = []
    tab = _TAB_OF.get(current, current)
    for action in actions.TABS:
        digit = key_label(action.keys)
        is_current = action.opens is tab
        label = action.label.upper() if is_current else action.label
        text = f"{digit} {label}" if is_current or width >= _NARROW_WIDTH else digit
        style = "here" if is_current else "muted"
        gap = 1 if words or width < _NARROW_WIDTH else 0  # so that all of them fit into 80 columns
        words.append(Word(text, style, action, 0 if is_current else 1, gap))
    return words


def key_row(console: ConsoleContext, screen_name: ScreenName) -> list[Word]:
    """The keys of a screen; those that are not available now are grayed out."""
    words: list[Word] = []
    is_recorded = console.replay is not None or console.recorded_at is not None
    hints = key_hints(screen_name, recording=is_recorded)
    for place, hint in enumerate(hints, 1):
        action = actions.find_action(hint.action)
        available = console.is_available(action) if action else False
        key = key_label(console.keys_for(action)) if action else ""
        if action is None or available is False or not key:
            continue
        style = "dead" if available is None else ""
        drop_order = 0 if action is actions.HELP else 1 if action is actions.QUIT else place + 1
        gap = 2 if words else 1
        words.append(Word(hint.label or action.label, style, action, drop_order, gap, key))
    return words


def replay_position(replay: Replay) -> str:
    """Where a recording is, in words: `12:03:44 (12:00:00 to 13:00:00), paused`."""
    position = format_unix_time(replay.now())
    span = f"{format_unix_time(replay.begin)} to {format_unix_time(replay.end)}"
    text = f"{position} ({span})"
    if replay.paused:
        return f"{text}, paused"
    if replay.at_end:
        return f"{text}, at its {'damaged ' if replay.problem else ''}end"
    return f"{text}{_speed_text(replay.speed)}"


def _speed_text(speed: float) -> str:
    if speed == 1.0:
        return ""
    factor = f"{speed:g}" if speed >= 1 else f"1/{1 / speed:g}"
    limit = {MIN_SPEED: " (minimum)", MAX_SPEED: " (maximum)"}.get(speed, "")
    return f", {factor}x speed{limit}"
