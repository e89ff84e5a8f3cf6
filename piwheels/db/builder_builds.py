"""What each builder has built: counts of a period, and how long others take for a project."""

from datetime import datetime, timedelta

from piwheels.db.database import Database
from piwheels.model import Struct


class BuilderCounts(Struct, frozen=True, kw_only=True):
    """The builds of a builder that ended in a period; `failed` counts final failures alone."""

    built: int = 0
    failed: int = 0


async def counts_by_builder(
    db: Database, begin: datetime, length: timedelta
) -> dict[str, BuilderCounts]:
    """What builders built from then on, by builder; those without a build are left out."""
    rows = await db.rows(
        """
        SELECT builder,
               (count(*) FILTER (WHERE outcome = 'built'))::int AS built,
               (count(*) FILTER (WHERE outcome <> 'built' AND NOT will_retry))::int AS failed
          FROM made_builds
         WHERE ended_at >= %(begin)s AND ended_at < %(end)s
         GROUP BY builder
        """,
        {"begin": begin, "end": begin + length},
    )
    return {row["builder"]: BuilderCounts(built=row["built"], failed=row["failed"]) for row in rows}


async def usual_duration(db: Database, builder: str, project: str, target: str) -> float | None:
    """How long other builders take for a project and a target: the median of 90 days, in seconds.

    None if none has built it.
    """
    usual = await db.value(
        """
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s)
          FROM builds
         WHERE project = %(project)s AND target = %(target)s AND builder <> %(builder)s
           AND outcome = 'built' AND duration_s > 0
           AND ended_at > now() - interval '90 days'
        """,
        {"builder": builder, "project": project, "target": target},
    )
    return None if usual is None else float(usual)
