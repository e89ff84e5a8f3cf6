"""The queue: jobs are claimed, unclaimed, deferred and retried."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple

import msgspec

from piwheels.db.builder_suitability import SERVED, SUITS_JOB, suitability_parameters
from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.rows import from_row
from piwheels.model import (
    BuilderCapability,
    Job,
    JobLength,
    JobPriority,
    Recipe,
    RecipeOrigin,
    Struct,
)
from piwheels.recipes import combine

log = logging.getLogger(__name__)

#: The columns of a Job that come from the table releases (r). A build goes without a recipe that
#: was learned long ago, to see whether its packages are still needed.
RELEASE_COLUMNS: LiteralString = """
    r.project, r.version, r.released_at, jsonb_build_object(
        'filename', r.sdist_filename, 'url', r.sdist_url, 'sha256', coalesce(r.sdist_sha256, ''),
        'size_bytes', r.sdist_size, 'digest', coalesce(r.sdist_digest, '')) AS sdist,
    (SELECT value FROM key_values
      WHERE key = 'recipe/written/' || r.project) AS written_recipe,
    (SELECT value FROM key_values
      WHERE key = 'recipe/operator/' || r.project) AS operator_recipe,
    (SELECT value FROM key_values
      WHERE key = 'recipe/learned/' || r.project
        AND coalesce((value::jsonb ->> 'learned_at')::timestamptz, now())
            > now() - interval '90 days') AS learned_recipe,
    (SELECT expected_build_s FROM projects WHERE project = r.project) AS expected_build_s
"""
_JOB_COLUMNS: LiteralString = f"""
    jobs.build_id, jobs.target, jobs.attempts AS attempt, jobs.min_timeout_s, {RELEASE_COLUMNS}
"""

#: The number of jobs at the head of a target's queue that are examined one by one. Those behind
#: them are examined by what they need: leaving thousands of jobs to other builders costs no more.
_LOOKED_AT_ONE_BY_ONE: LiteralString = "500"
#: Jobs that wait for a builder.
_WAITS: LiteralString = "claimed_by IS NULL AND retry_at IS NULL AND NOT parked"
#: What a claim may take of them, by length; with `_WAITS`, the conditions of partial indexes.
_OF_LENGTH: dict[JobLength, LiteralString] = {
    JobLength.ANY: "true",
    JobLength.SHORT: "NOT is_long",
    JobLength.LONG: "is_long",
}


def _taking(found: LiteralString) -> LiteralString:
    """The statement's end: take the job `locked`, and tell whether there was a candidate."""
    return f"""
    , taken AS (
        UPDATE jobs
           SET claimed_by = %(builder)s,
               claimed_at = now(),
               attempts = attempts + 1,
               build_id = nextval('build_ids'),
               last_build_id = NULL,
               last_builder = NULL
          FROM locked c
          JOIN releases r ON r.project = c.project AND r.version = c.version
         WHERE jobs.project = c.project AND jobs.version = c.version AND jobs.target = c.target
        RETURNING {_JOB_COLUMNS}
    )
    SELECT taken.* FROM {found} LEFT JOIN taken ON true
"""  # noqa: S608 - of constants alone


def _head_sql(which: LiteralString, looked_at: LiteralString) -> LiteralString:
    """One index probe per target, and the first job of the highest class (see `JobPriority`).

    No row if there is none; a row of NULLs if that is not known, because a job behind those that
    were looked at may be it, or because another transaction has the job.
    """
    return f"""
    WITH head AS MATERIALIZED (
        SELECT first.*
          FROM {SERVED}
         CROSS JOIN LATERAL (
             SELECT project, version, jobs.target, priority_class, priority_time, needs_hash,
                    position
               FROM (SELECT *, row_number() OVER (ORDER BY priority_class, priority_time)
                               AS position
                       FROM jobs
                      WHERE jobs.target = served.target
                        AND priority_class BETWEEN %(first)s AND %(last)s
                        AND {_WAITS} AND {which}
                      ORDER BY priority_class, priority_time
                      LIMIT {looked_at} + 1) AS jobs
              WHERE position > {looked_at} OR {SUITS_JOB}
              ORDER BY priority_class, priority_time
              LIMIT 1
         ) first
         ORDER BY first.priority_class, first.priority_time
         LIMIT 1
    ), locked AS (
        SELECT jobs.project, jobs.version, jobs.target
          FROM head
          JOIN jobs USING (project, version, target)
         WHERE head.position <= {looked_at}
           AND jobs.needs_hash = head.needs_hash AND hold_reason IS NULL AND {_WAITS} AND {which}
           FOR UPDATE OF jobs SKIP LOCKED
    )
    {_taking("head")}
"""  # noqa: S608 - of constants alone


#: Of a job that waits, what the conditions of a claim read.
_NEEDS: LiteralString = """
    priority_class, priority_time, needs_hash, hold_reason, attempts, avoid_builder,
    memory_over_bytes, min_disk_bytes, min_speed, required_packages, is_long, is_pure
"""


def _by_needs_sql(which: LiteralString) -> LiteralString:
    """The same, of all jobs: of those of a target and class that need the same, one is looked at.

    The recursion goes from each such kind to the next one in the index.
    """
    return f"""
    WITH RECURSIVE kinds AS (
        SELECT served.*, first.*
          FROM {SERVED}
         CROSS JOIN LATERAL (
             SELECT {_NEEDS}
               FROM jobs
              WHERE jobs.target = served.target
                AND priority_class BETWEEN %(first)s AND %(last)s
                AND {_WAITS} AND hold_reason IS NULL
              ORDER BY priority_class, needs_hash, priority_time
              LIMIT 1
         ) first
        UNION ALL
        SELECT k.target, k.largest_memory, k.second_memory, k.largest_disk, k.second_disk, next.*
          FROM kinds k
         CROSS JOIN LATERAL (
             SELECT {_NEEDS}
               FROM jobs
              WHERE jobs.target = k.target
                AND (priority_class, needs_hash) > (k.priority_class, k.needs_hash)
                AND priority_class <= %(last)s
                AND {_WAITS} AND hold_reason IS NULL
              ORDER BY priority_class, needs_hash, priority_time
              LIMIT 1
         ) next
    ), suiting AS MATERIALIZED (
        SELECT target, priority_class, priority_time, needs_hash
          FROM kinds AS jobs
         WHERE {which} AND {SUITS_JOB}
         ORDER BY priority_class, priority_time
    ), locked AS (
        SELECT job.*
          FROM suiting s
         CROSS JOIN LATERAL (
             SELECT project, version, target
               FROM jobs
              WHERE target = s.target AND priority_class = s.priority_class
                AND needs_hash = s.needs_hash AND {_WAITS} AND hold_reason IS NULL
              ORDER BY priority_time
              LIMIT 1
                FOR UPDATE SKIP LOCKED
         ) job
         LIMIT 1
    )
    {_taking("locked")}
"""  # noqa: S608 - of constants alone


class _Claim(NamedTuple):
    """The statements of a claim; the second one is for when the first one does not know."""

    head: LiteralString
    by_needs: LiteralString


def _claims(
    condition: LiteralString, looked_at: LiteralString = _LOOKED_AT_ONE_BY_ONE
) -> dict[JobLength, _Claim]:
    which = {length: f"{it} AND {condition}" for length, it in _OF_LENGTH.items()}
    return {
        length: _Claim(_head_sql(it, looked_at), _by_needs_sql(it)) for length, it in which.items()
    }


_CLAIMS = _claims("true")
#: Of projects without compiled code; the index is jobs_claimable_pure.
_CLAIMS_OF_PURE = _claims("is_pure")
CLAIM_SQL = _CLAIMS[JobLength.ANY].head


class ClaimedJob(Struct, frozen=True, kw_only=True):
    """A job that a builder has claimed."""

    builder: str
    job: Job
    claimed_at: datetime


_DEFAULT_CAPABILITY = BuilderCapability()


async def claim(
    db: Database,
    builder: str,
    targets: Sequence[str],
    targets_without_compiler: Sequence[str] = (),
    capability: BuilderCapability = _DEFAULT_CAPABILITY,
    *,
    first: JobPriority = JobPriority.NAMED,
    last: JobPriority = JobPriority.BACKLOG,
    length: JobLength = JobLength.ANY,
) -> Job | None:
    """Claim the first job for these targets, or None.

    The job belongs to the builder until it is completed or unclaimed.

    Args:
        db: the connection.
        builder: its label.
        targets: those that it serves.
        targets_without_compiler: those of them for which it has no C compiler. If another
            builder has one, it gets only jobs of projects without compiled code.
        capability: what else it can do. A job that wants a fitter builder is left to one that is
            there.
        first: at which class of priority the claim begins; without a job from there on it begins
            at the highest.
        last: jobs of lower classes are left.
        length: others are left.
    """
    bound = (
        await _targets_with_compiler(db, targets_without_compiler)
        if targets_without_compiler
        else set()
    )
    free = [name for name in targets if name not in bound]
    facts = suitability_parameters(builder, free, capability)
    facts_of_pure = suitability_parameters(builder, sorted(bound), capability)
    for begins_at in dict.fromkeys((first, JobPriority.NAMED)):
        classes = {"first": int(begins_at), "last": int(last)}
        job = await _claim(db, _CLAIMS[length], facts | classes)
        if job is None and bound:
            job = await _claim(db, _CLAIMS_OF_PURE[length], facts_of_pure | classes)
        if job is not None:
            return job
    return None


async def _claim(db: Database, claim: _Claim, parameters: Mapping[str, Any]) -> Job | None:
    row = await db.row(claim.head, parameters)
    if row is not None and row["build_id"] is None:
        row = await db.row(claim.by_needs, parameters)
    return _job_of_row(row) if row is not None else None


def _job_of_row(row: Mapping[str, Any]) -> Job:
    return from_row(Job, row, recipe=recipe_of_row(row))


def recipe_of_row(row: Mapping[str, Any]) -> Recipe | None:
    """The recipe for a row with RELEASE_COLUMNS and a target; None if there is none."""
    stored = (row[f"{origin}_recipe"] for origin in RecipeOrigin)
    recipes = [decode_recipe(text) if text else None for text in stored]
    return combine(recipes, row["version"], row["target"])


def decode_recipe(text: str) -> Recipe | None:
    """A recipe as it is stored; None if another version of piwheels stored something else."""
    try:
        return msgspec.json.decode(text, type=Recipe)
    except msgspec.MsgspecError as error:
        log.warning("a stored recipe cannot be read: %s", error)
        return None


async def _targets_with_compiler(db: Database, names: Sequence[str]) -> set[str]:
    """Those of these targets for which some builder has a C compiler."""
    rows = await db.rows(
        "SELECT target FROM targets WHERE target = ANY (%(names)s) AND has_compiler",
        {"names": list(names)},
    )
    return {row["target"] for row in rows}


async def targets_with_long_jobs(db: Database, names: Sequence[str]) -> set[str]:
    """Those of these targets of which long jobs can be claimed, by whichever builder."""
    rows = await db.rows(
        f"""
        SELECT target FROM unnest(%(names)s::text[]) AS named (target)
         WHERE EXISTS (SELECT FROM jobs
                        WHERE jobs.target = named.target AND hold_reason IS NULL
                          AND {_WAITS} AND {_OF_LENGTH[JobLength.LONG]})
        """,  # noqa: S608 - of constants alone
        {"names": list(names)},
    )
    return {row["target"] for row in rows}


async def claimed_jobs(db: Database) -> list[ClaimedJob]:
    """Every claimed job."""
    rows = await db.rows(
        f"""
        SELECT {_JOB_COLUMNS}, jobs.claimed_by AS builder, jobs.claimed_at
          FROM jobs
          JOIN releases r ON r.project = jobs.project AND r.version = jobs.version
         WHERE jobs.claimed_by IS NOT NULL
         ORDER BY jobs.claimed_at
        """  # noqa: S608 - of constants alone
    )
    return [from_row(ClaimedJob, row, job=_job_of_row(row)) for row in rows]


@transactional
async def unclaim(db: Database, builder: str, build_id: int) -> bool:
    """Return a claimed job to the queue unchanged; False if the builder does not have it."""
    job = await db.row(
        """
        SELECT project, version FROM jobs
         WHERE build_id = %(build)s AND claimed_by = %(builder)s
        """,
        {"build": build_id, "builder": builder},
    )
    if job is None:
        return False
    await lock_projects(db, [job["project"]])
    released = await db.execute(
        """
        UPDATE jobs
           SET claimed_by = NULL, claimed_at = NULL, build_id = NULL, attempts = attempts - 1,
               last_build_id = build_id, last_builder = claimed_by
         WHERE project = %(project)s AND version = %(version)s
           AND build_id = %(build)s AND claimed_by = %(builder)s
        """,
        {**job, "build": build_id, "builder": builder},
    )
    await recompute_release_jobs(db, job["project"], job["version"])
    return released > 0


async def unclaim_all(db: Database, builder: str) -> None:
    """Return all jobs of a builder that has none in fact."""
    rows = await db.rows(
        "SELECT build_id FROM jobs WHERE claimed_by = %(builder)s", {"builder": builder}
    )
    for row in rows:
        await unclaim(db, builder, row["build_id"])


@transactional
async def reclaim(db: Database, builder: str, build_id: int) -> Job | None:
    """Let a builder continue with the build of a job that it had before; None if it is gone.

    That works if nobody else has claimed the job since it was unclaimed, or since its builder was
    lost, and if it is still wanted.
    """
    job = await db.row(
        """
        SELECT project, version FROM jobs
         WHERE last_build_id = %(build)s AND last_builder = %(builder)s AND claimed_by IS NULL
        """,
        {"build": build_id, "builder": builder},
    )
    if job is None:
        return None
    await lock_projects(db, [job["project"]])
    row = await db.row(
        f"""
        UPDATE jobs
           SET claimed_by = %(builder)s, claimed_at = now(), build_id = %(build)s,
               attempts = attempts + 1, retry_at = NULL, retry_delay = NULL, hold_reason = NULL,
               parked = false, last_build_id = NULL, last_builder = NULL
          FROM releases r
         WHERE last_build_id = %(build)s AND last_builder = %(builder)s AND claimed_by IS NULL
           AND r.project = jobs.project AND r.version = jobs.version
        RETURNING {_JOB_COLUMNS}
        """,  # noqa: S608 - of constants alone
        {"build": build_id, "builder": builder},
    )
    # The builder was not lost after all.
    await db.execute(
        "DELETE FROM builds WHERE build_id = %(build)s AND outcome = 'lost'",
        {"build": build_id},
    )
    return _job_of_row(row) if row else None


async def set_job_memory(db: Database, project: str, min_bytes: int) -> None:
    """Leave a project's jobs that were not tried yet to builders with this much memory."""
    await db.execute(
        """
        UPDATE jobs SET memory_over_bytes = greatest(%(bytes)s - 1, 0)
         WHERE project = %(project)s AND attempts = 0 AND claimed_by IS NULL
           AND memory_over_bytes <> greatest(%(bytes)s - 1, 0)
        """,
        {"project": project, "bytes": min_bytes},
    )


async def requeue_due_jobs(db: Database) -> int:
    """Make deferred jobs claimable that are due; returns how many.

    A job never waits longer than its delay, even if the clock was changed.
    """
    return await db.execute(
        """
        UPDATE jobs SET retry_at = NULL, retry_delay = NULL
         WHERE claimed_by IS NULL AND retry_at IS NOT NULL
           AND (retry_at <= now() OR retry_at > now() + retry_delay)
        """
    )


#: The jobs or builds of a project, of one release or of all, for a target or for all.
_SELECTED = """(
    project = %(project)s
    AND (%(version)s::text IS NULL OR version = %(version)s)
    AND (%(target)s::text IS NULL OR target = %(target)s)
)"""
#: The jobs or builds of releases that `release_parameters` names.
NAMED_RELEASES = """(
    (project, version, target) IN (
        SELECT * FROM unnest(%(projects)s::text[], %(versions)s::text[], %(targets)s::text[]))
)"""


def release_parameters(releases: Sequence[tuple[str, str, str]]) -> dict[str, list[str]]:
    """The parameters of NAMED_RELEASES for releases (project, version, target)."""
    return {
        "projects": [project for project, _, _ in releases],
        "versions": [version for _, version, _ in releases],
        "targets": [target for _, _, target in releases],
    }


@transactional
async def retry(
    db: Database,
    project: str,
    version: str | None = None,
    target: str | None = None,
    *,
    rebuild_published: bool = False,
) -> int:
    """Retry final failures, and deferred jobs immediately.

    With `rebuild_published`, files stay published, and are rebuilt.

    Returns:
        How many failures and files are affected.
    """
    which = {"project": project, "version": version, "target": target}
    await lock_projects(db, [project])
    retried = await retry_where(db, _SELECTED, which)
    return retried + (await _request_rebuild(db, which) if rebuild_published else 0)


async def retry_where(db: Database, selection: str, which: Mapping[str, object]) -> int:
    """Retry the failures and deferred jobs that a condition selects; needs the writer's locks.

    Returns:
        How many are affected.
    """
    failures = await db.execute(
        f"""
        UPDATE builds SET will_retry = true, ignored_by_policy = true
         WHERE outcome <> 'built' AND NOT will_retry AND {selection}
        """,  # noqa: S608 - of constants alone
        which,
    )
    await db.execute(
        f"""
        UPDATE builds SET ignored_by_policy = true
         WHERE failure_class <> '' AND NOT ignored_by_policy AND {selection}
        """,  # noqa: S608 - of constants alone
        which,
    )
    deferred = await db.execute(
        f"""
        UPDATE jobs
           SET retry_at = NULL, retry_delay = NULL, attempts = 0, hold_reason = NULL,
               avoid_builder = '', min_timeout_s = 0, min_speed = 0, required_packages = '{{}}',
               awaited_project = '', parked = false, memory_over_bytes = greatest((
                   SELECT min_memory_bytes - 1 FROM projects p
                    WHERE p.project = jobs.project), 0)
         WHERE claimed_by IS NULL
           AND (retry_at IS NOT NULL OR attempts > 0 OR hold_reason IS NOT NULL
                OR required_packages <> '{{}}')
           AND {selection}
        """,  # noqa: S608 - of constants alone
        which,
    )
    return max(failures, deferred)


async def _request_rebuild(db: Database, which: dict[str, str | None]) -> int:
    return await db.execute(
        """
        UPDATE files SET rebuild_requested = true
          FROM builds b
         WHERE b.build_id = files.build_id AND files.project = %(project)s
           AND NOT files.rebuild_requested
           AND (%(version)s::text IS NULL OR files.version = %(version)s)
           AND (%(target)s::text IS NULL OR b.target = %(target)s)
        """,
        which,
    )


@transactional
async def prioritize(
    db: Database, project: str, version: str | None, advance: timedelta, target: str | None = None
) -> int:
    """Advance the priority time of jobs relative to when they were queued; returns how many.

    Those that are advanced are in the highest class, the others in the one that they had at first.
    """
    await lock_projects(db, [project])
    return await db.execute(
        f"""
        UPDATE jobs
           SET priority_time = queued_at - %(by)s,
               priority_class = CASE WHEN %(by)s > interval '0' THEN %(named)s ELSE (
                   SELECT job_priority(p, r)
                     FROM projects p
                     JOIN releases r ON r.project = p.project
                    WHERE r.project = jobs.project AND r.version = jobs.version) END
         WHERE {_SELECTED}
        """,  # noqa: S608 - of constants alone
        {
            "project": project,
            "version": version,
            "by": advance,
            "target": target,
            "named": int(JobPriority.NAMED),
        },
    )


async def recompute_release_jobs(db: Database, project: str, version: str) -> None:
    """Queue what is wanted now of a release."""
    await db.execute(
        "SELECT recompute_jobs(ARRAY[%(project)s], ARRAY[%(version)s])",
        {"project": project, "version": version},
    )
