"""Prints how the scheduler does against first come, first served: on simulated farms.

`python -m tests.benchmarks.scheduler_simulation [--builders 500] [--jobs 30000]` takes seconds: the
clock is virtual. It also tries a farm of three builders. What a builder gets is decided by the rule
in tests/claim_rule.py, with which each claim of the database is compared in tests/db, by
`long_builds` of the scheduler, and what follows a build that ran out of memory by `retry_policy`.
Durations and needs are drawn from distributions like those of real farms: half of the builds take
under a minute, the longest hours, and long ones need more memory.
"""

import argparse
import heapq
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from statistics import fmean

from piwheels import retry_policy
from piwheels.formatting import format_duration
from piwheels.model import (
    LONG_BUILD_S,
    BuilderCapability,
    FailureClass,
    FailureEvidence,
    JobLength,
    JobPriority,
    TargetLimits,
    first_priority,
    is_long_build,
)
from piwheels.scheduler.long_builds import ClaimStep, LongBuilds, LongLoad
from tests.claim_rule import JobQueue, WaitingJob

_TARGETS = ("cp311-bookworm-armv7l", "cp311-bookworm-aarch64", "cp313-trixie-aarch64")
_GIB = 1 << 30
#: The memory (GiB) of builders, and how many of a hundred have it.
_MEMORY_SHARES = {1: 50, 2: 25, 4: 20, 8: 5}
_MEDIAN_S, _SIGMA, _LONGEST_S = 45.0, 1.6, 7 * 3600.0
_MEDIAN_BYTES = 120 << 20
#: The classes of jobs that are queued while the farm runs, and how many of a hundred; the other
#: jobs are there at first.
_ARRIVALS = {JobPriority.NAMED: 5, JobPriority.POPULAR: 10, JobPriority.NEW: 25}
#: The share of jobs whose project was built before.
_KNOWN_SHARE = 0.7
#: How far a build's duration is from what its project's others took (the sigma of its logarithm).
_SPREAD_OF_PROJECT = 0.3
#: After so long, of its whole duration, a build runs out of memory.
_OUT_OF_MEMORY_AT = 0.7
_MAX_ATTEMPTS = 3
#: On the small farm one of so many jobs is of a project that takes hours.
_JOBS_FOR_A_LONG_ONE = 15


@dataclass(frozen=True, slots=True)
class SimBuild:
    """What a build takes and needs, and in its job what is known of its project."""

    job: WaitingJob
    arrives_s: float
    duration_s: float
    peak_bytes: int
    expected_s: float  # 0: unknown

    @property
    def is_long(self) -> bool:
        return is_long_build(self.duration_s)


@dataclass(frozen=True, slots=True)
class SimBuilder:
    """A builder, and what it can do."""

    label: str
    targets: tuple[str, ...]
    capability: BuilderCapability


def make_builders(chance: random.Random, count: int) -> list[SimBuilder]:
    """Builders of several sizes; each serves the targets of one platform or two."""
    sizes = chance.choices(list(_MEMORY_SHARES), list(_MEMORY_SHARES.values()), k=count)
    largest = max(sizes) * _GIB
    return [
        SimBuilder(
            f"pi{number}",
            chance.choice((_TARGETS[:1], _TARGETS[1:2], _TARGETS[2:], _TARGETS[1:])),
            _with_memory(size * _GIB, largest),
        )
        for number, size in enumerate(sizes)
    ]


def make_small_farm(count: int = 3) -> list[SimBuilder]:
    """Equal builders that serve all targets."""
    capability = _with_memory(8 * _GIB, 8 * _GIB)
    return [SimBuilder(f"pi{number}", _TARGETS, capability) for number in range(count)]


def _with_memory(memory_bytes: int, largest_bytes: int) -> BuilderCapability:
    limits = TargetLimits(largest_memory_bytes=largest_bytes)
    return BuilderCapability(memory_bytes=memory_bytes, limits=dict.fromkeys(_TARGETS, limits))


def make_builds(
    chance: random.Random, count: int, builders: int, others: Sequence[SimBuild] = ()
) -> list[SimBuild]:
    """A backlog, and what is queued in the time that a full farm takes for that and `others`."""
    durations = [
        min(chance.lognormvariate(math.log(_MEDIAN_S), _SIGMA), _LONGEST_S) for _ in range(count)
    ]
    horizon_s = (sum(durations) + sum(each.duration_s for each in others)) / builders
    return [
        _make_build(chance, number, duration_s, horizon_s)
        for number, duration_s in enumerate(durations)
    ]


def _make_build(
    chance: random.Random, number: int, duration_s: float, horizon_s: float
) -> SimBuild:
    backlog = 100 - sum(_ARRIVALS.values())
    priority = chance.choices([*_ARRIVALS, JobPriority.BACKLOG], [*_ARRIVALS.values(), backlog])[0]
    arrives_s = 0.0 if priority is JobPriority.BACKLOG else chance.uniform(0.0, horizon_s)
    scale = (duration_s / _MEDIAN_S) ** 0.35 * chance.lognormvariate(0.0, 0.5)
    peak = min(int(_MEDIAN_BYTES * scale), 7 * _GIB)
    known = chance.random() < _KNOWN_SHARE
    others_took = random.Random(number).lognormvariate(0.0, _SPREAD_OF_PROJECT)
    expected_s = duration_s * others_took if known else 0.0
    job = WaitingJob(
        name=str(number),
        target=chance.choice(_TARGETS),
        priority=priority,
        priority_time=arrives_s + number * 1e-6,
        memory_over_bytes=int(peak * chance.uniform(0.8, 1.1)) if known else 0,
        is_long=is_long_build(expected_s),
    )
    return SimBuild(job, arrives_s, duration_s, peak, expected_s)


def make_long_builds(chance: random.Random, count: int) -> list[SimBuild]:
    """What an operator wants built: all releases of a project that takes hours, on all targets."""
    return [
        SimBuild(
            WaitingJob(
                name=f"long {number}",
                target=chance.choice(_TARGETS),
                priority=JobPriority.NAMED,
                priority_time=number * 1e-6,
                is_long=True,
            ),
            arrives_s=0.0,
            duration_s=chance.uniform(1.0, 3.0) * 3600,
            peak_bytes=_MEDIAN_BYTES,
            expected_s=2.0 * 3600,
        )
        for number in range(count)
    ]


class Rule(Enum):
    """How jobs are assigned."""

    IN_ORDER = "first come, first served"  # nothing is known of memory, and there are no classes
    CLASSES = "classes"  # and builders with enough memory
    SCHEDULER = "scheduler"  # that, and long jobs leave builders to short ones


@dataclass(slots=True)
class Outcome:
    """How a farm did."""

    builders: int
    horizon_s: float  # the time that builders which never wait or fail take
    waits_s: dict[JobPriority, list[float]] = field(
        default_factory=lambda: {each: [] for each in JobPriority}
    )
    long_waits_s: list[float] = field(default_factory=list)
    short_waits_s: list[float] = field(default_factory=list)  # of jobs that came meanwhile
    useful_s: float = 0.0
    wasted_s: float = 0.0  # builds that ran out of memory
    ended_s: float = 0.0
    built: int = 0
    useful_in_horizon_s: float = 0.0
    given_up: int = 0

    @property
    def utilisation(self) -> float:
        """The share of the builders' time until the horizon that went into builds that succeed."""
        return self.useful_in_horizon_s / (self.builders * self.horizon_s)

    @property
    def wasted(self) -> float:
        """The share of the time of builds that went into those that ran out of memory."""
        return self.wasted_s / (self.useful_s + self.wasted_s)

    def wait_s(self, priority: JobPriority, share: float) -> float:
        """The wait until the first attempt that a share of the jobs of a class does not exceed."""
        return quantile(self.waits_s[priority], share)

    def count_wait(self, build: SimBuild, wait_s: float) -> None:
        """A job starts for the first time."""
        self.waits_s[build.job.priority].append(wait_s)
        if build.is_long:
            self.long_waits_s.append(wait_s)
        elif build.job.priority is not JobPriority.BACKLOG:
            self.short_waits_s.append(wait_s)


def quantile(numbers: Sequence[float], share: float) -> float:
    """The number that a share of them does not exceed; 0 of none."""
    ordered = sorted(numbers)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


@dataclass(slots=True)
class Simulation:
    """One farm with a virtual clock."""

    builders: Sequence[SimBuilder]
    builds: Sequence[SimBuild]
    rule: Rule = Rule.SCHEDULER
    _queue: JobQueue = field(default_factory=JobQueue)
    _events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    _idle: dict[str, SimBuilder] = field(init=False)
    _serving: Counter[str] = field(init=False)  # builders by target
    #: The builders that have long builds, and the targets of these.
    _long: dict[str, tuple[SimBuilder, str]] = field(default_factory=dict)
    _long_builds: LongBuilds = field(default_factory=LongBuilds)
    _outcome: Outcome = field(init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _claims: Counter[tuple[str, JobLength]] = field(default_factory=Counter)
    _attempts: Counter[str] = field(default_factory=Counter)
    _by_name: dict[str, SimBuild] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._idle = {each.label: each for each in self.builders}
        self._serving = Counter(name for each in self.builders for name in each.targets)
        horizon_s = sum(each.duration_s for each in self.builds) / len(self.builders)
        self._outcome = Outcome(len(self.builders), horizon_s)

    def run(self) -> Outcome:
        """Build everything."""
        for build in self.builds:
            self._by_name[build.job.name] = build
            self._at(build.arrives_s, partial(self._add, build.job))
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)
        return self._outcome

    def _at(self, time_s: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._numbers), event))

    def _add(self, job: WaitingJob, now: float) -> None:
        """Queue a job, for a builder that had nothing to do if one suits."""
        if self.rule is Rule.IN_ORDER:
            job = replace(job, priority=JobPriority.NAMED, memory_over_bytes=0)
        self._queue.add(job)
        for builder in self._idle.values():
            if job.target in builder.targets and job.suits(builder.label, builder.capability):
                del self._idle[builder.label]
                self._start(builder, now)
                return

    def _start(self, builder: SimBuilder, now: float) -> bool:
        job = self._claim(builder, now)
        if job is None:
            return False
        build = self._by_name[job.name]
        self._attempts[job.name] += 1
        if self._attempts[job.name] == 1:
            self._outcome.count_wait(build, now - build.arrives_s)
        fits = build.peak_bytes <= builder.capability.memory_bytes
        took_s = build.duration_s * (1.0 if fits else _OUT_OF_MEMORY_AT)
        self._at(now + took_s, partial(self._end, build, builder))
        long = {builder.label: (builder, job.target)}
        if is_long_build(build.expected_s):
            self._long |= long
        elif is_long_build(build.expected_s, took_s):
            self._at(now + LONG_BUILD_S, lambda _: self._long.update(long))
        return True

    def _claim(self, builder: SimBuilder, now: float) -> WaitingJob | None:
        job = None
        for taken in self._steps(builder, now):
            first = (
                JobPriority.NAMED
                if self.rule is Rule.IN_ORDER
                else first_priority(self._claims[builder.label, taken.length])
            )
            job = self._queue.take(
                builder.label, taken.targets, builder.capability, first, taken.length
            )
            if job is not None:
                self._claims[builder.label, taken.length] += 1
                if job.is_long:
                    self._long_builds.note_taken(job.target)
                break
        return job

    def _steps(self, builder: SimBuilder, now: float) -> tuple[ClaimStep, ...]:
        if self.rule is not Rule.SCHEDULER:
            return (ClaimStep(builder.targets),)
        long = self._long.values()
        elsewhere = Counter(name for each, _ in long for name in each.targets)
        load = LongLoad(self._serving, elsewhere, {target for _, target in long})
        waiting = {name for name, count in self._queue.long_jobs.items() if count}
        return self._long_builds.steps(builder.targets, load, waiting, now)

    def _end(self, build: SimBuild, builder: SimBuilder, now: float) -> None:
        self._long.pop(builder.label, None)
        self._count_end(build, builder, now)
        if not self._start(builder, now):
            self._idle[builder.label] = builder

    def _count_end(self, build: SimBuild, builder: SimBuilder, now: float) -> None:
        outcome = self._outcome
        outcome.ended_s = now
        if build.peak_bytes <= builder.capability.memory_bytes:
            began = now - build.duration_s
            outcome.useful_s += build.duration_s
            outcome.useful_in_horizon_s += max(min(now, outcome.horizon_s) - began, 0.0)
            outcome.built += 1
            return
        outcome.wasted_s += build.duration_s * _OUT_OF_MEMORY_AT
        again = self._after_failure(build, builder, now)
        if again is None:
            outcome.given_up += 1
        else:
            self._add(again, now)

    def _after_failure(self, build: SimBuild, builder: SimBuilder, now: float) -> WaitingJob | None:
        """The job after a build of it ran out of memory; None if that is final."""
        attempt = self._attempts[build.job.name]
        if self.rule is Rule.IN_ORDER:
            later = replace(build.job, priority_time=now)
            return later if attempt < _MAX_ATTEMPTS else None
        decision = retry_policy.decide(
            retry_policy.Failure(
                failure_class=FailureClass.OUT_OF_MEMORY,
                builder=builder.label,
                evidence=FailureEvidence(
                    stop="memory", memory_limit_bytes=builder.capability.memory_bytes
                ),
                attempt=attempt,
                earlier=(),
                other_builders=True,
                largest_memory_bytes=builder.capability.limits[
                    build.job.target
                ].largest_memory_bytes,
            ),
            retry_policy.RetryOptions(),
        )
        if decision.is_final:
            return None
        return replace(build.job, memory_over_bytes=decision.memory_over_bytes)


Comparison = dict[Rule, Outcome]


def compare(builders: int, jobs: int, seed: int = 1) -> Comparison:
    """How the rules do with the same builders of several sizes, and the same builds."""
    chance = random.Random(seed)
    farm = make_builders(chance, builders)
    builds = make_builds(chance, jobs, builders)
    return {rule: Simulation(farm, builds, rule).run() for rule in Rule}


def compare_on_small_farm(builders: int, jobs: int, seed: int = 1) -> Comparison:
    """How they do with a few equal builders, when an operator names a project that takes hours."""
    chance = random.Random(seed)
    named = make_long_builds(chance, jobs // _JOBS_FOR_A_LONG_ONE)
    builds = [*make_builds(chance, jobs - len(named), builders, named), *named]
    return {rule: Simulation(make_small_farm(builders), builds, rule).run() for rule in Rule}


def _table(outcomes: Comparison) -> Iterator[str]:
    yield f"| | {' | '.join(rule.value for rule in outcomes)} |"
    yield f"| --- |{' --- |' * len(outcomes)}"
    for name, figure in _figures().items():
        yield f"| {name} | {' | '.join(map(figure, outcomes.values()))} |"


def _figures() -> dict[str, Callable[[Outcome], str]]:
    figures: dict[str, Callable[[Outcome], str]] = {
        "built": lambda it: f"{it.built:,}",
        "given up, for memory": lambda it: f"{it.given_up:,}",
        "all built after": lambda it: format_duration(it.ended_s),
        "utilisation": lambda it: f"{it.utilisation:.0%}",
        "of build time wasted": lambda it: f"{it.wasted:.1%}",
    }
    shares = {"half": 0.5, "95 %": 0.95, "the longest": 1.0}
    for words, share in shares.items():
        figures[f"wait of short jobs that came meanwhile, {words}"] = partial(
            _wait, "short_waits_s", share
        )
    for words, share in shares.items():
        figures[f"wait of long jobs, {words}"] = partial(_wait, "long_waits_s", share)
    for priority in JobPriority:
        for words, share in shares.items():
            figures[f"wait of {priority.name.lower()} jobs, {words}"] = partial(
                _wait_of_class, priority, share
            )
        figures[f"wait of {priority.name.lower()} jobs, mean"] = partial(_mean_wait, priority)
    return figures


def _wait(which: str, share: float, outcome: Outcome) -> str:
    return format_duration(quantile(getattr(outcome, which), share))


def _wait_of_class(priority: JobPriority, share: float, outcome: Outcome) -> str:
    return format_duration(outcome.wait_s(priority, share))


def _mean_wait(priority: JobPriority, outcome: Outcome) -> str:
    return format_duration(fmean(outcome.waits_s[priority]))


def main(arguments: Iterable[str] | None = None) -> None:
    """Simulate all rules on both farms, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scheduler_simulation")
    parser.add_argument("--builders", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=30_000)
    parser.add_argument("--small-farm-jobs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(None if arguments is None else list(arguments))
    for run, builders, jobs in (
        (compare, options.builders, options.jobs),
        (compare_on_small_farm, 3, options.small_farm_jobs),
    ):
        began = time.perf_counter()
        print("\n".join(_table(run(builders, jobs, options.seed))))
        print(f"\n{builders} builders, {jobs:,} jobs: {time.perf_counter() - began:.1f} s\n")


if __name__ == "__main__":
    main()
