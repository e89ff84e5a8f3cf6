"""The rows of the queues table: one for each target."""

from collections.abc import Mapping

from piwheels.formatting import format_count, format_rate, format_short_duration
from piwheels.model import QueueStatus
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.queue_lengths import drain_s
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.tables.table_model import Cell, Column, Row, natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe

QUEUE_COLUMNS = (
    Column("state", "State", 13, 0),
    Column("target", "Target", 24, 0, keeps_end=True),
    Column("pending", "Waiting", 9, 0, "right"),
    Column("claimed", "Running", 8, 2, "right"),
    Column("deferred", "Deferred", 8, 2, "right"),
    Column("built", "Built/h", 8, 3, "right"),
    Column("rate", "Per min", 8, 4, "right"),
    Column("drain", "Empty in", 10, 1, "right"),
    Column("oldest", "Oldest", 8, 3, "right"),
    Column("abi", "ABI", 8, 6),
    Column("platform", "Platform", 18, 6),
    Column("note", "Note", 16, 5),
)

_UNSERVED_NOTE = "no builder"


def queue_rows(state: FarmState, *, ascii_only: bool = False) -> list[Row]:
    """One row per target: those without a builder first, then in the farm's order."""
    names = state.target_names
    return [queue_row(queue, place, ascii_only, names) for place, queue in enumerate(state.queues)]


def is_unserved(queue: QueueStatus) -> bool:
    """Whether jobs are queued for a target that no builder serves."""
    return queue.pending > 0 and not queue.has_builder


def queue_row(
    queue: QueueStatus, position: int, ascii_only: bool, target_names: Mapping[str, str]
) -> Row:
    """The row of one target; `target_names` are the short names of all targets."""
    unserved = is_unserved(queue)
    state, glyph, style = _queue_state(queue)
    drain = drain_s(queue)
    target = terminal_safe(target_names.get(queue.target, queue.target))
    cells = (
        Cell(state, style, glyph_of(glyph, ascii_only=ascii_only), state),
        Cell(target, "", "", natural_sort_key(target)),
        Cell(format_count(queue.pending), "error" if unserved else "", "", queue.pending),
        Cell(format_count(queue.claimed), "", "", queue.claimed),
        Cell(format_count(queue.deferred), "", "", queue.deferred),
        Cell(format_count(queue.built_last_hour), "", "", queue.built_last_hour),
        Cell(format_rate(queue.built_last_hour / 60), "", "", queue.built_last_hour),
        Cell(format_short_duration(drain) if drain is not None else "never", "", "", drain),
        Cell(
            "" if queue.oldest_s is None else format_short_duration(queue.oldest_s),
            "",
            "",
            queue.oldest_s,
        ),
        Cell(terminal_safe(queue.abi), "", "", natural_sort_key(queue.abi)),
        Cell(terminal_safe(queue.platform), "", "", natural_sort_key(queue.platform)),
        Cell(_UNSERVED_NOTE if unserved else "", style),
    )
    names = (queue.target, queue.abi, queue.platform)
    filter_text = f"{terminal_safe(' '.join(names))} {state}".lower()
    order = (0 if unserved else 1, position)
    return Row(queue.target, cells, unserved, filter_text, order, queue.oldest_s)


def _queue_state(queue: QueueStatus) -> tuple[str, str, str]:
    if is_unserved(queue):
        return "unserved", "lost", "error"
    if queue.claimed:
        return "building", "building", "success"
    if queue.pending:
        return "waiting", "pending", ""
    if queue.deferred:
        return "deferred", "retry", "muted"
    return "empty", "idle", "muted"
