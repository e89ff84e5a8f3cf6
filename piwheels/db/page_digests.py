"""Whether the data of a project's pages changed since they were written.

A digest of all rows that pages of a project show is computed by PostgreSQL, so that an unchanged
page costs neither the transfer of its data nor its rendering. What other things a page depends on
is the Basis.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from piwheels.db.database import Database
from piwheels.db.queue_outlines import FIRST_JOBS
from piwheels.model import Struct


class Basis(Struct, frozen=True, kw_only=True):
    """What pages depend on apart from the rows of their project and the targets.

    everywhere: of all pages: the renderer, the settings of the website.
    queued: of pages of projects with jobs: connected builders, rates of builds, the time.
    """

    everywhere: str = ""
    queued: str = ""


class PageState(Struct, frozen=True, kw_only=True):
    """A project whose pages are to be written."""

    project: str
    releases: int
    is_unchanged: bool  # since its pages were written; those may be missing


#: The place of a job in the order of its queue, as one number (bigint).
_QUEUE_KEY = """
    (j.priority_class * 100000000000000000 + extract(epoch FROM j.priority_time) * 1000000)::bigint
"""

#: A job's page shows how many of the first FIRST_JOBS are before it.
_FIRST_KEYS = f"""
    first_keys AS MATERIALIZED (
        SELECT t.target,
               ARRAY(SELECT {_QUEUE_KEY}
                       FROM jobs j
                      WHERE j.target = t.target
                        AND j.claimed_by IS NULL AND j.retry_at IS NULL AND NOT j.parked
                      ORDER BY j.priority_class, j.priority_time LIMIT %(first_jobs)s) AS keys
          FROM targets t
    ), all_targets AS MATERIALIZED (
        SELECT sum(hash_record_extended(t, 0)) AS hash FROM targets t
    )
"""  # noqa: S608 - of constants alone

#: Rows of any order have the same digest. Of projects and builds only what is shown: a check of
#: the upstream page writes others. A day ends the last 30 days of downloads.
_DIGEST = f"""
    md5(concat_ws('|',
        %(everywhere)s::text, (SELECT hash FROM all_targets),
        (SELECT hash_record_extended(ROW(p.display_name, p.status, p.status_reason, p.skip_reason,
                                         p.check_problem, p.min_memory_bytes, p.is_pure,
                                         p.upstream_wheel_policy), 0)),
        (SELECT sum(hash_record_extended(r, 0)) FROM releases r WHERE r.project = p.project),
        (SELECT sum(hash_record_extended(f, 0)) FROM files f WHERE f.project = p.project),
        (SELECT sum(hash_record_extended(ROW(b.build_id, b.builder, b.outcome, b.will_retry,
                                             b.reason, b.ended_at, b.without_compiler,
                                             b.failure_class, b.evidence), 0))
           FROM builds b WHERE b.project = p.project),
        (SELECT concat(sum(hash_record_extended(
                               ROW(j, width_bucket({_QUEUE_KEY} - 1, first.keys)), 0)),
                       CASE WHEN count(*) > 0 THEN %(queued)s::text END)
           FROM jobs j JOIN first_keys first ON first.target = j.target
          WHERE j.project = p.project),
        (SELECT sum(hash_record_extended(ROW(x.filename, x.ended_at, x.result, x.reason, x.builder,
                                             x.comparison), 0))
           FROM reproductions x WHERE x.project = p.project AND x.ended_at IS NOT NULL),
        (SELECT sum(hash_record_extended(w, 0)) FROM upstream_wheels w
          WHERE w.project = p.project),
        (SELECT sum(hash_record_extended(ROW(m.filename, m.problem, m.refused), 0))
           FROM wheels_to_mirror m WHERE m.project = p.project),
        (SELECT sum(hash_record_extended(s, 0)) FROM target_skips s WHERE s.project = p.project),
        (SELECT sum(hash_record_extended(a, 0)) FROM project_aliases a
          WHERE a.project = p.project),
        (SELECT hash_record_extended(m, 0) FROM project_metadata m WHERE m.project = p.project),
        (SELECT hash_record_extended(u, 0) FROM upstream_pages u WHERE u.project = p.project),
        (SELECT hashtextextended(c.problem, 0) FROM upstream_changes c
          WHERE c.project = p.project),
        (SELECT sum(hash_record_extended(k, 0)) FROM key_values k
          WHERE k.key IN ('recipe/written/' || p.project, 'recipe/operator/' || p.project,
                          'recipe/learned/' || p.project)),
        (SELECT concat(hash_record_extended(d, 0), %(today)s::date)
           FROM downloads_by_project d WHERE d.project = p.project)
    ))
"""  # noqa: S608 - of constants alone


async def page_states(db: Database, projects: Sequence[str], basis: Basis) -> list[PageState]:
    """The states of projects, in their order; a project that is gone has no releases."""
    rows = await db.rows(
        f"""
        WITH {_FIRST_KEYS}
        SELECT named.project,
               (SELECT count(*) FROM releases r WHERE r.project = named.project) AS releases,
               coalesce(stored.digest = (
                   SELECT {_DIGEST} FROM projects p WHERE p.project = stored.project
               ), false) AS is_unchanged
          FROM unnest(%(projects)s::text[]) WITH ORDINALITY AS named (project, place)
          LEFT JOIN page_digests stored ON stored.project = named.project
         ORDER BY named.place
        """,  # noqa: S608 - of constants alone
        _parameters(projects, basis),
    )
    return [PageState(**row) for row in rows]


async def current_digests(db: Database, projects: Sequence[str], basis: Basis) -> dict[str, str]:
    """The digest of the data of those of these projects that the farm has."""
    rows = await db.rows(
        f"""
        WITH {_FIRST_KEYS}
        SELECT p.project, {_DIGEST} AS digest
          FROM projects p WHERE p.project = ANY (%(projects)s)
        """,  # noqa: S608 - of constants alone
        _parameters(projects, basis),
    )
    return {row["project"]: row["digest"] for row in rows}


def _parameters(projects: Sequence[str], basis: Basis) -> dict[str, object]:
    return {
        "projects": list(projects),
        "everywhere": basis.everywhere,
        "queued": basis.queued,
        "first_jobs": FIRST_JOBS,
        "today": datetime.now(UTC).date(),
    }


async def forget_digests(db: Database, projects: Sequence[str] | None = None) -> None:
    """Delete the digests of projects, or all: their pages are written, whatever they were."""
    await db.execute(
        """
        DELETE FROM page_digests
         WHERE %(projects)s::text[] IS NULL OR project = ANY (%(projects)s)
        """,
        {"projects": list(projects) if projects is not None else None},
    )


async def store_digests(db: Database, digests: Mapping[str, str]) -> None:
    """Record of which data the pages of projects were written."""
    await db.execute(
        """
        INSERT INTO page_digests (project, digest)
        SELECT * FROM unnest(%(projects)s::text[], %(digests)s::text[])
            ON CONFLICT (project) DO UPDATE SET digest = excluded.digest
        """,
        {"projects": list(digests), "digests": list(digests.values())},
    )
