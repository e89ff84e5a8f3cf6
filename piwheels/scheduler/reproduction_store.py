"""Reproductions in the database: claimed after, or before, ordinary jobs, and ended."""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from piwheels.db import reproductions
from piwheels.db.database import Database
from piwheels.model import (
    MAX_DIFFERENCES,
    RETRYABLE,
    BuilderCapability,
    Outcome,
    Reproduction,
    ReproductionJob,
    ReproductionResult,
)
from piwheels.protocol.messages import MAX_INPUTS
from piwheels.sanitize import truncate_line
from piwheels.scheduler.build_results import MAX_REASON_CHARS
from piwheels.scheduler.state_machine_events import ClaimJob, CompleteBuild

log = logging.getLogger(__name__)

#: Outcomes after which a reproduction is built again, a few times.
_BUILT_AGAIN = RETRYABLE - {Outcome.CANCELED}


@dataclass(slots=True)
class ReproductionStore:
    """Claims and results of reproductions.

    percent: of the builds that succeed, so many are reproduced at idle times.
    """

    db: Database
    percent: float = 0.0
    _random: random.Random = field(default_factory=random.Random)

    async def is_asked(self, claim: ClaimJob) -> bool:
        """Whether operators asked for reproductions for the targets of a claim."""
        return await reproductions.is_open(self.db, claim.targets, asked_only=True)

    async def claim(
        self, claim: ClaimJob, capability: BuilderCapability, *, asked_only: bool
    ) -> ReproductionJob | None:
        """A reproduction for a builder; with `asked_only`, one that an operator asked for."""
        return await reproductions.claim(
            self.db,
            claim.label,
            claim.targets,
            claim.targets_without_compiler,
            capability,
            asked_only=asked_only,
        )

    async def sample(self, build_id: int) -> None:
        """Choose, by chance, whether the wheel of a build is reproduced at an idle time."""
        if self._random.random() * 100 < self.percent:
            await reproductions.choose_for_idle_time(self.db, build_id)

    async def complete(
        self, ended: CompleteBuild, job: ReproductionJob
    ) -> tuple[bool, Reproduction | None]:
        """Record how a reproduction ended.

        Returns:
            Whether its builder still had it, and the result; None if it will be built again.
        """
        result = ended.result
        if result.outcome in _BUILT_AGAIN and await reproductions.build_again(
            self.db, job, ended.label
        ):
            log.info("%s is built again once more: %s", job.filename, result.reason)
            return True, None
        stored = await reproductions.of_job(self.db, job)
        if stored is None:
            return False, None
        outcome = _with_result(stored, ended, job)
        held = await reproductions.complete(self.db, job, outcome)
        return held, outcome if held else None


def _with_result(stored: Reproduction, ended: CompleteBuild, job: ReproductionJob) -> Reproduction:
    result, comparison = ended.result, ended.comparison
    if result.outcome is not Outcome.BUILT:
        reason = truncate_line(result.reason, MAX_REASON_CHARS) or str(result.outcome)
        return replace(stored, builder=ended.label, result=ReproductionResult.FAILED, reason=reason)
    return replace(
        stored,
        builder=ended.label,
        result=comparison.result if comparison else ReproductionResult.SAME,
        rebuilt_sha256=ended.rebuilt_sha256,
        differences=comparison.differences if comparison else (),
        unlisted=comparison.unlisted if comparison else 0,
        changed_inputs=_changed_inputs(job.original_inputs, result.build_inputs),
    )


def _changed_inputs(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """The inputs that one of two builds alone had; () if those of one are not known, or not all."""
    if not before or not after or max(len(before), len(after)) >= MAX_INPUTS:
        return ()
    old, new = set(before), set(after)
    gone = [f"- {text}" for text in before if text not in new]
    came = [f"+ {text}" for text in after if text not in old]
    return tuple(truncate_line(text) for text in (*gone, *came)[:MAX_DIFFERENCES])
