"""The position of a job in the queue of its target, and its expected start.

Pure functions of what can be known without reading a long queue: its first jobs, a sample of the
rest, how many there are, and how many builds ended lately. What is not known exactly is a range.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from piwheels.model.base import Struct
from piwheels.model.builds import _Figure
from piwheels.model.job_priority import TURNS, JobPriority, claims_before

#: The place of a job in the order of its queue: its class of priority, its priority time (s since
#: 1970).
QueueKey = tuple[int, float]

#: So many standard deviations around an estimate: the range holds in 19 of 20 cases.
_DEVIATIONS = 2.0
_MAX_WAIT_S = 1e9
#: So few jobs ahead need not take as long, on average, as those of the whole queue.
_FEW_JOBS = 100
#: The jobs that wait take at most so many times as long, or as short, as the last builds.
_MAX_WORK = 20.0


class JobsAhead(Struct, frozen=True, kw_only=True):
    """How many jobs builders take before one from its queue; exactly known where both are equal."""

    least: int = 0
    most: int = 0


class ExpectedWait(Struct, frozen=True, kw_only=True):
    """How long a job waits until it starts."""

    soonest_s: _Figure = 0.0
    latest_s: _Figure = 0.0


class QueueOutline(Struct, frozen=True, kw_only=True):
    """What is known of the queue of a target.

    waiting: jobs that builders can claim, and those that an operator has to look at.
    sampled_jobs: of jobs in random pages of the table, ascending.
    sampled_pages: how many pages those come from.
    builds: how many ended in the last `builds_hours`.
    build_s: how long those took that succeeded, on average; 0 is unknown.
    expected_s: how long the sampled jobs are expected to take, on average; 0 is unknown.
    """

    waiting: int = 0
    sampled_jobs: tuple[QueueKey, ...] = ()
    sampled_pages: int = 0
    builds: int = 0
    builds_hours: float = 0.0
    build_s: float = 0.0
    expected_s: float = 0.0

    @property
    def builds_per_hour(self) -> float:
        """How many builds ended per hour lately; 0 for none."""
        return self.builds / self.builds_hours if self.builds else 0.0

    def jobs_ahead(
        self, job: QueueKey, first_jobs: Sequence[QueueKey], *, has_more: bool
    ) -> JobsAhead:
        """How many jobs builders take before one.

        Args:
            job: its place in the order.
            first_jobs: those of the first jobs of the queue, ascending.
            has_more: whether there may be more jobs than those.
        """
        own = job[0]
        lower = {*_classes(first_jobs, own + 1), *_classes(self.sampled_jobs, own + 1)}
        first = bisect_left(first_jobs, job)
        counts = [
            _position(first_jobs[:first], each + 1) - _position(first_jobs[:first], each)
            for each in range(own + 1)
        ]
        if first < len(first_jobs) or not has_more:
            return _in_turns([(counts[each], counts[each]) for each in range(own + 1)], lower)
        last = first_jobs[-1][0] if first_jobs else 0  # all jobs of higher classes are known
        return _in_turns(
            [
                (counts[each], counts[each])
                if each < last
                else self._estimate(counts[each], self._earlier(each, job))
                for each in range(own + 1)
            ],
            lower,
        )

    def listed_ahead(self, classes: Sequence[int]) -> list[JobsAhead]:
        """How many jobs builders take before each of the first of the queue, by their classes."""
        later = {each for each, _ in self.sampled_jobs}
        return [
            _in_turns(
                [(count, count) for count in _counts(classes[:place], own)],
                {each for each in (*classes, *later) if each > own},
            )
            for place, own in enumerate(classes)
        ]

    def _earlier(self, each: int, job: QueueKey) -> int:
        """How many of the sampled jobs of a class are ahead of one."""
        start, end = (_position(self.sampled_jobs, number) for number in (each, each + 1))
        return bisect_left(self.sampled_jobs, job, start, end) - start

    def _estimate(self, known: int, sampled: int) -> tuple[int, int]:
        """How many jobs there are, of which so many are known and so many were sampled.

        Wilson's interval. Jobs of a page were queued together: a page counts as one observation.
        """
        observed, squared = self.sampled_pages, _DEVIATIONS**2
        if not observed:
            return known, max(known, self.waiting)
        share = sampled / len(self.sampled_jobs)
        center = (share * observed + squared / 2) / (observed + squared)
        spread = math.sqrt(share * (1 - share) * observed + squared / 4)
        half = _DEVIATIONS * spread / (observed + squared)
        low, high = max(0.0, center - half), min(1.0, center + half)
        least = max(known, math.floor(low * self.waiting))
        return least, max(least, math.ceil(high * self.waiting))

    def expected_wait(self, ahead: JobsAhead) -> ExpectedWait | None:
        """How long a job with so many others ahead waits until it starts; None if no builds ended.

        The number of builds is taken as of a Poisson process (the score interval of its rate).
        Where the jobs that wait take longer than the last builds did, the rate falls in proportion;
        a few of them may be like either.
        """
        if not self.builds:
            return None
        center = self.builds + _DEVIATIONS**2 / 2
        half = _DEVIATIONS * math.sqrt(self.builds + _DEVIATIONS**2 / 4)
        period_s = self.builds_hours * 3600
        few = ahead.most < _FEW_JOBS
        least, most = (bound(self._work, 1.0) if few else self._work for bound in (min, max))
        return ExpectedWait(
            soonest_s=min(least * ahead.least * period_s / (center + half), _MAX_WAIT_S),
            latest_s=min(most * (ahead.most + 1) * period_s / (center - half), _MAX_WAIT_S),
        )

    @property
    def _work(self) -> float:
        """How many times as long as the last builds the jobs that wait take, on average."""
        if not (self.build_s and self.expected_s):
            return 1.0
        return min(max(self.expected_s / self.build_s, 1 / _MAX_WORK), _MAX_WORK)


def _position(jobs: Sequence[QueueKey], first: int) -> int:
    """Where the jobs of a class or a lower one begin among sorted ones."""
    return bisect_left(jobs, (first, -math.inf))


def _classes(jobs: Sequence[QueueKey], first: int) -> Iterator[int]:
    """The classes of sorted jobs from one on. There may be thousands of jobs of each."""
    while (start := _position(jobs, first)) < len(jobs):
        yield jobs[start][0]
        first = jobs[start][0] + 1


def _counts(classes: Iterable[int], own: int) -> list[int]:
    """How many jobs there are of each class down to one."""
    counts = Counter(classes)
    return [counts[each] for each in range(own + 1)]


def _in_turns(ahead: Sequence[tuple[int, int]], lower: Collection[int]) -> JobsAhead:
    """How many jobs are taken before one, of which there are at least and at most so many ahead.

    Args:
        ahead: of each class down to its own.
        lower: the lower classes of which jobs wait.
    """
    least, most = (claims_before([pair[side] for pair in ahead], lower) for side in (0, 1))
    if not lower and not any(most for _, most in ahead[:-1]):
        return JobsAhead(least=ahead[-1][0], most=ahead[-1][1])
    # It is not known whose turn is next.
    wait = math.ceil(len(TURNS) / TURNS.count(JobPriority(len(ahead) - 1)))
    return JobsAhead(least=max(ahead[-1][0], math.floor(least) - wait), most=math.ceil(most) + wait)
