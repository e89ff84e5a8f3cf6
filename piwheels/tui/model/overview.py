"""The indicators of the overview: whether the work gets done, now and compared with yesterday."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from piwheels.formatting import (
    format_count,
    format_load,
    format_percent,
    format_rate,
    format_short_duration,
    pluralize,
)
from piwheels.model import LiveDownloads, QueueStatus
from piwheels.protocol.messages import BuilderState, StatusReply
from piwheels.tui.model.bar_chart import bar_chart
from piwheels.tui.model.glyphs import ALERT_STATES, STATE_ORDER, STATE_STYLE
from piwheels.tui.model.metrics import NO_ACCESS_LOG
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.terminal_text import terminal_safe

_DAY_HOURS = 24
_WORK_ORDER = (BuilderState.BUILDING, BuilderState.UPLOADING, BuilderState.FINISHING)
#: So much less than yesterday is clearly worse: built, and the share of good builds.
_FEWER_BUILT = 0.25
_LESS_GOOD = 0.03


class Indicator(NamedTuple):
    """An indicator of the farm: its value now, and either a chart with a comparison or a note.

    Attributes:
        label: What it is.
        now: Its value.
        chart: Its course, the newest at the right; "" for none.
        top: The value of a full bar.
        today: Its value over the last 24 hours, and `yesterday` over the 24 hours before.
        change: From yesterday to today: in percent, of shares in percentage points.
        is_worse: Whether today is clearly worse than yesterday.
        note: What else belongs to it, where there is no chart.
        opens: The screen with its details.
    """

    label: str
    now: str
    chart: str = ""
    top: str = ""
    today: str = ""
    yesterday: str = ""
    change: str = ""
    is_worse: bool = False
    note: str = ""
    opens: ScreenName | None = None


class StateCount(NamedTuple):
    """How many builders are in a state, or in any that needs attention."""

    state: str
    number: int
    style: str
    glyph: str


def indicators(state: FarmState, hours: int, *, ascii_only: bool = False) -> list[Indicator]:
    """The indicators, with charts of so many hours; empty without a snapshot."""
    status = state.status
    if status is None:
        return []
    return [
        _built(status, hours, ascii_only),
        _success(status, hours, ascii_only),
        _queued(status),
        _downloads(status.downloads),
        _master(status),
    ]


def _built(status: StatusReply, hours: int, ascii_only: bool) -> Indicator:
    history = status.build_history.built
    chart, top = bar_chart(_from_first(history)[-hours:], ascii_only=ascii_only)
    today, yesterday = sum(history[-_DAY_HOURS:]), sum(history[:-_DAY_HOURS])
    change = (today - yesterday) / yesterday if yesterday else None
    return Indicator(
        "Built/h",
        format_count(status.last_hour.get("built", 0)),
        chart,
        format_count(top) if chart else "",
        format_count(today),
        format_count(yesterday) if yesterday else "-",
        "" if change is None else f"{100 * change:+.0f}%",
        change is not None and change < -_FEWER_BUILT,
        opens=ScreenName.BUILDS,
    )


def _from_first(numbers: Sequence[int]) -> list[int | None]:
    """The numbers, with None for those before the first that is not zero."""
    first = next((place for place, number in enumerate(numbers) if number), len(numbers))
    return [None] * first + list(numbers[first:])


def _success(status: StatusReply, hours: int, ascii_only: bool) -> Indicator:
    built, failed = status.build_history.built, status.build_history.failed
    shares = [success_share([one], [other]) for one, other in zip(built, failed, strict=False)]
    chart, _ = bar_chart(shares[-hours:], top=1.0, ascii_only=ascii_only)
    today = success_share(built[-_DAY_HOURS:], failed[-_DAY_HOURS:])
    yesterday = success_share(built[:-_DAY_HOURS], failed[:-_DAY_HOURS])
    change = today - yesterday if today is not None and yesterday is not None else None
    return Indicator(
        "Good",
        _percent(success_share(built[-1:], failed[-1:])),
        chart,
        "100%" if chart else "",
        _percent(today),
        _percent(yesterday),
        "" if change is None else f"{100 * change:+.0f}",
        change is not None and change < -_LESS_GOOD,
        opens=ScreenName.BUILDS,
    )


def success_share(built: Sequence[int], failed: Sequence[int]) -> float | None:
    """Built builds as a share of those that built or finally failed; None without any."""
    ended = sum(built) + sum(failed)
    return sum(built) / ended if ended else None


def _percent(share: float | None) -> str:
    return "-" if share is None else format_percent(share, 1)


def _queued(status: StatusReply) -> Indicator:
    pending = sum(queue.pending for queue in status.queues)
    running = sum(queue.claimed for queue in status.queues)
    deferred = sum(queue.deferred for queue in status.queues)
    parts = [
        f"{format_count(running)} running" if running else "",
        f"{format_count(deferred)} to retry later" if deferred else "",
        _empty_in(status.queues),
    ]
    note = ", ".join(filter(None, parts)) or "nothing to build"
    return Indicator("Queued", format_count(pending), note=note, opens=ScreenName.QUEUES)


def _empty_in(queues: Sequence[QueueStatus]) -> str:
    """When the queues are empty at the rate of the last hour: `empty in 19h`."""
    pending = sum(queue.pending for queue in queues)
    rate = sum(queue.built_last_hour for queue in queues)
    if not pending:
        return ""
    if not rate:
        return "none built in the last hour"
    return f"empty in {format_short_duration(pending / rate * 3600)}"


def _downloads(downloads: LiveDownloads) -> Indicator:
    if not downloads.connected:
        return Indicator("Downloads/s", "-", note=NO_ACCESS_LOG)
    record = downloads.record_day
    of_record = f", {format_percent(downloads.today, record)} of the record" if record else ""
    return Indicator(
        "Downloads/s",
        format_rate(downloads.rate_per_s),
        note=f"{format_count(downloads.today)} today{of_record}",
        opens=ScreenName.DOWNLOADS,
    )


def _master(status: StatusReply) -> Indicator:
    host = status.host
    lag = status.upstream_lag_s
    parts = [
        _used("memory", host.memory_total, host.memory_free),
        _used("disk", host.disk_total, host.disk_free),
        f"upstream read {format_short_duration(lag)} ago" if lag is not None else "",
        f"{pluralize(status.stale_pages, 'page')} to write" if status.stale_pages else "",
    ]
    note = ", ".join(filter(None, parts))
    return Indicator("Master load", format_load(host.load), note=note, opens=ScreenName.HOST)


def _used(what: str, total: int, free: int) -> str:
    return f"{what} {format_percent(total - free, total)}" if total else ""


def builder_states(state: FarmState) -> list[StateCount]:
    """How many builders are in each state: those at work, those in trouble, then the others."""
    counts = Counter(builder.view.state for builder in state.builders.values())
    at_work = [_state_count(each, counts) for each in _WORK_ORDER if counts[each]]
    rest = sorted(set(counts) - set(_WORK_ORDER) - ALERT_STATES, key=STATE_ORDER.__getitem__)
    others = [_state_count(each, counts) for each in rest]
    trouble = sum(counts[each] for each in ALERT_STATES)
    critical = counts[BuilderState.LOST] + counts[BuilderState.QUARANTINED]
    style = "error" if critical else "warning"
    alerts = [StateCount("in trouble", trouble, style, "warning")] if trouble else []
    return at_work + alerts + others


def _state_count(state: BuilderState, counts: Counter[BuilderState]) -> StateCount:
    return StateCount(state, counts[state], STATE_STYLE[state], state)


def is_all_built(status: StatusReply) -> bool:
    """Whether releases are known and no job is open."""
    jobs = sum(queue.pending + queue.claimed + queue.deferred for queue in status.queues)
    return status.releases > 0 and not jobs


def notice(state: FarmState) -> list[str]:
    """What to say of a farm without builders or without work; lines, or nothing."""
    status = state.status
    if status is None:
        return []
    if not state.builders:
        jobs = sum(queue.pending for queue in status.queues)
        waiting = f"; {pluralize(jobs, 'job')} queued" if jobs else ""
        return [
            f"No builder is connected{waiting}. To add one:",
            "  on the builder: piw key generate builder",
            "  on the master:  piw key authorize NAME KEY",
            "  on the builder: piw builder --master HOST",
        ]
    if not is_all_built(status):
        return []
    made = f"{pluralize(status.releases, 'release')} of {pluralize(status.projects, 'project')}"
    lines = [f"All built: {pluralize(status.files, 'wheel')} for {made}."]
    if status.index_url:
        lines += [
            "Install from this farm:",
            f"  pip install --index-url {terminal_safe(status.index_url)} NAME",
        ]
    return lines


def share_lines(available: int, row_counts: Sequence[int], first: int = 5) -> list[int]:
    """How many lines each list gets: its heading and rows, or 0; the first list comes first.

    Args:
        available: Lines for all lists.
        row_counts: The rows that each list has.
        first: So many rows of the first list are shown before others get any.
    """
    lines = [0] * len(row_counts)
    left = available
    if row_counts and left > 0:
        lines[0] = min(left, 1 + min(row_counts[0], first))
        left -= lines[0]
    while left > 0:
        before = left
        for place, rows in enumerate(row_counts):
            cost = 1 if lines[place] else 2
            if left >= cost and rows > max(0, lines[place] - 1):
                lines[place] += cost
                left -= cost
        if left == before:
            break
    return lines
