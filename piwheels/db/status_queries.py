"""Queries for the status of the farm and of projects: queues, totals, `piw explain`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from packaging.version import Version

from piwheels.db.database import Database
from piwheels.db.history import failure_cause
from piwheels.db.queue_outlines import FIRST_JOBS, first_queue_keys
from piwheels.db.row_counts import row_counts
from piwheels.db.rows import from_row
from piwheels.db.upstream_pages import last_upstream_pages
from piwheels.debian_index.runtime import translate_packages
from piwheels.model import (
    FarmTotals,
    JobPriority,
    LastCheck,
    ProjectStatusRow,
    QueuedJob,
    QueueOutline,
    QueueStatus,
    ReleaseStatusRow,
    TargetStatusRow,
)

# --- the farm at a glance ----------------------------------------------------------------


#: The oldest job of a target is looked for among so many that are next.
_MAX_OLDEST_CANDIDATES = 1000

#: Within a class, a job has a later place than its age gives it only behind prioritized ones: the
#: oldest is the first that is not prioritized, or one before it.
_QUEUE_STATUSES_SQL = """
    SELECT t.target, t.abi, t.os || ' ' || t.arch AS platform,
           coalesce(b.built, 0) AS built_last_hour,
           extract(epoch FROM now() - oldest.queued_at)::float8 AS oldest_s
      FROM targets t
      LEFT JOIN (
          SELECT target, count(*) AS built FROM made_builds
           WHERE ended_at > now() - interval '1 hour' AND outcome = 'built'
           GROUP BY target
      ) b ON b.target = t.target
      LEFT JOIN LATERAL (
          SELECT min(next.queued_at) AS queued_at
            FROM unnest(%(classes)s::smallint[]) AS class (priority)
           CROSS JOIN LATERAL (
                SELECT j.queued_at FROM jobs j
                 WHERE j.target = t.target AND j.priority_class = class.priority
                   AND j.claimed_by IS NULL AND j.retry_at IS NULL AND NOT j.parked
                   AND j.priority_time <= coalesce((
                       SELECT first.priority_time
                         FROM (
                             SELECT f.priority_time, f.queued_at FROM jobs f
                              WHERE f.target = t.target AND f.priority_class = class.priority
                                AND f.claimed_by IS NULL AND f.retry_at IS NULL AND NOT f.parked
                              ORDER BY f.priority_time LIMIT %(candidates)s
                         ) first
                        WHERE first.priority_time >= first.queued_at LIMIT 1), 'infinity')
                 ORDER BY j.priority_time LIMIT %(candidates)s
            ) next
      ) oldest ON true
     WHERE t.skip_reason IS NULL
     ORDER BY t.sort_order, t.target
"""


async def queue_statuses(db: Database) -> list[QueueStatus]:
    """The queue of each active target, in sort order."""
    rows = await db.rows(
        _QUEUE_STATUSES_SQL,
        {"candidates": _MAX_OLDEST_CANDIDATES, "classes": [int(each) for each in JobPriority]},
    )
    counts = await row_counts(db)
    no_jobs = {"pending": 0, "claimed": 0, "deferred": 0}
    return [
        from_row(QueueStatus, no_jobs | row | counts.by_state("jobs", row["target"]))
        for row in rows
    ]


async def next_jobs(db: Database, target: str, limit: int) -> list[QueuedJob]:
    """The jobs of a target that builders take next, in this order."""
    rows = await db.rows(
        """
        SELECT j.project, j.version, j.queued_at, j.attempts, j.priority_class AS priority,
               t.has_compiler AND NOT j.is_pure AS needs_compiler
          FROM jobs j
          JOIN targets t ON t.target = j.target
         WHERE j.target = %(target)s
           AND j.claimed_by IS NULL AND j.retry_at IS NULL AND NOT j.parked
         ORDER BY j.priority_class, j.priority_time
         LIMIT %(limit)s
        """,
        {"target": target, "limit": limit},
    )
    return [from_row(QueuedJob, row) for row in rows]


async def farm_totals(db: Database) -> FarmTotals:
    """How much there is."""
    counts = await row_counts(db)
    return FarmTotals(
        **{table: counts.total(table) for table in ("projects", "releases", "builds", "files")},
        files_bytes=counts.file_bytes,
        database_bytes=await db.value("SELECT pg_database_size(current_database())"),
    )


# --- one project -------------------------------------------------------------------------


#: Planning takes several times as long as running. PostgreSQL plans once if it expects as much of
#: known projects as of unknown ones: by the ARRAY() it does not see how many there are. The joins
#: are LATERAL with a LIMIT, so that each row is found by its key, however many projects there are.
_TARGET_STATUS_SQL = """
    SELECT r.project, r.version, t.target, t.os, t.skip_reason AS target_skip_reason,
           t.jobs_outdated,
           EXISTS (
               SELECT FROM requires_python_targets pr
                WHERE pr.requires_python = r.requires_python AND pr.target = t.target
           ) AS python_allowed,
           good.filename AS covered_by, theirs.filename AS upstream_wheel,
           coalesce(good.is_mirrored, false) AS is_mirrored,
           mirror.filename IS NOT NULL AS to_be_mirrored,
           coalesce(mirror.problem, '') AS mirror_problem,
           coalesce(mirror.refused, false) AS mirror_refused,
           coalesce(good.build_id <> b.build_id, false) AS built_for_other_target,
           coalesce(good.without_compiler, taken.without_compiler, false) AS without_compiler,
           CASE WHEN good.filename IS NULL AND taken.is_loadable
                THEN taken.filename END AS to_be_rebuilt,
           CASE WHEN NOT taken.is_loadable THEN taken.filename END AS unloadable_file,
           skipped.reason AS skip_reason,
           coalesce(skipped.version = '', false) AS skips_whole_project,
           coalesce(t.has_compiler AND NOT j.is_pure, false) AS needs_compiler,
           j.target IS NOT NULL AS queued,
           CASE WHEN j.claimed_by IS NULL AND j.retry_at IS NULL
                THEN extract(epoch FROM j.priority_time)::float8 END AS priority_s,
           j.priority_class,
           j.claimed_by, j.claimed_at, j.build_id AS current_build_id,
           j.retry_at, j.hold_reason,
           CASE WHEN j.parked THEN j.required_packages ELSE '{}' END AS awaited_packages,
           coalesce(j.required_packages, '{}') AS required_packages,
           coalesce(j.attempts, 0) AS attempts,
           coalesce(j.memory_over_bytes, 0) AS memory_over_bytes,
           coalesce(j.min_disk_bytes, 0) AS min_disk_bytes,
           b.build_id AS last_build_id, b.outcome AS last_outcome, b.reason AS last_reason,
           b.outcome <> 'built' AND NOT b.will_retry AND NOT (b.without_compiler AND t.has_compiler)
               AS last_final,
           b.duration_s AS last_duration_s, b.failure_class, b.evidence
      FROM unnest(ARRAY(SELECT unnest(%(projects)s::text[]))) AS named (project)
      JOIN releases r ON r.project = named.project
     CROSS JOIN targets t
      LEFT JOIN LATERAL (
          SELECT * FROM jobs
           WHERE jobs.project = r.project AND jobs.version = r.version AND jobs.target = t.target
           LIMIT 1
      ) j ON true
      LEFT JOIN LATERAL (
          SELECT * FROM made_builds made
           WHERE made.project = r.project AND made.version = r.version AND made.target = t.target
           ORDER BY build_id DESC LIMIT 1
      ) b ON true
      LEFT JOIN LATERAL (
          SELECT c.filename, c.build_id, c.without_compiler, c.is_mirrored FROM covering_files c
           WHERE c.project = r.project AND c.version = r.version AND c.target = t.target
           ORDER BY c.tag_rank, c.build_tag DESC, c.filename LIMIT 1
      ) good ON true
      LEFT JOIN LATERAL (
          SELECT i.filename, i.is_loadable, i.without_compiler FROM installable_files i
           WHERE i.project = r.project AND i.version = r.version AND i.target = t.target
           ORDER BY i.tag_rank, i.build_tag DESC, i.filename LIMIT 1
      ) taken ON true
      LEFT JOIN LATERAL (
          SELECT u.filename FROM covering_upstream_wheels u
           WHERE u.project = r.project AND u.version = r.version AND u.target = t.target
           ORDER BY u.tag_rank, u.filename LIMIT 1
      ) theirs ON true
      LEFT JOIN LATERAL (
          SELECT m.filename, m.problem, m.refused FROM wheels_to_mirror m
           WHERE m.project = r.project AND m.version = r.version AND m.filename = theirs.filename
           LIMIT 1
      ) mirror ON true
      LEFT JOIN LATERAL (
          SELECT s.version, s.reason FROM target_skips s
           WHERE s.project = r.project AND s.target = t.target AND s.version IN ('', r.version)
           ORDER BY s.version DESC LIMIT 1
      ) skipped ON true
     WHERE ((SELECT %(versions)s::text[] IS NULL)
            OR r.version = ANY (ARRAY(SELECT unnest(%(versions)s::text[]))))
       AND (%(targets)s::text[] IS NULL OR t.target = ANY (%(targets)s))
     ORDER BY t.sort_order, t.target
"""


# A project, with the result of the last check of its page.
_PROJECT_STATUS_SQL = """
    SELECT p.project, p.display_name, p.skip_reason, p.upstream_wheel_policy,
           p.status, p.status_reason,
           p.checked_at, p.check_problem AS problem, coalesce(c.problem, '') AS pending_change
      FROM projects p
      LEFT JOIN upstream_changes c ON c.project = p.project
     WHERE p.project = ANY (%(projects)s)
"""

# Its releases, all or those of some versions.
_RELEASE_STATUS_SQL = """
    SELECT project, version, sdist_url IS NOT NULL AS has_sdist, yanked, skip_reason,
           requires_python,
           sdist_replaced_at,
           CASE WHEN sdist_url IS NULL OR sdist_sha256 IS NOT NULL THEN 'sha256'
                ELSE split_part(coalesce(sdist_digest, ''), '=', 1) END AS sdist_verified_by,
           released_at, missing_since, removed_at
      FROM releases
     WHERE project = ANY (%(projects)s)
       AND (%(versions)s::text[] IS NULL OR version = ANY (%(versions)s))
"""


async def project_status(
    db: Database,
    project: str,
    versions: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    outlines: Mapping[str, QueueOutline] = MappingProxyType({}),
) -> ProjectStatusRow | None:
    """The status of a project's releases for targets; None for an unknown project.

    Args:
        db: the connection.
        project: its normalized name.
        versions: the releases of interest; None is the newest one.
        targets: the targets of interest; None is all, skipped ones included.
        outlines: of the queues, by target; without them, the place of a job is only known among
            the first of its queue, and no time is expected.
    """
    if versions is None:
        known = await db.rows(
            "SELECT version FROM releases WHERE project = %(project)s", {"project": project}
        )
        newest = max((row["version"] for row in known), key=Version, default=None)
        versions = [newest] if newest is not None else []
    found = await project_statuses(
        db, [project], versions=versions, targets=targets, outlines=outlines
    )
    return found.get(project)


async def project_statuses(
    db: Database,
    projects: Sequence[str],
    *,
    versions: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    outlines: Mapping[str, QueueOutline] = MappingProxyType({}),
) -> dict[str, ProjectStatusRow]:
    """As project_status, of all releases, by project; unknown projects are left out.

    The number of queries is the same for any number of projects.
    """
    parameters: dict[str, Any] = {
        "projects": list(projects),
        "versions": list(versions) if versions is not None else None,
        "targets": list(targets) if targets is not None else None,
    }
    heads = await db.rows(_PROJECT_STATUS_SQL, parameters)
    release_rows = await db.rows(_RELEASE_STATUS_SQL, parameters)
    release_rows.sort(key=lambda row: Version(row["version"]), reverse=True)
    target_rows = await _target_rows(db, await db.rows(_TARGET_STATUS_SQL, parameters), outlines)
    releases: dict[str, list[ReleaseStatusRow]] = {}
    for row in release_rows:
        project = row.pop("project")
        status = tuple(target_rows.get((project, row["version"]), ()))
        releases.setdefault(project, []).append(ReleaseStatusRow(**row, targets=status))
    pages = await last_upstream_pages(db, projects)
    return {
        head["project"]: from_row(
            ProjectStatusRow,
            head,
            releases=tuple(releases.get(head["project"], ())),
            upstream=pages.get(head["project"]),
            last_check=from_row(LastCheck, head),
        )
        for head in heads
    }


async def _target_rows(
    db: Database, rows: Sequence[dict[str, Any]], outlines: Mapping[str, QueueOutline]
) -> dict[tuple[str, str], list[TargetStatusRow]]:
    """The status of releases for targets by project and version, from _TARGET_STATUS_SQL."""
    places = await _places_in_queues(db, rows, outlines)
    needs = await _wheel_needs(db, rows)
    outdated = await _files_of_replaced_sdist(db, sorted({row["project"] for row in rows}))
    found: dict[tuple[str, str], list[TargetStatusRow]] = {}
    for row in rows:
        release = row.pop("project"), row.pop("version")
        row["last_final"] = bool(row["last_final"])
        extra = needs.get((row["covered_by"], row["os"]), {}) | {
            **places(row["target"], row.pop("priority_class"), row.pop("priority_s")),
            "sdist_replaced": row["to_be_rebuilt"] in outdated,
            "last_cause": failure_cause(row.pop("failure_class"), row.pop("evidence")),
        }
        found.setdefault(release, []).append(from_row(TargetStatusRow, row, **extra))
    return found


async def _places_in_queues(
    db: Database, target_rows: Sequence[dict[str, Any]], outlines: Mapping[str, QueueOutline]
) -> Callable[[str, int | None, float | None], dict[str, Any]]:
    """Finds the place of a job by its target, class and time, and its expected start."""
    queued = {row["target"] for row in target_rows if row["priority_s"] is not None}
    first_keys = await first_queue_keys(db, sorted(queued)) if queued else {}

    def place(target: str, priority: int | None, priority_s: float | None) -> dict[str, Any]:
        if priority is None or priority_s is None:
            return {}
        outline = outlines.get(target) or QueueOutline()
        first = first_keys[target]
        key = (priority, priority_s)
        ahead = outline.jobs_ahead(key, first, has_more=len(first) == FIRST_JOBS)
        return {"jobs_ahead": ahead, "expected": outline.expected_wait(ahead)}

    return place


async def _wheel_needs(
    db: Database, target_rows: Sequence[dict[str, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """By file name and code name of a system, what wheels need there and what they lack.

    Packages are those of that system if their names there are known, and `packages_target` is the
    target on whose system they have these names.
    """
    wanted = {(row["covered_by"], row["os"]): row["target"] for row in target_rows}
    rows = await db.rows(
        """
        SELECT f.filename, f.debian_packages, b.target, b.reason, t.os
          FROM files f
          JOIN builds b ON b.build_id = f.build_id
          JOIN targets t ON t.target = b.target
         WHERE f.filename = ANY (%(filenames)s)
           AND (cardinality(f.debian_packages) > 0 OR b.reason <> '')
        """,
        {"filenames": [name for name, _ in wanted if name is not None]},
    )
    made = {row["filename"]: row for row in rows}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for (name, os), target in wanted.items():
        if (row := made.get(name)) is None:
            continue
        packages, named_for = row["debian_packages"], row["target"]
        if packages and os != row["os"]:
            # The first call for a release reads its table, which takes a moment.
            there = await asyncio.to_thread(translate_packages, packages, row["os"], os)
            packages, named_for = (packages, named_for) if there is None else (there, target)
        found[name, os] = {
            "debian_packages": packages,
            "packages_target": named_for,
            "build_note": row["reason"],
        }
    return found


async def _files_of_replaced_sdist(db: Database, projects: Sequence[str]) -> set[str]:
    """Wheels of projects that were built from an sdist that upstream has replaced since."""
    rows = await db.rows(
        """
        SELECT f.filename
          FROM files f
          JOIN releases r ON r.project = f.project AND r.version = f.version
         WHERE f.project = ANY (%(projects)s) AND r.sdist_replaced_build_id > f.build_id
        """,
        {"projects": list(projects)},
    )
    return {row["filename"] for row in rows}
