"""Single accesses that were moved from the database to files, and counts of those still in it."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import msgspec

from piwheels.db import key_values
from piwheels.db.access_log_positions import LOCK_TOTALS
from piwheels.db.database import Database, transactional
from piwheels.db.database_clock import database_time
from piwheels.model import WaitingAccesses
from piwheels.model.base import Struct

_DOWNLOAD = 1
_EXPORT_LOCK = 7095
_WAITING = "accesslog/waiting"
#: One row for each access, with names instead of the database's keys.
_ACCESSES = """
    SELECT a.at AT TIME ZONE 'UTC' AS accessed_at, a.client_hash, a.request_kind AS kind,
           a.status, a.bytes,
           coalesce(w.filename, '') AS filename, coalesce(w.project, '') AS project,
           coalesce(u.client_type, '') AS client_type, coalesce(u.installer, '') AS installer,
           coalesce(u.installer_version, '') AS installer_version, coalesce(u.arch, '') AS arch,
           coalesce(u.os, '') AS os, coalesce(u.os_release, '') AS os_release,
           coalesce(u.python, '') AS python
      FROM access_records a
      LEFT JOIN downloaded_wheels w ON w.wheel_id = a.wheel_id
      LEFT JOIN user_agents u ON u.agent_id = a.agent_id
"""


class AccessTotals(Struct, frozen=True, kw_only=True):
    """What the accesses of a day add up to, to compare two places."""

    day: date
    accesses: int
    downloads: int
    bytes: int  # of all accesses


class ExportedDay(AccessTotals, frozen=True, kw_only=True):
    """A file with accesses of a day; later accesses of the same day are in a further file."""

    file: str  # relative to the directory of all, or s3://BUCKET/KEY
    adopted: bool = False  # found by an export, as after a restore of an older database


class AccessCount(Struct, frozen=True, kw_only=True):
    """A line of an answer."""

    key: str
    accesses: int
    downloads: int
    bytes: int  # of downloads


async def exportable_months(db: Database, before: date) -> list[date]:
    """The months in the database that ended before this day, the oldest first."""
    rows = await db.rows(
        """
        SELECT to_date(right(c.relname, 7), 'YYYY_MM') AS month
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'access_records'::regclass
           AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= %(before)s::date
         ORDER BY month
        """,
        {"before": before},
    )
    return [row["month"] for row in rows]


async def totals_by_day(db: Database, month: date) -> list[AccessTotals]:
    """The days of a month that have accesses in the database."""
    name = _partition(month)
    if await db.value("SELECT to_regclass(%(name)s) IS NULL", {"name": name}):
        return []
    rows = await db.rows(
        f"""
        SELECT (at AT TIME ZONE 'UTC')::date AS day, count(*) AS accesses,
               count(*) FILTER (WHERE request_kind = {_DOWNLOAD}) AS downloads,
               sum(bytes)::bigint AS bytes
          FROM {name}
         GROUP BY day
         ORDER BY day
        """  # noqa: S608 - of a date
    )
    return [AccessTotals(**row) for row in rows]


async def copy_day(db: Database, day: date, path: Path) -> None:
    """Write a day's accesses as CSV with a header.

    Raises:
        OSError: the file cannot be written.
    """
    await db.copy_to_file(
        f"COPY ({_ACCESSES} WHERE a.at >= '{day}T00:00Z'"
        f" AND a.at < '{day}T00:00Z'::timestamptz + interval '1 day')"
        " TO STDOUT (FORMAT csv, HEADER)",
        path,
    )


@transactional
async def finish_month(
    db: Database,
    month: date,
    moved: Sequence[AccessTotals],
    files: Sequence[ExportedDay],
    contained: Sequence[str] = (),
) -> bool:
    """Record a month's files and drop its partition, if it has no other accesses than were moved.

    Args:
        db: the database.
        month: its first day.
        moved: what its days in the database add up to, all of which files have.
        files: those that are not recorded yet.
        contained: recorded files whose accesses are in others of these as well.

    Returns:
        Whether it has; accesses that were added meanwhile are in no file.
    """
    # No reader adds accesses until the end of this transaction.
    await db.execute(LOCK_TOTALS)
    if await totals_by_day(db, month) != list(moved):
        return False
    for file in contained:
        await forget_exported(db, file)
    for day in files:
        await db.execute(
            """
            INSERT INTO exported_accesses (file, day, accesses, downloads, bytes, adopted)
            VALUES (%(file)s, %(day)s, %(accesses)s, %(downloads)s, %(bytes)s, %(adopted)s)
            """,
            {name: getattr(day, name) for name in day.__struct_fields__},
        )
    await db.execute(f"DROP TABLE IF EXISTS {_partition(month)}")
    return True


async def exported_days(
    db: Database, since: date = date.min, until: date = date.max
) -> list[ExportedDay]:
    """The files with accesses of a period, the oldest first."""
    rows = await db.rows(
        """
        SELECT file, day, accesses, downloads, bytes, adopted FROM exported_accesses
         WHERE day BETWEEN %(since)s AND %(until)s
         ORDER BY day, file
        """,
        {"since": since, "until": until},
    )
    return [ExportedDay(**row) for row in rows]


async def forget_exported(db: Database, file: str) -> None:
    """Forget a file that was deleted, or whose accesses are in another one."""
    await db.execute("DELETE FROM exported_accesses WHERE file = %(file)s", {"file": file})


async def exportable_bytes(db: Database, before: date) -> int:
    """The size of the months in the database that ended before this day."""
    months = await exportable_months(db, before)
    sizes = [
        await db.value("SELECT pg_total_relation_size(%(name)s)", {"name": _partition(month)})
        for month in months
    ]
    return sum(map(int, sizes))


async def record_waiting(db: Database, problem: str, before: date) -> WaitingAccesses:
    """Record that accesses from before this day could not be moved, for the farm's status."""
    former = await waiting_accesses(db)
    now = await database_time(db)
    found = WaitingAccesses(
        problem=problem,
        since=former.since if former else now,
        bytes=await exportable_bytes(db, before),
    )
    await key_values.set_value(db, _WAITING, msgspec.json.encode(found).decode())
    return found


async def forget_waiting(db: Database) -> None:
    """Record that nothing waits: all was moved."""
    await key_values.set_value(db, _WAITING, None)


async def waiting_accesses(db: Database) -> WaitingAccesses | None:
    """What could not be moved the last time; None for nothing."""
    text = await key_values.get_value(db, _WAITING)
    return None if text is None else msgspec.json.decode(text, type=WaitingAccesses)


async def take_export_lock(db: Database) -> bool:
    """Whether this connection alone exports accesses now; a second one would replace its files.

    Asked again it says whether it still does: a connection that was replaced has lost the lock.
    """
    return bool(await db.value("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": _EXPORT_LOCK}))


async def release_export_lock(db: Database) -> None:
    """Let others export."""
    while await db.value("SELECT pg_advisory_unlock(%(lock)s)", {"lock": _EXPORT_LOCK}):
        pass  # it is held as often as it was taken


async def count_accesses(
    db: Database, key: str, since: datetime, until: datetime
) -> list[AccessCount]:
    """Counts of the accesses in the database by an expression of its columns, in a period."""
    rows = await db.rows(
        counting_query(key, f"({_ACCESSES} WHERE a.at >= %(since)s AND a.at < %(until)s)"),
        {"since": since, "until": until},
    )
    return [AccessCount(**row) for row in rows]


def counting_query(key: str, accesses: str) -> str:
    """The counts of a relation of accesses, for PostgreSQL and DuckDB alike."""
    return f"""
        SELECT CAST({key} AS text) AS key, count(*) AS accesses,
               count(*) FILTER (WHERE kind = {_DOWNLOAD}) AS downloads,
               CAST(coalesce(sum(bytes) FILTER (WHERE kind = {_DOWNLOAD}), 0) AS bigint) AS bytes
          FROM {accesses} AS accesses
         GROUP BY 1
    """  # noqa: S608 - of constants alone


def _partition(month: date) -> str:
    return f"access_records_{month:%Y_%m}"
