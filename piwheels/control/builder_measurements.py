"""What is measured of each builder in a minute, for its time series."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from piwheels.db.builder_builds import BuilderCounts, counts_by_builder
from piwheels.db.database import Database
from piwheels.model import BuilderSeries, HostMetrics, SeriesValue
from piwheels.protocol.messages import BuilderState, BuilderView

_MINUTE = timedelta(minutes=1)
#: What these builders reported last is of another minute.
_STALE_STATES = frozenset({BuilderState.SILENT, BuilderState.LOST, BuilderState.ENDED})


@dataclass(frozen=True, slots=True)
class BuilderMeasurements:
    """Measures the builders that are connected, by their last heartbeats."""

    db: Database
    views: Callable[[], Iterable[BuilderView]]

    async def measure(self, minute: datetime) -> dict[str, SeriesValue]:
        """The values of a minute that has just ended, by the name of their series."""
        counts = await counts_by_builder(self.db, minute, _MINUTE)
        values: dict[str, SeriesValue] = {}
        for view in self.views():
            if view.state in _STALE_STATES:
                continue
            day = counts.get(view.label, BuilderCounts())
            for series, value in (
                *_sensors(view.host),
                (BuilderSeries.BUILT, day.built),
                (BuilderSeries.FAILED, day.failed),
            ):
                values[series.of(view.label)] = SeriesValue.single(float(value))
        return values


def _sensors(host: HostMetrics) -> Iterator[tuple[BuilderSeries, float]]:
    """What is known; what is not has no value, rather than 0."""
    yield BuilderSeries.LOAD, host.load
    if host.memory_total:
        yield BuilderSeries.MEMORY, _used(host.memory_total, host.memory_free)
    if host.disk_total:
        yield BuilderSeries.DISK, _used(host.disk_total, host.disk_free)
    if host.temperature is not None:
        yield BuilderSeries.TEMPERATURE, host.temperature
    if host.throttled is not None:
        yield BuilderSeries.THROTTLED, float(host.throttled)


def _used(total: int, free: int) -> float:
    return max(0.0, 1 - free / total)
