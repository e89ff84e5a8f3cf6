"""What an operator has to look at, the worst first, and the way from one to the next."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from piwheels.model import HostMetrics
from piwheels.protocol.messages import BuilderState
from piwheels.tui.model.builder_table import DISK_CRITICAL, TEMPERATURE_CRITICAL
from piwheels.tui.model.farm_tables import is_unserved
from piwheels.tui.model.formatting import (
    format_count,
    format_duration,
    format_percent,
    format_size,
    terminal_safe,
)
from piwheels.tui.model.state import Builder, FarmState
from piwheels.tui.model.tables import natural_sort_key

ScreenName = Literal["builders", "queues", "host"]

UPSTREAM_LAG_ALERT_S = 6 * 3600.0
#: A builder with so many failures in an hour, and no wheel, fails of itself.
FAILURES_ALERT_COUNT = 5


class Alert(NamedTuple):
    """One problem: where it is (a screen and the key of its row), and one line on it."""

    severity: int
    screen: ScreenName
    key: str
    label: str
    text: str


def find_alerts(state: FarmState, now: float) -> list[Alert]:
    """All problems of a farm, the worst first; a farm that is not heard has the old ones."""
    found = [*_builder_alerts(state, now), *_queue_alerts(state), *_host_alerts(state)]
    return sorted(
        found, key=lambda trouble: (trouble.severity, trouble.screen, natural_sort_key(trouble.key))
    )


def next_alert(alerts: list[Alert], after: tuple[str, str] | None) -> Alert | None:
    """The problem that comes after the one at this screen and key, round and round.

    A place that is no problem (any more) leads to the first.
    """
    if not alerts:
        return None
    places = [(trouble.screen, trouble.key) for trouble in alerts]
    for place, (screen, key) in enumerate(places):
        if (screen, key) == after:
            return alerts[(place + 1) % len(alerts)]
    return alerts[0]


def _builder_alerts(state: FarmState, now: float) -> Iterator[Alert]:
    for builder in state.builders.values():
        trouble = _builder_alert(builder, now)
        if trouble:
            rank, word, text = trouble
            label = builder.view.label
            yield Alert(rank, "builders", label, word, terminal_safe(f"{label}: {text}"))


def _builder_alert(builder: Builder, now: float) -> tuple[int, str, str] | None:
    view = builder.view
    silent = format_duration(view.since_last_message_s + max(0.0, now - builder.received_at))
    match view.state:
        case BuilderState.LOST:
            return 0, "lost", f"lost, not heard for {silent}"
        case BuilderState.QUARANTINED:
            return 1, "quarantined", view.reason or "quarantined"
        case BuilderState.OVERDUE:
            spent = format_duration(builder.build_s(now))
            expected = format_duration(view.expected_s)
            what = f"{view.project} {view.release_version}"
            return 2, "stuck", f"{what} takes {spent}, expected were {expected}"
        case BuilderState.SILENT:
            return 3, "silent", f"silent for {silent}"
    return _machine_alert(view.host) or _failures_alert(view.built_last_hour, view.failed_last_hour)


def _machine_alert(host: HostMetrics) -> tuple[int, str, str] | None:
    if host.disk_total and host.disk_free / host.disk_total < DISK_CRITICAL:
        return 6, "disk nearly full", f"its disk is nearly full: {format_size(host.disk_free)} free"
    if host.temperature is not None and host.temperature >= TEMPERATURE_CRITICAL:
        return 7, "hot", f"it is {host.temperature:.0f} degrees hot"
    return None


def _failures_alert(built: int, failed: int) -> tuple[int, str, str] | None:
    if failed >= FAILURES_ALERT_COUNT and not built:
        return 8, "only failures", f"{failed} builds failed in the last hour, and none was built"
    return None


def _queue_alerts(state: FarmState) -> Iterator[Alert]:
    for queue in state.queues:
        if is_unserved(queue):
            text = f"{terminal_safe(queue.target)}: {format_count(queue.pending)} jobs wait, nobody serves it"
            yield Alert(5, "queues", queue.target, "unserved", text)


def _host_alerts(state: FarmState) -> Iterator[Alert]:
    if state.status is None:
        return
    host = state.status.host
    if host.disk_total and host.disk_free / host.disk_total < DISK_CRITICAL:
        free = f"{format_size(host.disk_free)} ({format_percent(host.disk_free, host.disk_total)}) free"
        yield Alert(4, "host", "disk", "disk nearly full", f"the served tree's disk: {free}")
    if host.temperature is not None and host.temperature >= TEMPERATURE_CRITICAL:
        text = f"the master is {host.temperature:.0f} degrees hot"
        yield Alert(7, "host", "temperature", "hot", text)
    if state.status.database:
        text = terminal_safe(f"the database: {state.status.database}")
        yield Alert(1, "host", "database", "database waits", text)
    if state.status.waits:
        text = terminal_safe(f"the queue waits: {state.status.waits}")
        yield Alert(1, "host", "queue", "queue waits", text)
    lag = state.status.upstream_lag_s
    if lag is not None and lag > UPSTREAM_LAG_ALERT_S:
        text = f"the upstream was last read {format_duration(lag)} ago"
        yield Alert(9, "host", "upstream", "upstream late", text)
