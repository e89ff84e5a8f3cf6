"""The queue: jobs are claimed, completed, unclaimed, deferred and retried."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.target_queries import add_compatibility, add_specifiers
from piwheels.model import (
    Build,
    BuilderCapability,
    CompatibilityRules,
    FailureClass,
    FailureEvidence,
    Job,
    Outcome,
    PastFailure,
    RetryDecision,
    Sdist,
    Struct,
    WheelFile,
)

#: Decides from all failures of a job, the oldest first, what happens next.
DecideRetry = Callable[[Sequence[PastFailure]], RetryDecision]

#: Whether a builder meets the requirements that the last failure of a job revealed.
_BUILDER_SUITS = """(
    hold_reason IS NULL
    AND (avoid_builder <> %(builder)s OR %(exclusive_targets)s::text[] IS NULL
         OR jobs.target = ANY (%(exclusive_targets)s))
    AND (memory_over_bytes = 0 OR memory_over_bytes < %(memory_bytes)s
         OR memory_over_bytes >= %(largest_memory_bytes)s)
    AND (min_speed <= %(speed)s OR min_speed > %(best_speed)s)
)"""
#: The columns of a Job, from the tables jobs and releases (r).
_JOB_COLUMNS = """
    jobs.build_id, jobs.project, jobs.version, jobs.target, jobs.attempts, jobs.min_timeout_s,
    r.released_at, r.sdist_filename, r.sdist_url, r.sdist_sha256, r.sdist_size, r.sdist_digest
"""


def _claim_sql(which: str) -> str:
    """One index probe per target, and the job with the earliest priority time."""
    return f"""
    WITH candidate AS MATERIALIZED (
        SELECT first.project, first.version, first.target
          FROM unnest(%(targets)s::text[]) AS served (target)
         CROSS JOIN LATERAL (
             SELECT project, version, jobs.target, priority_time
               FROM jobs
              WHERE jobs.target = served.target
                AND {which}
                AND {_BUILDER_SUITS}
              ORDER BY priority_time
              LIMIT 1
                FOR UPDATE SKIP LOCKED
         ) first
         ORDER BY first.priority_time
         LIMIT 1
    )
    UPDATE jobs
       SET claimed_by = %(builder)s,
           claimed_at = now(),
           attempts = attempts + 1,
           build_id = nextval('build_ids'),
           last_build_id = NULL,
           last_builder = NULL
      FROM candidate c
      JOIN releases r ON r.project = c.project AND r.version = c.version
     WHERE jobs.project = c.project AND jobs.version = c.version AND jobs.target = c.target
    RETURNING {_JOB_COLUMNS}
"""  # noqa: S608 - of constants alone


CLAIM_SQL = _claim_sql("claimed_by IS NULL AND retry_at IS NULL")
#: Of projects without compiled code; the index is jobs_claimable_pure.
_CLAIM_PURE_SQL = _claim_sql("claimed_by IS NULL AND retry_at IS NULL AND is_pure")


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
    """
    facts = msgspec.structs.asdict(capability) | {"builder": builder}
    facts["exclusive_targets"] = (
        None if capability.exclusive_targets is None else list(capability.exclusive_targets)
    )
    bound = (
        await _targets_with_compiler(db, targets_without_compiler)
        if targets_without_compiler
        else set()
    )
    row = await db.row(
        CLAIM_SQL, facts | {"targets": [name for name in targets if name not in bound]}
    )
    if row is None and bound:
        row = await db.row(_CLAIM_PURE_SQL, facts | {"targets": sorted(bound)})
    return _job_of_row(row) if row else None


async def _targets_with_compiler(db: Database, names: Sequence[str]) -> set[str]:
    """Those of these targets for which some builder has a C compiler."""
    rows = await db.rows(
        "SELECT target FROM targets WHERE target = ANY (%(names)s) AND has_compiler",
        {"names": list(names)},
    )
    return {row["target"] for row in rows}


async def claimed_jobs(db: Database) -> list[ClaimedJob]:
    """Every claimed job."""
    rows = await db.rows(
        f"""
        SELECT {_JOB_COLUMNS}, jobs.claimed_by, jobs.claimed_at
          FROM jobs
          JOIN releases r ON r.project = jobs.project AND r.version = jobs.version
         WHERE jobs.claimed_by IS NOT NULL
         ORDER BY jobs.claimed_at
        """  # noqa: S608 - of constants alone
    )
    return [
        ClaimedJob(builder=row["claimed_by"], job=_job_of_row(row), claimed_at=row["claimed_at"])
        for row in rows
    ]


def _job_of_row(row: dict[str, Any]) -> Job:
    return Job(
        build_id=row["build_id"],
        project=row["project"],
        version=row["version"],
        target=row["target"],
        sdist=Sdist(
            filename=row["sdist_filename"],
            url=row["sdist_url"],
            sha256=row["sdist_sha256"] or "",
            size_bytes=row["sdist_size"],
            digest=row["sdist_digest"] or "",
        ),
        released_at=row["released_at"],
        attempt=row["attempts"],
        min_timeout_s=row["min_timeout_s"],
    )


async def complete_job_with_retry_after(
    db: Database,
    build: Build,
    files: Sequence[WheelFile],
    rules: CompatibilityRules,
    retry_after: timedelta | None,
) -> bool:
    """Record how a claimed job ended, with its files, as `complete_job` does.

    `retry_after` is when a failure is tried again; None makes it final.
    """
    final = retry_after is None
    delay_s = 0.0 if retry_after is None else retry_after.total_seconds()
    return await complete_job(
        db, build, files, rules, lambda _: RetryDecision(is_final=final, delay_s=delay_s)
    )


@transactional
async def complete_job(
    db: Database,
    build: Build,
    files: Sequence[WheelFile],
    rules: CompatibilityRules,
    decide_retry: DecideRetry,
) -> bool:
    """Record the result of a claimed job, with its files.

    Args:
        db: the connection.
        build: the attempt; its builder has to be the one that claimed it.
        files: what is published; they are in the web root already.
        rules: for new compatibilities.
        decide_retry: what happens after a failure; called within the transaction, maybe repeatedly.

    Returns:
        False if the claim was lost: nothing was stored.
    """
    await lock_projects(db, [build.project])
    disposition = RetryDecision(is_final=True)
    if build.outcome is not Outcome.BUILT:
        disposition = decide_retry(await _earlier_failures(db, build))
    held = await db.execute(
        """
        UPDATE jobs
           SET claimed_by = NULL, claimed_at = NULL, build_id = NULL,
               attempts = attempts - %(uncounted)s,
               retry_at = CASE WHEN %(delay_s)s > 0
                                 THEN now() + make_interval(secs => %(delay_s)s) END,
               retry_delay = CASE WHEN %(delay_s)s > 0 THEN make_interval(secs => %(delay_s)s) END,
               hold_reason = nullif(%(hold_reason)s, ''), avoid_builder = %(avoid_builder)s,
               memory_over_bytes = %(memory_over_bytes)s, min_timeout_s = %(min_timeout_s)s,
               min_speed = %(min_speed)s,
               last_build_id = CASE WHEN %(lost)s THEN build_id END,
               last_builder = CASE WHEN %(lost)s THEN claimed_by END
         WHERE project = %(project)s AND version = %(version)s AND target = %(target)s
           AND build_id = %(build)s AND claimed_by = %(builder)s
        """,
        {
            **_build_key(build),
            **msgspec.structs.asdict(disposition),
            "delay_s": float(disposition.delay_s),
            "uncounted": 0 if disposition.counts_as_attempt else 1,
            "lost": build.outcome is Outcome.LOST,
        },
    )
    if not held:
        await _recompute_release_jobs(db, build.project, build.version)
        return await already_completed(db, build)
    await _store_build(db, build, files, rules, will_retry=not disposition.is_final)
    return True


async def _earlier_failures(db: Database, build: Build) -> list[PastFailure]:
    """The failures of the same job since its last success that count for the policy."""
    rows = await db.rows(
        """
        SELECT builder, failure_class, evidence FROM builds
         WHERE project = %(project)s AND version = %(version)s AND target = %(target)s
           AND failure_class <> '' AND NOT ignored_by_policy
           AND build_id > coalesce((
               SELECT max(build_id) FROM builds
                WHERE project = %(project)s AND version = %(version)s AND target = %(target)s
                  AND outcome = 'built'), 0)
         ORDER BY build_id
        """,
        _build_key(build),
    )
    return [
        PastFailure(
            builder=row["builder"],
            failure_class=FailureClass(row["failure_class"]),
            evidence=msgspec.convert(row["evidence"], FailureEvidence),
        )
        for row in rows
    ]


async def already_completed(db: Database, build: Build) -> bool:
    """Whether an earlier attempt, whose answer was lost, stored it already."""
    there = await db.value(
        """
        SELECT true FROM builds
         WHERE build_id = %(build)s AND builder = %(builder)s AND outcome = %(outcome)s
        """,
        {**_build_key(build), "outcome": str(build.outcome)},
    )
    return bool(there)


@transactional
async def record_import(
    db: Database, build: Build, files: Sequence[WheelFile], rules: CompatibilityRules
) -> bool:
    """Record a build without a job, with its files: imported wheels.

    Returns:
        False if the release was removed meanwhile, and nothing was stored.
    """
    await lock_projects(db, [build.project])
    there = await db.value(
        "SELECT 1 FROM releases WHERE project = %(project)s AND version = %(version)s",
        {"project": build.project, "version": build.version},
    )
    if there is None:
        return False
    await _store_build(db, build, files, rules, will_retry=False)
    return True


async def next_build_id(db: Database) -> int:
    """The number of a build without a job."""
    return int(await db.value("SELECT nextval('build_ids')"))


async def _store_build(
    db: Database,
    build: Build,
    files: Sequence[WheelFile],
    rules: CompatibilityRules,
    *,
    will_retry: bool,
) -> None:
    await db.execute(
        """
        INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry,
                            reason, started_at, duration_s, attempt, build_inputs,
                            without_compiler, failure_class, evidence)
        VALUES (%(build)s, %(project)s, %(version)s, %(target)s, %(builder)s, %(outcome)s,
                %(retryable)s, %(reason)s, %(started_at)s, %(duration_s)s, %(attempt)s, %(inputs)s,
                %(lacking)s, %(failure)s, %(evidence)s::jsonb)
        """,
        {
            **_build_key(build),
            "outcome": str(build.outcome),
            "retryable": will_retry,
            "reason": build.reason.replace("\0", ""),
            "started_at": build.started_at,
            "duration_s": build.duration_s,
            "attempt": build.attempt,
            "inputs": list(build.build_inputs),
            "lacking": build.without_compiler,
            "failure": str(build.failure_class or ""),
            "evidence": msgspec.json.encode(build.evidence).decode(),
        },
    )
    for file in files:
        await add_compatibility(db, file.compatibility, rules)
        await add_specifiers(db, [file.requires_python], rules)
        await _store_file(db, build, file)
    if files and not build.without_compiler:
        await _set_pure(db, build.project, all(file.compatibility.is_pure for file in files))
        await _remove_obsolete_files(db, build)


async def _set_pure(db: Database, project: str, pure: bool) -> None:
    """Store whether a project has compiled code, also for the jobs of its other releases."""
    facts = {"project": project, "pure": pure}
    changed = await db.execute(
        """
        UPDATE projects SET is_pure = %(pure)s
         WHERE project = %(project)s AND is_pure <> %(pure)s
        """,
        facts,
    )
    if changed:
        await db.execute("UPDATE jobs SET is_pure = %(pure)s WHERE project = %(project)s", facts)


async def _remove_obsolete_files(db: Database, build: Build) -> None:
    """Remove files of a release that were built without a compiler from the index.

    Each stays as long as it is the best one for an active target.
    """
    there = await db.value(
        """
        SELECT true FROM files f JOIN builds b ON b.build_id = f.build_id
         WHERE f.project = %(project)s AND f.version = %(version)s AND b.without_compiler LIMIT 1
        """,
        _build_key(build),
    )
    if not there:
        return
    await db.execute(
        """
        DELETE FROM files f
         USING builds b
         WHERE b.build_id = f.build_id AND b.without_compiler
           AND f.project = %(project)s AND f.version = %(version)s
           AND NOT EXISTS (
               SELECT FROM installable_files i
                 JOIN targets t ON t.target = i.target
                WHERE i.filename = f.filename AND i.is_loadable AND t.skip_reason IS NULL
                  AND NOT EXISTS (
                      SELECT FROM covering_files c
                       WHERE c.project = i.project AND c.version = i.version
                         AND c.target = i.target AND NOT c.without_compiler
                  )
           )
        """,
        _build_key(build),
    )


async def _store_file(db: Database, build: Build, file: WheelFile) -> None:
    # The same content can come again, from another target or after a rebuild.
    await db.execute(
        """
        INSERT INTO files (filename, sha256, size_bytes, metadata_sha256, compatibility_id,
                           build_tag, requires_python, debian_packages, project, version, build_id)
        VALUES (%(filename)s, %(sha256)s, %(size_bytes)s, %(metadata_sha256)s, %(kind)s,
                %(build_tag)s, %(requires_python)s, %(dependencies)s, %(project)s, %(version)s,
                %(build)s)
            ON CONFLICT (filename) DO UPDATE
           SET rebuild_requested = false, build_id = excluded.build_id
        """,
        {
            "filename": file.filename,
            "sha256": file.sha256,
            "size_bytes": file.size_bytes,
            "metadata_sha256": file.metadata_sha256,
            "kind": file.compatibility.identifier,
            "build_tag": file.build_tag,
            "requires_python": file.requires_python,
            "dependencies": list(file.debian_packages),
            "project": build.project,
            "version": build.version,
            "build": build.build_id,
        },
    )


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
    await _recompute_release_jobs(db, job["project"], job["version"])
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
               last_build_id = NULL, last_builder = NULL
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
    failures = await db.execute(
        """
        UPDATE builds SET will_retry = true, ignored_by_policy = true
         WHERE project = %(project)s AND outcome <> 'built' AND NOT will_retry
           AND (%(version)s::text IS NULL OR version = %(version)s)
           AND (%(target)s::text IS NULL OR target = %(target)s)
        """,
        which,
    )
    await db.execute(
        """
        UPDATE builds SET ignored_by_policy = true
         WHERE project = %(project)s AND failure_class <> '' AND NOT ignored_by_policy
           AND (%(version)s::text IS NULL OR version = %(version)s)
           AND (%(target)s::text IS NULL OR target = %(target)s)
        """,
        which,
    )
    deferred = await db.execute(
        """
        UPDATE jobs
           SET retry_at = NULL, retry_delay = NULL, attempts = 0, hold_reason = NULL,
               avoid_builder = '', memory_over_bytes = 0, min_timeout_s = 0, min_speed = 0
         WHERE project = %(project)s AND claimed_by IS NULL
           AND (retry_at IS NOT NULL OR attempts > 0 OR hold_reason IS NOT NULL)
           AND (%(version)s::text IS NULL OR version = %(version)s)
           AND (%(target)s::text IS NULL OR target = %(target)s)
        """,
        which,
    )
    files = await _request_rebuild(db, which) if rebuild_published else 0
    return max(failures, deferred) + files


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
    """Advance the priority time of jobs relative to when they were queued; returns how many."""
    await lock_projects(db, [project])
    return await db.execute(
        """
        UPDATE jobs SET priority_time = queued_at - %(by)s
         WHERE project = %(project)s AND (%(version)s::text IS NULL OR version = %(version)s)
           AND (%(target)s::text IS NULL OR target = %(target)s)
        """,
        {"project": project, "version": version, "by": advance, "target": target},
    )


async def _recompute_release_jobs(db: Database, project: str, version: str) -> None:
    await db.execute(
        "SELECT recompute_jobs(ARRAY[%(project)s], ARRAY[%(version)s])",
        {"project": project, "version": version},
    )


def _build_key(build: Build) -> dict[str, Any]:
    return {
        "build": build.build_id,
        "project": build.project,
        "version": build.version,
        "target": build.target,
        "builder": build.builder,
    }
