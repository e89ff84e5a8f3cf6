"""The rows of each screen, derived from the state of the farm."""

from collections.abc import Callable
from datetime import tzinfo
from functools import lru_cache

from piwheels.model import RETRYABLE, Outcome
from piwheels.protocol.messages import Happened, JobEnded, QueueView
from piwheels.tui.glyphs import LAST_STATE, PROBLEM_STATES, STATE_ORDER, STATE_STYLE, sparkline
from piwheels.tui.glyphs import glyph as glyph_of
from piwheels.tui.rows import Cell, Column, Row, arrange, natural
from piwheels.tui.state import Builder, FarmState
from piwheels.tui.text import clock, count, duration, harmless, percent

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
    Column("note", "Note", 30, 5),
)

QUEUE_COLUMNS = (
    Column("state", "State", 13, 0),
    Column("target", "Target", 24, 0),
    Column("pending", "Pending", 9, 0, "right"),
    Column("claimed", "Claimed", 8, 2, "right"),
    Column("deferred", "Retry", 7, 2, "right"),
    Column("built", "Built/h", 8, 3, "right"),
    Column("rate", "Per min", 8, 4, "right"),
    Column("drain", "Drains in", 10, 1, "right"),
    Column("oldest", "Oldest", 8, 3, "right"),
    Column("abi", "ABI", 8, 6),
    Column("platform", "Platform", 18, 6),
    Column("note", "Note", 34, 5),
)

BUILD_COLUMNS = (
    Column("outcome", "Outcome", 16, 0),
    Column("release", "Release", 26, 0),
    Column("target", "Target", 22, 3),
    Column("builder", "Builder", 12, 4),
    Column("duration", "Took", 8, 1, "right"),
    Column("ended", "Ended", 8, 2, "right"),
    Column("build", "Build", 8, 5, "right"),
    Column("detail", "Failing line or wheel", 60, 1),
)

EVENT_COLUMNS = (
    Column("at", "Time", 8, 0, "right"),
    Column("who", "Who", 20, 1),
    Column("what", "What", 60, 0),
    Column("outcome", "Outcome", 24, 1),
)

DISK_SHORT = 0.05  # a disk with less than this share free is nearly full
DISK_LOW = 0.10
MEMORY_LOW = 0.10
TEMPERATURE_HIGH = 80.0  # a Raspberry Pi throttles itself from here on
TEMPERATURE_WARM = 75.0
SLOW_BUILD_S = 600.0
_SPARK_WIDTH = 20

_NOBODY = "nobody serves it"


# --- builders ---


def builder_rows(
    state: FarmState,
    now: float,
    sort: str = "",
    reverse: bool = False,
    text_filter: str = "",
    *,
    ascii_only: bool = False,
) -> list[Row]:
    """One row a builder, by label."""
    rows = [builder_row(builder, now, ascii_only) for builder in state.builders.values()]
    return arrange(rows, BUILDER_COLUMNS, sort=sort, reverse=reverse, text_filter=text_filter)


def builder_row(builder: Builder, now: float, ascii_only: bool) -> Row:
    """The row of one builder.

    Its cells are remembered by what they show: most of a farm looks as it did a moment ago.
    """
    view, host = builder.view, builder.view.host
    state = view.state
    busy = view.build is not None
    release = release_cell(view.project, view.version_built) if busy else _EMPTY
    label, targets = _named_cell(view.label), _targets_cell(view.targets)
    cells = (
        state_cell(state, ascii_only),
        label,
        release,
        _word_cell(view.phase) if busy else _EMPTY,
        _time_cell(builder, now) if busy else _EMPTY,
        _load_cell(host.load),
        _spark_cell(builder.loads, ascii_only),
        _memory_cell(host.memory_total, host.memory_free),
        _disk_cell(host.disk_total, host.disk_free, ascii_only),
        temperature_cell(host.temperature, ascii_only),
        _count_cell(view.built_last_hour),
        _failed_cell(view.failed_last_hour, ascii_only),
        targets,
        _word_cell(view.platform),
        _word_cell(view.board),
        _word_cell(view.reason),
    )
    haystack = _haystack(label.text, targets.text, release.text, view.target, state)
    order = STATE_ORDER.get(state, LAST_STATE)
    return Row(view.label, cells, state in PROBLEM_STATES, haystack, (order, natural(view.label)))


_EMPTY = Cell("")
_remembered = lru_cache(16384)


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
def release_cell(project: str, version: str) -> Cell:
    """A release, by its name and then by its version."""
    text = harmless(f"{project} {version}")
    return Cell(text, "", "", natural(text))


@_remembered
def _targets_cell(targets: tuple[str, ...]) -> Cell:
    return _named_cell(" ".join(targets))


@_remembered
def _haystack(label: str, targets: str, release: str, target: str, state: str) -> str:
    return f"{label} {targets} {release} {harmless(target)} {harmless(state)}".lower()


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


@_remembered
def _spark_cell(loads: tuple[float, ...], ascii_only: bool) -> Cell:
    # A full bar is a load of four, a Raspberry Pi's cores, unless there were higher ones.
    bars = sparkline(loads, _SPARK_WIDTH, max(4.0, *loads, 0.0), ascii_only=ascii_only)
    return Cell(bars, "muted", "", loads[-1] if loads else None)


def _memory_cell(total: int, free: int) -> Cell:
    return _memory_used_cell(round(1000 * (1 - free / total))) if total > 0 else _UNKNOWN


_UNKNOWN = Cell("-")


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


# --- queues ---


def queue_rows(
    state: FarmState,
    now: float,  # noqa: ARG001 - all rows are asked for in the same way
    sort: str = "",
    reverse: bool = False,
    text_filter: str = "",
    *,
    ascii_only: bool = False,
) -> list[Row]:
    """One row a target, by its name; targets that nobody serves first, then in the farm's order."""
    rows = [queue_row(queue, place, ascii_only) for place, queue in enumerate(state.queues)]
    return arrange(rows, QUEUE_COLUMNS, sort=sort, reverse=reverse, text_filter=text_filter)


def unserved(queue: QueueView) -> bool:
    """Whether jobs wait for a target that no builder serves."""
    return queue.pending > 0 and not queue.served


def drain_s(queue: QueueView) -> float | None:
    """How long the pending jobs take at the rate of the last hour; None when it is nought."""
    if not queue.pending:
        return 0.0
    return queue.pending / queue.built_last_hour * 3600 if queue.built_last_hour else None


def queue_row(queue: QueueView, place: int, ascii_only: bool) -> Row:
    """The row of one target."""
    alone = unserved(queue)
    word, name, style = _queue_state(queue)
    drain = drain_s(queue)
    target = harmless(queue.target)
    cells = (
        Cell(word, style, glyph_of(name, ascii_only=ascii_only), word),
        Cell(target, "", "", natural(target)),
        Cell(count(queue.pending), "error" if alone else "", "", queue.pending),
        Cell(count(queue.claimed), "", "", queue.claimed),
        Cell(count(queue.deferred), "", "", queue.deferred),
        Cell(count(queue.built_last_hour), "", "", queue.built_last_hour),
        Cell(f"{queue.built_last_hour / 60:.1f}", "", "", queue.built_last_hour),
        Cell(duration(drain) if drain is not None else "never", "", "", drain),
        Cell("" if queue.oldest_s is None else duration(queue.oldest_s), "", "", queue.oldest_s),
        Cell(harmless(queue.abi), "", "", natural(queue.abi)),
        Cell(harmless(queue.platform), "", "", natural(queue.platform)),
        Cell(f"{count(queue.pending)} jobs wait and {_NOBODY}" if alone else "", style),
    )
    haystack = f"{target} {harmless(queue.abi)} {harmless(queue.platform)} {word}".lower()
    return Row(queue.target, cells, alone, haystack, (0 if alone else 1, place))


def _queue_state(queue: QueueView) -> tuple[str, str, str]:
    if unserved(queue):
        return "unserved", "lost", "error"
    if queue.claimed:
        return "building", "building", "success"
    if queue.pending:
        return "waiting", "pending", ""
    if queue.deferred:
        return "for retry", "retry", "muted"
    return "empty", "idle", "muted"


# --- builds ---


def build_rows(
    state: FarmState,
    now: float,
    sort: str = "",
    reverse: bool = False,
    text_filter: str = "",
    *,
    failed: bool = False,
    slow: bool = False,
    project: str = "",
    ascii_only: bool = False,
    zone: tzinfo | None = None,
) -> list[Row]:
    """The builds in hand, then those that ended, the newest first; keys are build numbers.

    failed: only those that ended without a wheel; slow: only those that took, or take, longer
    than SLOW_BUILD_S or than was expected; project: only this one's.
    """
    keep = _build_filter(failed, slow, project)
    ended = [
        _ended_row(build, place, ascii_only, zone)
        for place, build in enumerate(reversed(state.builds.values()))
        if keep(build.project, build.duration_s, 0.0, build.outcome)
    ]
    running = [
        _running_row(builder, now, ascii_only)
        for builder in state.builders.values()
        if builder.view.build is not None
        and builder.view.build not in state.builds
        and keep(builder.view.project, builder.build_s(now), builder.view.expected_s, "")
    ]
    return arrange(
        running + ended, BUILD_COLUMNS, sort=sort, reverse=reverse, text_filter=text_filter
    )


def _build_filter(
    failed: bool, slow: bool, project: str
) -> Callable[[str, float, float, str], bool]:
    def keep(of: str, spent_s: float, expected_s: float, outcome: str) -> bool:
        if project and of != project:
            return False
        if failed and outcome in {"", Outcome.BUILT}:
            return False
        return not slow or spent_s > SLOW_BUILD_S or 0 < expected_s < spent_s

    return keep


def _running_row(builder: Builder, now: float, ascii_only: bool) -> Row:
    view = builder.view
    release = harmless(f"{view.project} {view.version_built}")
    spent = builder.build_s(now)
    stuck = view.state in PROBLEM_STATES
    state = view.state if stuck else "building"
    cells = (
        Cell(
            harmless(view.state if stuck else view.phase or view.state),
            STATE_STYLE.get(state, ""),
            glyph_of(state, ascii_only=ascii_only),
            f"0 {view.phase}",
        ),
        Cell(release, "", "", natural(release)),
        Cell(harmless(view.target), "", "", natural(view.target)),
        Cell(harmless(view.label), "", "", natural(view.label)),
        Cell(duration(spent), "warning" if 0 < view.expected_s < spent else "", "", spent),
        Cell("running", "", "", None),
        Cell(str(view.build), "", "", view.build),
        Cell(harmless(view.reason)),
    )
    return Row(
        str(view.build),
        cells,
        stuck,
        _build_haystack(cells),
        (0 if stuck else 1, -(view.build or 0)),
    )


def outcome_look(outcome: str) -> tuple[str, str]:
    """The glyph's name and the style of an outcome."""
    if outcome == Outcome.BUILT:
        return "good", "success"
    if outcome in RETRYABLE:
        return "retry", "warning"
    return "bad", "error"


def _ended_row(build: JobEnded, place: int, ascii_only: bool, zone: tzinfo | None) -> Row:
    name, style = outcome_look(build.outcome)
    release = harmless(f"{build.project} {build.version}")
    cells = (
        Cell(
            harmless(build.outcome),
            style,
            glyph_of(name, ascii_only=ascii_only),
            f"1 {build.outcome}",
        ),
        Cell(release, "", "", natural(release)),
        Cell(harmless(build.target), "", "", natural(build.target)),
        Cell(harmless(build.builder), "", "", natural(build.builder)),
        Cell(duration(build.duration_s), "", "", build.duration_s),
        Cell(clock(build.at, zone), "", "", build.at.timestamp()),
        Cell(str(build.build), "", "", build.build),
        Cell(harmless(build.detail), "", "", build.detail or None),
    )
    return Row(str(build.build), cells, False, _build_haystack(cells), (2, place))


def _build_haystack(cells: tuple[Cell, ...]) -> str:
    return " ".join(cell.text for cell in cells).lower()


# --- events ---


def event_rows(
    state: FarmState,
    now: float,  # noqa: ARG001 - all rows are asked for in the same way
    sort: str = "",
    reverse: bool = False,
    text_filter: str = "",
    *,
    ascii_only: bool = False,
    zone: tzinfo | None = None,
) -> list[Row]:
    """Who did what and when, the newest first; keys hold while an event is in the list."""
    rows = [
        _event_row(event, place, ascii_only, zone)
        for place, event in enumerate(reversed(state.events))
    ]
    return arrange(rows, EVENT_COLUMNS, sort=sort, reverse=reverse, text_filter=text_filter)


def _event_row(event: Happened, place: int, ascii_only: bool, zone: tzinfo | None) -> Row:
    who, what = harmless(event.who), harmless(event.what)
    outcome = harmless(event.outcome)
    refused = outcome.startswith("refused")
    name = "bad" if refused else "good" if outcome else "farm"
    cells = (
        Cell(clock(event.at, zone), "muted", "", event.at.timestamp()),
        Cell(who, "" if outcome else "muted", "", who),
        Cell(what, "", "", what),
        Cell(
            outcome,
            "error" if refused else "success" if outcome else "muted",
            glyph_of(name, ascii_only=ascii_only),
            outcome or None,
        ),
    )
    key = str(event.event) if event.event else f"{event.at.timestamp()} {who} {what}"
    return Row(key, cells, False, f"{who} {what} {outcome}".lower(), (place,))
