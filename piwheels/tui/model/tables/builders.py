"""The rows of the builders table; equal cells are cached."""

from collections.abc import Mapping
from functools import lru_cache

from piwheels.formatting import (
    format_count,
    format_load,
    format_percent,
    format_short_duration,
    format_temperature,
)
from piwheels.model import Alert, AlertRule, AlertScope, AlertState, RefusedKey
from piwheels.protocol.messages import BuilderState
from piwheels.tui.model.bar_chart import bar_chart, nice_ceiling
from piwheels.tui.model.glyphs import (
    ALERT_STATES,
    MACHINE_ALERT_ORDER,
    STATE_ORDER,
    STATE_STYLE,
    WORKING_STATES,
    alert_glyph,
    alert_style,
)
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.state import Builder, FarmState
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe

_TAKEN_CELLS = 9
BUILDER_COLUMNS = (
    Column("state", "State", 13, 0),
    Column("label", "Name", 14, 0),
    Column("release", "Building", 24, 0, short_width=16),
    Column("phase", "Phase", 9, 3),
    Column("time", "Taken", _TAKEN_CELLS, 1, "right"),
    Column("load", "Load", 5, 1, "right"),
    Column("temperature", "Temp", 5, 2, "right"),
    Column("built", "Built/h", 8, 2, "right", short_width=4, short_title="B/h"),
    Column("memory", "Mem", 5, 4, "right"),
    Column("disk", "Disk", 5, 4, "right"),
    Column("failed", "Fail/h", 7, 4, "right"),
    Column("loads", "Load history", 20, 5, "right"),
    Column("targets", "Targets", 22, 6),
    Column("platform", "Platform", 14, 7),
    Column("board", "Board", 24, 8),
)

DISK_CRITICAL = 0.05  # a disk with less than this share free is nearly full
DISK_LOW = 0.10
MEMORY_LOW = 0.10
TEMPERATURE_CRITICAL = 80.0  # a Raspberry Pi throttles itself from here on
TEMPERATURE_HIGH = 75.0
_LOAD_CHART_WIDTH = 20
#: The alerts that are shown in place of a builder's state, unless an operator chose that.
_MACHINE_RULES = frozenset({AlertRule.HOT, AlertRule.SLOW, AlertRule.MEMORY, AlertRule.DISK})
_REPLACED_STATES = WORKING_STATES | {BuilderState.IDLE}

#: Before the key of a builder that waits, in the key of its row.
WAITING = "waiting "
_KEY_DIGITS = 8
_FIRST = -1  # before every other row

_cached = lru_cache(4096)
_EMPTY = Cell("")
_UNKNOWN = Cell("-")


def builder_rows(state: FarmState, now: float, *, ascii_only: bool = False) -> list[Row]:
    """One row per builder: alerts first, then those about to change, then those at work."""
    names, alerts = state.target_names, _machine_alerts(state)
    return [
        builder_row(builder, now, ascii_only, names, alerts.get(label))
        for label, builder in state.builders.items()
    ]


def waiting_builders(state: FarmState) -> dict[str, RefusedKey]:
    """The builders that wait to be authorized, by the keys of their rows."""
    refused = state.status.refused_keys if state.status else ()
    return {f"{WAITING}{each.public}": each for each in refused if each.role == "builder"}


def waiting_rows(state: FarmState) -> list[Row]:
    """One row per builder that waits to be authorized."""
    return [_waiting_row(each) for each in waiting_builders(state).values()]


def _waiting_row(waiting: RefusedKey) -> Row:
    name = terminal_safe(waiting.name or waiting.public[:_KEY_DIGITS])
    at = f" at {waiting.address}" if waiting.address else ""
    why = terminal_safe(f"not authorized: key {waiting.public[:_KEY_DIGITS]}{at}")
    rest = (_EMPTY,) * (len(BUILDER_COLUMNS) - 3)
    cells = (_word_cell("waiting"), _name_cell(name), _reason_cell(why, False), *rest)
    text = _filter_text(name, (), why, "", "waiting")
    return Row(f"{WAITING}{waiting.public}", cells, False, text, (_FIRST, natural_sort_key(name)))


def _machine_alerts(state: FarmState) -> dict[str, Alert]:
    """By builder, the worst alert about its machine.

    They are the master's, which last until a value is well below its limit, so that rows do not
    jump with each measurement.
    """
    found: dict[str, Alert] = {}
    for alert in state.alerts:
        is_machine = alert.rule in _MACHINE_RULES and alert.scope is AlertScope.BUILDER
        if is_machine and alert.state is AlertState.ACTIVE:
            found.setdefault(alert.subject, alert)
    return found


def builder_row(
    builder: Builder,
    now: float,
    ascii_only: bool,
    target_names: Mapping[str, str],
    alert: Alert | None = None,
) -> Row:
    """The row of one builder.

    Args:
        builder: The builder.
        now: UNIX seconds.
        ascii_only: Draw with ASCII only.
        target_names: The short names of all targets.
        alert: About its machine.

    Cells are cached by what they show: most of a farm looks as it did a moment ago.
    """
    view = builder.view
    state = view.state
    busy = view.build is not None
    if state not in _REPLACED_STATES:
        alert = None
    trouble = state in ALERT_STATES or alert is not None
    # A builder without a build shows its reason in the column of the release.
    reason = _reason_cell(view.reason, trouble)
    release = release_cell(view.project, view.release_version) if busy else reason
    label = _name_cell(view.label)
    targets = _targets_cell(tuple(target_names.get(target, target) for target in view.targets))
    cells = (
        _alert_cell(alert, ascii_only) if alert else state_cell(state, ascii_only),
        label,
        release,
        _word_cell(view.phase) if busy else _EMPTY,
        _time_cell(builder, now) if busy else _EMPTY,
        *_measured_cells(builder, ascii_only),
        targets,
        _word_cell(view.platform),
        _word_cell(view.board),
    )
    word = f"{state} {alert.rule}" if alert else str(state)
    haystack = _filter_text(label.text, view.targets, release.text, view.target, word)
    standing = BuilderState.BUILDING if state in WORKING_STATES else state
    rank = MACHINE_ALERT_ORDER if alert else STATE_ORDER[standing]
    default = (rank, natural_sort_key(view.label))
    age_s = builder.build_s(now) if busy else None
    return Row(view.label, cells, trouble, haystack, default, age_s)


def _measured_cells(builder: Builder, ascii_only: bool) -> tuple[Cell, ...]:
    """What was measured and counted; of one that has ended, nothing."""
    view, host = builder.view, builder.view.host
    if view.state is BuilderState.ENDED:
        return (_EMPTY,) * 7
    return (
        _load_cell(host.load),
        temperature_cell(host.temperature, ascii_only),
        _count_cell(view.built_last_hour),
        _memory_cell(host.memory_total, host.memory_free),
        _disk_cell(host.disk_total, host.disk_free, ascii_only),
        _failed_cell(view.failed_last_hour, ascii_only),
        _load_chart_cell(builder.load_samples, ascii_only),
    )


@_cached
def state_cell(state: BuilderState, ascii_only: bool) -> Cell:
    """A builder's state: a glyph, a word and a color."""
    return Cell(
        terminal_safe(state),
        STATE_STYLE.get(state, ""),
        glyph_of(state, ascii_only=ascii_only),
        STATE_ORDER[state],
    )


def _alert_cell(alert: Alert, ascii_only: bool) -> Cell:
    glyph = alert_glyph(alert, ascii_only=ascii_only)
    return Cell(str(alert.rule), alert_style(alert), glyph, MACHINE_ALERT_ORDER)


@_cached
def _name_cell(name: str) -> Cell:
    return Cell(terminal_safe(name), "", "", natural_sort_key(name))


@_cached
def _word_cell(word: str) -> Cell:
    return Cell(terminal_safe(word), "", "", word or None)


@_cached
def _reason_cell(reason: str, trouble: bool) -> Cell:
    return Cell(terminal_safe(reason), "" if trouble else "muted")


@_cached
def release_cell(project: str, version: str) -> Cell:
    """A release, by its name and then by its version."""
    text = terminal_safe(f"{project} {version}")
    return Cell(text, "", "", natural_sort_key(text))


@_cached
def _targets_cell(targets: tuple[str, ...]) -> Cell:
    return _name_cell(" ".join(targets))


@_cached
def _filter_text(
    label: str, targets: tuple[str, ...], release: str, target: str, state: str
) -> str:
    names = terminal_safe(" ".join((*targets, target, state)))
    return f"{label} {names} {release}".lower()


def _time_cell(builder: Builder, now: float) -> Cell:
    spent_s, expected_s = builder.build_s(now), builder.view.expected_s
    return _taken_cell(int(spent_s), expected_s, 0 < expected_s < spent_s)


@_cached
def _taken_cell(spent_s: int, expected_s: float, over: bool) -> Cell:
    """How long a build has taken, and its usual time where that is known and fits."""
    spent = text = format_short_duration(spent_s)
    if expected_s:
        text += f"/{format_short_duration(expected_s)}"
    if len(text) > _TAKEN_CELLS:
        text = spent
    return Cell(text, "warning" if over else "", "", spent_s)


@_cached
def _load_cell(load: float) -> Cell:
    return Cell(format_load(load), "", "", load)


@lru_cache(1024)  # of many numbers each
def _load_chart_cell(loads: tuple[float, ...], ascii_only: bool) -> Cell:
    # A full bar is a load of four, a Raspberry Pi's cores, unless there were higher ones.
    top = max(4.0, nice_ceiling(max(loads, default=0.0)))
    bars, _ = bar_chart(loads[-_LOAD_CHART_WIDTH:], top=top, ascii_only=ascii_only)
    return Cell(bars, "muted", "", loads[-1] if loads else None)


def _memory_cell(total: int, free: int) -> Cell:
    return _memory_used_cell(round(1000 * (1 - free / total))) if total > 0 else _UNKNOWN


@_cached
def _memory_used_cell(used: int) -> Cell:
    low = used > 1000 * (1 - MEMORY_LOW)
    return Cell(format_percent(used, 1000), "warning" if low else "", "", used)


def _disk_cell(total: int, free: int, ascii_only: bool) -> Cell:
    return _disk_free_cell(round(1000 * free / total), ascii_only) if total > 0 else _UNKNOWN


@_cached
def _disk_free_cell(free: int, ascii_only: bool) -> Cell:
    style = "error" if free < 1000 * DISK_CRITICAL else "warning" if free < 1000 * DISK_LOW else ""
    mark = glyph_of("warning", ascii_only=ascii_only) if style else ""
    return Cell(format_percent(1000 - free, 1000), style, mark, 1000 - free)


@_cached
def temperature_cell(degrees: float | None, ascii_only: bool) -> Cell:
    """A machine's temperature, marked where it is high."""
    if degrees is None:
        return _UNKNOWN
    style = temperature_style(degrees)
    mark = glyph_of("warning", ascii_only=ascii_only) if style else ""
    return Cell(format_temperature(degrees), style, mark, degrees)


def temperature_style(degrees: float) -> str:
    """The style of a temperature."""
    if degrees >= TEMPERATURE_CRITICAL:
        return "error"
    return "warning" if degrees >= TEMPERATURE_HIGH else ""


@_cached
def _count_cell(number: int) -> Cell:
    return Cell(format_count(number), "", "", number)


@_cached
def _failed_cell(failed: int, ascii_only: bool) -> Cell:
    mark = glyph_of("bad", ascii_only=ascii_only) if failed else ""
    return Cell(format_count(failed), "error" if failed else "", mark, failed)
