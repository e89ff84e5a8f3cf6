"""What a rule says about a subject, and the facts that the rules need."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from piwheels.alerts import rules
from piwheels.alerts.growth import Growth
from piwheels.formatting import format_short_duration, format_size, format_temperature
from piwheels.model import AlertRule, HostMetrics, RefusedKey, Severity, TargetResults
from piwheels.protocol.messages import BuilderState, StatusReply
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
    AlertRule.PAGES: "index",
    AlertRule.BUCKET: "bucket",
    AlertRule.KEYS: "keys",
}


class Reading(NamedTuple):
    """What a rule says about a subject: raised, cleared, or neither (between the two limits)."""

    rule: AlertRule
    subject: str  # a builder or a target; "" is the farm
    level: Severity | None  # None: not raised
    text: str = ""
    value: float | None = None
    clears: bool = True  # without a level: an alert is cleared
    since: datetime | None = None  # when it began, where that is known

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
    access_log_read_at: datetime | None = None  # the last time since the master started
    results: Mapping[str, TargetResults] = field(default_factory=dict)  # by target
    refused_keys: Sequence[RefusedKey] = ()
    full_in_s: Mapping[str, float] = field(default_factory=dict)  # by builder; "" is the web root

    @property
    def builders(self) -> frozenset[str]:
        """The builders that are connected, or were lost a while ago."""
        views = self.status.builders
        return frozenset(it.label for it in views if it.state is not BuilderState.ENDED)

    @property
    def targets(self) -> frozenset[str]:
        """The active targets."""
        return frozenset(queue.target for queue in self.status.queues)


def free_disks(status: StatusReply) -> dict[str, float]:
    """The free bytes of the builders' disks, and of the web root's ("") where they are known."""
    hosts = {view.label: view.host for view in status.builders} | {"": status.host}
    return {name: host.disk_free for name, host in hosts.items() if host.disk_total}


def make_reading(
    rule: AlertRule,
    subject: str,
    raised: bool,
    text: str,
    value: float | None = None,
    *,
    severity: Severity = Severity.WARNING,
    clears: bool = True,
    since: datetime | None = None,
) -> Reading:
    """The reading of a rule whose condition holds (`raised`) or not."""
    level = severity if raised else None
    return Reading(rule, subject, level, truncate_line(text), value, clears, since)


def limit_reading(
    rule: AlertRule, subject: str, value: float, text: str, limits: rules.Limits
) -> Reading:
    """The reading of a value with two limits."""
    raised = value >= limits.raises
    return make_reading(rule, subject, raised, text, value, clears=value < limits.clears)


def temperature_reading(subject: str, host: HostMetrics) -> Iterator[Reading]:
    """Whether a machine is hot or throttled; nothing where neither is known."""
    degrees, throttled = host.temperature, host.throttled
    if degrees is None and throttled is None:
        return
    limits, known = rules.TEMPERATURE, degrees if degrees is not None else 0.0
    raised = known >= limits.raises or bool(throttled)
    clears = known < limits.clears and not throttled
    yield make_reading(AlertRule.HOT, subject, raised, heat_text(host), degrees, clears=clears)


def heat_text(host: HostMetrics) -> str:
    """The temperature, and for how long the machine was throttled: as far as they are known."""
    parts = []
    if host.temperature is not None:
        parts.append(format_temperature(host.temperature))
    if host.throttled_s:
        minutes = min(60, math.ceil(host.throttled_s / 60))
        parts.append(f"throttled {minutes} of the last 60 min")
    elif host.throttled:
        parts.append("throttled")
    return ", ".join(parts)


def memory_reading(subject: str, host: HostMetrics) -> Iterator[Reading]:
    """Whether a machine's memory is used up."""
    if host.memory_total:
        used = 100.0 * (1 - host.memory_free / host.memory_total)
        text = f"{used:.0f}% used"
        yield limit_reading(AlertRule.MEMORY, subject, used, text, rules.MEMORY)


def disk_reading(
    rule: AlertRule,
    subject: str,
    host: HostMetrics,
    full_in_s: float | None,
    limits: rules.DiskLimits,
) -> Iterator[Reading]:
    """Whether a disk is full, or soon will be; nothing where its size is unknown."""
    if not host.disk_total:
        return
    used, left_s = 100.0 * (1 - host.disk_free / host.disk_total), full_in_s or math.inf
    fills = left_s < rules.SHOWN_FULL_IN_S
    rest = (
        f"full in {format_short_duration(left_s)}"
        if fills
        else f"{format_size(host.disk_free)} free"
    )
    critical = used >= limits.critical
    yield make_reading(
        rule,
        subject,
        used >= limits.raises or left_s <= rules.FULL_IN_S.raises,
        f"{used:.0f}% used, {rest}",
        used,
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        clears=used < limits.clears and left_s > rules.FULL_IN_S.clears,
    )
