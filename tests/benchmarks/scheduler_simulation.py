"""Prints how the scheduler does against first come, first served: on simulated farms.

`python -m tests.benchmarks.scheduler_simulation [--builders 500] [--jobs 30000]` takes seconds: the
clock is virtual. It also tries a farm of three builders. What a builder gets is decided by the rule
in tests/claim_rule.py, with which each claim of the database is compared in tests/db, by
`long_builds` of the scheduler, and what follows a build that ran out of memory or disk by
`retry_policy`.

Each build is one of recorded_builds.csv, drawn with replacement: its duration, the most memory and
disk that it used, and whether it failed are those of a real release. The 60 releases of
releases.toml were built with `python -m tests.benchmarks.release_table` on a root of Debian 12, one
at a time, on a virtual x86-64 machine of two cores that other work kept busy, and `--record` wrote
the file. The upstream had no wheel of them, and most have compiled code; 18 failed, the median took
24 s and the longest 208 s, and the largest used 784 MiB of memory and 116 MiB of disk.

These are assumed and not recorded: a board is _BOARD_FACTOR times slower than that machine; a build
in _LARGER_SHARE of all is of a project larger than any of the record, which takes _LARGER_FACTORS
times as long and needs more to match; how much memory and free disk boards have; and when jobs come.
"""

import argparse
import csv
import heapq
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache, partial
from pathlib import Path
from statistics import fmean

from msgspec import structs

from piwheels import retry_policy
from piwheels.formatting import format_duration
from piwheels.model import (
    LONG_BUILD_S,
    BuilderCapability,
    FailureClass,
    FailureEvidence,
    JobLength,
    JobPriority,
    OtherBuilder,
    RetryDecision,
    TargetLimits,
    first_priority,
    is_long_build,
)
from piwheels.model.project_needs import rounded_up
from piwheels.scheduler.builder_capabilities import undominated
from piwheels.scheduler.long_builds import ClaimStep, LongBuilds, LongLoad
from tests.claim_rule import JobQueue, WaitingJob

_TARGETS = ("cp311-bookworm-armv7l", "cp311-bookworm-aarch64", "cp313-trixie-aarch64")
_GIB = 1 << 30
#: The memory (GiB) of builders, and how many of a hundred have it.
_MEMORY_SHARES = {1: 50, 2: 25, 4: 20, 8: 5}
#: The disk (GiB) that their builds can write, and how many of a hundred have it.
_DISK_SHARES = {0.25: 10, 1: 20, 4: 40, 32: 30}
RECORDED = Path(__file__).with_name("recorded_builds.csv")
_BOARD_FACTOR = 6.0
_LARGER_SHARE, _LARGER_FACTORS = 0.03, (4.0, 100.0)
#: Memory grows with this power of such a factor; no build of the farm needs more than this.
_MEMORY_POWER, _MOST_MEMORY, _MOST_DISK = 0.6, 7 * _GIB, 30 * _GIB
_LONG_MEMORY, _LONG_DISK = 120 << 20, 200 << 20
_DISK_RESERVE = 256 << 20
#: The classes of jobs that are queued while the farm runs, and how many of a hundred; the other
#: jobs are there at first.
_ARRIVALS = {JobPriority.NAMED: 5, JobPriority.POPULAR: 10, JobPriority.NEW: 25}
#: The share of jobs whose project was built before.
_KNOWN_SHARE = 0.7
#: How far a build's duration is from what its project's others took (the sigma of its logarithm).
_SPREAD_OF_PROJECT = 0.3
#: After so long, of its whole duration, a build runs out of memory or disk.
_STOPPED_AT = 0.7
_MAX_ATTEMPTS = 3
#: On the small farm one of so many jobs is of a project that takes hours.
_JOBS_FOR_A_LONG_ONE = 15


@dataclass(frozen=True, slots=True)
class RecordedBuild:
    """A real build: how long it took, what it used at most, and whether it failed."""

    release: str
    seconds: float
    memory_bytes: int
    disk_bytes: int
    fails: bool


@cache
def recorded_builds() -> list[RecordedBuild]:
    """Those of the file."""
    with RECORDED.open(newline="") as file:
        return [
            RecordedBuild(
                row["release"],
                float(row["seconds"]),
                int(row["memory_mib"]) << 20,
                int(row["disk_mib"]) << 20,
                row["outcome"] != "built",
            )
            for row in csv.DictReader(file)
        ]


@dataclass(frozen=True, slots=True)
class SimBuild:
    """What a build takes and needs, and in its job what is known of its project."""

    job: WaitingJob
    arrives_s: float
    duration_s: float
    peak_bytes: int
    peak_disk_bytes: int
    fails: bool
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

    def lacks(self, build: SimBuild) -> FailureClass | None:
        """Of what a build uses more than there is."""
        if build.peak_bytes > self.capability.memory_bytes:
            return FailureClass.OUT_OF_MEMORY
        if build.peak_disk_bytes > self.capability.disk_bytes:
            return FailureClass.DISK_FULL
        return None


def make_builders(chance: random.Random, count: int) -> list[SimBuilder]:
    """Builders of several sizes; each serves the targets of one platform or two."""
    sizes = chance.choices(list(_MEMORY_SHARES), list(_MEMORY_SHARES.values()), k=count)
    disks = chance.choices(list(_DISK_SHARES), list(_DISK_SHARES.values()), k=count)
    platforms = (_TARGETS[:1], _TARGETS[1:2], _TARGETS[2:], _TARGETS[1:])
    return _compared(
        [
            SimBuilder(f"pi{number}", chance.choice(platforms), _capability(memory, disk))
            for number, (memory, disk) in enumerate(zip(sizes, disks, strict=True))
        ]
    )


def make_small_farm(count: int = 3) -> list[SimBuilder]:
    """Equal builders that serve all targets."""
    capability = _capability(8, 32)
    return _compared([SimBuilder(f"pi{number}", _TARGETS, capability) for number in range(count)])


def _capability(memory_gib: float, disk_gib: float) -> BuilderCapability:
    return BuilderCapability(
        memory_bytes=int(memory_gib * _GIB), disk_bytes=int(disk_gib * _GIB), speed=1.0
    )


def _compared(builders: Sequence[SimBuilder]) -> list[SimBuilder]:
    """These builders, each with what a claim knows of the others."""
    serving = {
        name: [_as_other(each, name) for each in builders if name in each.targets]
        for name in _TARGETS
    }
    best = {name: undominated(others) for name, others in serving.items()}
    limits = {name: _limits(others) for name, others in serving.items()}
    return [
        replace(
            each,
            capability=structs.replace(
                each.capability,
                others=tuple(
                    other
                    for name in each.targets
                    for other in best[name]
                    if other.label != each.label
                ),
                limits={name: limits[name] for name in each.targets},
            ),
        )
        for each in builders
    ]


def _as_other(builder: SimBuilder, target: str) -> OtherBuilder:
    known = builder.capability
    return OtherBuilder(
        label=builder.label,
        target=target,
        memory_bytes=known.memory_bytes,
        disk_bytes=known.disk_bytes,
        speed=known.speed,
    )


def _limits(others: Sequence[OtherBuilder]) -> TargetLimits:
    memory = sorted([0, 0, *(each.memory_bytes for each in others)])
    disk = sorted([0, 0, *(each.disk_bytes for each in others)])
    return TargetLimits(
        largest_memory_bytes=memory[-1],
        second_memory_bytes=memory[-2],
        largest_disk_bytes=disk[-1],
        second_disk_bytes=disk[-2],
    )


def make_builds(
    chance: random.Random, count: int, builders: int, others: Sequence[SimBuild] = ()
) -> list[SimBuild]:
    """A backlog, and what is queued in the time that a full farm takes for that and `others`."""
    drawn = [_on_a_board(chance, chance.choice(recorded_builds())) for _ in range(count)]
    total_s = sum(each.seconds for each in drawn) + sum(each.duration_s for each in others)
    return [
        _make_build(chance, number, each, total_s / builders) for number, each in enumerate(drawn)
    ]


def _on_a_board(chance: random.Random, recorded: RecordedBuild) -> RecordedBuild:
    """What such a build takes on a board; some are of larger projects than were recorded."""
    factor = 1.0
    if chance.random() < _LARGER_SHARE:
        factor = math.exp(chance.uniform(*map(math.log, _LARGER_FACTORS)))
    return replace(
        recorded,
        seconds=recorded.seconds * _BOARD_FACTOR * factor,
        memory_bytes=min(int(recorded.memory_bytes * factor**_MEMORY_POWER), _MOST_MEMORY),
        disk_bytes=min(int(recorded.disk_bytes * factor), _MOST_DISK),
    )


def _make_build(
    chance: random.Random, number: int, drawn: RecordedBuild, horizon_s: float
) -> SimBuild:
    backlog = 100 - sum(_ARRIVALS.values())
    priority = chance.choices([*_ARRIVALS, JobPriority.BACKLOG], [*_ARRIVALS.values(), backlog])[0]
    arrives_s = 0.0 if priority is JobPriority.BACKLOG else chance.uniform(0.0, horizon_s)
    known = chance.random() < _KNOWN_SHARE
    others_took = random.Random(number).lognormvariate(0.0, _SPREAD_OF_PROJECT)
    expected_s = drawn.seconds * others_took if known else 0.0
    others_used = chance.uniform(0.8, 1.1)
    job = WaitingJob(
        name=str(number),
        target=chance.choice(_TARGETS),
        priority=priority,
        priority_time=arrives_s + number * 1e-6,
        memory_over_bytes=rounded_up(int(drawn.memory_bytes * others_used)) - 1 if known else 0,
        min_disk_bytes=rounded_up(int(drawn.disk_bytes * others_used)) if known else 0,
        is_long=is_long_build(expected_s),
    )
    return SimBuild(
        job, arrives_s, drawn.seconds, drawn.memory_bytes, drawn.disk_bytes, drawn.fails, expected_s
    )


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
            peak_bytes=_LONG_MEMORY,
            peak_disk_bytes=_LONG_DISK,
            fails=False,
            expected_s=2.0 * 3600,
        )
        for number in range(count)
    ]


class Rule(Enum):
    """How jobs are assigned."""

    IN_ORDER = "first come, first served"  # nothing is known of needs, and there are no classes
    CLASSES = "classes"  # and builders with enough memory and disk
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
    wasted_s: float = 0.0  # builds that ran out of memory or disk
    ended_s: float = 0.0
    built: int = 0
    failed: int = 0  # as the recorded build did, whatever the builder has
    useful_in_horizon_s: float = 0.0
    given_up: int = 0

    @property
    def utilisation(self) -> float:
        """The share of the builders' time until the horizon that went into builds with a result."""
        return self.useful_in_horizon_s / (self.builders * self.horizon_s)

    @property
    def wasted(self) -> float:
        """The share of the time of builds that went into those that ran out of memory or disk."""
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
    #: The jobs of builds that ran out of something, as they were queued again.
    _needs: dict[str, WaitingJob] = field(default_factory=dict)

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
            job = replace(job, priority=JobPriority.NAMED, memory_over_bytes=0, min_disk_bytes=0)
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
        took_s = build.duration_s * (_STOPPED_AT if builder.lacks(build) else 1.0)
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
        lacking = builder.lacks(build)
        if lacking is None:
            began = now - build.duration_s
            outcome.useful_s += build.duration_s
            outcome.useful_in_horizon_s += max(min(now, outcome.horizon_s) - began, 0.0)
            outcome.built += not build.fails
            outcome.failed += build.fails
            return
        outcome.wasted_s += build.duration_s * _STOPPED_AT
        decision = self._decide(build, builder, lacking)
        if decision.is_final:
            outcome.given_up += 1
            return
        again = replace(build.job, priority_time=now)
        if self.rule is not Rule.IN_ORDER:
            again = self._needing_more(build, builder, decision)
        self._at(now + decision.delay_s, partial(self._add, again))

    def _decide(self, build: SimBuild, builder: SimBuilder, lacking: FailureClass) -> RetryDecision:
        """What follows a build that ran out of memory or disk."""
        attempt, known = self._attempts[build.job.name], builder.capability
        if self.rule is Rule.IN_ORDER:
            return RetryDecision(is_final=attempt >= _MAX_ATTEMPTS)
        evidence = FailureEvidence(
            disk_free_bytes=known.disk_bytes + _DISK_RESERVE, disk_reserve_bytes=_DISK_RESERVE
        )
        if lacking is FailureClass.OUT_OF_MEMORY:
            evidence = FailureEvidence(stop="memory", memory_limit_bytes=known.memory_bytes)
        failure = retry_policy.Failure(
            failure_class=lacking,
            builder=builder.label,
            evidence=evidence,
            attempt=attempt,
            earlier=(),
            other_builders=True,
            largest_memory_bytes=known.limits[build.job.target].largest_memory_bytes,
        )
        return retry_policy.decide(failure, retry_policy.RetryOptions())

    def _needing_more(
        self, build: SimBuild, builder: SimBuilder, decision: RetryDecision
    ) -> WaitingJob:
        """The job of such a build, with what is learned from it."""
        needed, known = self._needs.get(build.job.name, build.job), builder.capability
        disk = rounded_up(known.disk_bytes + 1) if decision.avoid_builder else 0
        again = replace(
            needed,
            is_tried=True,
            avoid_builder=decision.avoid_builder,
            memory_over_bytes=max(needed.memory_over_bytes, decision.memory_over_bytes),
            min_disk_bytes=max(needed.min_disk_bytes, disk),
        )
        self._needs[again.name] = again
        return again


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
        "failed, as recorded": lambda it: f"{it.failed:,}",
        "given up, for memory or disk": lambda it: f"{it.given_up:,}",
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
