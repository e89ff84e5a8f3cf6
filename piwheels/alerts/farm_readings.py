"""What the rules say about the farm itself, and the master's machine."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from piwheels.alerts import rules
from piwheels.alerts.reading import (
    Facts,
    Reading,
    disk_reading,
    limit_reading,
    make_reading,
    memory_reading,
    temperature_reading,
)
from piwheels.alerts.target_readings import failing_readings
from piwheels.formatting import format_coarse_duration, format_count, pluralize
from piwheels.model import AlertRule, BucketProgress, RefusedKey, Severity, total_results
from piwheels.protocol.messages import StatusReply, no_jobs_text

_FARM = ""


def farm_readings(facts: Facts, now: datetime) -> Iterator[Reading]:
    """What the rules say about the farm."""
    status, critical = facts.status, Severity.CRITICAL
    waits = bool(status.database)
    yield make_reading(AlertRule.DATABASE, _FARM, waits, status.database, severity=critical)
    idle = bool(status.waits)
    yield make_reading(
        AlertRule.NO_JOBS, _FARM, idle, no_jobs_text(status.waits), severity=critical
    )
    yield _packages(status)
    risky = bool(status.replication)
    yield make_reading(AlertRule.REPLICATION, _FARM, risky, status.replication)
    yield _paused(status, now)
    yield _pages(status, now)
    if status.bucket is not None:
        yield _bucket(status.bucket, status.bucket_problem, now)
    yield _keys(facts.refused_keys, now)
    if facts.access_log_read_at is not None:
        yield _access_log(status, facts.access_log_read_at)
    yield _upstream(status)
    yield from failing_readings(_FARM, total_results(facts.results.values()))
    yield from _master_readings(facts)


def _paused(status: StatusReply, now: datetime) -> Reading:
    since = status.paused_at or now
    paused_s = (now - since).total_seconds()
    raised = status.paused and paused_s >= rules.PAUSED_S
    text = f"by {status.paused_by or 'an operator'}, for {format_coarse_duration(paused_s)}"
    clears = not status.paused
    return make_reading(
        AlertRule.PAUSED, _FARM, raised, text, paused_s / 60.0, clears=clears, since=since
    )


def _pages(status: StatusReply, now: datetime) -> Reading:
    """The pages of the index; those of the site may wait for as long as they say."""
    oldest = status.oldest_page_at
    waits_s = 0.0 if oldest is None else (now - oldest).total_seconds()
    text = f"{format_count(status.stale_pages)} to write, oldest {format_coarse_duration(waits_s)}"
    return limit_reading(AlertRule.PAGES, _FARM, waits_s / 60.0, text, rules.PAGES)


def _bucket(bucket: BucketProgress, problem: str, now: datetime) -> Reading:
    """What installers read from the bucket; the pages for people may be older."""
    waits_s = (now - bucket.oldest_at).total_seconds() if bucket.oldest_at else 0.0
    text = f"{format_count(bucket.waiting)} to copy, oldest {format_coarse_duration(waits_s)}"
    if problem:
        text = f"{text}: {problem}"
    return limit_reading(AlertRule.BUCKET, _FARM, waits_s / 60.0, text, rules.BUCKET)


def _keys(refused: Sequence[RefusedKey], now: datetime) -> Reading:
    """Peers that were refused a connection within the last hour."""
    recent = [it for it in refused if (now - it.refused_at).total_seconds() < rules.REFUSED_KEY_S]
    if not recent:
        return make_reading(AlertRule.KEYS, _FARM, False, "")
    first, *others = recent
    more = f", and {pluralize(len(others), 'other')}" if others else ""
    text = f"{first.role} key {first.public[:16]} is unknown and was refused{more}"
    return make_reading(AlertRule.KEYS, _FARM, True, text)


def _access_log(status: StatusReply, read_at: datetime) -> Reading:
    stopped = not status.downloads.connected
    text = f"stands since {read_at.astimezone(UTC):%b %d %H:%M} UTC"
    return make_reading(AlertRule.ACCESS_LOG, _FARM, stopped, text)


def _packages(status: StatusReply) -> Reading:
    if not status.awaited_packages:
        return make_reading(AlertRule.PACKAGES, _FARM, False, "")
    first, *others = status.awaited_packages
    more = f", and {pluralize(len(others), 'other package')}" if others else ""
    text = f"{pluralize(first.releases, 'release')} waiting for {first.package}{more}"
    return make_reading(AlertRule.PACKAGES, _FARM, True, text)


def _upstream(status: StatusReply) -> Reading:
    """Since the master started, if it was never read."""
    lag_s = status.uptime_s if status.upstream_lag_s is None else status.upstream_lag_s
    late, very_late = lag_s >= rules.UPSTREAM_WARNS_S, lag_s >= rules.UPSTREAM_RAISES_S
    reason = f": {status.upstream_status_text}" if status.upstream_status_text else ""
    text = f"not read for {format_coarse_duration(lag_s)}{reason}"
    severity = Severity.CRITICAL if very_late else Severity.WARNING
    clears = status.upstream_lag_s is not None
    return make_reading(
        AlertRule.UPSTREAM, _FARM, late, text, lag_s / 60.0, severity=severity, clears=clears
    )


def _master_readings(facts: Facts) -> Iterator[Reading]:
    host, full_in_s = facts.status.host, facts.full_in_s.get(_FARM)
    yield from disk_reading(AlertRule.TREE, _FARM, host, full_in_s, rules.TREE)
    yield from temperature_reading(_FARM, host)
    yield from memory_reading(_FARM, host)
    if facts.cores:
        share = host.load / facts.cores
        text = f"load {host.load:.1f} of {facts.cores} cores"
        yield limit_reading(AlertRule.MASTER, _FARM, share, text, rules.LOAD)
