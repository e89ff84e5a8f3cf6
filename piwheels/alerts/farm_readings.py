"""What the rules say about the farm itself, and the master's machine."""

from collections.abc import Iterator

from piwheels.alerts import rules
from piwheels.alerts.reading import (
    Facts,
    Reading,
    limit_reading,
    make_reading,
    memory_reading,
    temperature_reading,
)
from piwheels.formatting import format_percent, format_size, pluralize
from piwheels.model import AlertRule, Severity
from piwheels.protocol.messages import StatusReply, no_jobs_text

_FARM = ""


def farm_readings(facts: Facts) -> Iterator[Reading]:
    """What the rules say about the farm."""
    status, critical = facts.status, Severity.CRITICAL
    waits = bool(status.database)
    yield make_reading(AlertRule.DATABASE, _FARM, waits, status.database, severity=critical)
    idle = bool(status.waits)
    yield make_reading(
        AlertRule.NO_JOBS, _FARM, idle, no_jobs_text(status.waits), severity=critical
    )
    yield _packages(status)
    yield make_reading(AlertRule.PAUSED, _FARM, status.paused, "no jobs are assigned")
    if status.downloads.connected or facts.access_log_was_read:
        stopped = not status.downloads.connected
        yield make_reading(AlertRule.ACCESS_LOG, _FARM, stopped, "no access log is read any more")
    yield _upstream(status)
    yield from _failing_farm(status)
    yield from _master_readings(facts)


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
    late, very_late = lag_s > rules.UPSTREAM_WARNS_S, lag_s > rules.UPSTREAM_RAISES_S
    reason = f": {status.upstream_status_text}" if status.upstream_status_text else ""
    text = f"not read for {'6h' if very_late else '30m'}{reason}"
    severity = Severity.CRITICAL if very_late else Severity.WARNING
    clears = status.upstream_lag_s is not None
    return make_reading(AlertRule.UPSTREAM, _FARM, late, text, severity=severity, clears=clears)


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
    yield make_reading(AlertRule.FAILING, _FARM, raised, text, 100.0 * share, clears=clears)


def _master_readings(facts: Facts) -> Iterator[Reading]:
    host = facts.status.host
    if host.disk_total:
        used = 100.0 * (1 - host.disk_free / host.disk_total)
        text = f"{used:.0f}% used, {format_size(host.disk_free)} free"
        severity = Severity.CRITICAL if used >= rules.TREE_CRITICAL else Severity.WARNING
        yield make_reading(
            AlertRule.TREE,
            _FARM,
            used >= rules.TREE.raises,
            text,
            used,
            severity=severity,
            clears=used < rules.TREE.clears,
        )
    yield from temperature_reading(_FARM, host)
    yield from memory_reading(_FARM, host)
    if facts.cores:
        share = host.load / facts.cores
        text = f"load {host.load:.1f} of {facts.cores} cores"
        yield limit_reading(AlertRule.MASTER, _FARM, share, text, rules.LOAD)
