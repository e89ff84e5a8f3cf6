"""The place of a job in a long queue is a range that holds, and so is its expected start."""

import random

import pytest
from msgspec.structs import replace

from piwheels.formatting import format_queue_position, format_wait_range
from piwheels.model import JobPriority, JobsAhead, QueueKey, QueueOutline

_QUEUE = 50_000
_PAGE = 25


def _keys(*times: float) -> list[QueueKey]:
    """The places of jobs of one class."""
    return [(JobPriority.NEW, time) for time in times]


def _outline(chance: random.Random, jobs: list[QueueKey], pages: int) -> QueueOutline:
    """An outline of a queue whose jobs lie in their order, by some of its pages."""
    sampled: list[QueueKey] = []
    for page in chance.sample(range(len(jobs) // _PAGE), pages):
        sampled += jobs[page * _PAGE : (page + 1) * _PAGE]
    return QueueOutline(waiting=len(jobs), sampled_jobs=tuple(sorted(sampled)), sampled_pages=pages)


def test_a_place_lies_in_its_range_in_most_cases() -> None:
    chance = random.Random(3)
    times = _keys(*sorted(chance.expovariate(1.0) for _ in range(_QUEUE)))
    hits, widths = 0, []
    for _ in range(200):
        outline = _outline(chance, times, pages=200)
        place = chance.randrange(_QUEUE)
        ahead = outline.jobs_ahead(times[place], times[:200], has_more=True)
        hits += ahead.least <= place <= ahead.most
        widths.append((ahead.most - ahead.least) / _QUEUE)
    assert hits >= 180
    assert max(widths) < 0.15


@pytest.mark.parametrize(("place", "has_more"), [(0, True), (3, True), (4, False), (5, False)])
def test_the_first_places_are_exact(place: int, has_more: bool) -> None:
    first, job = _keys(10.0, 20.0, 30.0, 40.0, 50.0), (JobPriority.NEW, 10.0 * (place + 1))
    ahead = QueueOutline(waiting=900).jobs_ahead(job, first, has_more=has_more)
    assert ahead == JobsAhead(least=place, most=place)


def test_without_a_sample_a_far_place_is_between_the_known_jobs_and_the_end() -> None:
    job, first = (JobPriority.NEW, 99.0), _keys(10.0, 20.0)
    ahead = QueueOutline(waiting=900).jobs_ahead(job, first, has_more=True)
    assert ahead == JobsAhead(least=2, most=900)
    assert QueueOutline().jobs_ahead(job, first, has_more=True).most == 2


def test_a_job_of_a_lower_class_gets_its_turns_before_those_of_a_higher_one_are_done() -> None:
    named: list[QueueKey] = [(JobPriority.NAMED, float(time)) for time in range(150)]
    backlog: list[QueueKey] = [(JobPriority.BACKLOG, float(time)) for time in range(1, 50)]
    queue, job = [*named, *backlog], (JobPriority.BACKLOG, 10.0)
    ahead = QueueOutline().jobs_ahead(job, queue, has_more=False)
    assert 9 <= ahead.least <= 9 * 8 / 3 <= ahead.most < 50
    listed = QueueOutline().listed_ahead([each for each, _ in queue])
    assert listed[queue.index(job)] == ahead


def test_the_share_of_higher_classes_in_a_long_queue_is_estimated() -> None:
    chance = random.Random(4)
    jobs: list[QueueKey] = sorted(
        (chance.choice((JobPriority.NAMED, JobPriority.BACKLOG)), chance.random())
        for _ in range(_QUEUE)
    )
    outline = _outline(chance, jobs, pages=200)
    job = (JobPriority.BACKLOG, 0.5)
    ahead = outline.jobs_ahead(job, jobs[:200], has_more=True)
    # A quarter of them is before it in its class, and five turns of eight are of the other one.
    assert ahead.least < _QUEUE / 4 * 8 / 3 < ahead.most
    assert ahead.most - ahead.least < _QUEUE / 2


@pytest.mark.parametrize("builds", [1, 4, 100, 6700])
def test_the_expected_wait_is_a_range_around_the_recent_rate(builds: int) -> None:
    outline = QueueOutline(waiting=100, builds=builds, builds_hours=24.0)
    wait = outline.expected_wait(JobsAhead(least=50, most=50))
    assert wait is not None
    mean_s = 50 * 24 * 3600 / builds
    assert wait.soonest_s < mean_s < wait.latest_s
    assert wait.latest_s / wait.soonest_s < {1: 40, 4: 8, 100: 1.6, 6700: 1.1}[builds]


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_wait_is_as_much_longer_as_the_jobs_that_wait(factor: float) -> None:
    usual = QueueOutline(builds=1000, builds_hours=24.0)
    outline = replace(usual, build_s=100.0, expected_s=factor * 100.0)
    far, near = JobsAhead(least=500, most=500), JobsAhead(least=9, most=9)
    wait, usual_wait = outline.expected_wait(far), usual.expected_wait(far)
    assert wait
    assert usual_wait
    assert wait.soonest_s == pytest.approx(factor * usual_wait.soonest_s)
    assert wait.latest_s == pytest.approx(factor * usual_wait.latest_s)
    wait, usual_wait = outline.expected_wait(near), usual.expected_wait(near)
    assert wait
    assert usual_wait
    assert wait.soonest_s == pytest.approx(min(factor, 1.0) * usual_wait.soonest_s)
    assert wait.latest_s == pytest.approx(max(factor, 1.0) * usual_wait.latest_s)


def test_nothing_is_expected_where_no_builds_ended() -> None:
    assert QueueOutline(waiting=9).expected_wait(JobsAhead()) is None


def test_the_next_job_can_start_at_once() -> None:
    wait = QueueOutline(builds=20, builds_hours=1.0).expected_wait(JobsAhead())
    assert wait is not None
    assert wait.soonest_s == 0.0
    assert wait.latest_s == pytest.approx(276, abs=20)


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (0, 0, "position 1"),
        (98, 98, "position 99"),
        (99, 99, "position 100"),
        (240, 240, "about 240 jobs ahead"),
        (1_234, 1_240, "about 1,200 jobs ahead"),
        (40_124, 61_870, "40,000 to 62,000 jobs ahead"),
        (95, 1_000, "95 to 1,000 jobs ahead"),
    ],
)
def test_a_place_in_words(least: int, most: int, text: str) -> None:
    assert format_queue_position(least, most) == text


@pytest.mark.parametrize(
    ("soonest_s", "latest_s", "text"),
    [
        (0.0, 0.0, "under 1m"),
        (0.0, 1_801.0, "under 31m"),
        (600.0, 600.0, "10m"),
        (3_000.0, 7_300.0, "50m-3h"),
        (86_400.0, 172_799.0, "24h-48h"),
        (180_000.0, 345_600.0, "2d-4d"),
    ],
)
def test_a_wait_in_whole_units(soonest_s: float, latest_s: float, text: str) -> None:
    assert format_wait_range(soonest_s, latest_s) == text
