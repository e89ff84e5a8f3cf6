"""Which claims leave long jobs to other builders, and what is learned of projects: without I/O."""

from datetime import UTC, datetime

import pytest

from piwheels.model import (
    LONG_BUILD_S,
    Build,
    FailureClass,
    JobLength,
    Outcome,
    ProjectNeeds,
    RetryDecision,
    is_long_build,
)
from piwheels.scheduler.long_builds import MAX_LEFT_S, ClaimStep, LongBuilds, max_long_builds

_GIB = 1 << 30
_BOTH = ("a", "b")


def _steps(rule: LongBuilds, long_elsewhere: int, now: float = 0.0) -> tuple[ClaimStep, ...]:
    return rule.steps(
        _BOTH, dict.fromkeys(_BOTH, 3), {"a": long_elsewhere, "b": long_elsewhere}, now
    )


@pytest.mark.parametrize(
    ("builders", "long"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (8, 6), (500, 375)]
)
def test_a_quarter_of_the_builders_is_kept_for_short_jobs(builders: int, long: int) -> None:
    assert max_long_builds(builders) == long


def test_a_claim_takes_everything_while_there_is_room_for_long_builds() -> None:
    assert _steps(LongBuilds(), 1) == (ClaimStep(_BOTH),)
    assert LongBuilds().steps(("a",), {"a": 1}, {}, 0.0) == (ClaimStep(("a",)),)


def test_the_last_builder_prefers_short_jobs_and_takes_a_long_one_rather_than_none() -> None:
    lengths = [step.length for step in _steps(LongBuilds(), 2)]
    assert lengths == [JobLength.SHORT, JobLength.ANY]


def test_a_target_that_lacks_room_counts_for_a_builder_that_serves_others_too() -> None:
    steps = LongBuilds().steps(_BOTH, {"a": 3, "b": 9}, {"a": 2, "b": 2}, 0.0)
    assert [step.length for step in steps] == [JobLength.SHORT, JobLength.ANY]


def test_long_jobs_of_a_target_are_left_for_a_bounded_time() -> None:
    rule = LongBuilds()
    steps = _steps(rule, 2)
    rule.note(steps, steps[0], 0.0)
    assert len(_steps(rule, 2, MAX_LEFT_S - 1.0)) == 2
    steps = _steps(rule, 2, MAX_LEFT_S)
    assert steps[0] == ClaimStep(_BOTH, JobLength.LONG)
    rule.note(steps, steps[0], MAX_LEFT_S)
    assert len(_steps(rule, 2, MAX_LEFT_S)) == 2, "it took one, or there is none"


@pytest.mark.parametrize("room", [1, 2])
def test_a_claim_that_could_take_them_ends_that_time(room: int) -> None:
    rule = LongBuilds()
    steps = _steps(rule, 2)
    rule.note(steps, steps[0], 0.0)
    steps = _steps(rule, room, 10.0)
    rule.note(steps, steps[-1], 10.0)
    assert len(_steps(rule, 2, MAX_LEFT_S)) == 2


def test_a_build_of_unknown_duration_is_long_once_it_has_run_for_as_long() -> None:
    assert not is_long_build(0.0, LONG_BUILD_S - 1)
    assert is_long_build(0.0, LONG_BUILD_S)
    assert is_long_build(LONG_BUILD_S, 0.0)


def test_more_memory_and_disk_count_at_once_and_less_step_by_step() -> None:
    known = ProjectNeeds(min_memory_bytes=4 * _GIB, min_disk_bytes=4 * _GIB)
    more = ProjectNeeds(min_memory_bytes=5 * _GIB, min_disk_bytes=6 * _GIB)
    assert known.after_success(more) == more
    less = ProjectNeeds(min_memory_bytes=_GIB, min_disk_bytes=3 * _GIB + 1)
    lower = known.after_success(less)
    assert (lower.min_memory_bytes, lower.min_disk_bytes) == (3 * _GIB, 4 * _GIB)
    assert known.after_success(ProjectNeeds()) == known, "nothing was measured"


def test_the_expected_duration_is_an_average_that_one_build_moves_by_a_quarter() -> None:
    known = ProjectNeeds(expected_build_s=1000.0)
    for took_s, expected_s in ((2000.0, 1250.0), (600.0, 900.0), (1099.0, 1000.0), (0.0, 1000.0)):
        after = known.after_success(ProjectNeeds(expected_build_s=took_s))
        assert after.expected_build_s == expected_s
    assert ProjectNeeds().after_success(known) == known


def _failed(kind: FailureClass) -> Build:
    return Build(
        build_id=1,
        project="big",
        version="1.0",
        target="a",
        builder="pi",
        outcome=Outcome.FAILED,
        started_at=datetime.now(UTC),
        duration_s=9000.0,
        failure_class=kind,
        peak_memory_bytes=_GIB,
        peak_disk_bytes=_GIB,
    )


@pytest.mark.parametrize(
    ("kind", "memory_over", "learned"),
    [
        (FailureClass.OUT_OF_MEMORY, _GIB, ProjectNeeds(min_memory_bytes=_GIB + 1)),
        (FailureClass.DISK_FULL, 0, ProjectNeeds(min_disk_bytes=_GIB)),
        (FailureClass.TIMED_OUT, 0, ProjectNeeds(expected_build_s=9000.0)),
        (FailureClass.COMPILER_ERROR, 0, ProjectNeeds()),
    ],
)
def test_a_failure_shows_only_what_it_lacked(
    kind: FailureClass, memory_over: int, learned: ProjectNeeds
) -> None:
    decision = RetryDecision(memory_over_bytes=memory_over)
    assert ProjectNeeds().after(_failed(kind), decision) == learned
