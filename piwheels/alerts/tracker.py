"""The life of alerts: raised, made worse, acknowledged, muted, cleared.

Times of conditions are monotonic, so that a clock that is set raises nothing; what is kept over a
restart are the alerts themselves, with the time of day.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from piwheels.alerts.reading import Facts, Reading
from piwheels.alerts.readings import read
from piwheels.alerts.rules import RULES
from piwheels.model import Alert, AlertRule, AlertScope, Severity

#: How long a cleared alert is listed.
KEPT_CLEARED = timedelta(hours=24)
MAX_ALERTS = 1000
MAX_CLEARED = 200
#: An alert that became critical is a warning again after so long without that.
_EASES_AFTER_S = 600.0
#: What a text tells beside its value is shown after so long.
_TEXT_INTERVAL_S = 300.0
#: A builder that is away, as after a restart of the master, keeps its alerts for so long.
_FORGET_BUILDER_S = 3600.0
_FORGET_LOST_S = 7 * 86400.0
_RULE_ORDER = {rule: place for place, rule in enumerate(AlertRule)}


class Moment(NamedTuple):
    """Now: the time of day, and the monotonic clock."""

    at: datetime
    monotonic_s: float


def sort_key(alert: Alert) -> tuple[object, ...]:
    """Critical ones first, in the order of their rules, the oldest first."""
    return not alert.is_critical, _RULE_ORDER[alert.rule], alert.since, alert.subject


class AlertTracker:
    """All alerts of a farm. An id has one alert, which may be cleared."""

    def __init__(self, alerts: Iterable[Alert] = ()) -> None:
        self._alerts = {alert.alert_id: alert for alert in alerts}
        self._raised_at: dict[str, float] = {}  # conditions that are no alert yet
        self._clear_at: dict[str, float] = {}  # alerts whose condition is gone, but not long enough
        self._eased_at: dict[str, float] = {}  # critical alerts whose condition is a warning
        self._missing_at: dict[str, float] = {}  # alerts whose subject is away
        self._text_at: dict[str, float] = {}  # when the text of an alert changed last

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Those that stand, the worst first; then the cleared ones, the last first."""
        standing = [alert for alert in self._alerts.values() if alert.cleared_at is None]
        return (*sorted(standing, key=sort_key), *self._cleared())

    def _cleared(self) -> Sequence[Alert]:
        ended = [(alert.cleared_at, alert) for alert in self._alerts.values()]
        found = [(at, alert) for at, alert in ended if at is not None]
        return [alert for _, alert in sorted(found, key=lambda it: it[0], reverse=True)]

    def _standing(self, alert_id: str) -> Alert | None:
        alert = self._alerts.get(alert_id)
        return None if alert is None or alert.cleared_at is not None else alert

    def update(self, facts: Facts, now: Moment) -> bool:
        """Apply the rules to the facts; returns whether any alert changed."""
        before = dict(self._alerts)
        readings = list(read(facts, now.at))
        self._forget_conditions({reading.alert_id for reading in readings})
        for reading in readings:
            self._apply(reading, now)
        self._clear_missing(facts, now)
        self._end_mutes(now)
        self._drop_old(now)
        return before != self._alerts

    # --- readings ---

    def _forget_conditions(self, known: set[str]) -> None:
        """A condition has to hold without gaps in what is known."""
        for since in (self._raised_at, self._clear_at, self._eased_at):
            for key in since.keys() - known:
                del since[key]

    def _apply(self, reading: Reading, now: Moment) -> None:
        key = reading.alert_id
        self._missing_at.pop(key, None)
        alert = self._standing(key)
        if reading.level is None:
            self._raised_at.pop(key, None)
            self._eased_at.pop(key, None)
            if alert is not None and reading.clears:
                self._clear_when_due(alert, now)
            elif not reading.clears:
                self._clear_at.pop(key, None)
            return
        self._clear_at.pop(key, None)
        if alert is not None:
            self._alerts[key] = self._updated(alert, reading, reading.level, now)
        elif self._is_due(self._raised_at, key, RULES[reading.rule].hold_s, now):
            self._raise(reading, reading.level, now)

    def _is_due(self, since: dict[str, float], key: str, wait_s: float, now: Moment) -> bool:
        """Whether a condition has held for long enough; it is forgotten then."""
        if now.monotonic_s - since.setdefault(key, now.monotonic_s) < wait_s:
            return False
        del since[key]
        return True

    def _raise(self, reading: Reading, level: Severity, now: Moment) -> None:
        if sum(alert.cleared_at is None for alert in self._alerts.values()) >= MAX_ALERTS:
            return
        held_s = RULES[reading.rule].hold_s
        raised = Alert(
            alert_id=reading.alert_id,
            rule=reading.rule,
            severity=level,
            subject=reading.shown_subject,
            since=reading.since or now.at - timedelta(seconds=held_s),
            text=reading.text,
            value=reading.value,
            worst=reading.value,
        )
        self._alerts[reading.alert_id] = self._still_muted(raised, now)

    def _still_muted(self, alert: Alert, now: Moment) -> Alert:
        """A mute outlasts the alert that it was for."""
        former = self._alerts.get(alert.alert_id)
        if former is None or former.muted_until is None or former.muted_until <= now.at:
            return alert
        return replace(
            alert, muted_by=former.muted_by, muted_until=former.muted_until, note=former.note
        )

    def _updated(self, alert: Alert, reading: Reading, level: Severity, now: Moment) -> Alert:
        severity = alert.severity
        if level is Severity.CRITICAL:
            self._eased_at.pop(alert.alert_id, None)
            if severity is Severity.WARNING:
                # Worse than what was acknowledged.
                return replace(
                    alert,
                    severity=level,
                    text=reading.text,
                    value=reading.value,
                    worst=_worse(alert.worst, reading.value),
                    acknowledged_by="",
                    acknowledged_at=None,
                )
        elif severity is Severity.CRITICAL and self._is_due(
            self._eased_at, alert.alert_id, _EASES_AFTER_S, now
        ):
            return replace(alert, severity=level, text=reading.text, value=reading.value)
        return self._with_text(alert, reading, now)

    def _with_text(self, alert: Alert, reading: Reading, now: Moment) -> Alert:
        """The text of the reading, if its value differs by a step, or else after five minutes."""
        if alert.text == reading.text:
            return alert
        at_s = self._text_at.setdefault(alert.alert_id, now.monotonic_s)
        value, step = reading.value, RULES[alert.rule].step
        is_near = value is not None and alert.value is not None and abs(value - alert.value) < step
        if is_near and now.monotonic_s - at_s < _TEXT_INTERVAL_S:
            return alert
        self._text_at[alert.alert_id] = now.monotonic_s
        return replace(alert, text=reading.text, value=value, worst=_worse(alert.worst, value))

    def _clear_when_due(self, alert: Alert, now: Moment) -> None:
        key = alert.alert_id
        if self._is_due(self._clear_at, key, RULES[alert.rule].clear_s, now):
            self._clear(alert, now)

    def _clear(self, alert: Alert, now: Moment) -> None:
        self._alerts[alert.alert_id] = replace(alert, cleared_at=now.at)
        for since in (self._clear_at, self._eased_at, self._missing_at, self._text_at):
            since.pop(alert.alert_id, None)

    # --- what has no reading ---

    def _clear_missing(self, facts: Facts, now: Moment) -> None:
        for alert in list(self._alerts.values()):
            wait_s = _forget_s(alert, facts) if alert.cleared_at is None else None
            if wait_s is not None and self._is_due(self._missing_at, alert.alert_id, wait_s, now):
                self._clear(alert, now)

    def _end_mutes(self, now: Moment) -> None:
        for alert in list(self._alerts.values()):
            if alert.muted_until is not None and alert.muted_until <= now.at:
                self._alerts[alert.alert_id] = replace(
                    alert, muted_by="", muted_until=None, note=""
                )

    def _drop_old(self, now: Moment) -> None:
        for place, alert in enumerate(self._cleared()):
            muted = alert.muted_until is not None
            old = alert.cleared_at is not None and now.at - alert.cleared_at > KEPT_CLEARED
            if place >= MAX_CLEARED or (old and not muted):
                del self._alerts[alert.alert_id]

    # --- what operators do ---

    def acknowledge(self, alert_id: str, who: str, note: str, at: datetime) -> bool:
        """Somebody has seen an alert; returns whether it stands."""
        return self._change(
            alert_id,
            acknowledged_by=who,
            acknowledged_at=at,
            muted_by="",
            muted_until=None,
            note=note,
        )

    def mute(self, alert_id: str, who: str, until: datetime, note: str) -> bool:
        """Hide an alert until then; returns whether it stands."""
        return self._change(
            alert_id,
            acknowledged_by="",
            acknowledged_at=None,
            muted_by=who,
            muted_until=until,
            note=note,
        )

    def unmute(self, alert_id: str) -> bool:
        """Undo that an alert was muted or acknowledged; returns whether it stands."""
        return self._change(
            alert_id,
            acknowledged_by="",
            acknowledged_at=None,
            muted_by="",
            muted_until=None,
            note="",
        )

    def _change(self, alert_id: str, **facts: object) -> bool:
        alert = self._standing(alert_id)
        if alert is not None:
            self._alerts[alert_id] = replace(alert, **facts)
        return alert is not None


def _worse(worst: float | None, value: float | None) -> float | None:
    return value if worst is None else worst if value is None else max(worst, value)


def _forget_s(alert: Alert, facts: Facts) -> float | None:
    """After how long an alert is cleared because its subject is away; None while it is there."""
    if alert.scope is AlertScope.TARGET:
        return None if alert.subject in facts.targets else 0.0
    if alert.scope is AlertScope.FARM or alert.subject in facts.builders:
        return None
    return _FORGET_LOST_S if alert.rule is AlertRule.LOST else _FORGET_BUILDER_S
