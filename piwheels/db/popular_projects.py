"""Which projects are downloaded most; their jobs come before those of the others."""

from collections.abc import Sequence

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional

#: So many projects are popular, if each has at least so many downloads in this month and the last.
MAX_POPULAR, MIN_DOWNLOADS = 5_000, 30
#: Projects are locked in batches, for moments.
_AT_ONCE = 100

#: The projects that became popular, and those that no longer are.
_CHANGED_SQL = """
    WITH popular AS (
        SELECT project
          FROM downloads_monthly_by_project
         WHERE month >= date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month'
         GROUP BY project
        HAVING sum(downloads) >= %(least)s
         ORDER BY sum(downloads) DESC, project
         LIMIT %(most)s
    )
    SELECT project, true AS popular
      FROM popular
      JOIN projects USING (project)
     WHERE NOT is_popular
     UNION ALL
    SELECT project, false
      FROM projects
     WHERE is_popular AND project NOT IN (SELECT project FROM popular)
     ORDER BY project
"""


async def update_popular_projects(db: Database) -> int:
    """Mark the projects that are downloaded most; returns how many changed."""
    rows = await db.rows(_CHANGED_SQL, {"least": MIN_DOWNLOADS, "most": MAX_POPULAR})
    for popular in (True, False):
        names = [row["project"] for row in rows if row["popular"] is popular]
        for first in range(0, len(names), _AT_ONCE):
            await _set_popular(db, names[first : first + _AT_ONCE], popular=popular)
    return len(rows)


@transactional
async def _set_popular(db: Database, projects: Sequence[str], *, popular: bool) -> None:
    await lock_projects(db, projects)
    await db.execute(
        "UPDATE projects SET is_popular = %(popular)s WHERE project = ANY (%(projects)s)",
        {"projects": list(projects), "popular": popular},
    )
