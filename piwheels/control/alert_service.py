"""The farm's alerts: kept up to date with its status, published, stored, changed by operators."""

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from piwheels.alerts.disk_trend import DiskHistory
from piwheels.alerts.growth import QueueHistory
from piwheels.alerts.reading import Facts, free_disks
from piwheels.alerts.tracker import AlertTracker, Moment
from piwheels.db.alert_store import load_alerts, store_alerts
from piwheels.db.database import Database
from piwheels.errors import RejectedError, TransientError
from piwheels.formatting import format_duration, join_words
from piwheels.model import Alert, TargetResults
from piwheels.protocol.messages import (
    AcknowledgeAlerts,
    AlertsChanged,
    CommandSucceeded,
    MuteAlerts,
    StatusReply,
    UnmuteAlerts,
)
from piwheels.protocol.refused_keys import RefusedKeys
from piwheels.sanitize import truncate_line
from piwheels.scheduler.event_bus import EventBus

#: Changes within this time are stored together.
STORE_INTERVAL_S = 5.0
#: The reply to a command waits no longer for a slow database.
STORE_TIMEOUT_S = 3.0


@dataclass(slots=True)
class AlertService:
    """Keeps the alerts, on a connection of its own."""

    db: Database
    event_bus: EventBus
    refused_keys: RefusedKeys = field(default_factory=RefusedKeys)
    _tracker: AlertTracker = field(default_factory=AlertTracker)
    _queue_history: QueueHistory = field(default_factory=QueueHistory)
    _disk_history: DiskHistory = field(default_factory=DiskHistory)
    _access_log_read_at: datetime | None = None
    _published: tuple[Alert, ...] = ()
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _storing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def load(self) -> None:
        """Go on with the alerts of the master before."""
        self._published = await load_alerts(self.db)
        self._tracker = AlertTracker(self._published)

    async def run(self) -> None:
        """Store alerts when they have changed, until canceled."""
        while True:
            await self._changed.wait()
            with contextlib.suppress(TransientError):
                await self._store()
            await asyncio.sleep(STORE_INTERVAL_S)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All alerts, the worst first, then those that were cleared lately."""
        return self._published

    def update(
        self, status: StatusReply, results: Mapping[str, TargetResults]
    ) -> tuple[Alert, ...]:
        """Apply the rules to a status and the builds of each target; returns the alerts."""
        now = Moment(datetime.now(UTC), time.monotonic())
        self._tracker.update(self._facts(status, results, now), now)
        self._publish()
        return self._published

    def _facts(
        self, status: StatusReply, results: Mapping[str, TargetResults], now: Moment
    ) -> Facts:
        history, now_s = self._queue_history, now.monotonic_s
        history.record(status.queues, now_s)
        grown = {it.target: history.growth(it.target, it.pending, now_s) for it in status.queues}
        self._disk_history.record(free_disks(status), now_s)
        if status.downloads.connected:
            self._access_log_read_at = now.at
        return Facts(
            status=status,
            cores=os.cpu_count(),
            growth={target: growth for target, growth in grown.items() if growth is not None},
            access_log_read_at=self._access_log_read_at,
            results=results,
            full_in_s=self._disk_history.full_in_s(),
            refused_keys=self.refused_keys.keys,
        )

    def _publish(self) -> None:
        alerts = self._tracker.alerts
        if alerts != self._published:
            self._published = alerts
            self._changed.set()
            self.event_bus.publish(AlertsChanged(alerts=alerts))

    async def _store(self) -> None:
        async with self._storing:
            self._changed.clear()
            try:
                await store_alerts(self.db, self._published)
            except BaseException:
                self._changed.set()
                raise

    # --- commands ---

    async def acknowledge(self, command: AcknowledgeAlerts, who: str) -> CommandSucceeded:
        """Acknowledge alerts.

        Raises:
            RejectedError: one of them is not there, or has been cleared.
        """
        self._require(command.alerts)
        note, now = truncate_line(command.note), datetime.now(UTC)
        for alert_id in command.alerts:
            self._tracker.acknowledge(alert_id, who, note, now)
        return await self._done(command.alerts, "acknowledged")

    async def mute(self, command: MuteAlerts, who: str) -> CommandSucceeded:
        """Mute alerts.

        Raises:
            RejectedError: one of them is not there, or has been cleared.
        """
        self._require(command.alerts)
        until = datetime.now(UTC) + timedelta(seconds=command.duration_s)
        for alert_id in command.alerts:
            self._tracker.mute(alert_id, who, until, truncate_line(command.note))
        return await self._done(command.alerts, f"muted for {format_duration(command.duration_s)}")

    async def unmute(self, command: UnmuteAlerts) -> CommandSucceeded:
        """Undo that alerts were muted or acknowledged.

        Raises:
            RejectedError: one of them is not there, or has been cleared.
        """
        self._require(command.alerts)
        for alert_id in command.alerts:
            self._tracker.unmute(alert_id)
        return await self._done(command.alerts, "counted again")

    def _require(self, alert_ids: Sequence[str]) -> None:
        standing = {alert.alert_id for alert in self._published if alert.cleared_at is None}
        missing = [truncate_line(alert_id) for alert_id in alert_ids if alert_id not in standing]
        if missing:
            raise RejectedError(f"there is no alert {join_words(missing)}; see `piw alerts`")

    async def _done(self, alert_ids: Sequence[str], what: str) -> CommandSucceeded:
        self._publish()
        with contextlib.suppress(TimeoutError, TransientError):  # run() stores it later
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._store()
        verb = "is" if len(alert_ids) == 1 else "are"
        return CommandSucceeded(text=f"{join_words(alert_ids)} {verb} {what}", count=len(alert_ids))
