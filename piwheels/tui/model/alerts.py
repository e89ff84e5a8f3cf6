"""Alerts: what needs an operator's attention, the worst first."""

from collections.abc import Iterator
from typing import NamedTuple

from piwheels.formatting import (
    format_count,
    format_percent,
    format_short_duration,
    format_size,
    format_temperature,
    pluralize,
)
from piwheels.model import HostMetrics
from piwheels.protocol.messages import BuilderState, BuilderView, StatusReply, no_jobs_text
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
    """One alert: its screen, the key of its row, what it is about, and what is wrong.

    Rank 0 is the worst. A critical alert needs a person now; the others are unusual.
    """

    rank: int
    critical: bool
    screen: ScreenName
    key: str
    label: str  # in a word or two
    subject: str
    detail: str

    @property
    def text(self) -> str:
        """The alert in one line."""
        return f"{self.subject}: {self.detail}"


def find_alerts(state: FarmState, now: float) -> list[Alert]:
    """All alerts of the farm as last reported, the worst first."""
    found = [*_builder_alerts(state, now), *_queue_alerts(state), *_host_alerts(state)]
    return sorted(found, key=lambda alert: (alert.rank, alert.screen, natural_sort_key(alert.key)))


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


class _Finding(NamedTuple):
    rank: int
    label: str
    detail: str
    critical: bool = False


def _builder_alerts(state: FarmState, now: float) -> Iterator[Alert]:
    for builder in state.builders.values():
        found = _builder_finding(builder, now)
        if found:
            label = builder.view.label
            yield _alert(found, ScreenName.BUILDERS, label, label)


def _alert(found: _Finding, screen: ScreenName, key: str, subject: str) -> Alert:
    detail = terminal_safe(found.detail)
    return Alert(
        found.rank, found.critical, screen, key, found.label, terminal_safe(subject), detail
    )


def _builder_finding(builder: Builder, now: float) -> _Finding | None:
    view = builder.view
    silent = format_short_duration(view.since_last_message_s + max(0.0, now - builder.received_at))
    match view.state:
        case BuilderState.LOST:
            return _Finding(0, "lost", f"no message for {silent}", critical=True)
        case BuilderState.QUARANTINED:
            reason = view.reason or "no reason is known"
            return _Finding(1, "quarantined", reason, critical=True)
        case BuilderState.OVERDUE:
            spent = format_short_duration(builder.build_s(now))
            expected = format_short_duration(view.expected_s)
            what = f"{view.project} {view.release_version}"
            return _Finding(2, "overdue", f"{what} takes {spent}, expected {expected}")
        case BuilderState.SILENT:
            return _Finding(3, "silent", f"no message for {silent}")
    return _machine_finding(view.host) or _failures_finding(view)


def _machine_finding(host: HostMetrics) -> _Finding | None:
    if host.disk_total and host.disk_free / host.disk_total < DISK_CRITICAL:
        free = format_size(host.disk_free)
        return _Finding(6, "disk", f"disk nearly full: {free} free")
    if host.temperature is not None and host.temperature >= TEMPERATURE_CRITICAL:
        return _Finding(7, "hot", f"{format_temperature(host.temperature)}, too hot")
    return None


def _failures_finding(view: BuilderView) -> _Finding | None:
    if view.failed_last_hour < FAILURES_ALERT_COUNT or view.built_last_hour:
        return None
    failed = format_count(view.failed_last_hour)
    return _Finding(8, "failing", f"{failed} builds failed in the last hour, none succeeded")


def _queue_alerts(state: FarmState) -> Iterator[Alert]:
    for queue in state.queues:
        if is_unserved(queue):
            detail = f"{pluralize(queue.pending, 'job')} queued, no builder serves it"
            found = _Finding(5, "unserved", detail, critical=True)
            yield _alert(found, ScreenName.QUEUES, queue.target, queue.target)


def _host_alerts(state: FarmState) -> Iterator[Alert]:
    if state.status is not None:
        for key, subject, found in _host_findings(state.status):
            yield _alert(found, ScreenName.HOST, key, subject)


def _host_findings(status: StatusReply) -> Iterator[tuple[str, str, _Finding]]:
    host, lag = status.host, status.upstream_lag_s
    if host.disk_total and host.disk_free / host.disk_total < DISK_CRITICAL:
        percent = format_percent(host.disk_free, host.disk_total)
        free = f"{format_size(host.disk_free)} ({percent}) free"
        yield "disk", "web root's disk", _Finding(4, "disk", f"nearly full: {free}", critical=True)
    if host.temperature is not None and host.temperature >= TEMPERATURE_CRITICAL:
        text = f"{format_temperature(host.temperature)}, too hot"
        yield "temperature", "master", _Finding(7, "hot", text)
    if status.database:
        yield "database", "database", _Finding(1, "database", status.database, critical=True)
    if status.waits:
        text = no_jobs_text(status.waits)
        yield "queue", "scheduler", _Finding(1, "no jobs", text, critical=True)
    if status.awaited_packages:
        first, *others = status.awaited_packages
        more = f", and {pluralize(len(others), 'other package')}" if others else ""
        text = f"{pluralize(first.releases, 'release')} waiting for {first.package}{more}"
        yield "packages", "builders", _Finding(6, "packages", text)
    if lag is not None and lag > UPSTREAM_LAG_ALERT_S:
        text = f"last read {format_short_duration(lag)} ago"
        yield "upstream", "upstream index", _Finding(9, "upstream", text, critical=True)
