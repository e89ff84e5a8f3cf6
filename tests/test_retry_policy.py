"""What happens to a job after each class of failure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.model import FailureClass, FailureEvidence, Outcome, PastFailure, RetryDecision
from piwheels.retry_policy import (
    FINAL,
    MAX_DELAY_S,
    POLICIES,
    Failure,
    RetryOptions,
    builder_delay_s,
    decide,
    failure_class_of,
)

F = FailureClass
GIB = 1 << 30
OPTIONS = RetryOptions(retry_delay_s=600.0, max_attempts=3)

#: Failures that are the surroundings' fault: no release may pay for them.
EXTERNAL_FAILURES = [
    F.INDEX_FAULT, F.FILE_GONE, F.BUILDER_FAULT, F.LOST, F.CANCELED, F.MASTER_FAULT,
]  # fmt: skip


def decide_failure(
    kind: FailureClass,
    *past: PastFailure,
    attempt: int = 1,
    others: bool = True,
    largest: int = 0,
    builder: str = "a",
    largest_processes: int = 0,
    largest_file_bytes: int = 0,
    **evidence: Any,
) -> RetryDecision:
    failure = Failure(
        failure_class=kind,
        builder=builder,
        evidence=FailureEvidence(**evidence),
        attempt=attempt,
        earlier=past,
        other_builders=others,
        largest_memory_bytes=largest,
        largest_processes=largest_processes,
        largest_file_bytes=largest_file_bytes,
    )
    return decide(failure, OPTIONS)


def past_failure(kind: FailureClass, builder: str = "a", **evidence: Any) -> PastFailure:
    return PastFailure(builder=builder, failure_class=kind, evidence=FailureEvidence(**evidence))


def test_every_class_has_a_policy_and_every_outcome_a_class() -> None:
    assert POLICIES.keys() == set(F)
    assert [outcome for outcome in Outcome if failure_class_of(outcome) is None] == [Outcome.BUILT]


@pytest.mark.parametrize(
    "kind",
    [F.UNKNOWN, F.REFUSED, F.REJECTED, F.BAD_SDIST, F.LIMIT, F.COMPILER_ERROR, F.METADATA,
     F.NEEDS_NETWORK, F.TESTS_IN_BUILD, F.WRONG_NAME, F.WRONG_VERSION, F.NO_WHEEL,
     F.SEVERAL_WHEELS, F.EMPTY_WHEEL],
)  # fmt: skip
def test_failures_of_the_release_itself_are_final(kind: FailureClass) -> None:
    assert decide_failure(kind) == FINAL


def test_what_a_builder_lacks_is_waited_for_unless_it_was_there_or_was_added() -> None:
    lacking: dict[str, Any] = {"packages": ("libpq-dev",)}
    parked = RetryDecision(counts_as_attempt=False, required_packages=("libpq-dev",))
    for kind in (F.MISSING_PACKAGE, F.MISSING_TOOLCHAIN):
        assert decide_failure(kind, **lacking) == parked
        assert decide_failure(kind, past_failure(kind, "b", **lacking), **lacking) == parked
    mine = past_failure(F.MISSING_PACKAGE, **lacking)
    assert decide_failure(F.MISSING_PACKAGE, mine, **lacking) == FINAL
    assert decide_failure(F.MISSING_PACKAGE) == FINAL, "no package is known"
    for fact in ("can_add_packages", "has_packages"):
        failure = Failure(
            failure_class=F.MISSING_PACKAGE, builder="a", evidence=FailureEvidence(**lacking),
            attempt=1, earlier=(), other_builders=True, largest_memory_bytes=0, **{fact: True},
        )  # fmt: skip
        assert decide(failure, OPTIONS) == FINAL


@pytest.mark.parametrize(
    ("missing", "project"),
    [
        (("requirement Foo_Bar >=2",), "foo-bar"),
        (("requirement foo.bar[x]",), "foo-bar"),
        (("module foo",), ""),
        ((), ""),
    ],
)
def test_a_build_requirement_is_waited_for_a_week_or_until_its_project_changes(
    missing: tuple[str, ...], project: str
) -> None:
    before = [past_failure(F.BUILD_REQUIREMENT)] * 50
    assert decide_failure(F.BUILD_REQUIREMENT, *before, attempt=9, missing=missing) == (
        RetryDecision(counts_as_attempt=False, delay_s=7 * 86400, awaited_project=project)
    )


@pytest.mark.parametrize("kind", [F.KILLED, F.CRASHED, F.MISSING_TOOLCHAIN])
def test_failures_that_another_builder_may_avoid_are_retried_there_once(kind: FailureClass) -> None:
    first = decide_failure(kind)
    assert (first.is_final, first.avoid_builder) == (False, "a")
    assert not decide_failure(kind, others=False).avoid_builder
    assert decide_failure(kind, past_failure(kind), builder="b", attempt=2) == FINAL


@pytest.mark.parametrize(
    ("times", "delay_s"), [(0, 60), (1, 120), (2, 240), (5, 1920), (6, 3600), (500, 3600)]
)
def test_an_index_fault_is_never_final_and_its_delays_grow(times: int, delay_s: float) -> None:
    faults = [past_failure(F.INDEX_FAULT)] * times
    assert decide_failure(F.INDEX_FAULT, *faults) == RetryDecision(
        counts_as_attempt=False, delay_s=delay_s
    )


def test_a_retry_after_of_the_index_is_respected_up_to_an_hour() -> None:
    assert decide_failure(F.INDEX_FAULT, retry_after_s=900.0).delay_s == 900
    assert decide_failure(F.INDEX_FAULT, retry_after_s=1e8).delay_s == 3600


def test_another_failure_resets_the_delays() -> None:
    faults = [past_failure(F.INDEX_FAULT)] * 5
    assert decide_failure(F.INDEX_FAULT, *faults, past_failure(F.DISK_FULL)).delay_s == 60


@pytest.mark.parametrize(
    ("before", "digest", "final"),
    [
        ([], "x", False),
        ([("a", "x")], "x", False),
        ([("b", "x")], "x", False),
        ([("b", "x"), ("a", "x")], "x", True),
        ([("b", "y"), ("a", "x")], "x", False),
        ([("b", "")], "", False),
        ([("a", "v"), ("b", "w"), ("a", "y"), ("b", "z"), ("b", "u")], "x", False),
        ([("a", "x"), ("a", "x"), ("a", "x"), ("a", "x")], "x", False),
    ],
)
def test_a_corrupt_download_is_final_after_two_builders_agree_for_minutes(
    before: list[tuple[str, str]], digest: str, final: bool
) -> None:
    faults = [past_failure(F.DAMAGED_DOWNLOAD, builder, digest=seen) for builder, seen in before]
    disposition = decide_failure(F.DAMAGED_DOWNLOAD, *faults, digest=digest)
    assert disposition.is_final is final
    assert final or (not disposition.counts_as_attempt and disposition.avoid_builder == "a")


@pytest.mark.parametrize(
    ("before", "final"), [("xxx", False), ("xxxx", True), ("yxxxx", False), ("vwyz", False)]
)
def test_a_corrupt_download_of_the_only_builder_is_final_if_it_always_is_the_same(
    before: str, final: bool
) -> None:
    faults = [past_failure(F.DAMAGED_DOWNLOAD, digest=seen) for seen in before]
    found = decide_failure(F.DAMAGED_DOWNLOAD, *faults, digest="x", others=False)
    assert found.is_final is final


@pytest.mark.parametrize(
    ("largest", "before", "expected"),
    [
        ({"largest_processes": 100}, 0, FINAL),
        ({"largest_processes": 200}, 0, RetryDecision(avoid_builder="a")),
        ({"largest_file_bytes": 2 * GIB}, 0, RetryDecision(avoid_builder="a")),
        ({"largest_processes": 200}, 1, RetryDecision(avoid_builder="a")),
        ({"largest_processes": 200}, 2, FINAL),
        ({}, 0, FINAL),
    ],
)
def test_a_build_over_a_limit_is_tried_where_limits_are_larger(
    largest: dict[str, Any], before: int, expected: RetryDecision
) -> None:
    limits: dict[str, Any] = {"process_limit": 100, "file_limit_bytes": GIB}
    past = [past_failure(F.LIMIT, **limits)] * before
    assert decide_failure(F.LIMIT, *past, **largest, **limits) == expected


def test_a_build_over_the_largest_limit_that_was_tried_is_final() -> None:
    past = past_failure(F.LIMIT, process_limit=200)
    assert decide_failure(F.LIMIT, past, largest_processes=200, process_limit=100) == FINAL


@pytest.mark.parametrize("kind", [F.FILE_GONE, F.DAMAGED_DOWNLOAD, F.INDEX_FAULT])
def test_failures_that_the_index_may_fix_are_retried_with_growing_delays(
    kind: FailureClass,
) -> None:
    delays = [decide_failure(kind, *[past_failure(kind)] * times).delay_s for times in range(4)]
    assert delays[0] == 60
    assert delays == sorted(set(delays))


@pytest.mark.parametrize(
    ("free", "others", "expected"),
    [
        (0, True, RetryDecision(counts_as_attempt=False, avoid_builder="a")),
        (0, False, RetryDecision(counts_as_attempt=False, delay_s=60)),
        (None, True, RetryDecision(counts_as_attempt=False, avoid_builder="a")),
        (5 * GIB, True, RetryDecision(delay_s=600, avoid_builder="a")),
        (5 * GIB, False, RetryDecision(delay_s=600)),
    ],
)
def test_a_full_disk_is_a_fault_of_its_builder_unless_the_build_fills_it(
    free: int | None, others: bool, expected: RetryDecision
) -> None:
    found = decide_failure(
        F.DISK_FULL, others=others, disk_free_bytes=free, disk_reserve_bytes=GIB // 4
    )
    assert found == expected


def test_a_build_that_fills_every_disk_is_final() -> None:
    found = decide_failure(
        F.DISK_FULL, attempt=3, disk_free_bytes=5 * GIB, disk_reserve_bytes=GIB // 4
    )
    assert found == FINAL


@pytest.mark.parametrize(
    ("largest", "stop", "attempt", "expected"),
    [
        (4 * GIB, "memory", 1, RetryDecision(memory_over_bytes=GIB)),
        (4 * GIB, "", 2, RetryDecision(memory_over_bytes=GIB)),
        (GIB, "memory", 1, FINAL),
        (GIB, "", 1, RetryDecision(delay_s=600)),
        (GIB, "", 2, FINAL),
    ],
)
def test_out_of_memory_is_retried_with_more_memory_and_final_with_the_most(
    largest: int, stop: str, attempt: int, expected: RetryDecision
) -> None:
    found = decide_failure(
        F.OUT_OF_MEMORY, attempt=attempt, largest=largest, stop=stop, memory_limit_bytes=GIB
    )
    assert found == expected


def test_a_timeout_is_retried_once_with_twice_the_time_on_a_builder_as_fast() -> None:
    facts: dict[str, Any] = {"limit_s": 3600.0, "speed": 10.0}
    assert decide_failure(F.TIMED_OUT, **facts) == RetryDecision(min_timeout_s=7200, min_speed=8)
    first = past_failure(F.TIMED_OUT, **facts)
    assert decide_failure(F.TIMED_OUT, first, limit_s=7200.0, speed=9.0) == FINAL
    slow = decide_failure(F.TIMED_OUT, first, limit_s=7200.0, speed=2.0)
    assert slow == RetryDecision(min_timeout_s=7200, min_speed=8), (
        "it said nothing of a fast builder"
    )
    assert decide_failure(F.TIMED_OUT, first, first, limit_s=7200.0, speed=2.0) == FINAL


def test_a_release_that_loses_two_builders_is_blocked() -> None:
    assert decide_failure(F.LOST) == RetryDecision(counts_as_attempt=False, avoid_builder="a")
    assert "2 builders were lost" in decide_failure(F.LOST, past_failure(F.LOST, "b")).hold_reason
    assert (
        "2 builders were lost"
        in decide_failure(
            F.LOST, past_failure(F.LOST, "b"), past_failure(F.INDEX_FAULT)
        ).hold_reason
    )


def test_a_release_on_which_several_builders_fail_is_blocked() -> None:
    mine, other = past_failure(F.BUILDER_FAULT), past_failure(F.BUILDER_FAULT, "b")
    assert decide_failure(F.BUILDER_FAULT) == RetryDecision(
        counts_as_attempt=False, delay_s=600, avoid_builder="a"
    )
    assert not decide_failure(F.BUILDER_FAULT, mine, mine, mine).hold_reason, (
        "it is that builder, then"
    )
    assert "3 builds of it failed" in decide_failure(F.BUILDER_FAULT, mine, other).hold_reason


@given(
    st.sampled_from(EXTERNAL_FAILURES),
    st.lists(st.tuples(st.sampled_from(list(F)), st.sampled_from("abc")), max_size=40),
    st.integers(1, 100),
    st.booleans(),
    st.floats(0, 1e9),
)
def test_environment_faults_are_never_final_and_all_delays_are_limited(
    kind: FailureClass,
    before: list[tuple[FailureClass, str]],
    attempt: int,
    others: bool,
    retry_after_s: float,
) -> None:
    found = decide_failure(
        kind,
        *(past_failure(each, builder) for each, builder in before),
        attempt=attempt,
        others=others,
        retry_after_s=retry_after_s,
    )
    assert not found.is_final
    assert not found.counts_as_attempt
    assert 0 <= found.delay_s <= MAX_DELAY_S


@given(st.integers(1, 10_000), st.floats(0, 1e9))
def test_a_builder_waits_at_most_ten_minutes(faults: int, retry_after_s: float) -> None:
    assert 30 <= builder_delay_s(faults, retry_after_s) <= 600
