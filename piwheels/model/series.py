"""Time series of the farm: how long they are kept, and the bars of a window of one."""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from piwheels.model.base import Struct
from piwheels.model.metrics import _Figure


class FarmSeries(StrEnum):
    """Series of the whole farm and of the master's machine; shares are from 0 to 1."""

    BUILT = "farm/built"  # in a minute
    FAILED = "farm/failed"  # finally, in a minute
    WAITING = "farm/waiting"  # jobs
    BUSY = "farm/busy"  # builders with a build
    DOWNLOADS = "farm/downloads"  # in a minute
    LOAD = "master/load"
    MEMORY = "master/memory"  # used, a share
    TREE = "master/tree"  # used of the disk with the web root, a share
    PAGES = "master/pages"  # to write
    LOOP_DELAY = "master/loop-delay"  # in seconds


class TargetSeries(StrEnum):
    """Series of each target: jobs that wait; and those added, built and failed in a minute."""

    WAITING = "waiting"
    ADDED = "added"
    BUILT = "built"
    FAILED = "failed"

    def of(self, target: str) -> str:
        """The name of the series of a target."""
        return f"target/{target}/{self}"


class SeriesStep(NamedTuple):
    """The values of a series are kept for intervals of this length, for so long."""

    step_s: int
    kept: timedelta


#: One row of each for every interval in which the series was measured, the shortest first.
SERIES_STEPS = (
    SeriesStep(60, timedelta(hours=2)),
    SeriesStep(300, timedelta(hours=48)),
    SeriesStep(3600, timedelta(days=60)),
    SeriesStep(86400, timedelta(days=5 * 365)),
)


class SeriesWindow(StrEnum):
    """How far back a series is shown. Twice as long is kept, for the period before."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def bars(self) -> int:
        """How many bars it has."""
        return _WINDOWS[self].bars

    @property
    def bar_s(self) -> int:
        """How long a bar is, in seconds."""
        return _WINDOWS[self].bar_s

    @property
    def step_s(self) -> int:
        """The intervals that a bar consists of, in seconds; a window ends with a whole one."""
        return _WINDOWS[self].step_s


class _WindowBars(NamedTuple):
    bars: int
    bar_s: int
    step_s: int


_WINDOWS = {
    SeriesWindow.HOUR: _WindowBars(30, 120, 60),
    SeriesWindow.DAY: _WindowBars(24, 3600, 300),
    SeriesWindow.WEEK: _WindowBars(28, 6 * 3600, 3600),
    SeriesWindow.MONTH: _WindowBars(30, 24 * 3600, 3600),
}


class SeriesValue(NamedTuple):
    """What was measured in one minute."""

    mean: float
    maximum: float

    @classmethod
    def single(cls, value: float) -> "SeriesValue":
        """Of one measurement."""
        return cls(value, value)


class BarSum(NamedTuple):
    """What was measured in a bar, or in several: the sum of its minutes, and the largest value."""

    total: float
    minutes: int
    maximum: float


class SeriesBars(Struct, frozen=True, kw_only=True):
    """A series over a window, the oldest bar first; None where nothing was measured.

    `before` is the period of the same length before the window.
    """

    name: str
    means: tuple[_Figure | None, ...]
    maxima: tuple[_Figure | None, ...]
    mean: _Figure | None = None  # of the whole window
    mean_before: _Figure | None = None
    maximum_before: _Figure | None = None


def series_bars(name: str, window: SeriesWindow, sums: dict[int, BarSum]) -> SeriesBars:
    """A series over a window.

    Args:
        name: Its name.
        window: How far back it goes.
        sums: What was measured, by the number of the bar: 0 is the oldest of the window, numbers
            below it are those of the period before.
    """
    inside = [sums.get(place) for place in range(window.bars)]
    before = merge_sums(sums[place] for place in range(-window.bars, 0) if place in sums)
    return SeriesBars(
        name=name,
        means=tuple(_mean(each) for each in inside),
        maxima=tuple(each.maximum if each else None for each in inside),
        mean=_mean(merge_sums(filter(None, inside))),
        mean_before=_mean(before),
        maximum_before=before.maximum if before else None,
    )


def merge_sums(sums: Iterable[BarSum]) -> BarSum | None:
    """Several intervals as one; None of none."""
    found = list(sums)
    if not found:
        return None
    return BarSum(
        sum(each.total for each in found),
        sum(each.minutes for each in found),
        max(each.maximum for each in found),
    )


def _mean(found: BarSum | None) -> float | None:
    return found.total / found.minutes if found else None
