"""The scheduler against first come, first served, on simulated farms with a virtual clock."""

from statistics import fmean

import pytest

from piwheels.model import JobPriority
from tests.benchmarks.scheduler_simulation import (
    Comparison,
    Rule,
    compare,
    compare_on_small_farm,
    quantile,
    recorded_builds,
)


@pytest.fixture(scope="module")
def outcomes() -> Comparison:
    return compare(builders=100, jobs=6_000)


@pytest.fixture(scope="module")
def small() -> Comparison:
    """Of three builders."""
    return compare_on_small_farm(builders=3, jobs=600)


def test_jobs_of_the_higher_classes_start_much_earlier(outcomes: Comparison) -> None:
    ours, in_order = outcomes[Rule.SCHEDULER], outcomes[Rule.IN_ORDER]
    for priority in (JobPriority.NAMED, JobPriority.POPULAR, JobPriority.NEW):
        assert ours.wait_s(priority, 0.95) < in_order.wait_s(priority, 0.95) / 10
    assert fmean(ours.waits_s[JobPriority.NAMED]) <= fmean(ours.waits_s[JobPriority.NEW])


def test_the_backlog_waits_little_longer(outcomes: Comparison) -> None:
    ours, in_order = outcomes[Rule.SCHEDULER], outcomes[Rule.IN_ORDER]
    means = [fmean(each.waits_s[JobPriority.BACKLOG]) for each in (ours, in_order)]
    assert means[0] < 2.5 * means[1]
    assert ours.built + ours.failed + ours.given_up == 6_000
    assert ours.given_up <= 6, "a full disk is met three times at most"
    assert ours.given_up < in_order.given_up


def test_less_time_goes_into_builds_that_run_out_of_memory_or_disk(outcomes: Comparison) -> None:
    ours, in_order = outcomes[Rule.SCHEDULER], outcomes[Rule.IN_ORDER]
    assert ours.wasted < in_order.wasted / 2
    assert ours.utilisation > in_order.utilisation


def test_long_jobs_do_not_delay_short_ones_on_a_small_farm(small: Comparison) -> None:
    ours = small[Rule.SCHEDULER]
    for other in (small[Rule.IN_ORDER], small[Rule.CLASSES]):
        for share in (0.5, 0.95):
            wait_s = quantile(ours.short_waits_s, share)
            assert wait_s < quantile(other.short_waits_s, share) / 5


def test_nor_do_short_jobs_delay_long_ones_by_much(small: Comparison) -> None:
    ours, classes = small[Rule.SCHEDULER], small[Rule.CLASSES]
    assert max(ours.long_waits_s) < 1.2 * max(classes.long_waits_s)
    assert fmean(ours.long_waits_s) < 1.5 * fmean(classes.long_waits_s)


def test_no_builder_is_idle_for_that(small: Comparison, outcomes: Comparison) -> None:
    for each in (small, outcomes):
        ours, classes = each[Rule.SCHEDULER], each[Rule.CLASSES]
        assert ours.utilisation > 0.98 * classes.utilisation
        assert ours.built == classes.built


def test_the_record_has_builds_that_succeed_and_fail() -> None:
    builds = recorded_builds()
    assert len({each.release for each in builds}) == len(builds) == 60
    assert 0.1 < fmean(each.fails for each in builds) < 0.5
    for each in builds:
        assert each.seconds > 1.0, each
        assert each.memory_bytes > 0, each
