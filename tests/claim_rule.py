"""The rule of claims without SQL: which job a builder gets.

The oracle of `db.job_queue.claim`, and the scheduler of the simulation in tests/benchmarks. Classes
and turns are those of the product (`model.job_priority`).
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from piwheels.model import BuilderCapability, JobLength, JobPriority, OtherBuilder, TargetLimits
from piwheels.model.job_priority import search_order


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJob:
    """A job that can be claimed, and what it requires of a builder."""

    name: str
    target: str
    priority: JobPriority
    priority_time: float
    is_held: bool = False
    avoid_builder: str = ""
    memory_over_bytes: int = 0
    min_disk_bytes: int = 0
    is_tried: bool = False
    is_long: bool = False
    min_speed: float = 0.0
    required_packages: frozenset[str] = field(default_factory=frozenset)

    def suits(self, builder: str, capability: BuilderCapability) -> bool:
        """Whether a builder gets it: it meets everything, or no other builder does."""
        limits = capability.limits.get(self.target, TargetLimits())
        if self.is_held or not self._has_packages(capability):
            return False
        if not self._has_memory(capability.memory_bytes, limits):
            return False
        if builder != self.avoid_builder and self._has_rest(
            capability.disk_bytes, capability.speed, limits
        ):
            return True
        return not any(self._is_for_other(other, limits) for other in capability.others)

    def _has_packages(self, capability: BuilderCapability) -> bool:
        available = set(capability.available_packages)
        return self.target in capability.layer_targets or self.required_packages <= available

    def _is_for_other(self, other: OtherBuilder, limits: TargetLimits) -> bool:
        return (
            other.target == self.target
            and other.label != self.avoid_builder
            and (not self.required_packages or other.adds_packages)
            and self._has_memory(other.memory_bytes, limits)
            and self._has_rest(other.disk_bytes, other.speed, limits)
        )

    def _has_memory(self, memory_bytes: int, limits: TargetLimits) -> bool:
        """Whether that is more than it needs, or as much as the largest has that it can get."""
        over = self.memory_over_bytes
        packages = tuple(sorted(self.required_packages))
        most = limits.memory_with_packages.get(packages, limits.largest_memory_bytes)
        return over == 0 or memory_bytes > over or memory_bytes >= most

    def _has_rest(self, disk_bytes: int, speed: float, limits: TargetLimits) -> bool:
        """A job that was not tried needs no more disk than two builders have."""
        most = limits.largest_disk_bytes if self.is_tried else limits.second_disk_bytes
        return disk_bytes >= min(self.min_disk_bytes, most) and speed >= self.min_speed

    def has_length(self, length: JobLength) -> bool:
        """Whether a claim looks for such a job."""
        return length is JobLength.ANY or self.is_long is (length is JobLength.LONG)


@dataclass(slots=True)
class JobQueue:
    """The jobs that wait, by target and class, each in the order of their priority times."""

    _jobs: dict[tuple[str, JobPriority], list[WaitingJob]] = field(default_factory=dict)
    #: How many long jobs wait, by target.
    long_jobs: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return sum(map(len, self._jobs.values()))

    def add(self, job: WaitingJob) -> None:
        """Queue a job."""
        jobs = self._jobs.setdefault((job.target, job.priority), [])
        insort(jobs, job, key=lambda each: each.priority_time)
        self.long_jobs[job.target] += job.is_long

    def take(
        self,
        builder: str,
        targets: Iterable[str],
        capability: BuilderCapability,
        first: JobPriority,
        length: JobLength = JobLength.ANY,
    ) -> WaitingJob | None:
        """The job that a builder gets: of the class whose turn it is, the one queued first."""
        for priority in search_order(first):
            queues = (self._jobs.get((target, priority), ()) for target in targets)
            heads = [
                next(
                    (
                        job
                        for job in jobs
                        if job.has_length(length) and job.suits(builder, capability)
                    ),
                    None,
                )
                for jobs in queues
            ]
            found = [job for job in heads if job is not None]
            if found:
                job = min(found, key=lambda each: each.priority_time)
                self._jobs[job.target, priority].remove(job)
                self.long_jobs[job.target] -= job.is_long
                return job
        return None
