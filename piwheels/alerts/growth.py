"""How queues have grown over the last hours, from samples that the master keeps in memory."""

import itertools
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from piwheels.model import QueueStatus

_HOUR_S = 3600.0
_SAMPLE_INTERVAL_S = 300.0
_HOURS = 3


class Growth(NamedTuple):
    """A queue against the hours before."""

    grown_by: int  # in three hours
    grew_each_hour: bool
    is_shorter: bool  # than an hour ago


class QueueHistory:
    """The lengths of the queues in the last three hours, a sample every five minutes."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def record(self, queues: Iterable[QueueStatus], now_s: float) -> None:
        """Take a sample if one is due; queues that are gone are forgotten."""
        pending = {queue.target: queue.pending for queue in queues}
        self._samples = {name: self._samples.get(name, deque()) for name in pending}
        for target, samples in self._samples.items():
            if samples and now_s - samples[-1][0] < _SAMPLE_INTERVAL_S:
                continue
            samples.append((now_s, pending[target]))
            while len(samples) > 1 and now_s - samples[1][0] >= _HOURS * _HOUR_S:
                samples.popleft()

    def growth(self, target: str, pending: int, now_s: float) -> Growth | None:
        """How a queue has grown; None before three hours are known."""
        samples = self._samples.get(target, ())
        lengths = [pending, *(_length_at(samples, now_s - hour * _HOUR_S) for hour in (1, 2, 3))]
        known = [length for length in lengths if length is not None]
        if len(known) < len(lengths):
            return None
        pairs = list(itertools.pairwise(known))
        return Growth(
            grown_by=known[0] - known[-1],
            grew_each_hour=all(later > earlier for later, earlier in pairs),
            is_shorter=known[0] < known[1],
        )


def _length_at(samples: Iterable[tuple[float, int]], at_s: float) -> int | None:
    """The length at the last sample that is so old."""
    older = [length for taken_s, length in samples if taken_s <= at_s]
    return older[-1] if older else None
