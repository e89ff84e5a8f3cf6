"""What retention may remove: wheels of old releases and events; and which logs are in use."""

from collections.abc import Sequence
from datetime import date, datetime

from piwheels.db.audit_log import MIN_KEPT_EVENTS
from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.model import Struct

#: How the reason of a release begins that is not built because its wheels were removed.
REASON_PREFIX = "removed by retention"


class OldRelease(Struct, frozen=True, kw_only=True):
    """A release whose wheels are old enough to be removed."""

    project: str
    version: str
    released_at: datetime
    wheels: int
    size_bytes: int


class CountedDays(Struct, frozen=True, kw_only=True):
    """On how many whole days of a period accesses were counted, and the first day ever."""

    within: int
    first: date | None


class LoggedBuild(Struct, frozen=True, kw_only=True):
    """A build that has a log."""

    build_id: int
    ended_at: datetime
    in_use: bool  # it made a published wheel, or is the last one of its release for its target


class OldEvents(Struct, frozen=True, kw_only=True):
    """How many events are old enough to be deleted."""

    count: int
    oldest: datetime | None


async def counted_days(db: Database, since: date, today: date) -> CountedDays:
    """On which days access logs were read; imported totals do not say which wheels are in use."""
    row = await db.row(
        """
        SELECT count(*) FILTER (WHERE day >= %(since)s AND day < %(today)s) AS within,
               min(day) AS first
          FROM downloads_daily
         WHERE counted + index_hits + project_pages + json_pages + log_pages + others > 0
        """,
        {"since": since, "today": today},
    )
    return CountedDays(**row) if row else CountedDays(within=0, first=None)


async def old_releases(
    db: Database, projects: Sequence[str], keep: int, used_since: datetime
) -> list[OldRelease]:
    """Releases with wheels beyond the newest of their project, in the order of their removal.

    Not those without an sdist, which could not be built again, and not those of which a wheel was
    published or downloaded since a time.
    """
    rows = await db.rows(
        """
        SELECT project, version, released_at, wheels, size_bytes
          FROM (
              SELECT r.project, r.version, r.released_at, r.sdist_url,
                     f.wheels, f.size_bytes, f.published_at,
                     row_number() OVER (
                         PARTITION BY r.project ORDER BY r.released_at DESC, r.version DESC
                     ) AS place
                FROM releases r
               CROSS JOIN LATERAL (
                   SELECT count(*) AS wheels, sum(size_bytes)::bigint AS size_bytes,
                          max(published_at) AS published_at
                     FROM files WHERE files.project = r.project AND files.version = r.version
               ) f
               WHERE r.project = ANY (%(projects)s) AND f.wheels > 0
          ) ranked
         WHERE place > %(keep)s AND sdist_url IS NOT NULL AND published_at < %(since)s
           AND NOT EXISTS (
               SELECT FROM files f
                 JOIN downloaded_wheels w ON w.project = f.project AND w.filename = f.filename
                 JOIN downloads_monthly_by_wheel d
                   ON d.wheel_id = w.wheel_id
                  AND d.month >= date_trunc('month', %(day)s::date)::date
                WHERE f.project = ranked.project AND f.version = ranked.version
                  -- the array ends with the last day that has downloads
                  AND d.month + (array_upper(d.days, 1) - 1) >= %(day)s::date)
         ORDER BY project, released_at, version
        """,
        {"projects": list(projects), "keep": keep, "since": used_since, "day": used_since.date()},
    )
    return [OldRelease(**row) for row in rows]


@transactional
async def remove_wheels(
    db: Database, project: str, versions: Sequence[str], used_since: datetime, reason: str
) -> int:
    """Take the wheels of releases from the index, and do not build them again; returns how many.

    A wheel that was published meanwhile stays. The publishers delete the files after the pages.
    """
    await lock_projects(db, [project])
    facts = {
        "project": project,
        "versions": list(versions),
        "since": used_since,
        "reason": reason,
    }
    await db.execute(
        """
        UPDATE releases SET skip_reason = %(reason)s
         WHERE project = %(project)s AND version = ANY (%(versions)s) AND skip_reason IS NULL
           AND NOT EXISTS (
               SELECT FROM files f
                WHERE f.project = releases.project AND f.version = releases.version
                  AND f.published_at >= %(since)s)
        """,
        facts,
    )
    return await db.execute(
        """
        DELETE FROM files f
         USING releases r
         WHERE r.project = f.project AND r.version = f.version AND r.skip_reason IS NOT NULL
           AND f.project = %(project)s AND f.version = ANY (%(versions)s)
           AND f.published_at < %(since)s
        """,
        facts,
    )


@transactional
async def bring_back(db: Database, project: str, version: str | None) -> int:
    """Have releases built again whose wheels retention removed; returns how many.

    version: of one release; None: all of the project.
    """
    await lock_projects(db, [project])
    return await db.execute(
        """
        UPDATE releases SET skip_reason = NULL
         WHERE project = %(project)s AND starts_with(skip_reason, %(prefix)s)
           AND (%(version)s::text IS NULL OR version = %(version)s)
        """,
        {"project": project, "version": version, "prefix": REASON_PREFIX},
    )


async def logged_builds(db: Database, build_ids: Sequence[int]) -> dict[int, LoggedBuild]:
    """What is known of builds, by number; those of removed releases are unknown."""
    rows = await db.rows(
        """
        SELECT b.build_id, b.ended_at,
               EXISTS (SELECT FROM files f WHERE f.build_id = b.build_id)
               OR NOT EXISTS (
                   SELECT FROM builds later
                    WHERE later.project = b.project AND later.version = b.version
                      AND later.target = b.target AND later.build_id > b.build_id) AS in_use
          FROM builds b
         WHERE b.build_id = ANY (%(ids)s)
        """,
        {"ids": list(build_ids)},
    )
    return {row["build_id"]: LoggedBuild(**row) for row in rows}


async def old_events(db: Database, before: datetime) -> OldEvents:
    """The events that are old enough to be deleted, except the newest thousand."""
    row = await db.row(
        """
        SELECT count(*) AS count, min(at) AS oldest FROM events
         WHERE at < %(before)s AND event_id <= (SELECT max(event_id) FROM events) - %(kept)s
        """,
        {"before": before, "kept": MIN_KEPT_EVENTS},
    )
    return OldEvents(**row) if row else OldEvents(count=0, oldest=None)
