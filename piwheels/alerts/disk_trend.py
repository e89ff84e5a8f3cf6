"""When disks will be full, from samples of their free space that the master keeps in memory."""

import itertools
import statistics
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

#: A sample is the most free space of a quarter of an hour, so that what a build needs for a while
#: is no trend.
_SAMPLE_S = 900.0
_MAX_SAMPLES = 24
#: Fewer samples (three hours) show no trend.
_MIN_SAMPLES = 12


@dataclass(slots=True)
class _Disk:
    began_s: float  # of the current sample
    most_free: float
    samples: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_MAX_SAMPLES))
    lost_per_s: float | None = None  # of free space; None: no trend

    def record(self, free: float, now_s: float) -> None:
        if now_s - self.began_s >= _SAMPLE_S:
            self.samples.append((self.began_s, self.most_free))
            self.lost_per_s = trend(self.samples)
            self.began_s, self.most_free = now_s, free
        self.most_free = max(self.most_free, free)


class DiskHistory:
    """The free space of disks over the last six hours, by a name for each."""

    def __init__(self) -> None:
        self._disks: dict[str, _Disk] = {}

    def record(self, free: Mapping[str, float], now_s: float) -> None:
        """Take samples, in bytes; disks that are gone are forgotten."""
        self._disks = {
            name: self._disks.get(name) or _Disk(now_s - _phase_s(name), bytes_free)
            for name, bytes_free in free.items()
        }
        for name, disk in self._disks.items():
            disk.record(free[name], now_s)

    def full_in_s(self) -> dict[str, float]:
        """In how many seconds each disk is full; those without a trend are left out."""
        return {
            name: disk.most_free / disk.lost_per_s
            for name, disk in self._disks.items()
            if disk.lost_per_s is not None
        }


def _phase_s(name: str) -> float:
    """How far its first sample is: otherwise those of all disks would end at the same time."""
    return zlib.crc32(name.encode()) % _SAMPLE_S


def trend(samples: deque[tuple[float, float]]) -> float | None:
    """By how much the values fall each second; None where they do not, or there are too few.

    The median of the slopes between all pairs (Theil-Sen): a few values that do not fit change it
    little.
    """
    if len(samples) < _MIN_SAMPLES:
        return None
    slope = statistics.median(
        (later - earlier) / (later_s - earlier_s)
        for (earlier_s, earlier), (later_s, later) in itertools.combinations(samples, 2)
    )
    return -slope if slope < 0 else None
