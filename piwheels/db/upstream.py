"""When to check which page of the upstream index, and what its changelog reported.

Times of checks are set and compared by the database's clock, and no wait is longer than the longest
one that can have been intended: a wrong clock delays nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from piwheels.db import key_values
from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional, transpose_rows
from piwheels.model import PageCheckResult, Struct

SERIAL_KEY = "upstream/serial"
ADDRESS_KEY = "upstream/address"
#: Of the keys that hold what was read of the list of all projects (listed_projects).
LISTING_PREFIX = "upstream/listing/"

_STORED_AT_ONCE = 5000


class PendingChange(Struct, frozen=True, kw_only=True):
    """A change that the changelog reported and that no page shows yet."""

    project: str
    serial: int  # 0: it was reported before a restart of the serials
    action: str
    removed_versions: tuple[str, ...]  # removed releases, "" for the project as a whole
    project_removed: bool  # the newest event is the removal of the project
    first_seen_at: datetime
    checks: int
    checks_without_serial: int  # checks of pages without a serial
    problem: str


class ProjectToCheck(Struct, frozen=True, kw_only=True):
    """A project to check now, and the result of its last check."""

    project: str
    exists: bool  # the farm has it
    etag: str = ""
    last_modified: str = ""  # Last-Modified
    page_serial: int | None = None
    last_result: str = ""
    result_count: int = 0  # consecutive checks with this result
    change: PendingChange | None = None


class CheckResult(Struct, frozen=True, kw_only=True):
    """The result of a check, and when to check again."""

    project: str
    result: PageCheckResult
    result_count: int
    etag: str
    last_modified: str
    page_serial: int | None
    problem: str
    next_check_in: timedelta
    change: PendingChange | None = None  # the one that it was made for
    visible_serial: int | None = None  # changes up to this serial are visible
    given_up: bool = False  # the change is dropped, because no page shows it
    checks_without_serial: int = 0
    change_problem: str = ""
    change_check_in: timedelta = timedelta(0)


class ReportedChange(Struct, frozen=True, kw_only=True):
    """What the changelog reported of a project."""

    project: str
    serial: int
    action: str
    removed_versions: tuple[str, ...]
    project_removed: bool


class FollowedReleases(Struct, frozen=True, kw_only=True):
    """Which releases of a project are new: see upstream.selection.is_new()."""

    follow_since: datetime | None
    existing_versions: frozenset[str] | None


# --- checks ------------------------------------------------------------------------------


# Projects with reported changes, then those whose page is due, each of a wrong clock included.
_PROJECTS_DUE_SQL = """
    WITH candidates AS (
        (SELECT project, 0 AS rank, next_check_at AS at FROM upstream_changes
          WHERE next_check_at <= now() AND project <> ALL (%(busy)s)
          ORDER BY next_check_at LIMIT %(limit)s)
        UNION ALL
        (SELECT project, 0, next_check_at FROM upstream_changes
          WHERE next_check_at > now() + %(longest_change)s AND project <> ALL (%(busy)s)
          ORDER BY next_check_at LIMIT %(limit)s)
        UNION ALL
        (SELECT project, 1, next_poll_at FROM projects
          WHERE follow_since IS NOT NULL AND next_poll_at <= now() AND project <> ALL (%(busy)s)
          ORDER BY next_poll_at LIMIT %(limit)s)
        UNION ALL
        (SELECT project, 1, next_poll_at FROM projects
          WHERE follow_since IS NOT NULL AND next_poll_at > now() + %(longest)s
            AND project <> ALL (%(busy)s)
          ORDER BY next_poll_at LIMIT %(limit)s)
    ), chosen AS (
        SELECT project, min(rank) AS rank, min(at) AS at
          FROM candidates GROUP BY project ORDER BY 2, 3 LIMIT %(limit)s
    )
"""

# The projects of `chosen`, with the results of their last checks and the changes reported of them.
_STATE_SQL = """
    SELECT chosen.project, p.project IS NOT NULL AS exists, coalesce(p.etag, '') AS etag,
           coalesce(p.last_modified, '') AS last_modified, p.page_serial,
           coalesce(p.check_result, '') AS last_result,
           coalesce(p.check_result_count, 0) AS result_count,
           c.serial, c.action, c.removed_versions, c.project_removed, c.first_seen_at, c.checks,
           c.checks_without_serial, c.problem
      FROM chosen
      LEFT JOIN projects p ON p.project = chosen.project
      LEFT JOIN upstream_changes c ON c.project = chosen.project
     ORDER BY chosen.rank, chosen.at
"""


async def projects_due(
    db: Database,
    *,
    limit: int,
    exclude: Sequence[str],
    max_delay: timedelta,
    max_change_delay: timedelta,
) -> list[ProjectToCheck]:
    """Projects to check now: first those with reported changes, then those due for longest.

    Args:
        db: the connection.
        limit: how many.
        exclude: projects that are looked at already.
        max_delay: what is planned later than so is due: the clock was wrong.
        max_change_delay: the same for reported changes.
    """
    rows = await db.rows(
        _PROJECTS_DUE_SQL + _STATE_SQL,
        {
            "limit": limit,
            "busy": list(exclude),
            "longest": max_delay,
            "longest_change": max_change_delay,
        },
    )
    return [_project_of_row(row) for row in rows]


async def project_state(db: Database, project: str) -> ProjectToCheck:
    """A project with the result of its last check, whether it is to be checked now or not."""
    chosen = "WITH chosen AS (SELECT %(project)s::text AS project, 0 AS rank, now() AS at)"
    rows = await db.rows(chosen + _STATE_SQL, {"project": project})
    return _project_of_row(rows[0])


_CHANGE_COLUMNS = (
    "serial",
    "action",
    "removed_versions",
    "project_removed",
    "first_seen_at",
    "checks",
    "checks_without_serial",
    "problem",
)


def _project_of_row(row: dict[str, Any]) -> ProjectToCheck:
    facts = {key: row.pop(key) for key in _CHANGE_COLUMNS}
    change = None
    if facts["serial"] is not None:
        facts["removed_versions"] = tuple(facts["removed_versions"])
        change = PendingChange(project=row["project"], **facts)
    return ProjectToCheck(change=change, **row)


@transactional
async def record_check(db: Database, result: CheckResult) -> None:
    """Store the result of a check, and when to check again."""
    facts = {name: getattr(result, name) for name in result.__struct_fields__ if name != "change"}
    await db.execute(
        """
        UPDATE projects
           SET check_result = %(result)s, check_result_count = %(result_count)s,
               check_problem = %(problem)s,
               etag = %(etag)s, last_modified = %(last_modified)s, page_serial = %(page_serial)s,
               checked_at = now(), next_poll_at = now() + %(next_check_in)s
         WHERE project = %(project)s
        """,
        {**facts, "result": str(result.result)},
    )
    if result.visible_serial is not None:
        await db.execute(
            """
            DELETE FROM upstream_changes
             WHERE project = %(project)s AND serial <= %(visible_serial)s
            """,
            facts,
        )
    if result.change is not None:
        # A change that was reported meanwhile has another serial, and is due already.
        await db.execute(
            """
            UPDATE upstream_changes
               SET checks = checks + 1, checks_without_serial = %(checks_without_serial)s,
                   problem = %(change_problem)s,
                   next_check_at = now() + %(change_check_in)s
             WHERE project = %(project)s AND serial = %(serial)s
            """,
            {**facts, "serial": result.change.serial},
        )


# --- the changelog -----------------------------------------------------------------------


@transactional
async def store_reported_changes(
    db: Database, reported: Sequence[ReportedChange], serial: int, *, follow_all: bool
) -> None:
    """Store reported changes until a page shows them, and the serial that was read last.

    Args:
        db: the connection.
        reported: one for each project.
        serial: the newest event's.
        follow_all: keep also those of projects that the farm does not have.
    """
    for start in range(0, len(reported), _STORED_AT_ONCE):
        await _store(db, reported[start : start + _STORED_AT_ONCE], follow_all=follow_all)
    await key_values.set_value(db, SERIAL_KEY, str(serial))


async def _store(db: Database, reported: Sequence[ReportedChange], *, follow_all: bool) -> None:
    rows = [
        {
            "project": item.project,
            "serial": item.serial,
            "action": item.action,
            # unnest() flattens nested arrays; no version contains a line feed.
            "removed_versions": "\n".join(item.removed_versions) if item.removed_versions else None,
            "project_removed": item.project_removed,
        }
        for item in sorted(reported, key=lambda item: item.project)
    ]
    await db.execute(
        """
        INSERT INTO upstream_changes (project, serial, action, removed_versions, project_removed)
        SELECT project, serial, action,
               CASE WHEN removed_versions IS NULL THEN '{}'
                    ELSE regexp_split_to_array(removed_versions, E'\\n') END, project_removed
          FROM unnest(%(project)s::text[], %(serial)s::bigint[], %(action)s::text[],
                      %(removed_versions)s::text[], %(project_removed)s::boolean[])
               AS new (project, serial, action, removed_versions, project_removed)
         WHERE %(everything)s OR EXISTS (SELECT FROM projects p WHERE p.project = new.project)
            ON CONFLICT (project) DO UPDATE
           SET serial = excluded.serial, action = excluded.action,
               project_removed = excluded.project_removed,
               removed_versions = ARRAY (SELECT unnest(upstream_changes.removed_versions)
                                 UNION SELECT unnest(excluded.removed_versions)),
               next_check_at = now(), checks = 0, checks_without_serial = 0, problem = ''
         WHERE excluded.serial > upstream_changes.serial
        """,
        {**transpose_rows(rows), "everything": follow_all},
    )


async def recheck_all(db: Database, *, serial: int | None, address: str) -> int:
    """Have every followed project compared with its page, regardless of earlier checks.

    A removal that was reported waits for a page of the project as before; its serial, which the
    index may give again to another event, is forgotten. The serial and the address are stored
    last: what is interrupted before is done again.

    Args:
        db: the connection.
        serial: from where the changelog is read; None: from its end.
        address: the index that the serial belongs to.

    Returns:
        How many projects are followed.
    """
    count, after = 0, ""
    while names := await _next_followed(db, after):
        await _recheck(db, names)
        count, after = count + len(names), names[-1]
    await _restart_from(db, serial, address)
    return count


async def _next_followed(db: Database, after: str) -> list[str]:
    rows = await db.rows(
        """
        SELECT project FROM projects
         WHERE project > %(after)s AND follow_since IS NOT NULL
         ORDER BY project LIMIT %(limit)s
        """,
        {"after": after, "limit": _STORED_AT_ONCE},
    )
    return [row["project"] for row in rows]


@transactional
async def _recheck(db: Database, names: Sequence[str]) -> None:
    await lock_projects(db, names)
    await db.execute(
        """
        UPDATE projects
           SET next_poll_at = now(), page_serial = NULL, etag = '', last_modified = '',
               check_result = '', check_result_count = 0
         WHERE project = ANY (%(names)s) AND follow_since IS NOT NULL
        """,
        {"names": list(names)},
    )


@transactional
async def _restart_from(db: Database, serial: int | None, address: str) -> None:
    await db.execute(
        """
        DELETE FROM upstream_changes c
         WHERE c.removed_versions = '{}'
            OR NOT EXISTS (SELECT FROM projects p WHERE p.project = c.project)
        """
    )
    await db.execute(
        """
        UPDATE upstream_changes
           SET serial = 0, checks = 0, checks_without_serial = 0, problem = '',
               next_check_at = now()
        """
    )
    await db.execute("DELETE FROM listed_projects")
    await db.execute(
        "DELETE FROM key_values WHERE starts_with(key, %(prefix)s)", {"prefix": LISTING_PREFIX}
    )
    await key_values.set_value(db, SERIAL_KEY, None if serial is None else str(serial))
    await key_values.set_value(db, ADDRESS_KEY, address)


# --- what is new and what is removed -----------------------------------------------------


async def followed_releases(db: Database, project: str) -> FollowedReleases:
    """Which releases of a project are new."""
    row = await db.row(
        "SELECT follow_since, existing_versions FROM projects WHERE project = %(project)s",
        {"project": project},
    )
    if row is None:
        return FollowedReleases(follow_since=None, existing_versions=None)
    existing = row["existing_versions"]
    return FollowedReleases(
        follow_since=row["follow_since"],
        existing_versions=None if existing is None else frozenset(existing),
    )


async def set_existing_versions(db: Database, project: str, versions: Sequence[str]) -> None:
    """Store which versions of a project are not new."""
    await db.execute(
        "UPDATE projects SET existing_versions = %(versions)s WHERE project = %(project)s",
        {"project": project, "versions": list(versions)},
    )


@transactional
async def confirm_removal(
    db: Database, project: str, versions: Sequence[str] | None, at: datetime
) -> list[str]:
    """Mark hidden releases as removed upstream; returns those that were not marked yet.

    Args:
        db: the connection.
        project: its normalized name.
        versions: the releases; None for all that are hidden.
        at: when.
    """
    await lock_projects(db, [project])
    rows = await db.rows(
        """
        UPDATE releases SET removed_at = %(at)s
         WHERE project = %(project)s
           AND missing_since IS NOT NULL AND removed_at IS NULL
           AND (%(versions)s::text[] IS NULL OR version = ANY (%(versions)s))
        RETURNING version
        """,
        {
            "project": project,
            "at": at,
            "versions": None if versions is None else list(versions),
        },
    )
    return sorted(row["version"] for row in rows)


@transactional
async def delete_removed(db: Database, before: datetime, limit: int) -> list[tuple[str, str]]:
    """Delete releases whose removal was confirmed before a time; returns project and version."""
    rows = await db.rows(
        """
        SELECT project, version FROM releases
         WHERE missing_since IS NOT NULL AND removed_at < %(before)s
         ORDER BY project, version LIMIT %(limit)s
        """,
        {"before": before, "limit": limit},
    )
    gone = [(row["project"], row["version"]) for row in rows]
    await lock_projects(db, [project for project, _ in gone])
    # Checked again under the lock: one may have been listed again meanwhile.
    for project, version in gone:
        await db.execute(
            """
            DELETE FROM releases
             WHERE project = %(project)s AND version = %(version)s
               AND missing_since IS NOT NULL AND removed_at < %(before)s
            """,
            {"project": project, "version": version, "before": before},
        )
    return gone
