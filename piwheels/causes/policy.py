"""The retry policies: what happens to a job after each class of failure.

What is not the release's own fault is never final and costs the release none of its attempts.
Every delay has a longest value, so that no fault and no clock keeps a job away for ever.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from piwheels.model import Disposition, Evidence, FailureClass, Outcome, PastFailure

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
#: No job is deferred for longer.
LONGEST_DELAY_S = DAY_S
#: A builder that saw an index fault waits for so long at first, and at most.
_BUILDER_WAIT_S, _LONGEST_BUILDER_WAIT_S = 30.0, 600.0
#: A damaged file is fetched by so many builds before its release is given up: where two builders
#: agree, and at most.
_FEWEST_DAMAGED, _MOST_DAMAGED = 3, 5
_MOST_BUILDER_FAULTS = 3
_SLOWER = 0.8  # a builder is slower than another below this part of its speed


@dataclass(frozen=True, slots=True)
class Options:
    """What the configuration says."""

    retry_delay_s: float = 600.0  # before the second attempt; doubled for each further one
    max_attempts: int = 3  # of failures that count, and that another attempt may mend


@dataclass(frozen=True, slots=True)
class Failure:
    """A build that has just failed, and what the farm can still offer its job.

    `attempt` is its number among those that count, from 1. `past` are the earlier failures of
    the job, the oldest first. `others` is whether another builder serves the target.
    """

    kind: FailureClass
    builder: str
    evidence: Evidence
    attempt: int
    past: Sequence[PastFailure]
    others: bool
    largest_memory_bytes: int  # of the builders that serve the target

    def before(self) -> int:
        """How many failures of the same class there were in all."""
        return sum(failure.failure is self.kind for failure in self.past)

    def in_a_row(self) -> int:
        """How many failures of the same class came directly before this one."""
        count = 0
        for failure in reversed(self.past):
            if failure.failure is not self.kind:
                break
            count += 1
        return count

    @property
    def elsewhere(self) -> str:
        """The builder to avoid: this one, where there is another."""
        return self.builder if self.others else ""


Policy = Callable[[Failure, Options], Disposition]

FINAL = Disposition(final=True)


def decide(failure: Failure, options: Options) -> Disposition:
    """What happens to the job of a failed build."""
    return POLICIES[failure.kind](failure, options)


def growing(first_s: float, times: int, longest_s: float) -> float:
    """A delay that doubles: `first_s` after no earlier one, never above `longest_s`."""
    return min(first_s * 2.0 ** min(times, 30), longest_s)


def builder_wait_s(faults: int, retry_after_s: float) -> float:
    """How long a builder gets no job after so many index faults in a row.

    The index's own wish (Retry-After) counts, within the same bound.
    """
    own_s = growing(_BUILDER_WAIT_S, faults - 1, _LONGEST_BUILDER_WAIT_S)
    return max(own_s, min(retry_after_s, _LONGEST_BUILDER_WAIT_S))


def disk_wanted(reserve_bytes: int) -> int:
    """So much of its disk must be free before a builder gets a job."""
    return 2 * reserve_bytes


def class_of(outcome: Outcome) -> FailureClass | None:
    """The class of a failure for which a builder reports only an outcome."""
    return _OF_OUTCOME[outcome]


# --- the policies ---


def _final(_: Failure, __: Options) -> Disposition:
    return FINAL


def _index_fault(failure: Failure, _: Options) -> Disposition:
    own_s = growing(MINUTE_S, failure.in_a_row(), HOUR_S)
    delay_s = max(own_s, min(failure.evidence.retry_after_s, HOUR_S))
    return Disposition(counts=False, delay_s=delay_s)


def _file_gone(failure: Failure, _: Options) -> Disposition:
    """A file that is listed may be a minute behind its page in a CDN."""
    return Disposition(counts=False, delay_s=growing(MINUTE_S, failure.in_a_row(), DAY_S))


def _damaged(failure: Failure, _: Options) -> Disposition:
    """Final when two builders agree, or one got wrong bytes again and again.

    They agree when both got the same wrong bytes, and minutes passed: a cache may give them to
    everybody for a while.
    """
    digest = failure.evidence.digest
    agreed = any(
        past.builder != failure.builder and past.evidence.digest == digest
        for past in failure.past
        if past.failure is failure.kind and digest
    )
    tries = failure.before() + 1
    if tries >= (_FEWEST_DAMAGED if agreed else _MOST_DAMAGED):
        return FINAL
    delay_s = growing(MINUTE_S, 2 * failure.in_a_row(), 6 * HOUR_S)
    return Disposition(counts=False, delay_s=delay_s, avoid=failure.elsewhere)


def _disk_full(failure: Failure, options: Options) -> Disposition:
    """A builder without room is the builder's fault; a build that needs more than it has is not."""
    free, reserve = failure.evidence.disk_free_bytes, failure.evidence.disk_reserve_bytes
    if free is None or free < disk_wanted(reserve):
        delay_s = 0.0 if failure.others else growing(MINUTE_S, failure.in_a_row(), HOUR_S)
        return Disposition(counts=False, delay_s=delay_s, avoid=failure.elsewhere)
    return _again(failure, options, avoid=failure.elsewhere)


def _out_of_memory(failure: Failure, options: Options) -> Disposition:
    limit = failure.evidence.memory_limit_bytes
    if limit and failure.largest_memory_bytes > limit:
        return Disposition(memory_over=limit)
    if failure.evidence.stop == "memory":
        return FINAL  # it used all that the largest builder allows
    return _again(failure, options, attempts=min(2, options.max_attempts))


def _timed_out(failure: Failure, _: Options) -> Disposition:
    """Once more, with twice the time on a builder that is not slower."""
    before = [past for past in failure.past if past.failure is failure.kind]
    slow = before and failure.evidence.speed < before[0].evidence.speed * _SLOWER
    if len(before) > 1 or (before and not slow) or not failure.evidence.limit_s:
        return FINAL
    first = before[0].evidence if before else failure.evidence
    return Disposition(limit_s=2 * first.limit_s, min_speed=first.speed * _SLOWER)


def _builder_fault(failure: Failure, options: Options) -> Disposition:
    """Never final; a release at which several builders break is left to a person."""
    builders = {past.builder for past in failure.past if past.failure is failure.kind}
    if failure.before() + 1 >= _MOST_BUILDER_FAULTS and builders - {failure.builder}:
        held = f"{failure.before() + 1} builds of it failed for reasons of their builders"
        return Disposition(counts=False, held=held)
    delay_s = growing(options.retry_delay_s, failure.in_a_row(), 6 * HOUR_S)
    return Disposition(counts=False, delay_s=delay_s, avoid=failure.elsewhere)


def _lost(failure: Failure, _: Options) -> Disposition:
    """Not an attempt; a release that takes builders down is left to a person."""
    lost = failure.before()
    if lost:
        held = f"{lost + 1} builders were lost while they built it"
        return Disposition(counts=False, held=held)
    return Disposition(counts=False, avoid=failure.elsewhere)


def _canceled(_: Failure, options: Options) -> Disposition:
    return Disposition(counts=False, delay_s=min(options.retry_delay_s, LONGEST_DELAY_S))


def _again(
    failure: Failure, options: Options, *, attempts: int | None = None, avoid: str = ""
) -> Disposition:
    """Another attempt as long as there are any, each later than the one before."""
    if failure.attempt >= (attempts or options.max_attempts):
        return FINAL
    delay_s = growing(options.retry_delay_s, failure.attempt - 1, LONGEST_DELAY_S)
    return Disposition(delay_s=delay_s, avoid=avoid)


POLICIES: Mapping[FailureClass, Policy] = {
    FailureClass.UNKNOWN: _final,
    FailureClass.REFUSED: _final,
    FailureClass.BAD_SDIST: _final,
    FailureClass.LIMIT: _final,
    FailureClass.TIMED_OUT: _timed_out,
    FailureClass.OUT_OF_MEMORY: _out_of_memory,
    FailureClass.DISK_FULL: _disk_full,
    FailureClass.INDEX_FAULT: _index_fault,
    FailureClass.FILE_GONE: _file_gone,
    FailureClass.DAMAGED_DOWNLOAD: _damaged,
    FailureClass.BUILDER_FAULT: _builder_fault,
    FailureClass.LOST: _lost,
    FailureClass.CANCELED: _canceled,
}

_OF_OUTCOME: Mapping[Outcome, FailureClass | None] = {
    Outcome.BUILT: None,
    Outcome.FAILED: FailureClass.UNKNOWN,
    Outcome.REFUSED: FailureClass.REFUSED,
    Outcome.TIMED_OUT: FailureClass.TIMED_OUT,
    Outcome.OUT_OF_MEMORY: FailureClass.OUT_OF_MEMORY,
    Outcome.DISK_FULL: FailureClass.DISK_FULL,
    Outcome.FETCH_FAILED: FailureClass.INDEX_FAULT,
    Outcome.BAD_SDIST: FailureClass.BAD_SDIST,
    Outcome.LOST: FailureClass.LOST,
    Outcome.KILLED: FailureClass.CANCELED,
    Outcome.BUILDER_FAILED: FailureClass.BUILDER_FAULT,
}
