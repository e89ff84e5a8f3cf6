"""Moves single accesses from the database to Parquet files, a month at a time, a file for each day.

A month's partition is dropped in the transaction that records its files, after their counts and
sums were compared with it. Files that are not recorded do not count: an export that was killed
begins again, and keeps the files that are whole.
"""

import asyncio
import logging
import sys
from datetime import date, timedelta
from pathlib import Path

from piwheels.accesslog.parquet_files import (
    make_durable,
    missing_reason,
    read_totals,
    write_day,
)
from piwheels.accesslog.reader import today
from piwheels.config import Config
from piwheels.db.database import Database
from piwheels.db.exported_accesses import (
    AccessTotals,
    ExportedDay,
    copy_day,
    exportable_months,
    exported_days,
    finish_month,
    forget_exported,
    totals_by_day,
)
from piwheels.errors import ConfigError

log = logging.getLogger(__name__)


def run(config: Config, days: int) -> int:
    """Move accesses that are older than some days; returns the exit status.

    Raises:
        ConfigError: DuckDB is missing, or a file cannot be written.
        PiwheelsError: the database cannot be used.
    """
    if reason := missing_reason():
        raise ConfigError(reason)
    moved = asyncio.run(_export(config, today() - timedelta(days)))
    sys.stdout.write(f"{moved:,} accesses moved\n")
    return 0


async def _export(config: Config, before: date) -> int:
    async with await Database.connect(config.database.dsn, role="export") as database:
        return await export_accesses(database, config.accesslog.parquet_dir, before)


async def export_accesses(db: Database, directory: Path, before: date) -> int:
    """Move the accesses of all months that ended before this day; returns how many there were.

    Raises:
        ConfigError: DuckDB is missing, or a file cannot be written.
    """
    moved = 0
    for month in await exportable_months(db, before):
        files = [
            await _export_day(db, directory, totals) for totals in await totals_by_day(db, month)
        ]
        if await finish_month(db, month, files):
            moved += sum(file.accesses for file in files)
            log.info("moved the accesses of %s to %s", f"{month:%Y-%m}", directory)
        else:
            log.info("accesses of %s were added meanwhile: it is moved later", f"{month:%Y-%m}")
    return moved


async def delete_expired_files(db: Database, directory: Path, before: date) -> None:
    """Delete the files with accesses of the days before this one."""
    await forget_exported(db, before, lambda file: (directory / file).unlink(missing_ok=True))


async def _export_day(db: Database, directory: Path, totals: AccessTotals) -> ExportedDay:
    """Write a day's file, unless it is there and whole."""
    day = totals.day
    number = 1 + len(await exported_days(db, day, day))
    name = f"{day:%Y}/{day}.{number}.parquet"
    exported = ExportedDay(
        file=name,
        day=day,
        accesses=totals.accesses,
        downloads=totals.downloads,
        bytes=totals.bytes,
    )
    try:
        if await _is_whole(directory / name, totals):
            # Whoever wrote it may have been killed before it was on disk.
            await asyncio.to_thread(make_durable, directory / name)
            return exported
        csv = directory / f"{day}.csv.tmp"
        directory.mkdir(parents=True, exist_ok=True)
        try:
            await copy_day(db, day, csv)
            await asyncio.to_thread(write_day, csv, directory / name, directory)
        finally:
            csv.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory}: accesses of {day} cannot be written: {error}") from None
    if not await _is_whole(directory / name, totals):
        log.info("accesses of %s were added while it was written", day)
    return exported


async def _is_whole(file: Path, totals: AccessTotals) -> bool:
    if not file.exists():
        return False
    try:
        return await asyncio.to_thread(read_totals, file, totals.day, file.parent) == totals
    except ConfigError as error:
        log.warning("%s; it is written again", error)
        return False
