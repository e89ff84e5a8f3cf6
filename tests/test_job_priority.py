"""Classes of priority: the higher first, each with its share of claims, and none waits forever."""

import math
import random
from collections import Counter

import pytest

from piwheels.model import JobPriority, first_priority
from piwheels.model.job_priority import TURNS, chosen_priority, claims_before


def _take(queue: dict[JobPriority, int], claims: int) -> JobPriority:
    """The class of the job that the next claim takes from a queue, which loses it."""
    waiting = {each for each, count in queue.items() if count}
    chosen = chosen_priority(waiting, first_priority(claims))
    queue[chosen] -= 1
    return chosen


def test_each_class_has_its_share_while_all_wait() -> None:
    queue = dict.fromkeys(JobPriority, 1_000)
    taken = Counter(_take(queue, claims) for claims in range(80))
    assert taken == {
        JobPriority.NAMED: 50,
        JobPriority.POPULAR: 10,
        JobPriority.NEW: 10,
        JobPriority.BACKLOG: 10,
    }


def test_what_nobody_else_waits_for_goes_to_the_class_that_does() -> None:
    for only in JobPriority:
        queue = dict.fromkeys(JobPriority, 0) | {only: 20}
        assert {_take(queue, claims) for claims in range(20)} == {only}


@pytest.mark.parametrize("own", JobPriority)
def test_no_job_waits_longer_than_its_bound_whatever_is_queued_meanwhile(own: JobPriority) -> None:
    """The worst case: all other classes have jobs at any time."""
    for older in (0, 1, 7, 50):
        for began in range(len(TURNS)):
            queue = dict.fromkeys(JobPriority, 10**6) | {own: older + 1}
            claims = began
            while queue[own]:
                _take(queue, claims)
                claims += 1
            assert claims - began <= (older + 1) * len(TURNS)


def test_the_number_of_claims_before_a_job_is_that_of_a_simulated_queue() -> None:
    chance = random.Random(7)
    for _ in range(300):
        own = chance.choice(list(JobPriority))
        queue = {each: chance.choice((0, 0, 3, 40, 300)) for each in JobPriority}
        lower = [each for each in JobPriority if each > own and queue[each]]
        expected = claims_before([queue[each] for each in JobPriority if each <= own], lower)
        queue |= {own: queue[own] + 1, **dict.fromkeys(lower, 10**6)}
        claims = 0
        while queue[own]:
            _take(queue, claims)
            claims += 1
        assert math.isclose(expected, claims - 1, abs_tol=len(TURNS))
