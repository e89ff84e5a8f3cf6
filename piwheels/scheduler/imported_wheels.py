"""Wheels that no build of this farm's database made: their release, target and build."""

from datetime import UTC, datetime

from piwheels.db import catalog, target_queries
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import Build, CompatibilityRules, Outcome, Release, Target
from piwheels.wheel.inspect import WheelInfo


async def first_compatible_target(
    db: Database, rules: CompatibilityRules, facts: WheelInfo
) -> Target:
    """A target of this farm that a wheel installs on.

    Raises:
        RejectedError: there is none.
    """
    for target in await target_queries.targets(db):
        if rules.is_loadable(facts.compatibility, target):
            return target
    raise RejectedError(f"{facts.filename} installs on none of this farm's targets")


async def add_missing_release(
    db: Database, rules: CompatibilityRules, project: str, version: str, requires_python: str
) -> None:
    """Add the release that a wheel belongs to, unless the farm has it; without an sdist."""
    known = await catalog.stored_releases(db, project)
    if version in {item.version for item in known}:
        return
    release = Release(
        project=project,
        version=version,
        released_at=datetime.now(UTC),
        requires_python=requires_python,
    )
    await catalog.add_project(db, project, project)
    await catalog.add_releases(db, [release], rules)


def build_of(number: int, project: str, version: str, target: Target, builder: str) -> Build:
    """The build that such a wheel is recorded with."""
    return Build(
        build_id=number,
        project=project,
        version=version,
        target=target.name,
        builder=builder,
        outcome=Outcome.BUILT,
        started_at=datetime.now(UTC),
        duration_s=0.0,
    )
