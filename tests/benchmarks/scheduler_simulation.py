"""Prints how the scheduler does against first come, first served: on a simulated farm.

`python -m tests.benchmarks.scheduler_simulation [--builders 500] [--jobs 30000]` takes seconds: the
clock is virtual. What a builder gets is decided by the rule in tests/claim_rule.py, with which each
claim of the database is compared in tests/db, and what follows a build that ran out of memory by
`retry_policy`. Durations and needs are drawn from distributions like those of real farms: half of
the builds take under a minute, the longest hours, and long ones need more memory.
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
from statistics import fmean

from piwheels import retry_policy
from piwheels.formatting import format_duration
from piwheels.model import (
    BuilderCapability,
    FailureClass,
    FailureEvidence,
    JobPriority,
    first_priority,
)
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
#: After so long, of its whole duration, a build runs out of memory.
_OUT_OF_MEMORY_AT = 0.7
_MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class SimBuild:
    """What a build takes and needs, and what is known of its project."""

    job: WaitingJob
    arrives_s: float
    duration_s: float
    peak_bytes: int


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
            BuilderCapability(
                memory_bytes=size * _GIB, largest_memory_bytes=largest, exclusive_targets=()
            ),
        )
        for number, size in enumerate(sizes)
    ]


def make_builds(chance: random.Random, count: int, builders: int) -> list[SimBuild]:
    """A backlog, and what is queued in the time that a full farm takes for all of it."""
    durations = [
        min(chance.lognormvariate(math.log(_MEDIAN_S), _SIGMA), _LONGEST_S) for _ in range(count)
    ]
    horizon_s = sum(durations) / builders
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
    job = WaitingJob(
        name=str(number),
        target=chance.choice(_TARGETS),
        priority=priority,
        priority_time=arrives_s + number * 1e-6,
        memory_over_bytes=int(peak * chance.uniform(0.8, 1.1)) if known else 0,
    )
    return SimBuild(job, arrives_s, duration_s, peak)


@dataclass(slots=True)
class Outcome:
    """How a farm did."""

    builders: int
    horizon_s: float  # the time that builders which never wait or fail take
    waits_s: dict[JobPriority, list[float]] = field(
        default_factory=lambda: {each: [] for each in JobPriority}
    )
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
        waits = sorted(self.waits_s[priority])
        return waits[min(int(len(waits) * share), len(waits) - 1)] if waits else 0.0


@dataclass(slots=True)
class Simulation:
    """One farm. First come, first served: no classes, and nothing is known of memory."""

    builders: Sequence[SimBuilder]
    builds: Sequence[SimBuild]
    in_order: bool = False  # first come, first served
    _queue: JobQueue = field(default_factory=JobQueue)
    _events: list[tuple[float, int, SimBuild, SimBuilder | None]] = field(default_factory=list)
    _idle: dict[str, SimBuilder] = field(init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _claims: Counter[str] = field(default_factory=Counter)
    _attempts: Counter[str] = field(default_factory=Counter)
    _by_name: dict[str, SimBuild] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._idle = {each.label: each for each in self.builders}

    def run(self) -> Outcome:
        """Build everything."""
        horizon_s = sum(each.duration_s for each in self.builds) / len(self.builders)
        outcome = Outcome(len(self.builders), horizon_s)
        for build in self.builds:
            self._by_name[build.job.name] = build
            self._schedule(build.arrives_s, build, None)
        while self._events:
            now, _, build, builder = heapq.heappop(self._events)
            if builder is None:
                self._add(build.job, now, outcome)
                continue
            self._end(build, builder, now, outcome)
            if not self._start(builder, now, outcome):
                self._idle[builder.label] = builder
        return outcome

    def _schedule(self, at: float, build: SimBuild, builder: SimBuilder | None) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), build, builder))

    def _add(self, job: WaitingJob, now: float, outcome: Outcome) -> None:
        """Queue a job, for a builder that had nothing to do if one suits."""
        if self.in_order:
            job = replace(job, priority=JobPriority.NAMED, memory_over_bytes=0)
        self._queue.add(job)
        for builder in self._idle.values():
            if job.target in builder.targets and job.suits(builder.label, builder.capability):
                del self._idle[builder.label]
                self._start(builder, now, outcome)
                return

    def _start(self, builder: SimBuilder, now: float, outcome: Outcome) -> bool:
        first = JobPriority.NAMED if self.in_order else first_priority(self._claims[builder.label])
        job = self._queue.take(builder.label, builder.targets, builder.capability, first)
        if job is None:
            return False
        build = self._by_name[job.name]
        self._claims[builder.label] += 1
        self._attempts[job.name] += 1
        if self._attempts[job.name] == 1:
            outcome.waits_s[build.job.priority].append(now - build.arrives_s)
        fits = build.peak_bytes <= builder.capability.memory_bytes
        self._schedule(
            now + build.duration_s * (1.0 if fits else _OUT_OF_MEMORY_AT), build, builder
        )
        return True

    def _end(self, build: SimBuild, builder: SimBuilder, now: float, outcome: Outcome) -> None:
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
            self._add(again, now, outcome)

    def _after_failure(self, build: SimBuild, builder: SimBuilder, now: float) -> WaitingJob | None:
        """The job after a build of it ran out of memory; None if that is final."""
        attempt = self._attempts[build.job.name]
        if self.in_order:
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
                largest_memory_bytes=builder.capability.largest_memory_bytes,
            ),
            retry_policy.RetryOptions(),
        )
        if decision.is_final:
            return None
        return replace(build.job, memory_over_bytes=decision.memory_over_bytes)


def compare(builders: int, jobs: int, seed: int = 1) -> tuple[Outcome, Outcome]:
    """How the scheduler and first come, first served do with the same builders and builds."""
    chance = random.Random(seed)
    farm = make_builders(chance, builders)
    builds = make_builds(chance, jobs, builders)
    return Simulation(farm, builds).run(), Simulation(farm, builds, in_order=True).run()


def _table(ours: Outcome, theirs: Outcome) -> Iterator[str]:
    yield "| | scheduler | first come, first served |"
    yield "| --- | --- | --- |"
    for name, figure in _FIGURES.items():
        yield f"| {name} | {figure(ours)} | {figure(theirs)} |"
    for priority in JobPriority:
        for words, share in (("half", 0.5), ("95 %", 0.95), ("the longest", 1.0)):
            waits = (format_duration(each.wait_s(priority, share)) for each in (ours, theirs))
            yield f"| wait of {priority.name.lower()} jobs, {words} | {' | '.join(waits)} |"
        means = (format_duration(fmean(each.waits_s[priority])) for each in (ours, theirs))
        yield f"| wait of {priority.name.lower()} jobs, mean | {' | '.join(means)} |"


_FIGURES: dict[str, Callable[[Outcome], str]] = {
    "built": lambda it: f"{it.built:,}",
    "given up, for memory": lambda it: f"{it.given_up:,}",
    "all built after": lambda it: format_duration(it.ended_s),
    "utilisation": lambda it: f"{it.utilisation:.0%}",
    "of build time wasted": lambda it: f"{it.wasted:.1%}",
}


def main(arguments: Iterable[str] | None = None) -> None:
    """Simulate both, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scheduler_simulation")
    parser.add_argument("--builders", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(None if arguments is None else list(arguments))
    began = time.perf_counter()
    ours, theirs = compare(options.builders, options.jobs, options.seed)
    print("\n".join(_table(ours, theirs)))
    print(
        f"\n{options.builders} builders, {options.jobs:,} jobs: {time.perf_counter() - began:.1f} s"
    )


if __name__ == "__main__":
    main()
