"""The rule of claims without SQL: which job a builder gets.

The oracle of `db.job_queue.claim`, and the scheduler of the simulation in tests/benchmarks. Classes
and turns are those of the product (`model.job_priority`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from piwheels.model import BuilderCapability, JobPriority
from piwheels.model.job_priority import chosen_priority


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJob:
    """A job that can be claimed, and what it requires of a builder."""

    name: str
    target: str
    priority: JobPriority
    priority_time: float
    is_held: bool = False
    is_pure: bool = False
    avoid_builder: str = ""
    memory_over_bytes: int = 0
    min_speed: float = 0.0
    required_packages: frozenset[str] = field(default_factory=frozenset)

    def suits(self, builder: str, capability: BuilderCapability) -> bool:
        """Whether a builder meets what the job requires."""
        return (
            not self.is_held
            and (builder != self.avoid_builder or self._is_alone(capability))
            and self._has_memory(capability)
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


def choose(
    jobs: Iterable[WaitingJob],
    builder: str,
    targets: Iterable[str],
    capability: BuilderCapability,
    first: JobPriority,
) -> WaitingJob | None:
    """The job that a builder gets: of the class whose turn it is, the one that was queued first."""
    served = set(targets)
    fitting = [job for job in jobs if job.target in served and job.suits(builder, capability)]
    if not fitting:
        return None
    chosen = chosen_priority({job.priority for job in fitting}, first)
    return min(
        (job for job in fitting if job.priority == chosen), key=lambda job: job.priority_time
    )
