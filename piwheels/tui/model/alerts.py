"""The farm's alerts as the console shows them: which count, and where each leads."""

from collections.abc import Sequence
from typing import NamedTuple

from piwheels.model import Alert, AlertRule, AlertScope, AlertState
from piwheels.tui.model.navigation import NO_FILTER, ScreenFilter, ScreenName
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.terminal_text import terminal_safe

#: The rows of the host screen that alerts about the farm are shown in.
_HOST_ROWS = {
    AlertRule.TREE: "disk",
    AlertRule.HOT: "temperature",
    AlertRule.MEMORY: "memory",
    AlertRule.MASTER: "load",
    AlertRule.UPSTREAM: "lag",
    AlertRule.DATABASE: "database",
    AlertRule.PAGES: "pages",
}
_FARM_SCREENS = {
    AlertRule.FAILING: ScreenName.FAILURES,
    AlertRule.ACCESS_LOG: ScreenName.DOWNLOADS,
    AlertRule.PAUSED: ScreenName.EVENTS,
}
#: Alerts about the farm that no screen tells more of, with what does.
_WITHOUT_PAGE = {
    AlertRule.KEYS: "piw key list has the keys that are authorized",
    AlertRule.PACKAGES: "piw status has the packages that builds wait for",
    AlertRule.REPLICATION: "docs/high-availability.md has what to set",
    AlertRule.BUCKET: "piw status has how far the bucket follows",
    AlertRule.NO_JOBS: "its text is all that is known",
}


class Place(NamedTuple):
    """Where an alert leads: a screen and the key of its row, "" for none."""

    screen: ScreenName
    key: str


def active_alerts(state: FarmState) -> list[Alert]:
    """The alerts that need attention, the worst first."""
    return [alert for alert in state.alerts if alert.state is AlertState.ACTIVE]


def alert_place(alert: Alert) -> Place:
    """Where an alert leads."""
    match alert.scope:
        case AlertScope.BUILDER:
            return Place(ScreenName.BUILDERS, alert.subject)
        case AlertScope.TARGET:
            return Place(ScreenName.QUEUES, alert.subject)
        case AlertScope.FARM:
            screen = _FARM_SCREENS.get(alert.rule, ScreenName.HOST)
            return Place(screen, _HOST_ROWS.get(alert.rule, ""))


class AlertPage(NamedTuple):
    """The page of what an alert is about, or the row of a screen of the farm."""

    screen: ScreenName
    screen_filter: ScreenFilter = NO_FILTER
    row: str = ""


def alert_page(alert: Alert) -> AlertPage | None:
    """The page of what an alert is about; None where it has none."""
    match alert.scope:
        case AlertScope.BUILDER:
            return AlertPage(ScreenName.BUILDER, ScreenFilter(builder=alert.subject))
        case AlertScope.TARGET:
            title = terminal_safe(alert.subject)
            return AlertPage(ScreenName.QUEUE, ScreenFilter(target=alert.subject, title=title))
        case AlertScope.FARM if alert.rule in _WITHOUT_PAGE:
            return None
        case AlertScope.FARM:
            place = alert_place(alert)
            return AlertPage(place.screen, row=place.key)


def without_page_text(alert: Alert) -> str:
    """What to say of an alert without a page."""
    hint = _WITHOUT_PAGE.get(alert.rule, "")
    return terminal_safe(f"{alert.rule} has no page: {hint}.")


def alerts_at(state: FarmState, place: Place) -> list[Alert]:
    """The alerts that stand and lead to a row."""
    return [
        alert
        for alert in state.alerts
        if alert.cleared_at is None and place.key and alert_place(alert) == place
    ]


def alert_line(alert: Alert) -> str:
    """The alert in one line."""
    return terminal_safe(f"{alert.subject}: {alert.text}")


def next_alert(alerts: Sequence[Alert], after: Place | None) -> Alert | None:
    """The worst alert of the next place, after this one; the first place follows the last.

    Without an alert there, the first is next.
    """
    worst = {alert_place(alert): alert for alert in reversed(alerts)}
    places = list(dict.fromkeys(map(alert_place, alerts)))
    if not places:
        return None
    position = places.index(after) + 1 if after in places else 0
    return worst[places[position % len(places)]]
