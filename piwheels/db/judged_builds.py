"""Failed builds whose stored logs are judged again."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.rows import from_row
from piwheels.model import FailureClass, FailureEvidence, RetryDecision, Struct

_BATCH = 100


class JudgedBuild(Struct, frozen=True, kw_only=True):
    """A build that failed by its own doing, as it was judged so far.

    `is_last`: no later build of the same job ended. `debian_release` is the code name of the
    target's system.
    """

    build_id: int
    project: str
    version: str
    target: str
    debian_release: str
    will_retry: bool
    is_last: bool
    reason: str
    failure_class: FailureClass
    evidence: FailureEvidence


async def failed_builds(db: Database, projects: Sequence[str]) -> AsyncIterator[JudgedBuild]:
    """The builds that failed without a limit, of some projects or of all (), by their number."""
    last = 0
    while True:
        rows = await db.rows(
            """
            SELECT b.build_id, b.project, b.version, b.target, t.os AS debian_release,
                   b.will_retry, b.reason, b.evidence,
                   coalesce(nullif(b.failure_class, ''), 'unknown') AS failure_class,
                   NOT EXISTS (
                       SELECT FROM builds later
                        WHERE later.project = b.project AND later.version = b.version
                          AND later.target = b.target AND later.build_id > b.build_id) AS is_last
              FROM builds b JOIN targets t ON t.target = b.target
             WHERE b.outcome = 'failed' AND b.build_id > %(last)s
               AND coalesce(b.evidence ->> 'stop', '') = ''
               AND (%(projects)s::text[] = '{}' OR b.project = ANY (%(projects)s::text[]))
             ORDER BY b.build_id LIMIT %(batch)s
            """,
            {"last": last, "projects": list(projects), "batch": _BATCH},
        )
        for row in rows:
            yield from_row(JudgedBuild, row)
        if not rows:
            return
        last = rows[-1]["build_id"]


@transactional
async def store_judgment(db: Database, build: JudgedBuild, requeue: RetryDecision | None) -> None:
    """Store what a build is judged now; with `requeue`, its final failure is final no longer."""
    await lock_projects(db, [build.project])
    facts = {
        "build": build.build_id,
        "project": build.project,
        "version": build.version,
        "target": build.target,
        "class": str(build.failure_class),
        "reason": build.reason,
        "evidence": msgspec.json.encode(build.evidence).decode(),
        "queued": requeue is not None,
    }
    await db.execute(
        """
        UPDATE builds
           SET failure_class = %(class)s, evidence = %(evidence)s::jsonb, reason = %(reason)s,
               will_retry = will_retry OR %(queued)s
         WHERE build_id = %(build)s
        """,
        facts,
    )
    if requeue is None:
        return
    await db.execute(
        """
        UPDATE jobs
           SET required_packages = %(packages)s, awaited_project = %(awaited)s,
               retry_at = CASE WHEN %(delay)s > 0 THEN now() + make_interval(secs => %(delay)s) END,
               retry_delay = CASE WHEN %(delay)s > 0 THEN make_interval(secs => %(delay)s) END
         WHERE project = %(project)s AND version = %(version)s AND target = %(target)s
           AND claimed_by IS NULL
        """,
        facts
        | {
            "packages": list(requeue.required_packages),
            "awaited": requeue.awaited_project,
            "delay": float(requeue.delay_s),
        },
    )
