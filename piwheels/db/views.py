"""What readers ask: pages to write, queues, totals, and the facts behind `piw explain`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from packaging.version import Version

from piwheels.db.database import Database
from piwheels.model import ProjectFacts, ProjectStatus, ReleaseFacts, Struct, TargetFacts

# --- pages -------------------------------------------------------------------------------


class IndexFile(Struct, frozen=True, kw_only=True):
    """A file as its project's index page lists it."""

    filename: str
    sha256: str
    size_bytes: int
    metadata_sha256: str
    requires_python: str
    version: str
    released_at: datetime  # of the upstream release (PEP 700 upload-time)
    yanked: str | None  # PEP 592


class IndexPage(Struct, frozen=True, kw_only=True):
    """All that a project's index page says."""

    project: str
    display: str
    status: ProjectStatus  # PEP 792
    status_reason: str
    files: tuple[IndexFile, ...]  # by version, then name


class StalePage(Struct, frozen=True, kw_only=True):
    """A page to write; project "" is the listing of all projects."""

    project: str
    generation: int


class Removal(Struct, frozen=True, kw_only=True):
    """A file that no page names any more and that still lies in the tree."""

    filename: str
    sha256: str


async def index_page(db: Database, project: str) -> IndexPage | None:
    """What a project's index page says; None for a project without files."""
    head = await db.row(
        "SELECT display, status, status_reason FROM projects WHERE project = %(project)s",
        {"project": project},
    )
    rows = await db.rows(
        """
        SELECT f.filename, f.sha256, f.size_bytes, f.metadata_sha256, f.requires_python,
               f.version, r.released_at, r.yanked
          FROM files f
          JOIN releases r ON r.project = f.project AND r.version = f.version
         WHERE f.project = %(project)s
        """,
        {"project": project},
    )
    if head is None or not rows:
        return None
    rows.sort(key=lambda row: (Version(row["version"]), row["filename"]))
    return IndexPage(
        project=project,
        display=head["display"],
        status=ProjectStatus(head["status"]),
        status_reason=head["status_reason"],
        files=tuple(IndexFile(**row) for row in rows),
    )


async def indexed_projects(db: Database) -> list[str]:
    """Every project with files, by name."""
    rows = await db.rows("SELECT DISTINCT project FROM files ORDER BY project")
    return [row["project"] for row in rows]


async def stale_pages(db: Database, limit: int) -> list[StalePage]:
    """Pages to write, urgent ones first, then the longest stale; not the root listing."""
    rows = await db.rows(
        """
        SELECT project, generation FROM stale_pages
         WHERE project <> '' ORDER BY urgent DESC, since LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    return [StalePage(**row) for row in rows]


async def stale_root(db: Database) -> StalePage | None:
    """The root listing, if it has to be written."""
    row = await db.row("SELECT project, generation FROM stale_pages WHERE project = ''")
    return StalePage(**row) if row else None


async def pages_written(db: Database, pages: Sequence[StalePage]) -> None:
    """Note that pages lie in the tree; one that became stale meanwhile stays on the list."""
    await db.execute(
        """
        DELETE FROM stale_pages s
         USING unnest(%(projects)s::text[], %(generations)s::bigint[])
               AS written (project, generation)
         WHERE s.project = written.project AND s.generation = written.generation
        """,
        {
            "projects": [page.project for page in pages],
            "generations": [page.generation for page in pages],
        },
    )


async def mark_stale(db: Database, project: str | None) -> int:
    """Have a project's page written again, or every page; returns how many."""
    if project is not None:
        await db.execute("SELECT make_stale(ARRAY[%(name)s], true)", {"name": project})
        return 1
    row = await db.row(
        """
        SELECT count(*) AS count, make_stale(array_agg(project) || ''::text) AS done
          FROM (SELECT DISTINCT project FROM files) p
        """
    )
    return row["count"] if row else 0


async def stale_count(db: Database) -> int:
    """How many pages have to be written."""
    return int(await db.value("SELECT count(*) FROM stale_pages"))


async def removals(db: Database, grace: timedelta, limit: int) -> list[Removal]:
    """Files to remove from the tree: the grace has passed and their pages are written."""
    rows = await db.rows(
        """
        SELECT filename, sha256 FROM removals r
         WHERE removed_at + %(grace)s <= now()
           AND NOT EXISTS (SELECT FROM stale_pages s WHERE s.project = r.project)
           AND NOT EXISTS (SELECT FROM files f WHERE f.filename = r.filename)
         ORDER BY removed_at LIMIT %(limit)s
        """,
        {"grace": grace, "limit": limit},
    )
    return [Removal(**row) for row in rows]


async def removed(db: Database, files: Sequence[Removal]) -> None:
    """Note that files have gone from the tree."""
    await db.execute(
        "DELETE FROM removals WHERE filename = ANY (%(names)s)",
        {"names": [file.filename for file in files]},
    )


# --- the farm at a glance ----------------------------------------------------------------


class QueueLength(Struct, frozen=True, kw_only=True):
    """What waits for an active target."""

    target: str
    abi: str
    os: str
    arch: str
    pending: int
    claimed: int
    deferred: int
    built_last_hour: int
    oldest_s: float | None  # how long the oldest pending job has waited


class Totals(Struct, frozen=True, kw_only=True):
    """How much there is; from statistics where counting would take long."""

    projects: int
    releases: int
    builds: int
    files: int
    files_bytes: int
    database_bytes: int


async def queue_lengths(db: Database) -> list[QueueLength]:
    """What waits for each active target, in numeric order."""
    rows = await db.rows(
        """
        SELECT t.target, t.abi, t.os, t.arch,
               coalesce((
                   SELECT count(*) FROM builds b
                    WHERE b.ended_at > now() - interval '1 hour'
                      AND b.outcome = 'built' AND b.target = t.target
               ), 0) AS built_last_hour,
               count(j.target) FILTER (
                   WHERE j.claimed_by IS NULL AND j.not_before IS NULL) AS pending,
               count(j.claimed_by) AS claimed,
               count(j.not_before) FILTER (WHERE j.claimed_by IS NULL) AS deferred,
               extract(epoch FROM now() - min(j.queued_at) FILTER (
                   WHERE j.claimed_by IS NULL AND j.not_before IS NULL))::float8 AS oldest_s
          FROM targets t
          LEFT JOIN jobs j ON j.target = t.target
         WHERE t.skip IS NULL
         GROUP BY t.target, t.position
         ORDER BY t.position, t.target
        """
    )
    return [QueueLength(**row) for row in rows]


async def totals(db: Database) -> Totals:
    """How much there is."""
    row = await db.row(
        """
        SELECT (SELECT count(*) FROM projects) AS projects,
               (SELECT count(*) FROM releases) AS releases,
               (SELECT count(*) FROM builds) AS builds,
               (SELECT count(*) FROM files) AS files,
               (SELECT coalesce(sum(size_bytes), 0)::bigint FROM files) AS files_bytes,
               pg_database_size(current_database()) AS database_bytes
        """
    )
    return Totals(**(row or {}))


# --- one project -------------------------------------------------------------------------


_TARGET_FACTS = """
    SELECT r.version, t.target, t.skip AS target_skip, t.converging,
           EXISTS (
               SELECT FROM python_ranges pr
                WHERE pr.requires_python = r.requires_python AND pr.target = t.target
           ) AS allowed,
           covering.filename AS covered_by,
           old.filename AS superseded,
           j.target IS NOT NULL AS queued,
           CASE WHEN j.claimed_by IS NULL AND j.not_before IS NULL THEN (
               SELECT count(*) FROM jobs o
                WHERE o.target = j.target AND o.claimed_by IS NULL AND o.not_before IS NULL
                  AND o.due < j.due
           ) ELSE 0 END AS ahead,
           j.claimed_by, j.claimed_at, j.build AS build_in_hand,
           j.not_before, coalesce(j.attempts, 0) AS attempts,
           b.build AS last_build, b.outcome AS last_outcome, b.reason AS last_reason,
           b.outcome <> 'built' AND NOT b.retryable AS last_final,
           b.duration_s AS last_duration_s
      FROM releases r
     CROSS JOIN targets t
      LEFT JOIN jobs j ON j.project = r.project AND j.version = r.version AND j.target = t.target
      LEFT JOIN LATERAL (
          SELECT * FROM builds
           WHERE builds.project = r.project AND builds.version = r.version
             AND builds.target = t.target
           ORDER BY build DESC LIMIT 1
      ) b ON true
      LEFT JOIN LATERAL (
          SELECT f.filename FROM files f JOIN kind_targets kt ON kt.kind = f.kind
           WHERE f.project = r.project AND f.version = r.version
             AND kt.target = t.target AND NOT f.superseded
           ORDER BY f.build = b.build DESC, f.filename LIMIT 1
      ) covering ON true
      LEFT JOIN LATERAL (
          SELECT f.filename FROM files f JOIN kind_targets kt ON kt.kind = f.kind
           WHERE f.project = r.project AND f.version = r.version
             AND kt.target = t.target AND f.superseded
           ORDER BY f.filename LIMIT 1
      ) old ON true
     WHERE r.project = %(project)s AND r.version = ANY (%(versions)s)
       AND (%(targets)s::text[] IS NULL OR t.target = ANY (%(targets)s))
     ORDER BY t.position, t.target
"""


async def project_facts(
    db: Database,
    project: str,
    versions: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
) -> ProjectFacts | None:
    """What is known of a project's releases for targets; None for an unknown project.

    Args:
        db: the connection.
        project: its normalised name.
        versions: the releases of interest; None is the newest one.
        targets: the targets of interest; None is all, skipped ones included.
    """
    head = await db.row(
        """
        SELECT project, display, skip, status, status_reason
          FROM projects WHERE project = %(project)s
        """,
        {"project": project},
    )
    if head is None:
        return None
    releases = await db.rows(
        """
        SELECT version, sdist_url IS NOT NULL AS has_sdist, yanked, skip, requires_python
          FROM releases
         WHERE project = %(project)s
           AND (%(versions)s::text[] IS NULL OR version = ANY (%(versions)s))
        """,
        {"project": project, "versions": list(versions) if versions is not None else None},
    )
    releases.sort(key=lambda row: Version(row["version"]), reverse=True)
    if versions is None:
        releases = releases[:1]
    by_version: dict[str, list[TargetFacts]] = {row["version"]: [] for row in releases}
    parameters: dict[str, Any] = {
        "project": project,
        "versions": list(by_version),
        "targets": list(targets) if targets is not None else None,
    }
    for row in await db.rows(_TARGET_FACTS, parameters):
        row["last_final"] = bool(row["last_final"])
        by_version[row.pop("version")].append(TargetFacts(**row))
    return ProjectFacts(
        releases=tuple(
            ReleaseFacts(**row, targets=tuple(by_version[row["version"]])) for row in releases
        ),
        **head,
    )
