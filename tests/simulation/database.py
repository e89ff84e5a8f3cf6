"""The job queue as the simulation needs it: claims, completion and reclaiming, without SQL."""

from dataclasses import dataclass
from datetime import UTC, datetime

from piwheels.model import Job, Outcome, Sdist
from piwheels.protocol.messages import BuilderState
from tests.scheduler.message_factories import TARGET

_RELEASED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class QueuedJob:
    """A release to build; `build_id` is the running attempt's."""

    project: str
    claimed_by: str = ""
    build_id: int = 0
    built_by: int = 0  # the build that made its wheel
    last_build: int = (
        0  # the attempt that was returned or lost, and whose builder may have it again
    )
    last_builder: str = ""

    def claim(self, label: str, build_id: int) -> Job:
        self.claimed_by, self.build_id = label, build_id
        self.last_build, self.last_builder = 0, ""
        return self.job

    @property
    def job(self) -> Job:
        return Job(
            build_id=self.build_id,
            project=self.project,
            version="1",
            target=TARGET.name,
            sdist=Sdist(filename=f"{self.project}-1.tar.gz", url="u", sha256="0"),
            released_at=_RELEASED,
        )

    def unclaim(self, *, may_return: bool) -> None:
        self.last_build = self.build_id if may_return else 0
        self.last_builder = self.claimed_by if may_return else ""
        self.claimed_by, self.build_id = "", 0


class SimulatedDatabase:
    """The queue; it outlives every master."""

    def __init__(self, jobs: int) -> None:
        self.jobs = [QueuedJob(f"project-{number}") for number in range(jobs)]
        self.suspensions: dict[str, tuple[BuilderState, str]] = {}
        self.completed: dict[int, Outcome] = {}
        self._builds = 0

    def claim(self, label: str) -> Job | None:
        """The next job for a builder, which has none."""
        for held in self.jobs:
            if held.claimed_by == label:
                held.unclaim(may_return=True)
        free = (job for job in self.jobs if not job.claimed_by and not job.built_by)
        if (job := next(free, None)) is None:
            return None
        self._builds += 1
        return job.claim(label, self._builds)

    def unclaim(self, label: str, build_id: int) -> None:
        if (job := self._claimed(label, build_id)) is not None:
            job.unclaim(may_return=True)

    def reclaim(self, label: str, build_id: int) -> Job | None:
        for job in self.jobs:
            returned = (job.last_build, job.last_builder) == (build_id, label)
            if returned and not job.claimed_by and not job.built_by:
                self.completed.pop(build_id, None)
                return job.claim(label, build_id)
        return None

    def complete(self, label: str, build_id: int, outcome: Outcome) -> bool:
        """Store how a build ended; False if its claim was lost."""
        job = self._claimed(label, build_id)
        if job is None:
            return build_id in self.completed
        job.unclaim(may_return=outcome is Outcome.LOST)
        if outcome is Outcome.BUILT:
            job.built_by = build_id
        self.completed[build_id] = outcome
        return True

    def is_claimed(self, label: str, build_id: int) -> bool:
        return self._claimed(label, build_id) is not None

    def claims(self) -> dict[str, Job]:
        """The claimed jobs by the label of their builder."""
        return {item.claimed_by: item.job for item in self.jobs if item.claimed_by}

    @property
    def all_built(self) -> bool:
        return all(job.built_by for job in self.jobs)

    def _claimed(self, label: str, build_id: int) -> QueuedJob | None:
        found = (job for job in self.jobs if (job.claimed_by, job.build_id) == (label, build_id))
        return next(found, None)
