"""Counts the builds that ended since a builder started."""

from collections import Counter
from dataclasses import dataclass, field

from piwheels.builder.build_log import OnPhase
from piwheels.builder.job_dir import JobDir
from piwheels.builder.master_client import BuildFunction
from piwheels.model import Job, Outcome
from piwheels.protocol.messages import BuildFinished


@dataclass(slots=True)
class BuildCounts:
    """Builds by outcome, and how long all of them took."""

    by_outcome: Counter[Outcome] = field(default_factory=Counter)
    duration_s: float = 0.0

    def counting(self, build: BuildFunction) -> BuildFunction:
        """A function that builds, and counts its result."""

        async def build_and_count(job: Job, job_dir: JobDir, on_phase: OnPhase) -> BuildFinished:
            result = await build(job, job_dir, on_phase)
            self.by_outcome[result.outcome] += 1
            self.duration_s += result.duration_s
            return result

        return build_and_count
