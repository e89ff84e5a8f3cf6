"""Claims and results of builds in the database, and what a failure means for its job."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from piwheels import retry_policy
from piwheels.db import (
    completed_builds,
    history,
    job_queue,
    key_values,
    parked_jobs,
    recipe_store,
    reproductions,
)
from piwheels.db.database import Database
from piwheels.model import (
    Build,
    BuilderCapability,
    CompatibilityRules,
    FailureClass,
    Job,
    JobLength,
    JobPriority,
    Outcome,
    PastFailure,
    Reproduction,
    ReproductionJob,
    RetryDecision,
    first_priority,
    is_long_build,
    projection,
    reproduction_is_first,
)
from piwheels.protocol.messages import BuilderState, BuilderView
from piwheels.sanitize import truncate_line
from piwheels.scheduler import ended_builders
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.build_results import MAX_REASON_CHARS
from piwheels.scheduler.builder_record import BuilderRecord, OrphanedClaim
from piwheels.scheduler.farm_state import FarmState
from piwheels.scheduler.long_builds import ClaimStep
from piwheels.scheduler.reproduction_store import ReproductionStore
from piwheels.scheduler.state_machine_events import ClaimJob, CompleteBuild, PersistSuspension

_PAUSED_KEY, _PAUSED_BY_KEY = "paused", "paused/by"
#: Before the label of a builder that is asleep or quarantined.
_SUSPENSION_PREFIX = "quarantine/"
#: Before the label of a builder that an operator ended.
_ENDED_PREFIX = "ended/"


@dataclass(frozen=True, slots=True)
class FarmPause:
    """Who paused the farm, and when; a farm that is not paused has neither."""

    by: str = ""
    at: datetime | None = None


def _parse_pause(stored: str | None) -> FarmPause:
    at, _, by = (stored or "").partition(" ")
    try:
        return FarmPause(by, datetime.fromisoformat(at))
    except ValueError:
        return FarmPause()


#: A job, and the step of the claim that found it; of a reproduction, the first one.
_Claimed = tuple[Job, ClaimStep] | None


@dataclass(slots=True)
class JobStore:
    """What the dispatcher reads from the database and writes to it."""

    db: Database
    rules: CompatibilityRules
    logs: LogSpool
    farm: FarmState
    retry_options: retry_policy.RetryOptions = field(default_factory=retry_policy.RetryOptions)
    pause: FarmPause = field(default_factory=FarmPause)
    reproduce_percent: float = 0.0
    reproductions: ReproductionStore = field(init=False)
    #: How many jobs and reproductions each builder got since the master started.
    _turns: Counter[str] = field(default_factory=Counter)
    #: How many of its jobs' turns each builder used, by the length that it asked for.
    _claims: Counter[tuple[str, JobLength]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.reproductions = ReproductionStore(self.db, self.reproduce_percent)

    async def restore(self, now: float) -> set[int]:
        """Fill the farm's state from the database; returns the builds that are claimed.

        `now` is the time of the farm's monotonic clock, in seconds.
        """
        self.farm.paused = await key_values.get_value(self.db, _PAUSED_KEY) == "yes"
        if self.farm.paused:
            self.pause = _parse_pause(await key_values.get_value(self.db, _PAUSED_BY_KEY))
        claims = await job_queue.claimed_jobs(self.db)
        claims += await reproductions.claimed_jobs(self.db)
        clock = datetime.now(UTC)
        self.farm.orphans = {
            claim.builder: OrphanedClaim(
                claim.job,
                since=now,
                # A clock that was set back would have it begin after now.
                claimed_at=now - max((clock - claim.claimed_at).total_seconds(), 0.0),
            )
            for claim in claims
        }
        await self._restore_records(now)
        stored = await key_values.get_values(self.db, _ENDED_PREFIX)
        self.farm.ended = ended_builders.from_texts(stored, clock, now)
        return {claim.job.build_id for claim in claims}

    async def _restore_records(self, now: float) -> None:
        """What builders did in the last hour, and which are asleep or quarantined."""
        for ended in await history.recent_results(self.db):
            record = self.farm.records.setdefault(ended.builder, BuilderRecord())
            record.results.append((now - ended.age_s, ended.built))
        suspended = await key_values.get_values(self.db, _SUSPENSION_PREFIX)
        for label, value in suspended.items():
            state, _, reason = value.partition(" ")
            record = self.farm.records.setdefault(label, BuilderRecord())
            record.suspension, record.suspension_reason = BuilderState(state), reason
            record.schedule_canary(now)

    async def store_pause(self, pause: FarmPause | None) -> None:
        """Keep across restarts whether the farm is paused, by whom and since when."""
        await self.db.in_transaction(lambda: self._store_pause_once(pause))
        self.pause = pause or FarmPause()

    async def _store_pause_once(self, pause: FarmPause | None) -> None:
        await key_values.set_value(self.db, _PAUSED_KEY, "yes" if pause else "no")
        by = f"{pause.at.isoformat()} {pause.by}" if pause and pause.at else None
        await key_values.set_value(self.db, _PAUSED_BY_KEY, by)

    async def store_suspension(self, suspension: PersistSuspension) -> None:
        """Keep across restarts that a builder is asleep or quarantined, or that it is neither."""
        key = f"{_SUSPENSION_PREFIX}{suspension.label}"
        value = f"{suspension.suspension} {suspension.reason}" if suspension.suspension else None
        await key_values.set_value(self.db, key, value)

    async def store_ended_builder(self, label: str, view: BuilderView | None) -> None:
        """Keep across restarts how a builder was shown that an operator ended; None: it was not."""
        text = ended_builders.to_text(view, datetime.now(UTC)) if view else None
        await key_values.set_value(self.db, f"{_ENDED_PREFIX}{label}", text)

    async def claim(self, claim: ClaimJob) -> Job | None:
        """A job for a builder, if one is queued for its targets."""
        # As one, because the answer to an earlier attempt can have been lost with the connection.
        found = await self.db.in_transaction(lambda: self._claim_once(claim))
        # The next claim gets the connection when this task waits, so that it sees this job.
        if found is None:
            return None
        job, step = found
        self._count_turn(claim.label, job, step.length)
        return job

    def _count_turn(self, label: str, job: Job, length: JobLength) -> None:
        self._turns[label] += 1
        if not isinstance(job, ReproductionJob):
            self._claims[label, length] += 1
            if is_long_build(job.expected_build_s):
                self.farm.long_builds.note_taken(job.target)
        elif first_priority(self._claims[label, length]) is JobPriority.NAMED:
            # Reproductions take turns of jobs that operators named, and of no others.
            self._claims[label, length] += 1

    async def _claim_once(self, claim: ClaimJob) -> _Claimed:
        await job_queue.unclaim_all(self.db, claim.label)
        await reproductions.unclaim(self.db, claim.label)
        steps = await self._claim_steps(claim)
        fitness = self.farm.fitness(claim.label)
        turn = self._turns[claim.label]
        if first_priority(turn) is JobPriority.NAMED and await self.reproductions.is_asked(claim):
            found = await self._claim_asked(claim, fitness, steps, turn)
            if found is not None:
                return found
        found = await self._claim_queued(claim, fitness, steps)
        if found is not None:
            return found
        job = await self.reproductions.claim(claim, fitness, asked_only=False)
        return (job, steps[0]) if job is not None else None

    async def _claim_steps(self, claim: ClaimJob) -> tuple[ClaimStep, ...]:
        """What a claim looks for; within its transaction, so that builders decide one by one."""
        load = self.farm.long_load(claim.label)
        waiting = (
            set()
            if load.has_room(claim.targets)
            else await job_queue.targets_with_long_jobs(self.db, claim.targets)
        )
        return self.farm.long_builds.steps(claim.targets, load, waiting, self.farm.now)

    async def _claim_asked(
        self,
        claim: ClaimJob,
        fitness: BuilderCapability,
        steps: Sequence[ClaimStep],
        turn: int,
    ) -> _Claimed:
        """What operators asked for: a job that they named, or a wheel to be reproduced.

        Hundreds of reproductions are asked for by one command, and delay named jobs by little.
        """
        if not reproduction_is_first(turn):
            # Short jobs that nobody named precede named ones that are long, if those are to wait.
            first = steps if len(steps) == 1 else steps[:-1]
            found = await self._claim_queued(claim, fitness, first, last=JobPriority.NAMED)
            if found is not None:
                return found
        job = await self.reproductions.claim(claim, fitness, asked_only=True)
        return (job, steps[0]) if job is not None else None

    async def _claim_queued(
        self,
        claim: ClaimJob,
        fitness: BuilderCapability,
        steps: Sequence[ClaimStep],
        last: JobPriority = JobPriority.BACKLOG,
    ) -> _Claimed:
        for step in steps:
            job = await job_queue.claim(
                self.db,
                claim.label,
                step.targets,
                tuple(set(step.targets) & set(claim.targets_without_compiler)),
                fitness,
                first=min(first_priority(self._claims[claim.label, step.length]), last),
                last=last,
                length=step.length,
            )
            if job is not None:
                return job, step
        return None

    async def reclaim(self, label: str, build: int) -> Job | None:
        """The job of a build that was queued again, if nobody else has taken it."""
        return await job_queue.reclaim(self.db, label, build)

    async def unclaim(self, label: str, build: int) -> None:
        """Requeue a job as if its build had not begun."""
        if await job_queue.unclaim(self.db, label, build) or await reproductions.unclaim(
            self.db, label, build
        ):
            self.logs.discard(build)

    async def complete(self, ended: CompleteBuild) -> tuple[Build, bool]:
        """Record how a build ended; returns it, and whether its claim still held."""
        build = _build_of(ended)
        await asyncio.to_thread(self.logs.archive, build.build_id)
        stored = await completed_builds.complete_job(
            self.db, build, ended.files, self.rules, lambda past: self._decide_retry(build, past)
        )
        if stored and build.outcome is Outcome.BUILT:
            await self.reproductions.sample(build.build_id)
        return build, stored

    async def complete_reproduction(
        self, ended: CompleteBuild, job: ReproductionJob
    ) -> tuple[bool, Reproduction | None]:
        """Record how a reproduction ended, without its log; as `ReproductionStore.complete`."""
        self.logs.discard(job.build_id)
        return await self.reproductions.complete(ended, job)

    async def update_parked_jobs(self) -> None:
        """Park the jobs whose packages no connected builder has, and queue the others."""
        requirements = await parked_jobs.package_requirements(self.db)
        self.farm.note_required_packages(
            [(each.target, each.required_packages) for each in requirements]
        )
        for each in requirements:
            parked = not self.farm.can_supply(each.target, each.required_packages)
            if parked != each.parked:
                await parked_jobs.set_parked(self.db, each, parked=parked)

    async def learn(self, job: Job, build: Build) -> str:
        """Keep what helped a build that succeeded; returns what is new, in words."""
        if build.outcome is not Outcome.BUILT or build.added_packages is None:
            return ""
        return await recipe_store.learn_packages(
            self.db, job, build.added_packages, datetime.now(UTC)
        )

    def _decide_retry(self, build: Build, past: Sequence[PastFailure]) -> RetryDecision:
        if build.failure_class is None:
            return retry_policy.FINAL
        processes, file_bytes = self.farm.largest_limits(build.target)
        failure = retry_policy.Failure(
            failure_class=build.failure_class,
            builder=build.builder,
            evidence=build.evidence,
            attempt=build.attempt,
            earlier=past,
            other_builders=self.farm.has_other_builder(build.builder, build.target),
            largest_memory_bytes=self._largest_memory(build.target, past),
            largest_processes=processes,
            largest_file_bytes=file_bytes,
            can_add_packages=build.added_packages is not None,
            has_packages=self.farm.has_packages(build.builder, build.evidence.packages),
        )
        return retry_policy.decide(failure, self.retry_options)

    def _largest_memory(self, target: str, past: Sequence[PastFailure]) -> int:
        """The most memory that a build can get, in bytes, with the packages that it lacked."""
        lacked = [each for each in past if each.failure_class is FailureClass.MISSING_PACKAGE]
        packages = lacked[-1].evidence.packages if lacked else ()
        memory = self.farm.memory_bytes_with(target, packages) if packages else None
        return self.farm.max_memory_bytes(target) if memory is None else memory


def _build_of(ended: CompleteBuild) -> Build:
    result = ended.result
    return projection(
        Build,
        ended.job,
        result,
        builder=ended.label,
        reason=truncate_line(result.reason, MAX_REASON_CHARS),
        started_at=datetime.now(UTC) - timedelta(seconds=result.duration_s),
        failure_class=result.failure_class or retry_policy.failure_class_of(result.outcome),
    )
