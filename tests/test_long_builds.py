"""Which claims leave long jobs to other builders, and what is learned of projects: without I/O."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from piwheels.model import (
    LONG_BUILD_S,
    Build,
    FailureClass,
    FailureEvidence,
    JobLength,
    Outcome,
    ProjectNeeds,
    RetryDecision,
    is_long_build,
)
from piwheels.model.project_needs import rounded_up
from piwheels.scheduler.long_builds import (
    MAX_LEFT_S,
    ClaimStep,
    LongBuilds,
    LongLoad,
    max_long_builds,
)

_GIB = 1 << 30
_BOTH = ("a", "b")


def _steps(
    rule: LongBuilds,
    long_elsewhere: int,
    now: float = 0.0,
    *,
    building: str = "",
    waiting: str = "ab",
) -> tuple[ClaimStep, ...]:
    """Of three builders that serve both targets; of `building` the others have long builds."""
    load = LongLoad(dict.fromkeys(_BOTH, 3), dict.fromkeys(_BOTH, long_elsewhere), set(building))
    return rule.steps(_BOTH, load, set(waiting), now)


def _overdue(steps: tuple[ClaimStep, ...]) -> tuple[str, ...]:
    return steps[0].targets if steps[0].length is JobLength.LONG else ()


@pytest.mark.parametrize(
    ("builders", "long"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (8, 6), (500, 375)]
)
def test_a_quarter_of_the_builders_is_kept_for_short_jobs(builders: int, long: int) -> None:
    assert max_long_builds(builders) == long


def test_a_claim_takes_everything_while_there_is_room_for_long_builds() -> None:
    assert _steps(LongBuilds(), 1) == (ClaimStep(_BOTH),)
    assert LongBuilds().steps(("a",), LongLoad({"a": 1}, {}), (), 0.0) == (ClaimStep(("a",)),)


def test_the_last_builder_prefers_short_jobs_and_takes_a_long_one_rather_than_none() -> None:
    lengths = [step.length for step in _steps(LongBuilds(), 2)]
    assert lengths == [JobLength.SHORT, JobLength.ANY]


def test_a_target_that_lacks_room_counts_for_a_builder_that_serves_others_too() -> None:
    load = LongLoad({"a": 3, "b": 9}, {"a": 2, "b": 2})
    steps = LongBuilds().steps(_BOTH, load, (), 0.0)
    assert [step.length for step in steps] == [JobLength.SHORT, JobLength.ANY]


def test_long_jobs_of_a_target_are_left_for_a_bounded_time() -> None:
    rule = LongBuilds()
    _steps(rule, 2)
    assert _overdue(_steps(rule, 2, MAX_LEFT_S - 1.0)) == ()
    assert _overdue(_steps(rule, 2, MAX_LEFT_S)) == _BOTH
    assert _overdue(_steps(rule, 2, MAX_LEFT_S)) == _BOTH, "the builder could take none of them"
    rule.note_taken("a")
    assert _overdue(_steps(rule, 2, MAX_LEFT_S)) == ("b",)
    _steps(rule, 1, MAX_LEFT_S)
    assert _overdue(_steps(rule, 2, MAX_LEFT_S)) == ("b",), "a claim that takes all took none of it"


def test_that_time_ends_where_no_long_job_waits() -> None:
    rule = LongBuilds()
    _steps(rule, 2)
    _steps(rule, 2, 10.0, waiting="b")
    assert _overdue(_steps(rule, 2, MAX_LEFT_S)) == ("b",)


@pytest.mark.parametrize("room", [1, 2])
def test_it_does_not_run_while_a_long_build_of_the_target_does(room: int) -> None:
    rule = LongBuilds()
    _steps(rule, 2)
    _steps(rule, room, 10.0, building="b")
    assert _overdue(_steps(rule, 2, MAX_LEFT_S, building="b")) == ("a",)
    assert _overdue(_steps(rule, 2, MAX_LEFT_S + 20.0)) == ("a",), "it begins after that build"
    assert _overdue(_steps(rule, 2, 2 * MAX_LEFT_S + 20.0)) == _BOTH


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


def _failed(kind: FailureClass, duration_s: float = 9000.0, free: int | None = None) -> Build:
    return Build(
        build_id=1,
        project="big",
        version="1.0",
        target="a",
        builder="pi",
        outcome=Outcome.FAILED,
        started_at=datetime.now(UTC),
        duration_s=duration_s,
        failure_class=kind,
        evidence=FailureEvidence(disk_free_bytes=free, disk_reserve_bytes=_GIB),
        peak_memory_bytes=_GIB,
        peak_disk_bytes=_GIB,
    )


@pytest.mark.parametrize(
    ("kind", "memory_over", "memory", "disk"),
    [
        (FailureClass.OUT_OF_MEMORY, _GIB, _GIB // 4 * 5, 0),
        (FailureClass.DISK_FULL, 0, 0, _GIB),
        (FailureClass.TIMED_OUT, 0, 0, 0),
        (FailureClass.COMPILER_ERROR, 0, 0, 0),
        (FailureClass.UNKNOWN, 0, 0, 0),
    ],
)
def test_a_failure_shows_what_it_lacked_and_that_builds_take_as_long(
    kind: FailureClass, memory_over: int, memory: int, disk: int
) -> None:
    after = ProjectNeeds().after(_failed(kind), RetryDecision(memory_over_bytes=memory_over))
    assert after == ProjectNeeds(
        min_memory_bytes=memory, min_disk_bytes=disk, expected_build_s=9000.0
    )


@pytest.mark.parametrize(
    ("kind", "known_s", "took_s", "expected_s"),
    [
        (FailureClass.COMPILER_ERROR, 0.0, LONG_BUILD_S - 1, 0.0),
        (FailureClass.COMPILER_ERROR, 100.0, 200.0, 200.0),
        (FailureClass.COMPILER_ERROR, 100.0, 50.0, 100.0),
        (FailureClass.INDEX_FAULT, 100.0, 9000.0, 100.0),
        (FailureClass.LOST, 0.0, 9000.0, 0.0),
        (FailureClass.CANCELED, 0.0, 9000.0, 0.0),
    ],
)
def test_only_what_a_release_does_itself_shows_how_long_its_builds_take(
    kind: FailureClass, known_s: float, took_s: float, expected_s: float
) -> None:
    known = ProjectNeeds(expected_build_s=known_s)
    after = known.after(_failed(kind, took_s), RetryDecision())
    assert after.expected_build_s == expected_s


@pytest.mark.parametrize(
    ("free", "disk"),
    [(None, _GIB), (5 * _GIB, 5 * _GIB), (_GIB, _GIB), (0, _GIB), (1 << 62, 1 << 40)],
)
def test_a_full_disk_shows_that_more_is_needed_than_there_was(free: int | None, disk: int) -> None:
    failed = _failed(FailureClass.DISK_FULL, free=free)
    assert ProjectNeeds().after(failed, RetryDecision()).min_disk_bytes == disk


def test_no_build_shows_that_terabytes_are_needed() -> None:
    built = replace(
        _failed(FailureClass.UNKNOWN),
        outcome=Outcome.BUILT,
        peak_memory_bytes=1 << 62,
        peak_disk_bytes=1 << 62,
    )
    after = ProjectNeeds().after(built, RetryDecision())
    assert (after.min_memory_bytes, after.min_disk_bytes) == (1 << 40, 1 << 40)
    over = RetryDecision(memory_over_bytes=1 << 62)
    failed = ProjectNeeds().after(_failed(FailureClass.OUT_OF_MEMORY), over)
    assert failed.min_memory_bytes == 1 << 40


@pytest.mark.parametrize(
    ("used", "learned"),
    [
        (0, 0),
        (1, 64 << 20),
        (_GIB, _GIB),
        (_GIB + 1, _GIB // 4 * 5),
        (2 * _GIB - 1, 2 * _GIB),
        (7 * _GIB, 7 * _GIB),
        (7 * _GIB + 1, 8 * _GIB),
    ],
)
def test_sizes_are_learned_in_steps(used: int, learned: int) -> None:
    assert rounded_up(used) == learned
    assert ProjectNeeds().after_success(ProjectNeeds(min_disk_bytes=used)).min_disk_bytes == learned
