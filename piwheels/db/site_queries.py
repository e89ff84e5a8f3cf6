"""Queries of the website apart from downloads: projects, builds, the queue over time."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Any

from piwheels.db.catalog import next_projects
from piwheels.db.database import Database
from piwheels.db.downloads import RECENT_DAYS, first_day
from piwheels.db.history import BUILD_SUMMARIES_SQL, build_summary
from piwheels.db.index_queries import version_sort_key
from piwheels.db.rows import from_row
from piwheels.model import (
    BuildSummary,
    FileSummary,
    ListedProject,
    Outcome,
    ProjectListing,
    ProjectNeeds,
    Struct,
)

#: Projects that are read at once.
_PART_PROJECTS = 5000


class SuccessRate(Struct, frozen=True, kw_only=True):
    """Recent results of builds for a target."""

    target: str
    built: int
    failed: int  # finally: retried failures say nothing about the release


class QueueLengthSample(Struct, frozen=True, kw_only=True):
    """How many jobs a target had at a time."""

    at: datetime
    target: str
    pending: int


# --- one project -------------------------------------------------------------------------


async def project_files(
    db: Database, projects: Sequence[str]
) -> dict[str, tuple[FileSummary, ...]]:
    """The files of projects, those of the newest release first; without hidden releases'."""
    rows = await db.rows(
        """
        SELECT f.project, f.filename, f.sha256, f.size_bytes, f.metadata_sha256, k.tags, k.glibc,
               f.requires_python, f.debian_packages, f.version, f.build_id,
               b.target AS built_for, f.rebuild_requested,
               f.published_at, f.has_provenance, f.mirrored_from, f.attestations_url,
               coalesce(f.uploaded_at, r.released_at) AS released_at,
               coalesce(f.yanked, r.yanked) AS yanked
          FROM listed_files f
          JOIN builds b ON b.build_id = f.build_id
          JOIN wheel_compatibilities k ON k.compatibility_id = f.compatibility_id
          JOIN releases r ON r.project = f.project AND r.version = f.version
         WHERE f.project = ANY (%(projects)s)
         ORDER BY f.filename
        """,
        {"projects": list(projects)},
    )
    rows.sort(key=lambda row: version_sort_key(row["version"]), reverse=True)
    found: dict[str, list[FileSummary]] = {}
    for row in rows:
        found.setdefault(row["project"], []).append(from_row(FileSummary, row))
    return {project: tuple(files) for project, files in found.items()}


class ProjectHead(Struct, frozen=True, kw_only=True):
    """What is known of a project besides its releases' states."""

    needs: ProjectNeeds = ProjectNeeds()
    versions: tuple[str, ...] = ()  # of its releases that upstream lists, in any order


async def project_head(db: Database, project: str) -> ProjectHead:
    """What builds of a project need, and its releases; for one that the farm has."""
    row = await db.row(
        """
        SELECT p.min_memory_bytes, p.min_disk_bytes, p.expected_build_s,
               ARRAY(SELECT version FROM releases r
                      WHERE r.project = p.project AND r.missing_since IS NULL) AS versions
          FROM projects p
         WHERE p.project = %(project)s
        """,
        {"project": project},
    )
    return from_row(ProjectHead, row, needs=from_row(ProjectNeeds, row)) if row else ProjectHead()


async def project_builds(
    db: Database, project: str, limit: int, *, version: str | None = None
) -> tuple[BuildSummary, ...]:
    """A project's builds, or those of one release, the newest first."""
    return await _build_summaries(
        db,
        """
        SELECT build_id FROM made_builds
         WHERE project = %(project)s AND (%(version)s::text IS NULL OR version = %(version)s)
         ORDER BY build_id DESC LIMIT %(limit)s
        """,
        {"project": project, "version": version, "limit": limit},
    )


async def last_builds(
    db: Database, projects: Sequence[str], limit: int
) -> dict[str, tuple[BuildSummary, ...]]:
    """The last builds of each project, the newest first."""
    builds = await _build_summaries(
        db,
        """
        SELECT last.build_id
          FROM unnest(%(projects)s::text[]) AS named (project)
         CROSS JOIN LATERAL (
             SELECT build_id FROM made_builds b
              WHERE b.project = named.project
              ORDER BY build_id DESC LIMIT %(limit)s
         ) last
        """,
        {"projects": list(projects), "limit": limit},
    )
    found: dict[str, list[BuildSummary]] = {}
    for build in builds:
        found.setdefault(build.project, []).append(build)
    return {project: tuple(of_project) for project, of_project in found.items()}


async def latest_builds(
    db: Database, limit: int, outcome: Outcome | None = None
) -> tuple[BuildSummary, ...]:
    """The builds that ended last, or those with an outcome, the newest first."""
    return await _build_summaries(
        db,
        """
        SELECT build_id FROM made_builds
         WHERE %(outcome)s::text IS NULL OR outcome = %(outcome)s
         ORDER BY ended_at DESC LIMIT %(limit)s
        """,
        {"limit": limit, "outcome": outcome and str(outcome)},
    )


async def regressions(db: Database, limit: int) -> tuple[BuildSummary, ...]:
    """Final failures of projects that had been built for the same target before."""
    return await _build_summaries(
        db,
        """
        SELECT b.build_id
          FROM builds b
         WHERE b.outcome <> 'built' AND NOT b.will_retry
           AND b.ended_at > now() - interval '90 days'
           AND EXISTS (
               SELECT FROM made_builds o
                WHERE o.project = b.project AND o.target = b.target
                  AND o.outcome = 'built' AND o.build_id < b.build_id)
         ORDER BY b.ended_at DESC
         LIMIT %(limit)s
        """,
        {"limit": limit},
    )


async def _build_summaries(
    db: Database, chosen: str, parameters: dict[str, Any]
) -> tuple[BuildSummary, ...]:
    """The builds that a query chooses, the newest first."""
    query = BUILD_SUMMARIES_SQL.format(builds="builds", conditions=f"b.build_id IN ({chosen})")
    return tuple(build_summary(row) for row in await db.rows(query, parameters))


async def aliases_of(db: Database, projects: Sequence[str]) -> dict[str, list[str]]:
    """Other names that lead to each of these projects."""
    rows = await db.rows(
        """
        SELECT project, array_agg(alias ORDER BY alias) AS aliases
          FROM project_aliases WHERE project = ANY (%(projects)s) GROUP BY project
        """,
        {"projects": list(projects)},
    )
    return {row["project"]: row["aliases"] for row in rows}


async def resolve_aliases(db: Database, aliases: Sequence[str]) -> dict[str, str]:
    """Where each of these names leads; a project of that very name is itself."""
    rows = await db.rows(
        """
        SELECT alias, project FROM project_aliases a
         WHERE alias = ANY (%(names)s)
           AND NOT EXISTS (SELECT FROM projects p WHERE p.project = a.alias)
        """,
        {"names": list(aliases)},
    )
    return {row["alias"]: row["project"] for row in rows}


async def set_alias(db: Database, name: str, project: str | None) -> bool:
    """Make a name an alias of a project, or of none; False if nothing changed."""
    if project is None:
        return bool(
            await db.execute("DELETE FROM project_aliases WHERE alias = %(name)s", {"name": name})
        )
    changed = await db.execute(
        """
        INSERT INTO project_aliases (alias, project)
        SELECT %(name)s, project FROM projects WHERE project = %(project)s
            ON CONFLICT (alias) DO UPDATE SET project = excluded.project
         WHERE project_aliases.project <> excluded.project
        """,
        {"name": name, "project": project},
    )
    return changed > 0


# --- all projects ------------------------------------------------------------------------


async def list_projects(db: Database) -> AsyncIterator[ProjectListing]:
    """Every project, by name, read part by part."""
    after = ""
    while part := await _projects_after(db, after):
        for project in part:
            yield project
        after = part[-1].name


async def _projects_after(db: Database, after: str) -> list[ProjectListing]:
    rows = await db.rows(
        """
        WITH part AS MATERIALIZED (
            SELECT project FROM projects
             WHERE project > %(after)s ORDER BY project LIMIT %(limit)s
        )
        SELECT p.project AS name,
               coalesce(f.files, 0) AS files,
               coalesce(t.downloads, 0) AS downloads,
               coalesce(r.recent, 0) AS recent_downloads
          FROM part p
          LEFT JOIN (
              SELECT f.project, count(*) AS files
                FROM listed_files f
               WHERE f.project > %(after)s AND f.project <= (SELECT max(project) FROM part)
               GROUP BY f.project
          ) f ON f.project = p.project
          LEFT JOIN downloads_by_project t ON t.project = p.project
          LEFT JOIN (
              SELECT project, sum(downloads)::bigint AS recent
                FROM downloads_monthly_by_project,
                     date_trunc('month', now() AT TIME ZONE 'UTC') AS this_month
               WHERE month = ANY (ARRAY[this_month, this_month - interval '1 month']::date[])
                 AND project > %(after)s AND project <= (SELECT max(project) FROM part)
               GROUP BY project
          ) r ON r.project = p.project
         ORDER BY p.project
        """,
        {"after": after, "limit": _PART_PROJECTS},
    )
    return [ProjectListing(**row) for row in rows]


async def group_sizes(db: Database) -> dict[str, int]:
    """How many projects' names start with each character."""
    rows = await db.rows(
        "SELECT left(project, 1) AS first, count(*) AS projects FROM projects GROUP BY first"
    )
    return {row["first"]: row["projects"] for row in rows}


async def listed_projects(db: Database, after: str, limit: int) -> list[ListedProject]:
    """The projects that follow a name, by name, up to a limit."""
    rows = await db.rows(
        """
        SELECT p.project AS name, coalesce(m.summary, '') AS summary,
               EXISTS (SELECT FROM listed_files f WHERE f.project = p.project) AS has_wheels
          FROM projects p
          LEFT JOIN project_metadata m ON m.project = p.project
         WHERE p.project > %(after)s
         ORDER BY p.project
         LIMIT %(limit)s
        """,
        {"after": after, "limit": limit},
    )
    return [ListedProject(**row) for row in rows]


async def project_names(db: Database) -> AsyncIterator[str]:
    """The name of every project, in order, read part by part."""
    after = ""
    while part := await next_projects(db, after, _PART_PROJECTS):
        for name in part:
            yield name
        after = part[-1]


# --- builds and the queue ----------------------------------------------------------------


async def success_rates(db: Database) -> list[SuccessRate]:
    """How the builds of the last 30 days ended, for each target."""
    rows = await db.rows(
        """
        SELECT t.target,
               count(b.build_id) FILTER (WHERE b.outcome = 'built') AS built,
               count(b.build_id) FILTER (WHERE b.outcome <> 'built' AND NOT b.will_retry) AS failed
          FROM targets t
          LEFT JOIN made_builds b
            ON b.target = t.target
           AND b.ended_at >= %(since)s::date::timestamp AT TIME ZONE 'UTC'
         GROUP BY t.target, t.sort_order
         ORDER BY t.sort_order, t.target
        """,
        {"since": first_day(RECENT_DAYS)},
    )
    return [SuccessRate(**row) for row in rows]


async def record_queue_lengths(db: Database) -> None:
    """Record the length of the queue; older samples are reduced to one per hour, then per day."""
    await db.execute(
        """
        INSERT INTO queue_length_samples (at, target, pending, claimed)
        SELECT date_bin('10 minutes', now(), 'epoch'), t.target,
               coalesce(sum(c.number) FILTER (WHERE c.state <> 'claimed'), 0),
               coalesce(sum(c.number) FILTER (WHERE c.state = 'claimed'), 0)
          FROM targets t
          LEFT JOIN row_counts c ON c.table_name = 'jobs' AND c.category = t.target
         WHERE t.skip_reason IS NULL
         GROUP BY t.target
            ON CONFLICT DO NOTHING
        """
    )
    await db.execute(
        """
        DELETE FROM queue_length_samples
         WHERE (at < now() - interval '30 days' AND extract(minute FROM at) <> 0)
            OR (at < now() - interval '1 year'
                AND extract(hour FROM at AT TIME ZONE 'UTC') <> 0)
        """
    )


async def queue_history(db: Database) -> list[QueueLengthSample]:
    """How long the queue was at each hour of the last 30 days, oldest first."""
    rows = await db.rows(
        """
        SELECT date_bin('1 hour', at, 'epoch') AS at, target, max(pending) AS pending
          FROM queue_length_samples
         WHERE at >= %(since)s::date::timestamp AT TIME ZONE 'UTC'
         GROUP BY 1, 2
         ORDER BY 1, 2
        """,
        {"since": first_day(RECENT_DAYS)},
    )
    return [QueueLengthSample(**row) for row in rows]


async def invalidate_queue_heads(db: Database, per_target: int) -> None:
    """Invalidate the pages of the projects that are next in the queue of each target."""
    await db.execute(
        """
        SELECT invalidate_pages('project', array_agg(DISTINCT j.project))
          FROM targets t
         CROSS JOIN LATERAL (
             SELECT project FROM jobs
              WHERE target = t.target AND claimed_by IS NULL AND retry_at IS NULL
              ORDER BY priority_class, priority_time LIMIT %(per_target)s
         ) j
        """,
        {"per_target": per_target},
    )


async def invalidate_downloaded(db: Database, since: date, before: date) -> int:
    """Invalidate the pages of projects that were downloaded in a period."""
    return await db.execute(
        """
        INSERT INTO page_invalidations (page_kind, page_key)
        SELECT DISTINCT 'project', d.project
          FROM generate_series(0, %(before)s::date - %(since)s::date - 1) AS n
         CROSS JOIN LATERAL (SELECT %(since)s::date + n AS day) AS past
          JOIN downloads_monthly_by_project d
            ON d.month = date_trunc('month', past.day)::date
           AND d.days[extract(day FROM past.day)::integer] > 0
          JOIN projects p ON p.project = d.project
        """,
        {"since": since, "before": before},
    )


async def downloaded_today(db: Database, day: datetime, limit: int) -> dict[str, int]:
    """Downloads by project on a day, up to a limit."""
    rows = await db.rows(
        """
        SELECT project, days[extract(day FROM %(day)s::date)::integer] AS downloads
          FROM downloads_monthly_by_project
         WHERE month = date_trunc('month', %(day)s::date)
           AND days[extract(day FROM %(day)s::date)::integer] > 0
         LIMIT %(limit)s
        """,
        {"day": day.date(), "limit": limit},
    )
    return {row["project"]: row["downloads"] for row in rows}
