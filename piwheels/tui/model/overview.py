"""What the overview shows besides its indicators: builders by state, notices, and farm_lines."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from piwheels.formatting import (
    format_coarse_duration,
    format_count,
    format_percent,
    format_rate,
    format_size,
    format_temperature,
    pluralize,
)
from piwheels.model import LiveDownloads, RefusedKey
from piwheels.protocol.messages import BuilderState, FailuresReply, StatusReply
from piwheels.tui.model.copying import pip_line
from piwheels.tui.model.glyphs import ALERT_STATES, STATE_ORDER, STATE_STYLE
from piwheels.tui.model.metrics import NO_ACCESS_LOG
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.queue_lengths import open_jobs, waiting_jobs
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.terminal_text import terminal_safe

#: The width of the columns that have the titles of lists.
_TITLE_CELLS = 13
#: What builders in trouble are called together.
NEEDS_PERSON = "need you"
#: So many refused keys are listed.
_MAX_REFUSED = 5
_WORK_ORDER = (BuilderState.BUILDING, BuilderState.UPLOADING, BuilderState.FINISHING)


class StateCount(NamedTuple):
    """How many builders are in a state, or in any that needs attention."""

    state: str
    number: int
    style: str
    glyph: str


def builder_states(state: FarmState) -> list[StateCount]:
    """How many builders are in each state: those at work, those in trouble, then the others."""
    counts = Counter(builder.view.state for builder in state.builders.values())
    at_work = [_state_count(each, counts) for each in _WORK_ORDER if counts[each]]
    rest = sorted(set(counts) - set(_WORK_ORDER) - ALERT_STATES, key=STATE_ORDER.__getitem__)
    others = [_state_count(each, counts) for each in rest]
    trouble = sum(counts[each] for each in ALERT_STATES)
    critical = counts[BuilderState.LOST] + counts[BuilderState.QUARANTINED]
    style = "error" if critical else "warning"
    alerts = [StateCount(NEEDS_PERSON, trouble, style, "warning")] if trouble else []
    return at_work + others + alerts


def _state_count(state: BuilderState, counts: Counter[BuilderState]) -> StateCount:
    return StateCount(state, counts[state], STATE_STYLE[state], state)


def is_all_built(status: StatusReply) -> bool:
    """Whether releases are known and no job is open."""
    return status.releases > 0 and not open_jobs(status.queues)


def notice(state: FarmState, now: float, failures: FailuresReply | None = None) -> list[str]:
    """What to say of a farm without builders or without work; lines, or nothing."""
    status = state.status
    if status is None:
        return []
    if not state.present_builders:
        jobs = waiting_jobs(status.queues)
        waiting = f"; {pluralize(jobs, 'job')} queued" if jobs else ""
        return [
            f"No builder is connected{waiting}. To add one:",
            "",
            "  on the master:  piw builder invite NAME --authorize",
            "  on the builder: piw builder join (asks for the token)",
            "  on the builder: piw builder run",
            *_refused_keys(status.refused_keys),
        ]
    return [*_all_built(state, status, now, failures)] if is_all_built(status) else []


def _refused_keys(refused: Sequence[RefusedKey]) -> Iterator[str]:
    """Who waits to be authorized: by an invitation, or after an attempt to connect lately."""
    if not refused:
        return
    yield f"Not authorized yet: {pluralize(len(refused), 'key')}"
    for each in refused[:_MAX_REFUSED]:
        at = f" at {each.address}" if each.address else ""
        name = f" {each.name}," if each.name else ""
        yield terminal_safe(f"  {each.role}{name} key {each.public[:16]}{at}")
    if len(refused) > _MAX_REFUSED:
        yield f"  and {len(refused) - _MAX_REFUSED} more"


def _all_built(
    state: FarmState, status: StatusReply, now: float, failures: FailuresReply | None
) -> Iterator[str]:
    made = f"{pluralize(status.releases, 'release')} of {pluralize(status.projects, 'project')}"
    yield f"All built: {pluralize(status.files, 'wheel')} for {made}."
    if failures and failures.releases:
        failed, why = pluralize(failures.releases, "release"), pluralize(failures.causes, "cause")
        yield f"{failed} cannot be built, for {why} (5 shows them)."
    if status.index_url:
        yield ""
        yield "Install from this farm:"
        yield f"  {pip_line(terminal_safe(status.index_url))}"
    yield ""
    built = (build for build in reversed(state.builds.values()) if build.outcome == "built")
    if (last := next(built, None)) is not None:
        age = format_coarse_duration(max(0.0, now - last.ended_at.timestamp()))
        release = terminal_safe(f"{last.project} {last.version} for {last.target}")
        yield f"Last wheel {age} ago: {release}."
    if status.upstream_lag_s is not None:
        age = format_coarse_duration(status.upstream_lag_s)
        yield f"Upstream read {age} ago; new releases are built automatically."


class FarmLine(NamedTuple):
    """A line about a part of the farm: its name, what is known of it, the screen about it."""

    label: str
    parts: tuple[str, ...]
    opens: ScreenName


def farm_lines(status: StatusReply) -> list[FarmLine]:
    """Downloads, the master and the upstream, a line each."""
    return [
        FarmLine("Downloads", tuple(_download_parts(status.downloads)), ScreenName.DOWNLOADS),
        FarmLine("Master", tuple(_master_parts(status)), ScreenName.HOST),
        FarmLine("Upstream", tuple(_upstream_parts(status)), ScreenName.HOST),
    ]


def _download_parts(downloads: LiveDownloads) -> Iterator[str]:
    if not downloads.connected:
        yield NO_ACCESS_LOG
        return
    yield f"{format_rate(downloads.rate_per_s)}/s"
    record, date = downloads.record_day, downloads.record_date
    of_record = ""
    if record:
        on = f" ({terminal_safe(date)})" if date else ""
        share = format_percent(downloads.today, record)
        of_record = f", {share} of the record {format_count(record)}{on}"
    yield f"today {format_count(downloads.today)}{of_record}"
    yield f"30 days {format_count(downloads.last_30_days)}"


def _master_parts(status: StatusReply) -> Iterator[str]:
    host = status.host
    cores = f" of {pluralize(host.cores, 'core')}" if host.cores else ""
    yield f"load {format_rate(host.load)}{cores}"
    if host.memory_total:
        yield f"memory {format_percent(host.memory_total - host.memory_free, host.memory_total)}"
    if host.temperature is not None:
        yield format_temperature(host.temperature)
    if host.disk_total:
        yield f"tree {format_percent(host.disk_total - host.disk_free, host.disk_total)}"
    yield f"database {format_size(status.database_bytes)}"
    yield f"{pluralize(status.stale_pages, 'page')} to write"


def _upstream_parts(status: StatusReply) -> Iterator[str]:
    if status.upstream_lag_s is None:
        yield "not read yet"
    else:
        yield f"read {format_coarse_duration(status.upstream_lag_s)} ago"
    if status.upstream_status_text:
        yield terminal_safe(status.upstream_status_text)


def list_title(name: str, count: int, shown: int) -> str:
    """The heading of a list: `Alerts 7`; of one that does not fit, `Alerts 6 of 7`."""
    if shown >= count:
        return f"{name} {format_count(count)}"
    title = f"{name} {format_count(max(0, shown))} of {format_count(count)}"
    return title if len(title) <= _TITLE_CELLS else title.replace(" of ", "/")


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
