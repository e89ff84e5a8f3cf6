"""Time series of the simulated farm: 60 days with nights, weekends, a bad night and a gap."""

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from piwheels.model import BarSum, FarmSeries, SeriesBars, SeriesWindow, TargetSeries, series_bars
from piwheels.protocol.messages import SeriesReply
from tests.simfarm import builder_pages
from tests.simfarm.model import FarmModel

_DAY_S = 86_400
#: The master was stopped in these hours, counted back from midnight.
_STOPPED = range(30, 33)
_BAD_NIGHT = range(8, 14)
#: The value at a time in UNIX seconds.
_ValueAt = Callable[[float], float]


def read_series(model: FarmModel, names: Sequence[str], window: SeriesWindow) -> SeriesReply:
    """The answer to ReadSeries; names that the farm does not have are unknown."""
    now_s = int(model.time.timestamp())
    end_s = now_s - now_s % window.step_s
    values = _values(model)
    return SeriesReply(
        series=tuple(
            builder_pages.series(model, name, window)
            or _bars(name, window, end_s, values.get(name))
            for name in names
        ),
        ended_at=datetime.fromtimestamp(end_s, UTC),
    )


def _bars(name: str, window: SeriesWindow, end_s: int, value_at: _ValueAt | None) -> SeriesBars:
    if value_at is None:
        return series_bars(name, window, {})
    sums = {}
    midnight_s = end_s - end_s % _DAY_S
    for bar in range(-window.bars, window.bars):
        at_s = end_s - (window.bars - bar) * window.bar_s
        if (midnight_s - at_s) // 3600 in _STOPPED and window.bar_s <= 3600:
            continue
        value = value_at(at_s) * random.Random(f"{name} {at_s}").uniform(0.95, 1.05)
        sums[bar] = BarSum(value, 1, value * 1.2)
    return series_bars(name, window, sums)


def _values(model: FarmModel) -> dict[str, _ValueAt]:
    """What the series are like; means of a day are those of the farm at its start."""
    builders = len(model.machines)
    waiting = sum(model.pending.values())
    values: dict[str, _ValueAt] = {
        FarmSeries.BUILT: lambda at_s: builders / 7.5 * _wave(at_s, 0.2),
        FarmSeries.FAILED: lambda at_s: builders / 90 * (4 if _is_bad(at_s) else 1),
        FarmSeries.WAITING: lambda at_s: waiting * _wave(at_s - 0.3 * _DAY_S, 0.25),
        FarmSeries.BUSY: lambda at_s: builders * 0.85 * _wave(at_s, 0.1),
        FarmSeries.DOWNLOADS: lambda at_s: 720 * _wave(at_s, 0.6) * _week(at_s),
        FarmSeries.LOAD: lambda at_s: 1.4 * _wave(at_s, 0.3),
        FarmSeries.MEMORY: lambda _: 0.44,
        FarmSeries.TREE: lambda at_s: 0.8 + at_s % (60 * _DAY_S) / _DAY_S / 1000,
        FarmSeries.PAGES: lambda at_s: 20 * _wave(at_s, 0.9),
        FarmSeries.LOOP_DELAY: lambda _: 0.002,
    }
    for target, pending in model.pending.items():
        values[TargetSeries.WAITING.of(target)] = _scaled(pending)
        for kind in (TargetSeries.ADDED, TargetSeries.BUILT, TargetSeries.FAILED):
            share = 0.05 if kind is TargetSeries.FAILED else 1.0
            values[kind.of(target)] = _scaled(share * builders / 7.5 / len(model.pending))
    return values


def _scaled(mean: float) -> _ValueAt:
    return lambda at_s: mean * _wave(at_s, 0.2)


def _wave(at_s: float, part: float) -> float:
    """A day around 1, lowest at night."""
    return 1 - part * math.cos(math.tau * at_s / _DAY_S)


def _week(at_s: float) -> float:
    return 0.7 if datetime.fromtimestamp(at_s, UTC).isoweekday() > 5 else 1.1


def _is_bad(at_s: float) -> bool:
    """A night in each week."""
    return int(at_s // 3600) % (7 * 24) in _BAD_NIGHT
