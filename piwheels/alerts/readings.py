"""From the farm's status to readings: what each rule says now about each of its subjects.

Where a fact is missing there is no reading: that raises no alert and clears none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from piwheels.alerts import rules
from piwheels.alerts.growth import Growth
from piwheels.formatting import (
    format_count,
    format_percent,
    format_short_duration,
    format_size,
    format_temperature,
    pluralize,
)
from piwheels.model import AlertRule, HostMetrics, QueueStatus, Severity
from piwheels.protocol.messages import BuilderState, BuilderView, StatusReply, no_jobs_text
from piwheels.sanitize import truncate_line

#: The subjects of alerts about the farm itself.
_FARM_SUBJECTS = {
    AlertRule.DATABASE: "database",
    AlertRule.UPSTREAM: "upstream index",
    AlertRule.TREE: "web root",
    AlertRule.HOT: "master",
    AlertRule.MEMORY: "master",
    AlertRule.MASTER: "master",
    AlertRule.ACCESS_LOG: "access log",
}
_FARM = ""
_STALE_STATES = frozenset({BuilderState.LOST, BuilderState.SILENT})


class Reading(NamedTuple):
    """What a rule says about a subject: raised, cleared, or neither (between the two limits)."""

    rule: AlertRule
    subject: str  # a builder or a target; "" is the farm
    level: Severity | None  # None: not raised
    text: str = ""
    value: float | None = None
    clears: bool = True  # without a level: an alert is cleared

    @property
    def alert_id(self) -> str:
        """The id of its alert."""
        return f"{self.rule}:{self.subject}" if self.subject else str(self.rule)

    @property
    def shown_subject(self) -> str:
        """What it is about, for people."""
        return truncate_line(self.subject) or _FARM_SUBJECTS.get(self.rule, "farm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules need to know; None is unknown."""

    status: StatusReply  # with its builders
    cores: int | None = None  # of the master's machine
    growth: Mapping[str, Growth] = field(default_factory=dict)  # by target
    access_log_was_read: bool = False  # since the master started

    @property
    def builders(self) -> frozenset[str]:
        """The builders that are connected, or were lost a while ago."""
        return frozenset(view.label for view in self.status.builders)

    @property
    def targets(self) -> frozenset[str]:
        """The active targets."""
        return frozenset(queue.target for queue in self.status.queues)


def read(facts: Facts) -> Iterator[Reading]:
    """What all rules say."""
    for view in facts.status.builders:
        yield from _builder_readings(view)
    for queue in facts.status.queues:
        yield _unserved(queue)
        if (growth := facts.growth.get(queue.target)) is not None:
            yield _growing(queue.target, growth)
    yield from _farm_readings(facts)


def _reading(
    rule: AlertRule,
    subject: str,
    raised: bool,
    text: str,
    value: float | None = None,
    *,
    severity: Severity = Severity.WARNING,
    clears: bool = True,
) -> Reading:
    return Reading(
        rule, subject, severity if raised else None, truncate_line(text), value, clears=clears
    )


# --- builders ---


def _builder_readings(view: BuilderView) -> Iterator[Reading]:
    label, critical = view.label, Severity.CRITICAL
    lost = view.state is BuilderState.LOST
    yield _reading(AlertRule.LOST, label, lost, f"no signal: {view.reason}", severity=critical)
    silent = view.state is BuilderState.SILENT and view.since_last_message_s > rules.SILENT_AFTER_S
    yield _reading(
        AlertRule.SILENT, label, silent, "no signal", clears=view.state is not BuilderState.SILENT
    )
    yield _overdue(view)
    if view.state in _STALE_STATES:
        return
    held = view.state is BuilderState.QUARANTINED
    reason = view.reason or "no reason is known"
    yield _reading(AlertRule.QUARANTINED, label, held, reason, severity=critical)
    yield _failing_builder(view)
    yield from _machine_readings(label, view.host)


def _overdue(view: BuilderView) -> Reading:
    running = view.build is not None and view.state is not BuilderState.UPLOADING
    late = running and 0.0 < view.expected_s < view.build_s
    expected = format_short_duration(view.expected_s)
    text = f"{view.project} {view.release_version} takes over {expected}"
    return _reading(AlertRule.OVERDUE, view.label, late, text)


def _failing_builder(view: BuilderView) -> Reading:
    failed = view.failed_last_hour
    raised = failed >= rules.BUILDER_FAILURES and not view.built_last_hour
    text = f"{format_count(failed)} builds failed in the last hour, none succeeded"
    clears = view.built_last_hour > 0 or failed == 0
    return _reading(AlertRule.FAILING, view.label, raised, text, failed, clears=clears)


def _machine_readings(label: str, host: HostMetrics) -> Iterator[Reading]:
    if host.disk_total:
        used = 100.0 * (1 - host.disk_free / host.disk_total)
        text = f"{used:.0f}% used, {format_size(host.disk_free)} free"
        yield _limit(AlertRule.DISK, label, used, text, rules.DISK)
    yield from _temperature(label, host)
    yield from _memory(label, host)


def _temperature(subject: str, host: HostMetrics) -> Iterator[Reading]:
    if host.temperature is not None:
        degrees, text = host.temperature, f"{format_temperature(host.temperature)}, too hot"
        yield _limit(AlertRule.HOT, subject, degrees, text, rules.TEMPERATURE)


def _memory(subject: str, host: HostMetrics) -> Iterator[Reading]:
    if host.memory_total:
        used = 100.0 * (1 - host.memory_free / host.memory_total)
        text = f"{used:.0f}% of the memory used"
        yield _limit(AlertRule.MEMORY, subject, used, text, rules.MEMORY)


def _limit(rule: AlertRule, subject: str, value: float, text: str, limits: rules.Limits) -> Reading:
    raised = value >= limits.raises
    return _reading(rule, subject, raised, text, value, clears=value < limits.clears)


# --- queues ---


def _unserved(queue: QueueStatus) -> Reading:
    raised = queue.pending > 0 and not queue.has_builder
    text = f"{pluralize(queue.pending, 'job')} queued, no builder serves it"
    return _reading(
        AlertRule.UNSERVED,
        queue.target,
        raised,
        text,
        queue.pending,
        severity=Severity.CRITICAL,
    )


def _growing(target: str, growth: Growth) -> Reading:
    raised = growth.grew_each_hour and growth.grown_by >= rules.GROWING_JOBS
    text = f"{format_count(growth.grown_by)} more jobs in 3h"
    return _reading(
        AlertRule.GROWING, target, raised, text, growth.grown_by, clears=growth.is_shorter
    )


# --- the farm ---


def _farm_readings(facts: Facts) -> Iterator[Reading]:
    status, critical = facts.status, Severity.CRITICAL
    waits = bool(status.database)
    yield _reading(AlertRule.DATABASE, _FARM, waits, status.database, severity=critical)
    idle = bool(status.waits)
    yield _reading(AlertRule.NO_JOBS, _FARM, idle, no_jobs_text(status.waits), severity=critical)
    yield _packages(status)
    yield _reading(AlertRule.PAUSED, _FARM, status.paused, "no jobs are assigned")
    if status.downloads.connected or facts.access_log_was_read:
        stopped = not status.downloads.connected
        yield _reading(AlertRule.ACCESS_LOG, _FARM, stopped, "no access log is read any more")
    yield _upstream(status)
    yield from _failing_farm(status)
    yield from _master_readings(facts)


def _packages(status: StatusReply) -> Reading:
    if not status.awaited_packages:
        return _reading(AlertRule.PACKAGES, _FARM, False, "")
    first, *others = status.awaited_packages
    more = f", and {pluralize(len(others), 'other package')}" if others else ""
    text = f"{pluralize(first.releases, 'release')} waiting for {first.package}{more}"
    return _reading(AlertRule.PACKAGES, _FARM, True, text)


def _upstream(status: StatusReply) -> Reading:
    """Since the master started, if it was never read."""
    lag_s = status.uptime_s if status.upstream_lag_s is None else status.upstream_lag_s
    late, very_late = lag_s > rules.UPSTREAM_WARNS_S, lag_s > rules.UPSTREAM_RAISES_S
    reason = f": {status.upstream_status_text}" if status.upstream_status_text else ""
    text = f"not read for {'6h' if very_late else '30m'}{reason}"
    severity = Severity.CRITICAL if very_late else Severity.WARNING
    clears = status.upstream_lag_s is not None
    return _reading(AlertRule.UPSTREAM, _FARM, late, text, severity=severity, clears=clears)


def _failing_farm(status: StatusReply) -> Iterator[Reading]:
    """The last hour against the hours before."""
    history = status.build_history
    if len(history.built) < 2:
        return
    built, failed = history.built[-1], history.failed[-1]
    all_built, all_failed = sum(history.built[:-1]), sum(history.failed[:-1])
    if not built + failed or not all_built + all_failed:
        return
    share, usual = failed / (built + failed), all_failed / (all_built + all_failed)
    enough = built + failed >= rules.FAILING_BUILDS
    raised = enough and share > usual * rules.FAILING.raises
    usual_text = format_percent(all_failed, all_built + all_failed)
    text = f"{format_percent(failed, built + failed)} failed in 1h, {usual_text} is usual"
    clears = share < usual * rules.FAILING.clears
    yield _reading(AlertRule.FAILING, _FARM, raised, text, 100.0 * share, clears=clears)


def _master_readings(facts: Facts) -> Iterator[Reading]:
    host = facts.status.host
    if host.disk_total:
        used = 100.0 * (1 - host.disk_free / host.disk_total)
        text = f"{used:.0f}% used, {format_size(host.disk_free)} free"
        severity = Severity.CRITICAL if used >= rules.TREE_CRITICAL else Severity.WARNING
        yield _reading(
            AlertRule.TREE,
            _FARM,
            used >= rules.TREE.raises,
            text,
            used,
            severity=severity,
            clears=used < rules.TREE.clears,
        )
    yield from _temperature(_FARM, host)
    yield from _memory(_FARM, host)
    if facts.cores:
        share = host.load / facts.cores
        text = f"load {host.load:.1f} of {facts.cores} cores"
        yield _limit(AlertRule.MASTER, _FARM, share, text, rules.LOAD)
