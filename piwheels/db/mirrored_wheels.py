"""Wheels of the upstream index that are published here as they are (policy `mirror`)."""

from collections.abc import Sequence
from datetime import datetime

from piwheels.db.catalog import lock_projects
from piwheels.db.completed_builds import store_mirrored_build
from piwheels.db.database import Database, transactional, transpose_rows
from piwheels.db.rows import from_row, to_parameters
from piwheels.db.upstream_wheels import ListedWheel
from piwheels.model import Build, CompatibilityRules, Struct, WheelFile

#: How long until a wheel that is not needed now, or is published, is looked at again.
_RECHECK_S = 86400.0


class WheelToMirror(Struct, frozen=True, kw_only=True):
    """A wheel of the upstream index that is to be looked at now."""

    project: str
    version: str
    filename: str
    url: str
    sha256: str  # "" if the page gives none
    size_bytes: int | None
    uploaded_at: datetime | None
    attestations_url: str
    attempts: int
    is_wanted: bool  # it is the best one for an active target, and not published
    name_is_taken: bool  # by other content


async def due_wheels(db: Database, limit: int) -> list[WheelToMirror]:
    """Wheels that are to be looked at now, those that wait longest first.

    Wanted are those that installers would choose on an active target, of releases that are neither
    hidden nor skipped.
    """
    rows = await db.rows(
        """
        SELECT m.project, m.version, m.filename, m.url, m.sha256, m.size_bytes, m.uploaded_at,
               m.attestations_url, m.attempts,
               EXISTS (
                   SELECT FROM reserved_filenames n
                    WHERE n.filename = m.filename AND n.sha256 <> m.sha256) AS name_is_taken,
               r.missing_since IS NULL AND r.skip_reason IS NULL AND p.skip_reason IS NULL
               AND p.status <> 'quarantined'
               AND NOT EXISTS (
                   SELECT FROM files f WHERE f.filename = m.filename AND f.sha256 = m.sha256)
               AND EXISTS (
                   SELECT FROM covering_upstream_wheels u
                     JOIN targets t ON t.target = u.target AND t.skip_reason IS NULL
                    WHERE u.project = m.project AND u.version = m.version
                      AND u.filename = m.filename
                      AND NOT EXISTS (
                          SELECT FROM target_skips s
                           WHERE s.project = m.project AND s.target = u.target
                             AND s.version IN ('', m.version))
                      AND NOT EXISTS (
                          SELECT FROM covering_upstream_wheels better
                           WHERE better.project = m.project AND better.version = m.version
                             AND better.target = u.target AND better.tag_rank < u.tag_rank)
               ) AS is_wanted
          FROM wheels_to_mirror m
          JOIN releases r ON r.project = m.project AND r.version = m.version
          JOIN projects p ON p.project = m.project
         WHERE NOT m.refused AND m.next_check_at <= now()
         ORDER BY m.next_check_at
         LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    return [from_row(WheelToMirror, row) for row in rows]


async def next_due_s(db: Database) -> float | None:
    """In how many seconds the next wheel is to be looked at, negative if it is due; None: never."""
    due_s = await db.value(
        """
        SELECT extract(epoch FROM min(next_check_at) - now())::float8
          FROM wheels_to_mirror WHERE NOT refused
        """
    )
    return None if due_s is None else float(due_s)


async def postpone_unneeded(db: Database, wheels: Sequence[WheelToMirror]) -> None:
    """Look at these again in a day: by then a target may have been added, or a file lost."""
    await db.execute(
        """
        UPDATE wheels_to_mirror m
           SET next_check_at = now() + make_interval(secs => %(delay_s)s)
          FROM unnest(%(project)s::text[], %(version)s::text[], %(filename)s::text[])
               AS seen (project, version, filename)
         WHERE m.project = seen.project AND m.version = seen.version
           AND m.filename = seen.filename
        """,
        {
            "delay_s": _RECHECK_S,
            **transpose_rows(
                [
                    {"project": it.project, "version": it.version, "filename": it.filename}
                    for it in wheels
                ]
            ),
        },
    )


@transactional
async def record_problem(
    db: Database, wheel: WheelToMirror, problem: str, *, delay_s: float | None
) -> None:
    """Record why a wheel was not mirrored; it is tried again after a delay, or never (None)."""
    await db.execute(
        """
        UPDATE wheels_to_mirror
           SET problem = %(problem)s, refused = %(delay_s)s::float8 IS NULL,
               attempts = attempts + 1,
               next_check_at = now() + make_interval(secs => coalesce(%(delay_s)s::float8, 0))
         WHERE project = %(project)s AND version = %(version)s AND filename = %(filename)s
           AND sha256 = %(sha256)s
        """,
        {**to_parameters(wheel), "problem": problem.replace("\0", ""), "delay_s": delay_s},
    )
    await db.execute(
        """
        INSERT INTO page_invalidations (page_kind, page_key) VALUES ('project', %(project)s)
        """,
        {"project": wheel.project},
    )


async def hashes_to_mirror(db: Database, hashes: Sequence[str]) -> set[str]:
    """Those of some hashes that wheels have which are to be mirrored."""
    rows = await db.rows(
        """
        SELECT DISTINCT sha256 FROM wheels_to_mirror
         WHERE sha256 = ANY (%(hashes)s) AND NOT refused
        """,
        {"hashes": list(hashes)},
    )
    return {row["sha256"] for row in rows}


@transactional
async def publish_mirrored(
    db: Database, wheel: WheelToMirror, build: Build, file: WheelFile, rules: CompatibilityRules
) -> bool:
    """List a wheel in the index; it is in the web root already.

    Returns:
        False if it is not to be mirrored any more, and nothing was stored.
    """
    await lock_projects(db, [wheel.project])
    still_listed = await db.execute(
        """
        UPDATE wheels_to_mirror
           SET problem = '', attempts = 0,
               next_check_at = now() + make_interval(secs => %(delay_s)s)
         WHERE project = %(project)s AND version = %(version)s AND filename = %(filename)s
           AND sha256 = %(sha256)s AND NOT refused
        """,
        {**to_parameters(wheel), "delay_s": _RECHECK_S},
    )
    if not still_listed:
        return False
    await store_mirrored_build(db, build, file, rules)
    return True


async def update_from_page(db: Database, project: str, listed: Sequence[ListedWheel]) -> int:
    """Make the mirrored wheels of a project as its page says: yanked, hidden if it lists them not.

    One that is listed with other content is hidden too.

    Returns:
        How many changed.
    """
    rows = await db.rows(
        """
        SELECT filename, sha256 FROM files
         WHERE project = %(project)s AND mirrored_from IS NOT NULL
        """,
        {"project": project},
    )
    if not rows:
        return 0
    own = {row["filename"]: row["sha256"] for row in rows}
    same = [it for it in listed if it.filename in own and it.sha256 in {"", own[it.filename]}]
    changed = await db.execute(
        """
        UPDATE files f
           SET yanked = now.yanked, missing_since = now.missing_since,
               uploaded_at = now.uploaded_at, attestations_url = now.attestations_url
          FROM (
              SELECT old.filename, page.yanked,
                     CASE WHEN page.filename IS NULL
                          THEN coalesce(old.missing_since, now()) END AS missing_since,
                     coalesce(page.uploaded_at, old.uploaded_at) AS uploaded_at,
                     coalesce(page.attestations_url, old.attestations_url) AS attestations_url
                FROM files old
                LEFT JOIN unnest(%(filename)s::text[], %(yanked)s::text[],
                                 %(uploaded_at)s::timestamptz[], %(attestations_url)s::text[])
                          AS page (filename, yanked, uploaded_at, attestations_url)
                       ON page.filename = old.filename
               WHERE old.project = %(project)s AND old.mirrored_from IS NOT NULL
          ) now
         WHERE f.filename = now.filename
           AND (f.yanked, f.missing_since, f.uploaded_at, f.attestations_url)
               IS DISTINCT FROM (now.yanked, now.missing_since, now.uploaded_at,
                                 now.attestations_url)
        """,
        {
            "project": project,
            "filename": [it.filename for it in same],
            "yanked": [it.yanked for it in same],
            "uploaded_at": [it.uploaded_at for it in same],
            "attestations_url": [it.attestations_url for it in same],
        },
    )
    if changed:  # an update of files is on the pages for people alone
        await db.execute(
            "SELECT invalidate_pages('simple', ARRAY[%(project)s, ''], true)", {"project": project}
        )
    return changed
