"""The rows of builders: one each, its cells remembered by what they show."""

from collections.abc import Mapping
from functools import lru_cache

from piwheels.protocol.messages import BuilderState
from piwheels.tui.glyphs import AT_WORK, LAST_STATE, PROBLEM_STATES, STATE_ORDER, STATE_STYLE
from piwheels.tui.glyphs import glyph as glyph_of
from piwheels.tui.rows import Cell, Column, Row, natural
from piwheels.tui.state import Builder, FarmState
from piwheels.tui.text import count, duration, harmless, percent
from piwheels.tui.widgets.sweep import round_ceiling, sweep

BUILDER_COLUMNS = (
    Column("state", "State", 13, 0),
    Column("label", "Builder", 14, 0),
    Column("release", "Building", 24, 0),
    Column("phase", "Phase", 10, 1),
    Column("time", "Time", 14, 1, "right"),
    Column("load", "Load", 6, 2, "right"),
    Column("loads", "Load history", 20, 5),
    Column("memory", "Mem", 5, 3, "right"),
    Column("disk", "Disk", 5, 3, "right"),
    Column("temperature", "Temp", 6, 4, "right"),
    Column("built", "Built/h", 7, 4, "right"),
    Column("failed", "Fail/h", 6, 4, "right"),
    Column("targets", "Targets", 22, 6),
    Column("platform", "Platform", 14, 7),
    Column("board", "Board", 24, 8),
)

DISK_SHORT = 0.05  # a disk with less than this share free is nearly full
DISK_LOW = 0.10
MEMORY_LOW = 0.10
TEMPERATURE_HIGH = 80.0  # a Raspberry Pi throttles itself from here on
TEMPERATURE_WARM = 75.0
_SWEEP_WIDTH = 20

_remembered = lru_cache(4096)
_EMPTY = Cell("")
_UNKNOWN = Cell("-")


def builder_rows(state: FarmState, now: float, *, ascii_only: bool = False) -> list[Row]:
    """One row a builder: problems first, then what is about to change, then those at work."""
    words = state.target_words
    return [builder_row(builder, now, ascii_only, words) for builder in state.builders.values()]


def builder_row(builder: Builder, now: float, ascii_only: bool, words: Mapping[str, str]) -> Row:
    """The row of one builder; `words` are what targets are called.

    Its cells are remembered by what they show: most of a farm looks as it did a moment ago.
    """
    view, host = builder.view, builder.view.host
    state = view.state
    busy = view.build is not None
    trouble = state in PROBLEM_STATES
    # What a builder without a build has to say stands where others tell what they build.
    reason = _reason_cell(view.reason, trouble)
    release = release_cell(view.project, view.version_built) if busy else reason
    label = _named_cell(view.label)
    targets = _targets_cell(tuple(words.get(target, target) for target in view.targets))
    cells = (
        state_cell(state, ascii_only),
        label,
        release,
        _word_cell(view.phase) if busy else _EMPTY,
        _time_cell(builder, now) if busy else _EMPTY,
        _load_cell(host.load),
        _sweep_cell(builder.loads, builder.taken, ascii_only),
        _memory_cell(host.memory_total, host.memory_free),
        _disk_cell(host.disk_total, host.disk_free, ascii_only),
        temperature_cell(host.temperature, ascii_only),
        _count_cell(view.built_last_hour),
        _failed_cell(view.failed_last_hour, ascii_only),
        targets,
        _word_cell(view.platform),
        _word_cell(view.board),
    )
    haystack = _haystack(label.text, view.targets, release.text, view.target, state)
    standing = BuilderState.BUILDING if state in AT_WORK else state
    default = (STATE_ORDER.get(standing, LAST_STATE), natural(view.label))
    return Row(view.label, cells, trouble, haystack, default)


@_remembered
def state_cell(state: str, ascii_only: bool) -> Cell:
    """A builder's state: a glyph, a word and a colour."""
    return Cell(
        harmless(state),
        STATE_STYLE.get(state, ""),
        glyph_of(state, ascii_only=ascii_only),
        STATE_ORDER.get(state, LAST_STATE),
    )


@_remembered
def _named_cell(name: str) -> Cell:
    return Cell(harmless(name), "", "", natural(name))


@_remembered
def _word_cell(word: str) -> Cell:
    return Cell(harmless(word), "", "", word or None)


@_remembered
def _reason_cell(reason: str, trouble: bool) -> Cell:
    return Cell(harmless(reason), "" if trouble else "muted")


@_remembered
def release_cell(project: str, version: str) -> Cell:
    """A release, by its name and then by its version."""
    text = harmless(f"{project} {version}")
    return Cell(text, "", "", natural(text))


@_remembered
def _targets_cell(targets: tuple[str, ...]) -> Cell:
    return _named_cell(" ".join(targets))


@_remembered
def _haystack(label: str, targets: tuple[str, ...], release: str, target: str, state: str) -> str:
    told = harmless(" ".join((*targets, target, state)))
    return f"{label} {told} {release}".lower()


def _time_cell(builder: Builder, now: float) -> Cell:
    view = builder.view
    over = 0 < view.expected_s < builder.build_s(now)
    return _spent_cell(int(builder.phase_s(now)), view.limit_s or view.expected_s, over)


@_remembered
def _spent_cell(spent_s: int, limit_s: float, over: bool) -> Cell:
    text = f"{duration(spent_s)}/{duration(limit_s)}" if limit_s else duration(spent_s)
    return Cell(text, "warning" if over else "", "", spent_s)


@_remembered
def _load_cell(load: float) -> Cell:
    return Cell(f"{load:.2f}", "", "", load)


@lru_cache(1024)  # of many numbers each
def _sweep_cell(loads: tuple[float, ...], taken: int, ascii_only: bool) -> Cell:
    # A full bar is a load of four, a Raspberry Pi's cores, unless there were higher ones.
    top = max(4.0, round_ceiling(max(loads, default=0.0)))
    bars = sweep(loads, taken, _SWEEP_WIDTH, ceiling=top, ascii_only=ascii_only)
    return Cell(bars, "muted", "", loads[-1] if loads else None)


def _memory_cell(total: int, free: int) -> Cell:
    return _memory_used_cell(round(1000 * (1 - free / total))) if total > 0 else _UNKNOWN


@_remembered
def _memory_used_cell(used: int) -> Cell:
    low = used > 1000 * (1 - MEMORY_LOW)
    return Cell(percent(used, 1000), "warning" if low else "", "", used)


def _disk_cell(total: int, free: int, ascii_only: bool) -> Cell:
    return _disk_free_cell(round(1000 * free / total), ascii_only) if total > 0 else _UNKNOWN


@_remembered
def _disk_free_cell(free: int, ascii_only: bool) -> Cell:
    style = "error" if free < 1000 * DISK_SHORT else "warning" if free < 1000 * DISK_LOW else ""
    mark = glyph_of("warning", ascii_only=ascii_only) if style else ""
    return Cell(percent(1000 - free, 1000), style, mark, 1000 - free)


@_remembered
def temperature_cell(degrees: float | None, ascii_only: bool) -> Cell:
    """A machine's temperature, marked where it is high."""
    if degrees is None:
        return _UNKNOWN
    style = temperature_style(degrees)
    mark = glyph_of("warning", ascii_only=ascii_only) if style else ""
    return Cell(f"{degrees:.0f}C", style, mark, degrees)


def temperature_style(degrees: float) -> str:
    """The style of a temperature."""
    if degrees >= TEMPERATURE_HIGH:
        return "error"
    return "warning" if degrees >= TEMPERATURE_WARM else ""


@_remembered
def _count_cell(number: int) -> Cell:
    return Cell(count(number), "", "", number)


@_remembered
def _failed_cell(failed: int, ascii_only: bool) -> Cell:
    mark = glyph_of("bad", ascii_only=ascii_only) if failed else ""
    return Cell(count(failed), "error" if failed else "", mark, failed)
