"""From the farm's status to readings: what each rule says now about each of its subjects.

Where a fact is missing there is no reading: that raises no alert and clears none.
"""

from collections.abc import Iterator
from datetime import datetime

from piwheels.alerts import rules
from piwheels.alerts.farm_readings import farm_readings
from piwheels.alerts.reading import (
    Facts,
    Reading,
    disk_reading,
    limit_reading,
    make_reading,
    memory_reading,
    temperature_reading,
)
from piwheels.alerts.target_readings import target_readings
from piwheels.formatting import format_count, format_short_duration
from piwheels.model import AlertRule, Severity
from piwheels.protocol.messages import BuilderState, BuilderView

_STALE_STATES = frozenset({BuilderState.LOST, BuilderState.SILENT})


def read(facts: Facts, now: datetime) -> Iterator[Reading]:
    """What all rules say now."""
    for view in facts.status.builders:
        if view.state is BuilderState.ENDED:
            continue
        yield from _builder_readings(view, facts.full_in_s.get(view.label))
    yield from target_readings(facts)
    yield from farm_readings(facts, now)


# --- builders ---


def _builder_readings(view: BuilderView, full_in_s: float | None) -> Iterator[Reading]:
    label, critical = view.label, Severity.CRITICAL
    lost = view.state is BuilderState.LOST
    yield make_reading(AlertRule.LOST, label, lost, _lost_text(view), severity=critical)
    silent = view.state is BuilderState.SILENT and view.since_last_message_s > rules.SILENT_AFTER_S
    yield make_reading(
        AlertRule.SILENT, label, silent, "no signal", clears=view.state is not BuilderState.SILENT
    )
    yield _overdue(view)
    if view.state in _STALE_STATES:
        return
    held = view.state is BuilderState.QUARANTINED
    reason = view.reason or "no reason is known"
    yield make_reading(AlertRule.QUARANTINED, label, held, reason, severity=critical)
    yield _all_failed(view)
    yield from _machine_readings(view, full_in_s)
    if view.peer_ratio is not None:
        times = view.peer_ratio
        yield limit_reading(AlertRule.SLOW, label, times, f"{times:.1f}x its peers", rules.SLOW)
    if view.clock_offset_s is not None:
        yield _clock(label, view.clock_offset_s)


def _clock(label: str, offset_s: float) -> Reading:
    way = "ahead" if offset_s > 0 else "behind"
    text = f"{format_short_duration(abs(offset_s))} off, {way}"
    return limit_reading(AlertRule.CLOCK, label, abs(offset_s), text, rules.CLOCK)


def _lost_text(view: BuilderView) -> str:
    requeued = f"; {view.project} {view.release_version} queued again" if view.project else ""
    return f"no signal{requeued}"


def _overdue(view: BuilderView) -> Reading:
    running = view.build is not None and view.state is not BuilderState.UPLOADING
    late = running and 0.0 < view.expected_s < view.build_s
    # Without the time taken, which the alert's age and the build's row tell as it is now.
    expected = format_short_duration(view.longest_s or view.expected_s)
    text = f"{view.project} {view.release_version}: {expected} expected"
    return make_reading(AlertRule.OVERDUE, view.label, late, text, view.build_s / 60.0)


def _all_failed(view: BuilderView) -> Reading:
    failed = view.failed_last_hour
    raised = failed >= rules.BUILDER_FAILURES and not view.built_last_hour
    text = f"{format_count(failed)} builds failed in the last hour, none succeeded"
    clears = view.built_last_hour > 0 or failed == 0
    return make_reading(AlertRule.ALL_FAILED, view.label, raised, text, failed, clears=clears)


def _machine_readings(view: BuilderView, full_in_s: float | None) -> Iterator[Reading]:
    label, host = view.label, view.host
    yield from disk_reading(AlertRule.DISK, label, host, full_in_s, rules.DISK)
    yield from temperature_reading(label, host)
    yield from memory_reading(label, host)
