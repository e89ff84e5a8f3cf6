"""The scheduler against first come, first served, on a simulated farm with a virtual clock."""

from statistics import fmean

import pytest

from piwheels.model import JobPriority
from tests.benchmarks.scheduler_simulation import Outcome, compare


@pytest.fixture(scope="module")
def outcomes() -> tuple[Outcome, Outcome]:
    return compare(builders=100, jobs=6_000)


def test_jobs_of_the_higher_classes_start_much_earlier(outcomes: tuple[Outcome, Outcome]) -> None:
    ours, in_order = outcomes
    for priority in (JobPriority.NAMED, JobPriority.POPULAR, JobPriority.NEW):
        assert ours.wait_s(priority, 0.95) < in_order.wait_s(priority, 0.95) / 10
    assert fmean(ours.waits_s[JobPriority.NAMED]) <= fmean(ours.waits_s[JobPriority.NEW])


def test_the_backlog_waits_little_longer(outcomes: tuple[Outcome, Outcome]) -> None:
    ours, in_order = outcomes
    means = [fmean(each.waits_s[JobPriority.BACKLOG]) for each in outcomes]
    assert means[0] < 2.5 * means[1]
    assert ours.built == 6_000, "and all of it is built"
    assert in_order.built < 6_000


def test_less_time_goes_into_builds_that_run_out_of_memory(
    outcomes: tuple[Outcome, Outcome],
) -> None:
    ours, in_order = outcomes
    assert ours.wasted < in_order.wasted / 2
    assert ours.utilisation > in_order.utilisation
