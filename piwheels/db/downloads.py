"""Download figures from the access logs: totals, series, breakdowns, the most downloaded.

Everything comes from the aggregates, which are kept when raw rows are dropped. Days are in UTC; a
period includes its first and its last day, and None leaves it open at that end.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from piwheels.db.database import Database, transactional
from piwheels.db.series import series_sum
from piwheels.model import (
    DownloadTotals,
    FarmSeries,
    LiveDownloads,
    NamedCount,
    ProjectDay,
    ProjectDownloads,
    Struct,
)

#: "The last 30 days" and "the last year" everywhere: today in UTC, and the days before it.
RECENT_DAYS = 30
YEAR_DAYS = 365
_READER_TIMEOUT_S = 15  # a reader without a heartbeat for this long is gone
_RATE_WINDOW_S = 10
_LIVE_TOP_COUNT = 10
_DAY = timedelta(days=1)
#: Yesterday is compared with today when this share of its minutes was measured, and so many.
_LEAST_MEASURED = 0.9
_LEAST_COMPARED_MINUTES = 30
_MIN_CANDIDATES = 1000
_ALL_PROJECTS = 2**31
_ALL_TIME = (date(1970, 1, 1), date(9999, 12, 31))


class Dimension(StrEnum):
    """What downloads are grouped by."""

    ARCH = "arch"  # aarch64, armv7l, ...
    OS = "os"  # with its release: "Debian 12"
    PYTHON = "python"  # "3.13"
    INSTALLER = "installer"  # with its version: "pip 24.0"


class DayTotals(Struct, frozen=True, kw_only=True):
    """One day."""

    day: date
    downloads: int
    bytes: int
    saved_s: float
    clients: int  # distinct addresses, of any kind of access
    index_hits: int
    project_pages: int
    json_pages: int
    log_pages: int
    others: int


class PeriodTotals(Struct, frozen=True, kw_only=True):
    """A month or a year, with its record day."""

    period: str  # "2026-11" or "2026"
    downloads: int
    bytes: int
    saved_s: float
    record_day: int
    record_date: date | None


class ProjectHistory(Struct, frozen=True, kw_only=True):
    """The downloads of one project."""

    total: ProjectDownloads
    days: tuple[ProjectDay, ...]  # of the last year, with downloads, oldest first
    wheels: dict[str, int]  # all downloads of each wheel, by file name


# --- all projects ------------------------------------------------------------------------


async def download_totals(db: Database, today: date | None = None) -> DownloadTotals:
    """The figures that a farm is known for, as of today."""
    today = today or _today()
    row = await db.row(
        """
        SELECT coalesce(sum(downloads), 0)::bigint AS downloads,
               coalesce(sum(downloads) FILTER (WHERE recent), 0)::bigint AS last_30_days,
               coalesce(sum(downloads) FILTER (WHERE day = %(today)s), 0)::bigint AS today,
               coalesce(sum(bytes), 0)::bigint AS bytes,
               coalesce(sum(saved_s), 0) AS saved_s,
               coalesce(sum(saved_s) FILTER (WHERE recent), 0) AS saved_30_days_s,
               coalesce(sum(saved_s) FILTER (WHERE day = %(today)s), 0) AS saved_today_s,
               min(day) FILTER (WHERE downloads > 0) AS since
          FROM (SELECT *, day > %(today)s::date - %(recent)s AND day <= %(today)s AS recent
                  FROM downloads_daily) d
        """,
        {"today": today, "recent": RECENT_DAYS},
    )
    record = await db.row(
        """
        SELECT downloads AS record_day, day AS record_date
          FROM downloads_daily WHERE downloads > 0 ORDER BY downloads DESC, day LIMIT 1
        """
    )
    return DownloadTotals(**(row or {}), **(record or {"record_day": 0, "record_date": None}))


async def per_day(
    db: Database, since: date | None = None, until: date | None = None
) -> list[DayTotals]:
    """Every day of a period with requests, oldest first."""
    rows = await db.rows(
        """
        SELECT day, downloads, bytes, saved_s, clients,
               index_hits, project_pages, json_pages, log_pages, others
          FROM downloads_daily
         WHERE day BETWEEN %(since)s AND %(until)s
         ORDER BY day
        """,
        _period_parameters(since, until),
    )
    return [DayTotals(**row) for row in rows]


async def per_month(
    db: Database, since: date | None = None, until: date | None = None
) -> list[PeriodTotals]:
    """Every month of a period with downloads, each with its record day, oldest first."""
    return await _periods(db, "YYYY-MM", since, until)


async def per_year(
    db: Database, since: date | None = None, until: date | None = None
) -> list[PeriodTotals]:
    """Every year of a period with downloads, each with its record day, oldest first."""
    return await _periods(db, "YYYY", since, until)


async def breakdown(
    db: Database, dimension: Dimension, since: date | None = None, until: date | None = None
) -> list[NamedCount]:
    """Downloads of a period by a property of the clients, the most frequent first.

    Only downloads counted from logs are included: imported days have only totals.
    """
    rows = await db.rows(
        """
        SELECT value AS name, sum(downloads)::bigint AS count
          FROM downloads_daily_by_dimension
         WHERE dimension = %(dimension)s AND day BETWEEN %(since)s AND %(until)s
         GROUP BY value
         ORDER BY count DESC, value
        """,
        {"dimension": str(dimension), **_period_parameters(since, until)},
    )
    return [NamedCount(**row) for row in rows]


async def top_projects(
    db: Database, since: date | None = None, until: date | None = None, *, limit: int = 20
) -> list[NamedCount]:
    """The most downloaded projects of a period, the most downloaded first."""
    if since is None and until is None:
        rows = await db.rows(
            """
            SELECT project AS name, downloads AS count FROM downloads_by_project
             ORDER BY downloads DESC, project LIMIT %(limit)s
            """,
            {"limit": limit},
        )
        return [NamedCount(**row) for row in rows]
    if since is not None and since == until:
        return await _top_of_day(db, since, limit)
    found, beyond = await _top_of_period(
        db, _period_parameters(since, until), limit, max(_MIN_CANDIDATES, limit)
    )
    if beyond is None or (len(found) == limit and found[-1].count > beyond):
        return found
    return (await _top_of_period(db, _period_parameters(since, until), limit, _ALL_PROJECTS))[0]


# --- one project -------------------------------------------------------------------------


async def project_downloads(
    db: Database, projects: Sequence[str], today: date | None = None
) -> dict[str, ProjectHistory]:
    """The downloads of projects, by project; those without any are left out.

    The number of queries is the same for any number of projects.
    """
    today = today or _today()
    rows = await db.rows(
        """
        SELECT project, downloads, saved_s
          FROM downloads_by_project WHERE project = ANY (%(projects)s)
        """,
        {"projects": list(projects)},
    )
    names = [row["project"] for row in rows]
    if not names:
        return {}
    days = await project_days(db, names, first_day(YEAR_DAYS, today))
    wheels = await _wheels(db, names)
    since = first_day(RECENT_DAYS, today)
    return {
        row["project"]: ProjectHistory(
            total=ProjectDownloads(
                **row,
                last_30_days=sum(
                    item.downloads
                    for item in days.get(row["project"], ())
                    if since <= item.day <= today
                ),
            ),
            days=tuple(days.get(row["project"], ())),
            wheels=wheels.get(row["project"], {}),
        )
        for row in rows
    }


async def project_total(db: Database, project: str, today: date | None = None) -> ProjectDownloads:
    """All downloads of a project; zeros for one without any."""
    found = (await project_downloads(db, [project], today)).get(project)
    return found.total if found else no_downloads(project)


def no_downloads(project: str) -> ProjectDownloads:
    """The downloads of a project without any."""
    return ProjectDownloads(project=project, downloads=0, saved_s=0.0, last_30_days=0)


async def project_days(
    db: Database, projects: Sequence[str], since: date | None = None, until: date | None = None
) -> dict[str, list[ProjectDay]]:
    """The days of a period on which projects were downloaded, oldest first, by project."""
    rows = await db.rows(
        """
        SELECT project, month + (place - 1) AS day, days[place] AS downloads
          FROM downloads_monthly_by_project, generate_subscripts(days, 1) AS place
         WHERE project = ANY (%(projects)s)
           AND month = ANY (%(months)s)
           AND days[place] > 0
           AND month + (place - 1) BETWEEN %(since)s AND %(until)s
         ORDER BY day
        """,
        {
            "projects": list(projects),
            "months": await _months(db, since, until),
            **_period_parameters(since, until),
        },
    )
    found: dict[str, list[ProjectDay]] = {}
    for row in rows:
        found.setdefault(row.pop("project"), []).append(ProjectDay(**row))
    return found


async def _wheels(db: Database, projects: Sequence[str]) -> dict[str, dict[str, int]]:
    """All downloads of each wheel of projects that was downloaded, by project and file name."""
    rows = await db.rows(
        """
        SELECT w.project, w.filename, sum(d.downloads)::bigint AS downloads
          FROM downloaded_wheels w
         CROSS JOIN unnest(%(months)s::date[]) AS m (month)
          JOIN downloads_monthly_by_wheel d ON d.month = m.month AND d.wheel_id = w.wheel_id
         WHERE w.project = ANY (%(projects)s)
         GROUP BY w.project, w.filename
        """,
        {"projects": list(projects), "months": await _months(db, None, None)},
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["project"], {})[row["filename"]] = row["downloads"]
    return found


# --- now ---------------------------------------------------------------------------------


async def live_downloads(db: Database, now: datetime | None = None) -> LiveDownloads:
    """The current downloads, for the console."""
    now = now or datetime.now(UTC)
    today = now.date()
    figures = await download_totals(db, today)
    shares = {
        dimension: tuple(await breakdown(db, dimension, today, today))[:_LIVE_TOP_COUNT]
        for dimension in (Dimension.ARCH, Dimension.PYTHON, Dimension.INSTALLER)
    }
    return LiveDownloads(
        connected=await _is_reader_active(db),
        total=figures.downloads,
        today=figures.today,
        yesterday=sum(each.downloads for each in await per_day(db, *[today - _DAY] * 2)),
        yesterday_by_now=await _yesterday_by_now(db, now),
        last_30_days=figures.last_30_days,
        record_day=figures.record_day,
        record_date=figures.record_date.isoformat() if figures.record_date else "",
        rate_per_s=await _rate(db, now),
        per_minute=await _per_minute(db, now),
        top=tuple(await top_projects(db, today, today, limit=_LIVE_TOP_COUNT)),
        architectures=shares[Dimension.ARCH],
        pythons=shares[Dimension.PYTHON],
        installers=shares[Dimension.INSTALLER],
    )


async def _is_reader_active(db: Database) -> bool:
    return bool(
        await db.value(
            """
            SELECT EXISTS (
                SELECT FROM active_log_readers
                 WHERE seen_at > now() - %(live)s * interval '1 second'
            )
            """,
            {"live": _READER_TIMEOUT_S},
        )
    )


async def _rate(db: Database, now: datetime) -> float:
    count = await db.value(
        """
        SELECT coalesce(sum(downloads), 0)::bigint FROM downloads_recent_seconds
         WHERE second > %(now)s - %(span)s * interval '1 second' AND second <= %(now)s
        """,
        {"now": now, "span": _RATE_WINDOW_S},
    )
    return float(count) / _RATE_WINDOW_S


async def downloads_of_minute(db: Database, minute: datetime) -> int | None:
    """How many downloads there were in a minute of the last hour; None without an access log."""
    if not await _is_reader_active(db):
        return None
    count: int = await db.value(
        """
        SELECT coalesce(sum(downloads), 0)::bigint FROM downloads_recent_seconds
         WHERE second >= %(minute)s AND second < %(minute)s + interval '1 minute'
        """,
        {"minute": minute},
    )
    return count


async def _yesterday_by_now(db: Database, now: datetime) -> int | None:
    """The downloads of yesterday until this time of day, to within a few minutes.

    None where too few minutes of that were measured, as in the first half hour of a day.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    elapsed_minutes = (now - midnight) / timedelta(minutes=1)
    found = await series_sum(db, FarmSeries.DOWNLOADS, midnight - _DAY, now - _DAY)
    if not found or elapsed_minutes < _LEAST_COMPARED_MINUTES:
        return None
    if found.minutes < _LEAST_MEASURED * elapsed_minutes:
        return None
    return round(found.total / found.minutes * elapsed_minutes)


async def _per_minute(db: Database, now: datetime) -> tuple[int, ...]:
    rows = await db.rows(
        """
        SELECT coalesce(sum(s.downloads), 0)::bigint AS downloads
          FROM generate_series(1, 60) AS ago
          LEFT JOIN downloads_recent_seconds s
            ON s.second >= %(minute)s - ago * interval '1 minute'
           AND s.second < %(minute)s - (ago - 1) * interval '1 minute'
         GROUP BY ago
         ORDER BY ago DESC
        """,
        {"minute": now.replace(second=0, microsecond=0)},
    )
    return tuple(row["downloads"] for row in rows)


# --- helpers ---------------------------------------------------------------------------------


def first_day(days: int, today: date | None = None) -> date:
    """The first of this many days, of which today is the last."""
    return (today or _today()) - timedelta(days=days - 1)


def _today() -> date:
    return datetime.now(UTC).date()


def _period_parameters(since: date | None, until: date | None) -> dict[str, Any]:
    return {"since": since or _ALL_TIME[0], "until": until or _ALL_TIME[1]}


async def _months(db: Database, since: date | None, until: date | None) -> list[date]:
    """The months of a period that have downloads, to find their rows by key."""
    rows = await db.rows(
        """
        SELECT DISTINCT date_trunc('month', day)::date AS month
          FROM downloads_daily
         WHERE counted > 0 AND day BETWEEN %(since)s AND %(until)s
        """,
        _period_parameters(since, until),
    )
    return [row["month"] for row in rows]


async def _periods(
    db: Database, pattern: str, since: date | None, until: date | None
) -> list[PeriodTotals]:
    rows = await db.rows(
        """
        SELECT to_char(day, %(pattern)s) AS period,
               sum(downloads)::bigint AS downloads,
               sum(bytes)::bigint AS bytes,
               sum(saved_s) AS saved_s,
               max(downloads) AS record_day,
               (array_agg(day ORDER BY downloads DESC, day))[1] AS record_date
          FROM downloads_daily
         WHERE downloads > 0 AND day BETWEEN %(since)s AND %(until)s
         GROUP BY period
         ORDER BY period
        """,
        {"pattern": pattern, **_period_parameters(since, until)},
    )
    return [PeriodTotals(**row) for row in rows]


@transactional
async def _rows_by_month(
    db: Database, query: str, parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of a query for some months of downloads_monthly_by_project.

    The rows of a month are stored together, but the planner expects random reads, and prefers a
    scan of all months, which gets slower with the age of the farm.
    """
    await db.execute("SET LOCAL enable_seqscan = off")
    return await db.rows(query, parameters)


async def _top_of_day(db: Database, day: date, limit: int) -> list[NamedCount]:
    rows = await _rows_by_month(
        db,
        """
        SELECT project AS name, days[%(place)s] AS count
          FROM downloads_monthly_by_project
         WHERE month = %(month)s AND days[%(place)s] > 0
         ORDER BY count DESC, project
         LIMIT %(limit)s
        """,
        {"month": day.replace(day=1), "place": day.day, "limit": limit},
    )
    return [NamedCount(**row) for row in rows]


#: The most downloaded of a period, exactly, among those with the most downloads in the months
#: that it touches: a project's months are never less than its part of the period. `beyond` is
#: the most that a project which was not looked at can have.
_TOP_OF_PERIOD_SQL = """
    WITH touched AS MATERIALIZED (
        SELECT project, sum(downloads) AS most
          FROM downloads_monthly_by_project
         WHERE month BETWEEN %(first_month)s AND %(until)s
         GROUP BY project
         ORDER BY most DESC
         LIMIT %(candidates)s + 1
    ), candidates AS (
        SELECT project FROM touched ORDER BY most DESC LIMIT %(candidates)s
    ), exact AS (
        SELECT d.project AS name,
               sum(
                   CASE WHEN d.month >= %(since)s::date
                         AND d.month + interval '1 month' <= %(until)s::date + interval '1 day'
                        THEN d.downloads
                        ELSE (SELECT coalesce(sum(d.days[place]), 0)
                                FROM generate_subscripts(d.days, 1) AS place
                               WHERE d.month + (place - 1) BETWEEN %(since)s AND %(until)s)
                   END
               )::bigint AS downloads
          FROM candidates c
          JOIN downloads_monthly_by_project d ON d.project = c.project
         WHERE d.month BETWEEN %(first_month)s AND %(until)s
         GROUP BY d.project
    )
    SELECT e.name, e.downloads, bound.beyond
      FROM (SELECT (SELECT most::bigint FROM touched ORDER BY most DESC
                    OFFSET %(candidates)s) AS beyond) bound
      LEFT JOIN exact e ON e.downloads > 0
     ORDER BY e.downloads DESC, e.name
     LIMIT %(limit)s
"""


async def _top_of_period(
    db: Database, between: dict[str, Any], limit: int, candidates: int
) -> tuple[list[NamedCount], int | None]:
    # As a date, and not computed in SQL, so that the planner sees how few months match.
    first_month = between["since"].replace(day=1)
    rows = await _rows_by_month(
        db,
        _TOP_OF_PERIOD_SQL,
        {**between, "first_month": first_month, "limit": limit, "candidates": candidates},
    )
    beyond = rows[0]["beyond"] if rows else None
    found = [row for row in rows if row["name"] is not None]
    return [NamedCount(name=row["name"], count=row["downloads"]) for row in found], beyond
