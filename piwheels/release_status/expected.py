"""When a queued job is expected to be built."""

from collections.abc import Mapping
from datetime import timedelta

from piwheels.model import MAX_JOBS_AHEAD, TargetStatusRow


def expected_wait(
    target: TargetStatusRow, builds_per_hour: Mapping[str, float]
) -> timedelta | None:
    """How long a queued job waits until it is built; None if that is unknown.

    Args:
        target: the job's target, with the jobs ahead of it.
        builds_per_hour: the recent rate of each target.
    """
    return expected_start(target.jobs_ahead + 1, builds_per_hour.get(target.target, 0.0))


def expected_start(jobs_ahead: int, builds_per_hour: float) -> timedelta | None:
    """How long it takes until so many jobs were built, at this rate; None if that is unknown."""
    if not builds_per_hour or jobs_ahead > MAX_JOBS_AHEAD:
        return None
    return timedelta(hours=jobs_ahead / builds_per_hour)
