"""Moves single accesses from the database to Parquet files, a month at a time, a file for each day.

A month's partition is dropped in the transaction that records its files, after their counts and
sums were compared with it, and files in a bucket were read back. Files that are not recorded do
not count: an export that was killed begins again, and keeps the files that are whole.
"""

import asyncio
import logging
import sys
from datetime import date, timedelta
from pathlib import Path

from piwheels.accesslog.access_files import AccessFiles, access_files, is_object
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
    forget_waiting,
    record_waiting,
    release_export_lock,
    take_export_lock,
    totals_by_day,
)
from piwheels.errors import ConfigError, RejectedError
from piwheels.formatting import format_size
from piwheels.object_storage.errors import BucketError, ChangedMeanwhileError

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
    files = access_files(config)
    async with await Database.connect(config.database.dsn, role="export") as database:
        return await export_accesses(database, files, before)


async def export_accesses(db: Database, files: AccessFiles, before: date) -> int:
    """Move the accesses of all months that ended before this day; returns how many there were.

    Raises:
        BucketError: the bucket does not take a file; what is not in it stays in the database.
        ConfigError: DuckDB is missing, or a file cannot be written.
        RejectedError: another process exports.
    """
    await _check_lock(db)
    try:
        months = await exportable_months(db, before)
        moved = sum([await _export_month(db, files, month) for month in months])
    except (BucketError, ChangedMeanwhileError, ConfigError) as error:
        waiting = await record_waiting(db, str(error), before)
        log.warning("%s of single accesses wait in the database", format_size(waiting.bytes))
        raise
    finally:
        await release_export_lock(db)
    await forget_waiting(db)
    return moved


async def _export_month(db: Database, files: AccessFiles, month: date) -> int:
    exported = []
    for totals in await totals_by_day(db, month):
        await _check_lock(db)
        exported.append(await _export_day(db, files, totals))
    written = [file for file in exported if file is not None]
    if len(written) == len(exported) and await finish_month(db, month, written):
        place = files.target or files.directory
        log.info("moved the accesses of %s to %s", f"{month:%Y-%m}", place)
        return sum(file.accesses for file in written)
    log.info("accesses of %s were added meanwhile: it is moved later", f"{month:%Y-%m}")
    return 0


async def _check_lock(db: Database) -> None:
    if not await take_export_lock(db):
        raise RejectedError("another process moves accesses now: try again when it has ended")


async def delete_expired_files(db: Database, files: AccessFiles, before: date) -> None:
    """Delete the files on this machine with accesses of the days before this one.

    Raises:
        OSError: one cannot be deleted; it is tried again later.
    """
    await _delete_expired(db, files, before, in_bucket=False)


async def delete_expired_objects(db: Database, files: AccessFiles, before: date) -> None:
    """Delete the objects with accesses of the days before this one.

    Raises:
        BucketError: the bucket refuses; it is tried again later.
    """
    await _delete_expired(db, files, before, in_bucket=True)


async def _delete_expired(
    db: Database, files: AccessFiles, before: date, *, in_bucket: bool
) -> None:
    for day in await exported_days(db):
        if day.day < before and is_object(day.file) == in_bucket:
            await asyncio.to_thread(files.delete, day.file)
            await forget_exported(db, day.file)


async def _export_day(db: Database, files: AccessFiles, totals: AccessTotals) -> ExportedDay | None:
    """Write a day's file, unless it is there and whole; None if accesses were added meanwhile."""
    number = 1 + len(await exported_days(db, totals.day, totals.day))
    name = f"{totals.day:%Y}/{totals.day}.{number}.parquet"
    exported = ExportedDay(
        file=files.name_of(name),
        day=totals.day,
        accesses=totals.accesses,
        downloads=totals.downloads,
        bytes=totals.bytes,
    )
    path = files.directory / name
    try:
        if is_object(exported.file) and await asyncio.to_thread(_is_in_bucket, files, exported):
            path.unlink(missing_ok=True)
            return exported
        if not await _write_day(db, files.directory, path, totals):
            log.info("accesses of %s were added while it was written", totals.day)
            return None
        if is_object(exported.file):
            await asyncio.to_thread(files.upload, path, exported.file, _attributes(exported))
            path.unlink()
    except OSError as error:
        raise ConfigError(
            f"{files.directory}: accesses of {totals.day} cannot be written: {error}"
        ) from None
    return exported


def _is_in_bucket(files: AccessFiles, exported: ExportedDay) -> bool:
    """Whether an export that was killed has written a day's object, and it is as it was."""
    found = files.find(exported.file)
    if found is None or not _attributes(exported).items() <= found.attributes.items():
        return False
    return files.sha256(exported.file) == found.sha256


def _attributes(totals: AccessTotals) -> dict[str, str]:
    """By which a day's object is recognized: what it adds up to, which its file was found to."""
    return {
        "Content-Type": "application/vnd.apache.parquet",
        "day": str(totals.day),
        "accesses": str(totals.accesses),
        "downloads": str(totals.downloads),
        "bytes": str(totals.bytes),
    }


async def _write_day(db: Database, directory: Path, path: Path, totals: AccessTotals) -> bool:
    """Write a day's file on this machine; returns whether it is whole.

    Raises:
        OSError: it cannot be written.
    """
    if await _is_whole(path, totals):
        # Whoever wrote it may have been killed before it was on disk.
        await asyncio.to_thread(make_durable, path)
        return True
    csv = directory / f"{totals.day}.csv.tmp"
    directory.mkdir(parents=True, exist_ok=True)
    try:
        await copy_day(db, totals.day, csv)
        await asyncio.to_thread(write_day, csv, path, directory)
    finally:
        csv.unlink(missing_ok=True)
    return await _is_whole(path, totals)


async def _is_whole(file: Path, totals: AccessTotals) -> bool:
    if not file.exists():
        return False
    try:
        return await asyncio.to_thread(read_totals, file, totals.day, file.parent) == totals
    except ConfigError as error:
        log.warning("%s; it is written again", error)
        return False
