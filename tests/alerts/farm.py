"""A healthy farm of one builder, as facts; a test changes what it is about."""

from datetime import UTC, datetime, timedelta

from piwheels.alerts.reading import Facts
from piwheels.alerts.tracker import AlertTracker, Moment
from piwheels.model import Alert, HostMetrics, QueueStatus
from piwheels.protocol.messages import BuilderState, BuilderView, StatusReply

START = datetime(2026, 11, 28, 12, tzinfo=UTC)
TARGET = "cp313-trixie-aarch64"
_HOST = HostMetrics(
    load=1.0, memory_total=100, memory_free=50, disk_total=100, disk_free=50, temperature=50.0
)


def host(**facts: object) -> HostMetrics:
    known = {name: getattr(_HOST, name) for name in _HOST.__struct_fields__}
    return HostMetrics(**(known | facts))


def builder(label: str = "pi1", **facts: object) -> BuilderView:
    known = {"state": BuilderState.IDLE, "host": host(), "built_last_hour": 3}
    return BuilderView(label=label, **(known | facts))  # type: ignore[arg-type]


def queue(**facts: object) -> QueueStatus:
    known = {"target": TARGET, "pending": 5, "claimed": 0, "deferred": 0, "has_builder": True}
    return QueueStatus(**(known | facts))  # type: ignore[arg-type]


def facts(
    *builders: BuilderView, more: dict[str, object] | None = None, **changes: object
) -> Facts:
    """The farm; `changes` are of its status, `more` are the other facts."""
    known = {
        "version": "1", "uptime_s": 86_400.0, "paused": False, "builders": builders or (builder(),),
        "queues": (queue(),), "last_hour": {}, "projects": 1, "releases": 1, "files": 1,
        "files_bytes": 1, "builds": 1, "stale_pages": 0, "database_bytes": 1, "host": host(),
        "upstream_lag_s": 10.0,
    }  # fmt: skip
    status = StatusReply(**(known | changes))  # type: ignore[arg-type]
    return Facts(status=status, **({"cores": 4} | (more or {})))  # type: ignore[arg-type]


class Clock:
    """Lets time pass for a tracker."""

    def __init__(self, *alerts: Alert) -> None:
        self.tracker = AlertTracker(alerts)
        self.seconds = 0.0

    @property
    def now(self) -> Moment:
        return Moment(START + timedelta(seconds=self.seconds), self.seconds)

    def watch(self, farm: Facts, for_s: float = 0.0, every_s: float = 10.0) -> list[str]:
        """The ids of the alerts that stand after the farm was like this for a while."""
        until = self.seconds + for_s
        self.tracker.update(farm, self.now)
        while self.seconds < until:
            self.seconds = min(until, self.seconds + every_s)
            self.tracker.update(farm, self.now)
        return self.standing

    @property
    def standing(self) -> list[str]:
        return [alert.alert_id for alert in self.tracker.alerts if alert.cleared_at is None]

    def alert(self, alert_id: str) -> Alert:
        return next(it for it in self.tracker.alerts if it.alert_id == alert_id)
