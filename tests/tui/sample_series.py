"""Series of the sample farm: two days, of which the second had a bad night."""

from collections.abc import Sequence
from datetime import UTC, datetime

from piwheels.model import FarmSeries, SeriesBars
from piwheels.protocol.messages import SeriesReply
from tests.tui.sample_farm import HISTORY
from tests.tui.static_source import NOON

HOURS = 24


def series_bars(name: str, hours: Sequence[float | None]) -> SeriesBars:
    """A series of two days by hour; None is unknown."""
    before, inside = hours[:-HOURS], hours[-HOURS:]
    return SeriesBars(
        name=name,
        means=tuple(inside),
        maxima=tuple(inside),
        mean=_mean(inside),
        mean_before=_mean(before),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _reply() -> SeriesReply:
    hours = range(2 * HOURS)
    gap = {30, 31}  # the master was stopped
    values: dict[str, list[float]] = {
        FarmSeries.BUILT: [number / 60 for number in HISTORY.built],
        FarmSeries.FAILED: [number / 60 for number in HISTORY.failed],
        FarmSeries.WAITING: [400.0 - 5 * hour for hour in hours],
        FarmSeries.DOWNLOADS: [60.0 * (4 + (hour + 6) % 24 / 3) for hour in hours],
        FarmSeries.LOAD: [1.0 + hour % 5 * 0.4 for hour in hours],
        FarmSeries.BUSY: [4.0 + hour % 3 for hour in hours],
    }
    series = (
        series_bars(name, [None if hour in gap else value for hour, value in enumerate(hourly)])
        for name, hourly in values.items()
    )
    return SeriesReply(series=tuple(series), ended_at=datetime.fromtimestamp(NOON, UTC))


SERIES = _reply()
