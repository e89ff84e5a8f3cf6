"""The rule of claims without SQL: which job a builder gets.

The oracle of `db.job_queue.claim`, and the scheduler of the simulation in tests/benchmarks. Classes
and turns are those of the product (`model.job_priority`).
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from piwheels.model import BuilderCapability, JobLength, JobPriority
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
    is_long: bool = False
    min_speed: float = 0.0
    required_packages: frozenset[str] = field(default_factory=frozenset)

    def suits(self, builder: str, capability: BuilderCapability) -> bool:
        """Whether a builder meets what the job requires."""
        return (
            not self.is_held
            and (builder != self.avoid_builder or self._is_alone(capability))
            and self._has_memory(capability)
            and self._has_disk(capability)
            and (self.min_speed <= capability.speed or self.min_speed > capability.best_speed)
            and (
                self.target in capability.layer_targets
                or self.required_packages <= set(capability.available_packages)
            )
        )

    def _is_alone(self, capability: BuilderCapability) -> bool:
        alone = capability.exclusive_targets
        return alone is None or self.target in alone

    def _has_memory(self, capability: BuilderCapability) -> bool:
        """Whether the builder has as much, or no other builder has more and none has enough."""
        largest = capability.largest_memory_bytes
        return (
            self.memory_over_bytes == 0
            or self.memory_over_bytes < capability.memory_bytes
            or (self.memory_over_bytes >= largest and capability.memory_bytes >= largest)
        )

    def _has_disk(self, capability: BuilderCapability) -> bool:
        """Likewise, of free disk space."""
        free, largest = capability.disk_bytes, capability.largest_disk_bytes
        return self.min_disk_bytes <= free or free >= largest < self.min_disk_bytes

    def has_length(self, length: JobLength) -> bool:
        """Whether a claim looks for such a job."""
        return length is JobLength.ANY or self.is_long is (length is JobLength.LONG)


@dataclass(slots=True)
class JobQueue:
    """The jobs that wait, by target and class, each in the order of their priority times."""

    _jobs: dict[tuple[str, JobPriority], list[WaitingJob]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self._jobs.values()))

    def add(self, job: WaitingJob) -> None:
        """Queue a job."""
        jobs = self._jobs.setdefault((job.target, job.priority), [])
        insort(jobs, job, key=lambda each: each.priority_time)

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
                return job
        return None
