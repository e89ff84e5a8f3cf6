"""Queries of the search for projects: all names at once, and what is shown of a few of them."""

from collections.abc import Sequence

from piwheels.db.database import Database
from piwheels.db.index_queries import version_sort_key
from piwheels.db.rows import from_row
from piwheels.model import ProjectHit

#: So many releases of a project, those that were released last, are compared by their version.
_MAX_RELEASES = 30


async def names_by_downloads(db: Database) -> str:
    """The name of each project in a line of one text, the most downloaded first."""
    names: str | None = await db.value(
        """
        SELECT string_agg(p.project, E'\n'
                          ORDER BY coalesce(d.downloads, 0) DESC, length(p.project), p.project)
          FROM projects p
          LEFT JOIN downloads_by_project d ON d.project = p.project
        """
    )
    return names or ""


async def project_hits(db: Database, names: Sequence[str]) -> tuple[ProjectHit, ...]:
    """The projects with these names that exist, in this order."""
    versions = await _newest_versions(db, names)
    rows = await db.rows(
        """
        SELECT p.project, w.version, p.skip_reason,
               (SELECT count(*) FROM targets WHERE skip_reason IS NULL)::int AS targets,
               (SELECT count(DISTINCT c.target)::int
                  FROM covering_files c
                  JOIN targets t ON t.target = c.target AND t.skip_reason IS NULL
                 WHERE c.project = w.project AND c.version = w.version) AS covered,
               coalesce(j.target, '') AS queued_target, coalesce(j.claimed_by, '') AS builder,
               coalesce(b.failure_class, '') AS failure_class
          FROM unnest(%(projects)s::text[], %(versions)s::text[]) WITH ORDINALITY
                   AS w (project, version, place)
          JOIN projects p ON p.project = w.project
          LEFT JOIN LATERAL (
              SELECT j.target, j.claimed_by
                FROM jobs j
                JOIN targets t ON t.target = j.target
               WHERE j.project = w.project AND j.version = w.version
               ORDER BY j.claimed_by IS NULL, t.sort_order LIMIT 1
          ) j ON true
          LEFT JOIN LATERAL (
              SELECT coalesce(nullif(b.failure_class, ''), b.outcome) AS failure_class
                FROM builds b
               WHERE b.project = w.project AND b.version = w.version
                 AND b.outcome <> 'built' AND NOT b.will_retry
                 AND NOT EXISTS (
                     SELECT FROM covering_files c
                      WHERE c.project = b.project AND c.version = b.version
                        AND c.target = b.target)
                 AND NOT EXISTS (
                     SELECT FROM jobs o
                      WHERE o.project = b.project AND o.version = b.version
                        AND o.target = b.target)
               ORDER BY b.build_id DESC LIMIT 1
          ) b ON true
         ORDER BY w.place
        """,
        {"projects": list(names), "versions": [versions.get(name, "") for name in names]},
    )
    return tuple(from_row(ProjectHit, row) for row in rows)


async def _newest_versions(db: Database, names: Sequence[str]) -> dict[str, str]:
    """The newest release of each project that has one."""
    rows = await db.rows(
        """
        SELECT r.project, r.version
          FROM unnest(%(projects)s::text[]) AS w (project)
         CROSS JOIN LATERAL (
             SELECT project, version FROM releases
              WHERE project = w.project AND missing_since IS NULL
              ORDER BY released_at DESC LIMIT %(limit)s
         ) r
        """,
        {"projects": list(names), "limit": _MAX_RELEASES},
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["project"], []).append(row["version"])
    return {project: max(versions, key=version_sort_key) for project, versions in found.items()}
