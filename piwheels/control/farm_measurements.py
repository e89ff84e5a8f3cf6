"""What is measured of the farm, its targets and the master's machine in a minute."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from piwheels.db.database import Database
from piwheels.db.downloads import downloads_of_minute
from piwheels.db.history import MinuteCounts, counts_of_minute
from piwheels.model import FarmSeries, HostMetrics, SeriesValue, TargetSeries
from piwheels.protocol.messages import StatusReply

#: Counts that are older belong to another minute.
_MAX_COUNTS_AGE_S = 60.0


@dataclass(slots=True)
class FarmMeasurements:
    """Measures the farm. `loop_delay` is that of the master's event loop since the last call."""

    db: Database
    read_status: Callable[[], Awaitable[StatusReply]]
    loop_delay: Callable[[], SeriesValue | None]

    async def measure(self, minute: datetime) -> dict[str, SeriesValue]:
        """The values of a minute that has just ended, by the name of their series.

        Raises:
            NotNowError: the database has not answered since the master started.
        """
        loop_delay = self.loop_delay()
        status = await self.read_status()
        values = {
            **_counts_of_status(status),
            **_master(status.host),
            **_ended(await counts_of_minute(self.db, minute)),
            FarmSeries.DOWNLOADS: await downloads_of_minute(self.db, minute),
        }
        known = {
            str(name): SeriesValue.single(value)
            for name, value in values.items()
            if value is not None
        }
        return {**known, str(FarmSeries.LOOP_DELAY): loop_delay} if loop_delay else known


def _counts_of_status(status: StatusReply) -> dict[str, float | None]:
    """What waits and works; what was counted too long ago is unknown."""
    busy = sum(builder.build is not None for builder in status.builders)
    values: dict[str, float | None] = {FarmSeries.BUSY: busy}
    if status.counts_age_s > _MAX_COUNTS_AGE_S:
        return values
    values[FarmSeries.PAGES] = status.stale_pages
    values[FarmSeries.WAITING] = sum(queue.pending for queue in status.queues)
    for queue in status.queues:
        values[TargetSeries.WAITING.of(queue.target)] = queue.pending
    return values


def _ended(counts: Sequence[MinuteCounts]) -> dict[str, float | None]:
    values: dict[str, float | None] = {
        FarmSeries.BUILT: sum(each.built for each in counts),
        FarmSeries.FAILED: sum(each.failed for each in counts),
    }
    for each in counts:
        values[TargetSeries.ADDED.of(each.target)] = each.added
        values[TargetSeries.BUILT.of(each.target)] = each.built
        values[TargetSeries.FAILED.of(each.target)] = each.failed
    return values


def _master(host: HostMetrics) -> dict[str, float | None]:
    return {
        FarmSeries.LOAD: host.load,
        FarmSeries.MEMORY: _used(host.memory_total, host.memory_free),
        FarmSeries.TREE: _used(host.disk_total, host.disk_free),
    }


def _used(total: int, free: int) -> float | None:
    return (total - free) / total if total else None
