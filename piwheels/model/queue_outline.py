"""The position of a job in the queue of its target, and its expected start.

Pure functions of what can be known without reading a long queue: its first jobs, a sample of the
rest, how many there are, and how many builds ended lately. What is not known exactly is a range.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence

from piwheels.model.base import Struct
from piwheels.model.builds import _Figure

#: So many standard deviations around an estimate: the range holds in 19 of 20 cases.
_DEVIATIONS = 2.0
_MAX_WAIT_S = 1e9


class JobsAhead(Struct, frozen=True, kw_only=True):
    """How many jobs are before one in its queue; exactly known where both are equal."""

    least: int = 0
    most: int = 0


class ExpectedWait(Struct, frozen=True, kw_only=True):
    """How long a job waits until it starts."""

    soonest_s: _Figure = 0.0
    latest_s: _Figure = 0.0


class QueueOutline(Struct, frozen=True, kw_only=True):
    """What is known of the queue of a target.

    waiting: jobs that builders can claim, and those that an operator has to look at.
    sampled_times: priority times (s since 1970) of jobs in random pages of the table, ascending.
    sampled_pages: how many pages those come from.
    builds: how many ended in the last `builds_hours`.
    """

    waiting: int = 0
    sampled_times: tuple[float, ...] = ()
    sampled_pages: int = 0
    builds: int = 0
    builds_hours: float = 0.0

    @property
    def builds_per_hour(self) -> float:
        """How many builds ended per hour lately; 0 for none."""
        return self.builds / self.builds_hours if self.builds else 0.0

    def jobs_ahead(
        self, priority_time: float, first_times: Sequence[float], *, has_more: bool
    ) -> JobsAhead:
        """How many jobs are ahead of one.

        Args:
            priority_time: of the job (s since 1970).
            first_times: the priority times of the first jobs of the queue, ascending.
            has_more: whether there may be more jobs than those.
        """
        first = bisect_left(first_times, priority_time)
        if first < len(first_times) or not has_more:
            return JobsAhead(least=first, most=first)
        low, high = self._share_before(priority_time)
        least = max(first, math.floor(low * self.waiting))
        return JobsAhead(least=least, most=max(least, math.ceil(high * self.waiting)))

    def _share_before(self, priority_time: float) -> tuple[float, float]:
        """The share of jobs with earlier times: Wilson's interval.

        Jobs of a page were queued together, so that a page counts as one observation.
        """
        observed, squared = self.sampled_pages, _DEVIATIONS**2
        if not observed:
            return 0.0, 1.0
        share = bisect_left(self.sampled_times, priority_time) / len(self.sampled_times)
        center = (share * observed + squared / 2) / (observed + squared)
        spread = math.sqrt(share * (1 - share) * observed + squared / 4)
        half = _DEVIATIONS * spread / (observed + squared)
        return max(0.0, center - half), min(1.0, center + half)

    def expected_wait(self, ahead: JobsAhead) -> ExpectedWait | None:
        """How long a job with so many others ahead waits until it starts; None if no builds ended.

        The number of builds is taken as of a Poisson process (the score interval of its rate).
        """
        if not self.builds:
            return None
        center = self.builds + _DEVIATIONS**2 / 2
        half = _DEVIATIONS * math.sqrt(self.builds + _DEVIATIONS**2 / 4)
        period_s = self.builds_hours * 3600
        return ExpectedWait(
            soonest_s=min(ahead.least * period_s / (center + half), _MAX_WAIT_S),
            latest_s=min((ahead.most + 1) * period_s / (center - half), _MAX_WAIT_S),
        )
