"""Sentences about alerts: what operators did, how one ended, and what its rule is."""

from datetime import UTC, datetime

from piwheels.alerts.rules import RULES
from piwheels.formatting import (
    format_coarse_duration,
    format_count,
    format_short_duration,
    format_temperature,
)
from piwheels.model import Alert, AlertRule, AlertState

#: The rules whose value is told with the worst one.
_WITH_FIGURES = frozenset(
    {
        AlertRule.HOT,
        AlertRule.SLOW,
        AlertRule.CLOCK,
        AlertRule.DISK,
        AlertRule.MEMORY,
        AlertRule.TREE,
        AlertRule.FAILING,
        AlertRule.UNSERVED,
        AlertRule.GROWING,
    }
)


def state_text(alert: Alert, now: datetime) -> str:
    """What operators did about an alert, or how it ended; "" for one that needs attention."""
    match alert.state:
        case AlertState.ACTIVE:
            return ""
        case AlertState.ACKNOWLEDGED:
            return _with_note(f"seen by {alert.acknowledged_by}", alert.note)
        case AlertState.MUTED:
            until = format_minute(alert.muted_until or now, now)
            return _with_note(f"muted until {until} by {alert.muted_by}", alert.note)
        case AlertState.CLEARED:
            ended = alert.cleared_at or now
            lasted = format_short_duration((ended - alert.since).total_seconds())
            return f"lasted {lasted}: {alert.text}"


def seen_text(alert: Alert, now: datetime) -> str:
    """Who has seen an alert and when, or muted it; "" for one that needs attention."""
    if alert.state is not AlertState.ACKNOWLEDGED or alert.acknowledged_at is None:
        return state_text(alert, now)
    ago = format_coarse_duration(max(0.0, (now - alert.acknowledged_at).total_seconds()))
    return _with_note(f"{alert.acknowledged_by} {ago} ago", alert.note)


def _with_note(text: str, note: str) -> str:
    return f"{text}: {note}" if note else text


def format_minute(when: datetime, now: datetime) -> str:
    """The local time of day if it is on the same day as `now`, else day and time."""
    there = when.astimezone()
    same_day = there.date() == now.astimezone().date()
    return there.strftime("%H:%M" if same_day else "%b %d %H:%M")


def format_age(alert: Alert, now: datetime) -> str:
    """How old an alert is, or since when it is cleared; its text changes once a minute."""
    seconds = (now - (alert.cleared_at or alert.since)).total_seconds()
    return f"{max(0, int(seconds // 60))}m" if seconds < 3600 else format_short_duration(seconds)


def explanation(
    alert: Alert, now: datetime | None = None, *, consequence: str = ""
) -> tuple[str, str]:
    """Two sentences about an alert: since when and by which rule, and what to do.

    Args:
        alert: the alert.
        now: the time.
        consequence: what follows from it, before what to do.
    """
    now = now or datetime.now(UTC)
    rule = RULES[alert.rule]
    since = f"{alert.subject} {alert.rule} since {format_minute(alert.since, now)}"
    return (
        f"{since}{_figures(alert)}; alert {rule.raises}, clears {rule.clears}.",
        ". ".join(filter(None, (state_text(alert, now), consequence, rule.advice))),
    )


def _figures(alert: Alert) -> str:
    """The value now, and the worst where that was another: ". 83C now, 84C at most"."""
    if alert.value is None or alert.worst is None or alert.rule not in _WITH_FIGURES:
        return ""
    worst = f", {_figure(alert.rule, alert.worst)} at most" if alert.worst != alert.value else ""
    return f". {_figure(alert.rule, alert.value)} now{worst}"


def _figure(rule: AlertRule, value: float) -> str:
    match rule:
        case AlertRule.HOT:
            return format_temperature(value)
        case AlertRule.SLOW:
            return f"{value:.1f}x"
        case AlertRule.CLOCK:
            return format_short_duration(value)
        case AlertRule.UNSERVED | AlertRule.GROWING:
            return format_count(value)
        case _:
            return f"{value:.0f}%"
