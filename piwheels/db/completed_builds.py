"""Results of builds are stored with their files, and what becomes of their jobs."""

from collections.abc import Callable, Sequence

import msgspec

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.file_deletions import abandon_unpublished
from piwheels.db.job_queue import recompute_release_jobs
from piwheels.db.project_needs import learn_needs
from piwheels.db.rows import from_row, to_parameters
from piwheels.db.target_queries import add_compatibility, add_specifiers
from piwheels.model import (
    Build,
    CompatibilityRules,
    Outcome,
    PastFailure,
    RetryDecision,
    WheelFile,
)

#: Decides from all failures of a job, the oldest first, what happens next.
DecideRetry = Callable[[Sequence[PastFailure]], RetryDecision]


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
               memory_over_bytes = greatest(%(memory_over_bytes)s, (
                   SELECT min_memory_bytes - 1 FROM projects p WHERE p.project = jobs.project)),
               min_timeout_s = %(min_timeout_s)s,
               min_speed = %(min_speed)s, required_packages = %(required_packages)s,
               parked = %(required_packages)s::text[] <> '{}',
               awaited_project = %(awaited_project)s,
               last_build_id = CASE WHEN %(lost)s THEN build_id END,
               last_builder = CASE WHEN %(lost)s THEN claimed_by END
         WHERE project = %(project)s AND version = %(version)s AND target = %(target)s
           AND build_id = %(build_id)s AND claimed_by = %(builder)s
        """,
        {
            **to_parameters(build, disposition),
            "delay_s": float(disposition.delay_s),
            "uncounted": 0 if disposition.counts_as_attempt else 1,
            "lost": build.outcome is Outcome.LOST,
        },
    )
    if not held:
        await recompute_release_jobs(db, build.project, build.version)
        if await already_completed(db, build):
            return True
        await abandon_unpublished(db, build.project, build.version, files)
        return False
    await _store_build(db, build, files, rules, will_retry=not disposition.is_final)
    await learn_needs(db, build, disposition)
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
        to_parameters(build),
    )
    return [from_row(PastFailure, row) for row in rows]


async def already_completed(db: Database, build: Build) -> bool:
    """Whether an earlier attempt, whose answer was lost, stored it already."""
    there = await db.value(
        """
        SELECT true FROM builds
         WHERE build_id = %(build_id)s AND builder = %(builder)s AND outcome = %(outcome)s
        """,
        to_parameters(build),
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


async def store_mirrored_build(
    db: Database, build: Build, file: WheelFile, rules: CompatibilityRules
) -> None:
    """Store a wheel of the upstream; within a transaction that holds the lock of its project.

    What builds of the project need is not learned from it.
    """
    await _store_row(db, build, will_retry=False)
    await _store_files(db, build, [file], rules)


async def _store_build(
    db: Database,
    build: Build,
    files: Sequence[WheelFile],
    rules: CompatibilityRules,
    *,
    will_retry: bool,
) -> None:
    await _store_row(db, build, will_retry=will_retry)
    await _store_files(db, build, files, rules)
    if files and not build.without_compiler:
        await _set_pure(db, build.project, all(file.compatibility.is_pure for file in files))
        await _remove_obsolete_files(db, build)


async def _store_row(db: Database, build: Build, *, will_retry: bool) -> None:
    await db.execute(
        """
        INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry,
                            reason, started_at, duration_s, attempt, build_inputs,
                            without_compiler, failure_class, evidence, phases)
        VALUES (%(build_id)s, %(project)s, %(version)s, %(target)s, %(builder)s, %(outcome)s,
                %(will_retry)s, %(reason)s, %(started_at)s, %(duration_s)s, %(attempt)s,
                %(build_inputs)s, %(without_compiler)s, %(failure_class)s, %(evidence)s::jsonb,
                %(phases)s::jsonb)
        """,
        {
            **to_parameters(build),
            "will_retry": will_retry,
            "reason": build.reason.replace("\0", ""),
            "failure_class": str(build.failure_class or ""),
            "evidence": msgspec.json.encode(build.evidence).decode(),
            "phases": msgspec.json.encode(build.phases).decode(),
        },
    )


async def _store_files(
    db: Database, build: Build, files: Sequence[WheelFile], rules: CompatibilityRules
) -> None:
    for file in files:
        await add_compatibility(db, file.compatibility, rules)
        await add_specifiers(db, [file.requires_python], rules)
        await _store_file(db, build, file)


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
        to_parameters(build),
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
        to_parameters(build),
    )


async def _store_file(db: Database, build: Build, file: WheelFile) -> None:
    # The same content can come again, from another target or after a rebuild.
    await db.execute(
        """
        INSERT INTO files (filename, sha256, size_bytes, metadata_sha256, compatibility_id,
                           build_tag, requires_python, debian_packages, has_provenance, project,
                           version, build_id, mirrored_from, uploaded_at, attestations_url)
        VALUES (%(filename)s, %(sha256)s, %(size_bytes)s, %(metadata_sha256)s, %(kind)s,
                %(build_tag)s, %(requires_python)s, %(debian_packages)s, %(has_provenance)s,
                %(project)s, %(version)s, %(build_id)s, %(mirrored_from)s, %(uploaded_at)s,
                %(attestations_url)s)
            ON CONFLICT (filename) DO UPDATE
           SET rebuild_requested = false, build_id = excluded.build_id,
               has_provenance = files.has_provenance OR excluded.has_provenance
        """,
        {
            **to_parameters(build, file),
            "kind": file.compatibility.identifier,
            "build_tag": file.build_tag,
        },
    )
