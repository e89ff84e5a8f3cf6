"""What readers ask: queues, totals, and the facts behind `piw explain`."""

from collections.abc import Sequence
from typing import Any

from packaging.version import Version

from piwheels.db.database import Database
from piwheels.db.upstream_pages import last_upstream_page
from piwheels.model import LastCheck, ProjectStatusRow, ReleaseStatusRow, Struct, TargetStatusRow

# --- the farm at a glance ----------------------------------------------------------------


class QueueStatus(Struct, frozen=True, kw_only=True):
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


class FarmTotals(Struct, frozen=True, kw_only=True):
    """How much there is. All of it is counted, which takes seconds on a large farm."""

    projects: int
    releases: int
    builds: int
    files: int
    files_bytes: int
    database_bytes: int


async def queue_statuses(db: Database) -> list[QueueStatus]:
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
                   WHERE j.claimed_by IS NULL AND j.not_before IS NULL AND j.held IS NULL
               ) AS pending,
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
    return [QueueStatus(**row) for row in rows]


async def farm_totals(db: Database) -> FarmTotals:
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
    return FarmTotals(**(row or {}))


# --- one project -------------------------------------------------------------------------


_TARGET_STATUS_SQL = """
    SELECT r.version, t.target, t.skip AS target_skip, t.converging,
           EXISTS (
               SELECT FROM python_ranges pr
                WHERE pr.requires_python = r.requires_python AND pr.target = t.target
           ) AS allowed,
           good.filename AS covered_by,
           coalesce(good.build <> b.build, false) AS made_elsewhere,
           coalesce(good.lacking, taken.lacking, false) AS without_compiler,
           CASE WHEN good.filename IS NULL AND taken.loads THEN taken.filename END AS superseded,
           CASE WHEN NOT taken.loads THEN taken.filename END AS breaks,
           skipped.reason AS skip,
           coalesce(skipped.version = '', false) AS skips_project,
           coalesce(t.equipped AND NOT j.pure, false) AS needs_compiler,
           j.target IS NOT NULL AS queued,
           CASE WHEN j.claimed_by IS NULL AND j.not_before IS NULL THEN (
               SELECT count(*) FROM (
                   SELECT FROM jobs o
                    WHERE o.target = j.target AND o.claimed_by IS NULL AND o.not_before IS NULL
                      AND o.due < j.due
                    LIMIT %(most_ahead)s) earlier
           ) ELSE 0 END AS ahead,
           j.claimed_by, j.claimed_at, j.build AS build_in_hand,
           j.not_before, j.held, coalesce(j.attempts, 0) AS attempts,
           b.build AS last_build, b.outcome AS last_outcome, b.reason AS last_reason,
           b.outcome <> 'built' AND NOT b.retryable AND NOT (b.lacking AND t.equipped)
               AS last_final,
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
          SELECT c.filename, c.build, c.lacking FROM covering c
           WHERE c.project = r.project AND c.version = r.version AND c.target = t.target
           ORDER BY c.preference, c.build_tag DESC, c.filename LIMIT 1
      ) good ON true
      LEFT JOIN LATERAL (
          SELECT i.filename, i.loads, i.lacking FROM installable i
           WHERE i.project = r.project AND i.version = r.version AND i.target = t.target
           ORDER BY i.preference, i.build_tag DESC, i.filename LIMIT 1
      ) taken ON true
      LEFT JOIN LATERAL (
          SELECT s.version, s.reason FROM target_skips s
           WHERE s.project = r.project AND s.target = t.target AND s.version IN ('', r.version)
           ORDER BY s.version DESC LIMIT 1
      ) skipped ON true
     WHERE r.project = %(project)s AND r.version = ANY (%(versions)s)
       AND (%(targets)s::text[] IS NULL OR t.target = ANY (%(targets)s))
     ORDER BY t.position, t.target
"""


async def project_status(
    db: Database,
    project: str,
    versions: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    max_jobs_ahead: int | None = None,
) -> ProjectStatusRow | None:
    """What is known of a project's releases for targets; None for an unknown project.

    Args:
        db: the connection.
        project: its normalised name.
        versions: the releases of interest; None is the newest one.
        targets: the targets of interest; None is all, skipped ones included.
        max_jobs_ahead: where to stop counting the jobs that are due before one; None is nowhere.
    """
    head = await db.row(
        """
        SELECT p.project, p.display, p.skip, p.status, p.status_reason,
               p.looked_at, p.problem, coalesce(c.problem, '') AS change
          FROM projects p
          LEFT JOIN upstream_changes c ON c.project = p.project
         WHERE p.project = %(project)s
        """,
        {"project": project},
    )
    if head is None:
        return None
    look = LastCheck(**{name: head.pop(name) for name in LastCheck.__struct_fields__})
    releases = await db.rows(
        """
        SELECT version, sdist_url IS NOT NULL AS has_sdist, yanked, skip, requires_python,
               sdist_replaced_at,
               CASE WHEN sdist_url IS NULL OR sdist_sha256 IS NOT NULL THEN 'sha256'
                    ELSE split_part(coalesce(sdist_digest, ''), '=', 1) END AS sdist_verified_by,
               released_at, missing_since, removed_at
          FROM releases
         WHERE project = %(project)s
           AND (%(versions)s::text[] IS NULL OR version = ANY (%(versions)s))
        """,
        {"project": project, "versions": list(versions) if versions is not None else None},
    )
    releases.sort(key=lambda row: Version(row["version"]), reverse=True)
    if versions is None:
        releases = releases[:1]
    by_version: dict[str, list[TargetStatusRow]] = {row["version"]: [] for row in releases}
    parameters: dict[str, Any] = {
        "project": project,
        "versions": list(by_version),
        "targets": list(targets) if targets is not None else None,
        "most_ahead": max_jobs_ahead,
    }
    rows = await db.rows(_TARGET_STATUS_SQL, parameters)
    needs = await _wheel_needs(db, {row["covered_by"] for row in rows})
    outdated = await _files_of_replaced_sdist(db, project)
    for row in rows:
        version, row["last_final"] = row.pop("version"), bool(row["last_final"])
        extra = needs.get(row["covered_by"], {}) | {"outdated": row["superseded"] in outdated}
        facts = TargetStatusRow(**row, **extra)
        by_version[version].append(facts)
    return ProjectStatusRow(
        releases=tuple(
            ReleaseStatusRow(**row, targets=tuple(by_version[row["version"]])) for row in releases
        ),
        upstream=await last_upstream_page(db, project),
        **head,
        look=look,
    )


async def _wheel_needs(db: Database, filenames: set[str | None]) -> dict[str, dict[str, Any]]:
    """By file name, what wheels need and lack, and the target that each was built for."""
    rows = await db.rows(
        """
        SELECT f.filename, f.dependencies, b.target, b.reason
          FROM files f JOIN builds b ON b.build = f.build
         WHERE f.filename = ANY (%(filenames)s)
           AND (cardinality(f.dependencies) > 0 OR b.reason <> '')
        """,
        {"filenames": [name for name in filenames if name is not None]},
    )
    return {
        row["filename"]: {
            "debian_packages": tuple(row["dependencies"]),
            "built_for": row["target"],
            "lacks": row["reason"],
        }
        for row in rows
    }


async def _files_of_replaced_sdist(db: Database, project: str) -> set[str]:
    """A project's wheels that were built from an sdist that the upstream has replaced since."""
    rows = await db.rows(
        """
        SELECT f.filename
          FROM files f
          JOIN releases r ON r.project = f.project AND r.version = f.version
         WHERE f.project = %(project)s AND r.sdist_replaced_build > f.build
        """,
        {"project": project},
    )
    return {row["filename"] for row in rows}
