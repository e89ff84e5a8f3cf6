"""Which jobs are built first: classes of priority, and the share of claims that each class has.

A claim takes the job that was queued first among those of the highest class that waits. A few
claims of each cycle begin at a lower class instead, so that no class waits for another one to be
empty: a builder takes a job with n older ones of its class, of those that it can build, within
`(n + 1) * len(TURNS)` claims, however many jobs of other classes are queued meanwhile.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from enum import IntEnum
from functools import cache


class JobPriority(IntEnum):
    """The classes, the highest first. `job_priority` in sql/ says which one a new job gets."""

    NAMED = 0  # an operator added the project, or moved the job ahead
    POPULAR = 1  # of the projects that are downloaded most
    NEW = 2  # the release appeared lately
    BACKLOG = 3


#: The class at which each claim of a builder begins, one after the other.
TURNS = (
    JobPriority.NAMED,
    JobPriority.NAMED,
    JobPriority.POPULAR,
    JobPriority.NAMED,
    JobPriority.NAMED,
    JobPriority.NEW,
    JobPriority.NAMED,
    JobPriority.BACKLOG,
)

#: At this one a reproduction that operators asked for precedes the jobs that they named; at the
#: others that begin there it follows them.
_REPRODUCTION_TURN = 6


def reproduction_is_first(claims: int) -> bool:
    """Whether a builder's claim prefers a reproduction to jobs, after so many earlier ones."""
    return claims % len(TURNS) == _REPRODUCTION_TURN


def first_priority(claims: int) -> JobPriority:
    """At which class a builder's claim begins, after so many earlier ones."""
    return TURNS[claims % len(TURNS)]


def search_order(first: JobPriority) -> tuple[JobPriority, ...]:
    """Where a claim that begins at `first` looks for a job: lower classes before higher ones."""
    return (*(each for each in JobPriority if each >= first), *JobPriority)


def chosen_priority(waiting: Collection[int], first: JobPriority) -> JobPriority:
    """The class of which such a claim takes a job, if jobs of these classes wait; at least one."""
    return next(each for each in search_order(first) if each in waiting)


def claims_before(ahead: Sequence[float], lower: Collection[int] = ()) -> float:
    """How many claims come before that of a job, on average, if no others are queued.

    Args:
        ahead: how many jobs of each class from the highest on are ahead of it, the last of its own.
        lower: the lower classes of which jobs wait.
    """
    own, claims = len(ahead) - 1, 0.0
    left = [*ahead[:own], ahead[own] + 1.0]
    while left[own] > 0:
        waiting = {own, *lower, *(each for each in range(own) if left[each] > 0)}
        shares = _shares(frozenset(waiting))
        # Until the first of these classes has none left.
        cycles = min(left[each] / shares[each] for each in waiting if each <= own)
        left = [_rest(left[each], cycles * shares[each]) for each in range(own + 1)]
        claims += cycles * len(TURNS)
    return claims - 1.0


@cache
def _shares(waiting: frozenset[int]) -> Counter[int]:
    """How many claims of each cycle take a job of each class, while jobs of these classes wait."""
    return Counter(int(chosen_priority(waiting, first)) for first in TURNS)


def _rest(number: float, taken: float) -> float:
    rest = number - taken
    return rest if rest > 1e-9 * number else 0.0
