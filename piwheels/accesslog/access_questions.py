"""Questions about single accesses, asked of the database and of the Parquet files together."""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from piwheels.accesslog import parquet_files
from piwheels.accesslog.access_files import AccessFiles, access_files
from piwheels.config import Config
from piwheels.db.database import Database
from piwheels.db.exported_accesses import AccessCount, count_accesses, exported_days
from piwheels.formatting import format_size
from piwheels.sanitize import truncate_line

#: What accesses can be counted by: an expression for PostgreSQL and DuckDB alike.
KEYS = {
    "day": "CAST(accessed_at AS date)",
    "project": "project",
    "file": "filename",
    "python": "python",
    "arch": "arch",
    "installer": "installer",
    "os": "os || ' ' || os_release",
}


def run(
    config: Config,
    key: str,
    since: date | None,
    until: date | None,
    *,
    limit: int,
    as_json: bool,
) -> int:
    """Print the counts of a period, at most `limit` lines of them (0: all); returns the status.

    Raises:
        ConfigError: DuckDB is missing, or cannot read a file.
        PiwheelsError: the database cannot be used.
    """
    counts = asyncio.run(_ask(config, key, since or date(1, 1, 1), until or date(9999, 12, 30)))
    shown = counts[:limit] if limit else counts
    if as_json:
        text = json.dumps([msgspec.structs.asdict(count) for count in shown])
    else:
        text = "\n".join(_lines(key, shown))
    sys.stdout.write(f"{text}\n")
    return 0


async def _ask(config: Config, key: str, since: date, until: date) -> list[AccessCount]:
    files = access_files(config)
    async with await Database.connect(config.database.dsn, role="stats count") as database:
        return await count_by(database, files, key, since, until)


def _lines(key: str, counts: Sequence[AccessCount]) -> Iterator[str]:
    yield f"{key:<40}  {'downloads':>12}  {'size':>10}  {'accesses':>12}"
    for count in counts:
        name = truncate_line(count.key) or "(unknown)"
        size = format_size(count.bytes)
        yield f"{name:<40}  {count.downloads:>12,}  {size:>10}  {count.accesses:>12,}"


async def count_by(
    db: Database, files: AccessFiles, key: str, since: date, until: date
) -> list[AccessCount]:
    """The counts of a period; days in their order, others by downloads.

    Args:
        db: the database, which has the newer accesses.
        files: those with the older ones.
        key: one of KEYS.
        since: the first day, in UTC.
        until: the last day.

    Raises:
        BucketError: a file is in a bucket, which cannot be asked.
        ConfigError: there are files, and DuckDB is missing or cannot read one.
    """
    period = _midnight(since), _midnight(until) + timedelta(days=1)
    async with db.transaction():  # while a month is moved it is in one place only
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # Before the snapshot: a month that is being moved is waited for.
        await db.execute("LOCK TABLE access_records IN ACCESS SHARE MODE")
        counts = await count_accesses(db, KEYS[key], *period)
        recorded = [day.file for day in await exported_days(db, since, until)]
    counts += await asyncio.to_thread(
        parquet_files.count_accesses, recorded, KEYS[key], *period, files
    )
    merged = _merge(counts)
    if key == "day":
        return sorted(merged, key=lambda count: count.key)
    return sorted(merged, key=lambda count: (-count.downloads, -count.accesses, count.key))


def _merge(counts: list[AccessCount]) -> list[AccessCount]:
    merged: dict[str, AccessCount] = {}
    for count in counts:
        if other := merged.get(count.key):
            count = AccessCount(  # noqa: PLW2901 - the sum of both
                key=count.key,
                accesses=count.accesses + other.accesses,
                downloads=count.downloads + other.downloads,
                bytes=count.bytes + other.bytes,
            )
        merged[count.key] = count
    return list(merged.values())


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
