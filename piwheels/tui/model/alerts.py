"""Alerts: what needs an operator's attention, the most severe first."""

from collections.abc import Iterator
from typing import NamedTuple

from piwheels.formatting import (
    format_count,
    format_percent,
    format_short_duration,
    format_size,
    format_temperature,
)
from piwheels.model import HostMetrics
from piwheels.protocol.messages import BuilderState, no_jobs_text
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.state import Builder, FarmState
from piwheels.tui.model.tables.builders import DISK_CRITICAL, TEMPERATURE_CRITICAL
from piwheels.tui.model.tables.queues import is_unserved
from piwheels.tui.model.tables.table_model import natural_sort_key
from piwheels.tui.model.terminal_text import terminal_safe

UPSTREAM_LAG_ALERT_S = 6 * 3600.0
#: So many failures of a builder in an hour, without a wheel, are an alert.
FAILURES_ALERT_COUNT = 5


class Alert(NamedTuple):
    """One alert: its screen, the key of its row, and one line about it. Severity 0 is the worst."""

    severity: int
    screen: ScreenName
    key: str
    label: str
    text: str


def find_alerts(state: FarmState, now: float) -> list[Alert]:
    """All alerts of the farm as last reported, the most severe first."""
    found = [*_builder_alerts(state, now), *_queue_alerts(state), *_host_alerts(state)]
    return sorted(
        found, key=lambda alert: (alert.severity, alert.screen, natural_sort_key(alert.key))
    )


def next_alert(alerts: list[Alert], after: tuple[str, str] | None) -> Alert | None:
    """The alert after the one at this screen and key; the first after the last.

    Without an alert there, the first is next.
    """
    if not alerts:
        return None
    places = [(alert.screen, alert.key) for alert in alerts]
    for place, (screen, key) in enumerate(places):
        if (screen, key) == after:
            return alerts[(place + 1) % len(alerts)]
    return alerts[0]


def _builder_alerts(state: FarmState, now: float) -> Iterator[Alert]:
    for builder in state.builders.values():
        alert = _builder_alert(builder, now)
        if alert:
            rank, word, text = alert
            label = builder.view.label
            yield Alert(rank, ScreenName.BUILDERS, label, word, terminal_safe(f"{label}: {text}"))


def _builder_alert(builder: Builder, now: float) -> tuple[int, str, str] | None:
    view = builder.view
    silent = format_short_duration(view.since_last_message_s + max(0.0, now - builder.received_at))
    match view.state:
        case BuilderState.LOST:
            return 0, "lost", f"lost, no message for {silent}"
        case BuilderState.QUARANTINED:
            return 1, "quarantined", view.reason or "quarantined"
        case BuilderState.OVERDUE:
            spent = format_short_duration(builder.build_s(now))
            expected = format_short_duration(view.expected_s)
            what = f"{view.project} {view.release_version}"
            return 2, "overdue", f"{what} takes {spent}, expected {expected}"
        case BuilderState.SILENT:
            return 3, "silent", f"silent for {silent}"
    return _machine_alert(view.host) or _failures_alert(view.built_last_hour, view.failed_last_hour)


def _machine_alert(host: HostMetrics) -> tuple[int, str, str] | None:
    if host.disk_total and host.disk_free / host.disk_total < DISK_CRITICAL:
        return 6, "disk nearly full", f"disk nearly full: {format_size(host.disk_free)} free"
    if host.temperature is not None and host.temperature >= TEMPERATURE_CRITICAL:
        return 7, "hot", f"{format_temperature(host.temperature)}, too hot"
    return None


def _failures_alert(built: int, failed: int) -> tuple[int, str, str] | None:
    if failed >= FAILURES_ALERT_COUNT and not built:
        return 8, "only failures", f"{failed} builds failed in the last hour, none succeeded"
    return None


def _queue_alerts(state: FarmState) -> Iterator[Alert]:
    for queue in state.queues:
        if is_unserved(queue):
            pending = format_count(queue.pending)
            text = f"{terminal_safe(queue.target)}: {pending} jobs queued, no builder serves it"
            yield Alert(5, ScreenName.QUEUES, queue.target, "unserved", text)


def _host_alerts(state: FarmState) -> Iterator[Alert]:
    if state.status is None:
        return
    host = state.status.host
    if host.disk_total and host.disk_free / host.disk_total < DISK_CRITICAL:
        percent = format_percent(host.disk_free, host.disk_total)
        free = f"{format_size(host.disk_free)} ({percent}) free"
        yield Alert(4, ScreenName.HOST, "disk", "disk nearly full", f"the web root's disk: {free}")
    if host.temperature is not None and host.temperature >= TEMPERATURE_CRITICAL:
        text = f"the master is at {format_temperature(host.temperature)}, too hot"
        yield Alert(7, ScreenName.HOST, "temperature", "hot", text)
    if state.status.database:
        text = terminal_safe(f"the database: {state.status.database}")
        yield Alert(1, ScreenName.HOST, "database", "database", text)
    if state.status.waits:
        text = terminal_safe(no_jobs_text(state.status.waits))
        yield Alert(1, ScreenName.HOST, "queue", "queue", text)
    lag = state.status.upstream_lag_s
    if lag is not None and lag > UPSTREAM_LAG_ALERT_S:
        text = f"the upstream index was last read {format_short_duration(lag)} ago"
        yield Alert(9, ScreenName.HOST, "upstream", "upstream late", text)
