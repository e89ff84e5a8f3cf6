"""The rows of queues, builds and events."""

from collections.abc import Callable, Mapping
from datetime import tzinfo

from piwheels.model import RETRYABLE, Outcome
from piwheels.protocol.messages import AuditEventRecorded, BuildRecorded, QueueView
from piwheels.tui.model.formatting import (
    format_count,
    format_datetime,
    format_duration,
    terminal_safe,
)
from piwheels.tui.model.glyphs import ALERT_STATES, STATE_STYLE
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.state import Builder, FarmState
from piwheels.tui.model.tables import Cell, Column, Row, natural_sort_key

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
    Column("note", "Note", 16, 5),
)

BUILD_COLUMNS = (
    Column("outcome", "Outcome", 16, 0),
    Column("release", "Release", 26, 0),
    Column("target", "Target", 22, 3),
    Column("builder", "Builder", 12, 4),
    Column("duration", "Took", 8, 1, "right"),
    Column("ended", "Ended", 12, 2, "right"),
    Column("build", "Build", 8, 5, "right"),
    Column("detail", "Failing line or wheel", 60, 1),
)

EVENT_COLUMNS = (
    Column("at", "Time", 12, 0, "right"),
    Column("who", "Who", 20, 1),
    Column("what", "What", 60, 0),
    Column("outcome", "Outcome", 24, 1),
)

SLOW_BUILD_S = 600.0

_UNSERVED_NOTE = "nobody serves it"


# --- queues ---


def queue_rows(state: FarmState, *, ascii_only: bool = False) -> list[Row]:
    """One row a target, by its name; targets that nobody serves first, then in the farm's order."""
    words = state.target_names
    return [queue_row(queue, place, ascii_only, words) for place, queue in enumerate(state.queues)]


def is_unserved(queue: QueueView) -> bool:
    """Whether jobs wait for a target that no builder serves."""
    return queue.pending > 0 and not queue.has_builder


def drain_s(queue: QueueView) -> float | None:
    """How long the pending jobs take at the rate of the last hour; None when it is nought."""
    if not queue.pending:
        return 0.0
    return queue.pending / queue.built_last_hour * 3600 if queue.built_last_hour else None


def queue_row(
    queue: QueueView, position: int, ascii_only: bool, target_names: Mapping[str, str]
) -> Row:
    """The row of one target; `target_names` are what targets are called."""
    alone = is_unserved(queue)
    word, name, style = _queue_state(queue)
    drain = drain_s(queue)
    target = terminal_safe(target_names.get(queue.target, queue.target))
    cells = (
        Cell(word, style, glyph_of(name, ascii_only=ascii_only), word),
        Cell(target, "", "", natural_sort_key(target)),
        Cell(format_count(queue.pending), "error" if alone else "", "", queue.pending),
        Cell(format_count(queue.claimed), "", "", queue.claimed),
        Cell(format_count(queue.deferred), "", "", queue.deferred),
        Cell(format_count(queue.built_last_hour), "", "", queue.built_last_hour),
        Cell(f"{queue.built_last_hour / 60:.1f}", "", "", queue.built_last_hour),
        Cell(format_duration(drain) if drain is not None else "never", "", "", drain),
        Cell(
            "" if queue.oldest_s is None else format_duration(queue.oldest_s),
            "",
            "",
            queue.oldest_s,
        ),
        Cell(terminal_safe(queue.abi), "", "", natural_sort_key(queue.abi)),
        Cell(terminal_safe(queue.platform), "", "", natural_sort_key(queue.platform)),
        Cell(_UNSERVED_NOTE if alone else "", style),
    )
    told = (queue.target, queue.abi, queue.platform)
    haystack = f"{terminal_safe(' '.join(told))} {word}".lower()
    return Row(queue.target, cells, alone, haystack, (0 if alone else 1, position))


def _queue_state(queue: QueueView) -> tuple[str, str, str]:
    if is_unserved(queue):
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
    *,
    failed: bool = False,
    slow: bool = False,
    project: str = "",
    target: str = "",
    ascii_only: bool = False,
    zone: tzinfo | None = None,
) -> list[Row]:
    """The builds in hand, then those that ended, the newest first; keys are build numbers.

    failed: only those that ended without a wheel; slow: only those that took, or take, longer
    than SLOW_BUILD_S or than was expected; project, target: only this one's.
    """
    keep, words = _build_filter(failed, slow, project, target), state.target_names
    ended = [
        _ended_row(build, place, ascii_only, format_datetime(build.at, now, zone), words)
        for place, build in enumerate(reversed(state.builds.values()))
        if keep(build.project, build.target, build.duration_s, 0.0, build.outcome)
    ]
    running = [
        _running_row(builder, now, ascii_only, words)
        for builder in state.builders.values()
        if builder.view.build is not None
        and builder.view.build not in state.builds
        and keep(
            builder.view.project,
            builder.view.target,
            builder.build_s(now),
            builder.view.expected_s,
            "",
        )
    ]
    return running + ended


def _build_filter(
    failed: bool, slow: bool, project: str, target: str
) -> Callable[[str, str, float, float, str], bool]:
    def keep(of: str, made_for: str, spent_s: float, expected_s: float, outcome: str) -> bool:
        if (project and of != project) or (target and made_for != target):
            return False
        if failed and outcome in {"", Outcome.BUILT}:
            return False
        return not slow or spent_s > SLOW_BUILD_S or 0 < expected_s < spent_s

    return keep


def _running_row(
    builder: Builder, now: float, ascii_only: bool, target_names: Mapping[str, str]
) -> Row:
    view = builder.view
    release = terminal_safe(f"{view.project} {view.release_version}")
    spent = builder.build_s(now)
    stuck = view.state in ALERT_STATES
    state = view.state if stuck else "building"
    cells = (
        Cell(
            terminal_safe(view.state if stuck else view.phase or view.state),
            STATE_STYLE.get(state, ""),
            glyph_of(state, ascii_only=ascii_only),
            f"0 {view.phase}",
        ),
        Cell(release, "", "", natural_sort_key(release)),
        Cell(
            terminal_safe(target_names.get(view.target, view.target)),
            "",
            "",
            natural_sort_key(view.target),
        ),
        Cell(terminal_safe(view.label), "", "", natural_sort_key(view.label)),
        Cell(format_duration(spent), "warning" if 0 < view.expected_s < spent else "", "", spent),
        Cell("running", "", "", None),
        Cell(str(view.build), "", "", view.build),
        Cell(terminal_safe(view.reason)),
    )
    return Row(
        str(view.build),
        cells,
        stuck,
        _build_filter_text(cells, view.target),
        (0 if stuck else 1, -(view.build or 0)),
    )


def outcome_style(outcome: str) -> tuple[str, str]:
    """The glyph's name and the style of an outcome."""
    if outcome == Outcome.BUILT:
        return "good", "success"
    if outcome in RETRYABLE:
        return "retry", "warning"
    return "bad", "error"


def _ended_row(
    build: BuildRecorded,
    position: int,
    ascii_only: bool,
    when: str,
    target_names: Mapping[str, str],
) -> Row:
    name, style = outcome_style(build.outcome)
    release = terminal_safe(f"{build.project} {build.version}")
    cells = (
        Cell(
            terminal_safe(build.outcome),
            style,
            glyph_of(name, ascii_only=ascii_only),
            f"1 {build.outcome}",
        ),
        Cell(release, "", "", natural_sort_key(release)),
        Cell(
            terminal_safe(target_names.get(build.target, build.target)),
            "",
            "",
            natural_sort_key(build.target),
        ),
        Cell(terminal_safe(build.builder), "", "", natural_sort_key(build.builder)),
        Cell(format_duration(build.duration_s), "", "", build.duration_s),
        Cell(when, "", "", build.at.timestamp()),
        Cell(str(build.build), "", "", build.build),
        Cell(terminal_safe(build.detail), "", "", build.detail or None),
    )
    return Row(
        str(build.build), cells, False, _build_filter_text(cells, build.target), (2, position)
    )


def _build_filter_text(cells: tuple[Cell, ...], target: str) -> str:
    return " ".join([*(cell.text for cell in cells), terminal_safe(target)]).lower()


# --- events ---


def event_rows(
    state: FarmState,
    now: float,
    *,
    ascii_only: bool = False,
    zone: tzinfo | None = None,
) -> list[Row]:
    """Who did what and when, the newest first; keys hold while an event is in the list."""
    return [
        _event_row(event, place, ascii_only, format_datetime(event.at, now, zone))
        for place, event in enumerate(reversed(state.events))
    ]


def _event_row(event: AuditEventRecorded, position: int, ascii_only: bool, when: str) -> Row:
    who, what = terminal_safe(event.who), terminal_safe(event.what)
    outcome = terminal_safe(event.outcome)
    refused = outcome.startswith("refused")
    name = "bad" if refused else "good" if outcome else "farm"
    cells = (
        Cell(when, "muted", "", event.at.timestamp()),
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
    return Row(key, cells, False, f"{who} {what} {outcome}".lower(), (position,))
