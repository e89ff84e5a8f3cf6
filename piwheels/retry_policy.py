"""The retry policies: what happens to a job after each class of failure.

A failure that the release did not cause is never final and does not count as an attempt. Every
delay has a maximum, so that no failure and no clock delays a job forever.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from piwheels.model import FailureClass, FailureEvidence, Outcome, PastFailure, RetryDecision

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
#: No job is deferred for longer, but for one that waits for another project.
MAX_DELAY_S = DAY_S
BUILD_REQUIREMENT_DELAY_S = 7 * DAY_S
#: The first and the longest wait of a builder after an index failure.
_FIRST_BUILDER_DELAY_S, _MAX_BUILDER_DELAY_S = 30.0, 600.0
#: The number of builds that try a damaged file before its release fails finally: if two builders
#: got the same bytes, and if the only builder always did.
_MIN_DAMAGED, _MIN_DAMAGED_ALONE = 3, 5
#: The number of builds that exceed a limit, each where limits may be larger.
_MAX_OVER_LIMIT = 3
_MAX_BUILDER_FAULTS = 3
_PROJECT_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SLOWER_RATIO = 0.8  # below this fraction of another builder's speed a builder is slower


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """The settings."""

    retry_delay_s: float = 600.0  # before the second attempt; doubled for each further one
    max_attempts: int = 3  # of retryable failures that count


@dataclass(frozen=True, slots=True)
class Failure:
    """A build that has just failed, and the alternatives for its job.

    `attempt` is its number among those that count, from 1. `earlier` are the previous failures of
    the job, the oldest first. `other_builders`: whether another builder serves the target.
    """

    failure_class: FailureClass
    builder: str
    evidence: FailureEvidence
    attempt: int
    earlier: Sequence[PastFailure]
    other_builders: bool
    largest_memory_bytes: int  # of the builders that serve the target
    largest_processes: int = 0  # likewise, as the limits of builds
    largest_file_bytes: int = 0
    can_add_packages: bool = False  # the build got the packages that it lacked
    has_packages: bool = False  # the builder's own system has those that the build lacked

    def same_class_count(self) -> int:
        """How many failures of the same class there were in all."""
        return sum(failure.failure_class is self.failure_class for failure in self.earlier)

    def same_class_streak(self) -> int:
        """How many failures of the same class came directly before this one."""
        count = 0
        for failure in reversed(self.earlier):
            if failure.failure_class is not self.failure_class:
                break
            count += 1
        return count

    @property
    def builder_to_avoid(self) -> str:
        """The builder to avoid: this one, where there is another."""
        return self.builder if self.other_builders else ""


Policy = Callable[[Failure, RetryOptions], RetryDecision]

FINAL = RetryDecision(is_final=True)


#: The classes of final failures that another state of the build's system may repair.
SYSTEM_DEPENDENT = (
    FailureClass.MISSING_PACKAGE,
    FailureClass.MISSING_TOOLCHAIN,
    FailureClass.COMPILER_ERROR,
    FailureClass.CRASHED,
    FailureClass.KILLED,
    FailureClass.UNKNOWN,
)


def decide(failure: Failure, options: RetryOptions) -> RetryDecision:
    """What happens to the job of a failed build."""
    return POLICIES[failure.failure_class](failure, options)


def exponential_delay(first_s: float, doublings: int, max_s: float) -> float:
    """A delay that doubles: `first_s` after no earlier one, never above `max_s`."""
    return min(first_s * 2.0 ** min(doublings, 30), max_s)


def builder_delay_s(faults: int, retry_after_s: float) -> float:
    """How long a builder gets no job after consecutive index failures.

    The index's Retry-After counts, up to the same maximum.
    """
    own_s = exponential_delay(_FIRST_BUILDER_DELAY_S, faults - 1, _MAX_BUILDER_DELAY_S)
    return max(own_s, min(retry_after_s, _MAX_BUILDER_DELAY_S))


def canary_delay_s(canaries: int) -> float:
    """How long a builder in quarantine gets no job, after this many that showed no recovery."""
    return exponential_delay(HOUR_S, canaries, DAY_S)


def required_free_disk(reserve_bytes: int) -> int:
    """The free disk space that a builder needs before it gets a job."""
    return 2 * reserve_bytes


def failure_class_of(outcome: Outcome) -> FailureClass | None:
    """The class of a failure for which a builder reports only an outcome."""
    return _CLASS_OF_OUTCOME[outcome]


# --- the policies ---


def _final_policy(_: Failure, __: RetryOptions) -> RetryDecision:
    return FINAL


def _missing_package_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    """Parked until a builder has the packages, if this one neither had them nor could add them."""
    packages = failure.evidence.packages
    same_before = any(
        past.failure_class is failure.failure_class
        and (past.builder, past.evidence.packages) == (failure.builder, packages)
        for past in failure.earlier
    )
    if not packages or failure.can_add_packages or failure.has_packages or same_before:
        return FINAL
    return RetryDecision(counts_as_attempt=False, required_packages=packages)


def _missing_toolchain_policy(failure: Failure, options: RetryOptions) -> RetryDecision:
    decision = _missing_package_policy(failure, options)
    return _elsewhere_once_policy(failure, options) if decision.is_final else decision


def _build_requirement_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    """Tried again when the upstream project that it waits for changes, and once a week."""
    return RetryDecision(
        counts_as_attempt=False,
        delay_s=BUILD_REQUIREMENT_DELAY_S,
        awaited_project=_awaited_project(failure.evidence.missing),
    )


def _awaited_project(missing: Sequence[str]) -> str:
    """The project of the first missing requirement; "" if none is known."""
    for text in missing:
        _, _, requirement = text.partition(" ")
        match = _PROJECT_NAME.match(requirement)
        if text.startswith("requirement ") and match:
            return re.sub(r"[-_.]+", "-", match[0]).lower()
    return ""


def _elsewhere_once_policy(failure: Failure, options: RetryOptions) -> RetryDecision:
    """Retried once, on another builder if there is one; twice the same is final."""
    if failure.same_class_count():
        return FINAL
    return RetryDecision(
        delay_s=min(options.retry_delay_s, MAX_DELAY_S), avoid_builder=failure.builder_to_avoid
    )


def _master_fault_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    """The release and the builder have no part in it."""
    delay_s = exponential_delay(MINUTE_S, failure.same_class_streak(), HOUR_S)
    return RetryDecision(counts_as_attempt=False, delay_s=delay_s)


def _index_fault_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    own_s = exponential_delay(MINUTE_S, failure.same_class_streak(), HOUR_S)
    delay_s = max(own_s, min(failure.evidence.retry_after_s, HOUR_S))
    return RetryDecision(counts_as_attempt=False, delay_s=delay_s)


def _file_gone_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    """In a CDN a listed file may appear a minute after its page."""
    return RetryDecision(
        counts_as_attempt=False,
        delay_s=exponential_delay(MINUTE_S, failure.same_class_streak(), DAY_S),
    )


def _damaged_download_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    """Final if two builders, or the only one each time, got the same wrong bytes.

    A cache may serve those to everyone for a while; bytes that differ are a fault on the way.
    """
    digest = failure.evidence.digest
    before = [past for past in failure.earlier if past.failure_class is failure.failure_class]
    same = [past for past in before if digest and past.evidence.digest == digest]
    agreed = any(past.builder != failure.builder for past in same)
    alone = not failure.other_builders and len(same) == len(before)
    if (agreed and len(before) + 1 >= _MIN_DAMAGED) or (
        alone and len(same) + 1 >= _MIN_DAMAGED_ALONE
    ):
        return FINAL
    delay_s = exponential_delay(MINUTE_S, 2 * failure.same_class_streak(), 6 * HOUR_S)
    return RetryDecision(
        counts_as_attempt=False, delay_s=delay_s, avoid_builder=failure.builder_to_avoid
    )


def _limit_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    """Tried where builds may have more processes or larger files, if that is anywhere."""
    before = [past for past in failure.earlier if past.failure_class is failure.failure_class]
    tried = [failure.evidence, *(past.evidence for past in before)]
    larger = failure.largest_processes > max(each.process_limit for each in tried)
    larger |= failure.largest_file_bytes > max(each.file_limit_bytes for each in tried)
    if not larger or len(tried) >= _MAX_OVER_LIMIT:
        return FINAL
    return RetryDecision(avoid_builder=failure.builder_to_avoid)


def _disk_full_policy(failure: Failure, options: RetryOptions) -> RetryDecision:
    """A full disk is the builder's problem; a build that needs more than a free disk is not."""
    free, reserve = failure.evidence.disk_free_bytes, failure.evidence.disk_reserve_bytes
    if free is None or free < required_free_disk(reserve):
        delay_s = (
            0.0
            if failure.other_builders
            else exponential_delay(MINUTE_S, failure.same_class_streak(), HOUR_S)
        )
        return RetryDecision(
            counts_as_attempt=False, delay_s=delay_s, avoid_builder=failure.builder_to_avoid
        )
    return _retry_with_backoff(failure, options, avoid=failure.builder_to_avoid)


def _out_of_memory_policy(failure: Failure, options: RetryOptions) -> RetryDecision:
    limit = failure.evidence.memory_limit_bytes
    if limit and failure.largest_memory_bytes > limit:
        return RetryDecision(memory_over_bytes=limit)
    if failure.evidence.stop == "memory":
        return FINAL  # it used all that the largest builder allows
    return _retry_with_backoff(failure, options, max_attempts=min(2, options.max_attempts))


def _timed_out_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    """Retried once, with twice the time on a builder that is not slower."""
    before = [past for past in failure.earlier if past.failure_class is failure.failure_class]
    slow = before and failure.evidence.speed < before[0].evidence.speed * _SLOWER_RATIO
    if len(before) > 1 or (before and not slow) or not failure.evidence.limit_s:
        return FINAL
    first = before[0].evidence if before else failure.evidence
    return RetryDecision(min_timeout_s=2 * first.limit_s, min_speed=first.speed * _SLOWER_RATIO)


def _builder_fault_policy(failure: Failure, options: RetryOptions) -> RetryDecision:
    """Never final; a release on which several builders fail is put on hold."""
    builders = {
        past.builder for past in failure.earlier if past.failure_class is failure.failure_class
    }
    if failure.same_class_count() + 1 >= _MAX_BUILDER_FAULTS and builders - {failure.builder}:
        held = f"{failure.same_class_count() + 1} builds of it failed for reasons of their builders"
        return RetryDecision(counts_as_attempt=False, hold_reason=held)
    delay_s = exponential_delay(options.retry_delay_s, failure.same_class_streak(), 6 * HOUR_S)
    return RetryDecision(
        counts_as_attempt=False, delay_s=delay_s, avoid_builder=failure.builder_to_avoid
    )


def _lost_policy(failure: Failure, _: RetryOptions) -> RetryDecision:
    """Not an attempt; a release that repeatedly costs builders is put on hold."""
    lost = failure.same_class_count()
    if lost:
        held = f"{lost + 1} builders were lost while they built it"
        return RetryDecision(counts_as_attempt=False, hold_reason=held)
    return RetryDecision(counts_as_attempt=False, avoid_builder=failure.builder_to_avoid)


def _canceled_policy(_: Failure, options: RetryOptions) -> RetryDecision:
    return RetryDecision(counts_as_attempt=False, delay_s=min(options.retry_delay_s, MAX_DELAY_S))


def _retry_with_backoff(
    failure: Failure, options: RetryOptions, *, max_attempts: int | None = None, avoid: str = ""
) -> RetryDecision:
    """Another attempt while any are left, each with a longer delay."""
    if failure.attempt >= (max_attempts or options.max_attempts):
        return FINAL
    delay_s = exponential_delay(options.retry_delay_s, failure.attempt - 1, MAX_DELAY_S)
    return RetryDecision(delay_s=delay_s, avoid_builder=avoid)


POLICIES: Mapping[FailureClass, Policy] = {
    FailureClass.UNKNOWN: _final_policy,
    FailureClass.MISSING_PACKAGE: _missing_package_policy,
    FailureClass.MISSING_TOOLCHAIN: _missing_toolchain_policy,
    FailureClass.COMPILER_ERROR: _final_policy,
    FailureClass.PYTHON_TOO_NEW: _final_policy,
    FailureClass.TOOLS_TOO_NEW: _final_policy,
    FailureClass.BUILD_REQUIREMENT: _build_requirement_policy,
    FailureClass.UNDECLARED_REQUIREMENT: _final_policy,
    FailureClass.NEEDS_NETWORK: _final_policy,
    FailureClass.TESTS_IN_BUILD: _final_policy,
    FailureClass.REFUSED: _final_policy,
    FailureClass.METADATA: _final_policy,
    FailureClass.BAD_SDIST: _final_policy,
    FailureClass.WRONG_NAME: _final_policy,
    FailureClass.WRONG_VERSION: _final_policy,
    FailureClass.NO_WHEEL: _final_policy,
    FailureClass.SEVERAL_WHEELS: _final_policy,
    FailureClass.EMPTY_WHEEL: _final_policy,
    FailureClass.REJECTED: _final_policy,
    FailureClass.LIMIT: _limit_policy,
    FailureClass.KILLED: _elsewhere_once_policy,
    FailureClass.CRASHED: _elsewhere_once_policy,
    FailureClass.MASTER_FAULT: _master_fault_policy,
    FailureClass.TIMED_OUT: _timed_out_policy,
    FailureClass.OUT_OF_MEMORY: _out_of_memory_policy,
    FailureClass.DISK_FULL: _disk_full_policy,
    FailureClass.INDEX_FAULT: _index_fault_policy,
    FailureClass.FILE_GONE: _file_gone_policy,
    FailureClass.DAMAGED_DOWNLOAD: _damaged_download_policy,
    FailureClass.BUILDER_FAULT: _builder_fault_policy,
    FailureClass.LOST: _lost_policy,
    FailureClass.CANCELED: _canceled_policy,
}

_CLASS_OF_OUTCOME: Mapping[Outcome, FailureClass | None] = {
    Outcome.BUILT: None,
    Outcome.FAILED: FailureClass.UNKNOWN,
    Outcome.REFUSED: FailureClass.REJECTED,
    Outcome.TIMED_OUT: FailureClass.TIMED_OUT,
    Outcome.OUT_OF_MEMORY: FailureClass.OUT_OF_MEMORY,
    Outcome.DISK_FULL: FailureClass.DISK_FULL,
    Outcome.FETCH_FAILED: FailureClass.INDEX_FAULT,
    Outcome.BAD_SDIST: FailureClass.BAD_SDIST,
    Outcome.LOST: FailureClass.LOST,
    Outcome.CANCELED: FailureClass.CANCELED,
    Outcome.BUILDER_FAILED: FailureClass.BUILDER_FAULT,
}
