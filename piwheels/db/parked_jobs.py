"""Jobs that need packages which no builder has: parked until one says that it has them."""

from piwheels.db.database import Database
from piwheels.db.rows import from_row
from piwheels.model import AwaitedPackage, Struct

_MAX_SHOWN = 100


class PackageRequirement(Struct, frozen=True, kw_only=True):
    """What some jobs of a target need, and whether they wait for a builder that has it."""

    target: str
    required_packages: tuple[str, ...]
    parked: bool


async def package_requirements(db: Database) -> list[PackageRequirement]:
    """What unclaimed jobs need, each combination once."""
    rows = await db.rows(
        """
        SELECT DISTINCT target, required_packages, parked FROM jobs
         WHERE required_packages <> '{}' AND claimed_by IS NULL
        """
    )
    return [from_row(PackageRequirement, row) for row in rows]


async def set_parked(db: Database, requirement: PackageRequirement, *, parked: bool) -> int:
    """Park the jobs with a requirement, or make them claimable; returns how many."""
    return await db.execute(
        """
        UPDATE jobs SET parked = %(parked)s
         WHERE target = %(target)s AND required_packages = %(packages)s
           AND required_packages <> '{}' -- for the index of the few that need packages
           AND claimed_by IS NULL AND parked <> %(parked)s
        """,
        {
            "target": requirement.target,
            "packages": list(requirement.required_packages),
            "parked": parked,
        },
    )


async def awaited_packages(db: Database) -> tuple[AwaitedPackage, ...]:
    """The packages that parked jobs wait for, those of the most releases first."""
    rows = await db.rows(
        """
        SELECT package, count(DISTINCT (project, version)) AS releases
          FROM jobs CROSS JOIN unnest(required_packages) AS package
         WHERE required_packages <> '{}' AND parked AND claimed_by IS NULL
         GROUP BY package ORDER BY releases DESC, package LIMIT %(most)s
        """,
        {"most": _MAX_SHOWN},
    )
    return tuple(from_row(AwaitedPackage, row) for row in rows)
