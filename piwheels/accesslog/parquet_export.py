"""Moves single accesses from the database to Parquet files, a month at a time, a file for each day.

A month's partition is dropped in the transaction that records its files, after their counts and
sums were compared with it, and files in a bucket were read back. A file's name has a part of the
hash of its bytes, so none is replaced by another one. Files that are not recorded do not count: an
export that was killed begins again, and takes the files that are whole, as it does after the
restore of an older database.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec
from msgspec.structs import replace

from piwheels.accesslog.access_files import AccessFiles, access_files, is_object
from piwheels.accesslog.found_files import (
    NotMovedError,
    has_all,
    is_intact,
    object_attributes,
    unrecorded_files,
)
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
from piwheels.errors import ConfigError, PiwheelsError, RejectedError
from piwheels.formatting import format_size
from piwheels.object_storage.errors import BucketError, ChangedMeanwhileError
from piwheels.object_storage.files import sha256_of

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_NAME_DIGITS = 16
_OLD_S = 24 * 3600
_OTHER_EXPORTS = "another process moves accesses now: try again when it has ended"


class _AddedMeanwhileError(NotMovedError):
    """The next export moves it."""

    def __init__(self, month: date) -> None:
        super().__init__(f"accesses of {month:%Y-%m} were added meanwhile: it is moved later")


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
        NotMovedError: some months stay, for a reason that does not pass by itself.
        RejectedError: another process exports.
    """
    with _locked_directory(files.directory):
        await _check_lock(db)
        try:
            return await _export_months(db, files, before)
        except (BucketError, ChangedMeanwhileError, ConfigError, NotMovedError) as error:
            await _record_problem(db, error, before)
            raise
        finally:
            await release_export_lock(db)


async def _export_months(db: Database, files: AccessFiles, before: date) -> int:
    ended = before.replace(day=1)
    recorded = {day.file for day in await exported_days(db)}
    found = await _in_thread(unrecorded_files, files, recorded, ended)
    months = {day.replace(day=1) for day in found}
    moved, problems = 0, list[NotMovedError]()
    for month in sorted(months.union(await exportable_months(db, before))):
        try:
            moved += await _export_month(db, files, month, found)
        except NotMovedError as error:
            log.info("%s", error)
            problems.append(error)
    lasting = [it for it in problems if not isinstance(it, _AddedMeanwhileError)]
    if lasting:
        raise lasting[0]
    if problems:
        await _record_problem(db, problems[0], before)
    else:
        await forget_waiting(db)
    return moved


async def _record_problem(db: Database, error: PiwheelsError, before: date) -> None:
    waiting = await record_waiting(db, str(error), before)
    log.warning("%s of single accesses wait in the database", format_size(waiting.bytes))


async def _export_month(
    db: Database, files: AccessFiles, month: date, found: Mapping[date, Sequence[ExportedDay]]
) -> int:
    moved = await totals_by_day(db, month)
    days: dict[date, AccessTotals | None] = {
        day: None for day in found if day.replace(day=1) == month
    }
    days |= {totals.day: totals for totals in moved}
    new, contained = list[ExportedDay](), list[str]()
    for day, totals in sorted(days.items(), key=lambda item: item[0]):
        await _check_lock(db)
        written = await _export_day(db, files, day, totals, found.get(day, ()))
        new += written.new
        contained += written.contained
    await _check_lock(db)
    if not await finish_month(db, month, moved, new, contained):
        raise _AddedMeanwhileError(month)
    for file in new:
        if file.adopted:
            log.info("%s was not recorded and counts from now on", file.file)
    accesses = sum(totals.accesses for totals in moved)
    if accesses:
        place = files.target or files.directory
        log.info("moved the accesses of %s to %s", f"{month:%Y-%m}", place)
    return accesses


@contextlib.contextmanager
def _locked_directory(directory: Path) -> Iterator[None]:
    """Have this process alone write in a directory; what killed ones left in it is deleted.

    The lock in the database ends with its connection, of which the writing one may not know yet.

    Raises:
        ConfigError: the directory cannot be written.
        RejectedError: another process has it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "export.lock").open("a") as lock:  # NFS locks no directories
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in directory.glob("*.csv.tmp"), directory.glob("*.parquet.tmp"):
                for path in left:
                    path.unlink(missing_ok=True)
            for folder in directory.glob("duckdb-*.tmp"):  # of questions, too, which take no lock
                if time.time() - folder.stat().st_mtime > _OLD_S:
                    shutil.rmtree(folder, ignore_errors=True)
            yield
    except BlockingIOError:
        raise RejectedError(_OTHER_EXPORTS) from None
    except OSError as error:
        raise ConfigError(f"{directory}: accesses cannot be written: {error}") from None


async def _in_thread(work: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
    """Run this in a thread; when cancelled, end after it, so that what it needs stays locked."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **named))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        task.cancelled() or task.exception()
        raise


async def _check_lock(db: Database) -> None:
    if not await take_export_lock(db):
        raise RejectedError(_OTHER_EXPORTS)


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


@dataclass(frozen=True, slots=True)
class _WrittenDay:
    new: list[ExportedDay]  # to be recorded
    contained: list[str]  # recorded, and in others


async def _export_day(
    db: Database,
    files: AccessFiles,
    day: date,
    totals: AccessTotals | None,
    found: Sequence[ExportedDay],
) -> _WrittenDay:
    """Write a day's file, unless one that was found has its accesses.

    Of files that have the same accesses the one with the most counts. Found ones that have no more
    than all recorded ones are what interrupted exports left, or a part of them.
    """
    recorded = await exported_days(db, day, day)
    held = sum(file.accesses for file in recorded)
    fuller = [it for it in found if it.accesses > held and await _in_thread(is_intact, files, it)]
    compared = [*fuller, *(it for it in recorded if fuller or it.adopted)]
    own = None if recorded or totals is None else _of_totals(fuller, totals)
    staged: ExportedDay | None = None
    try:
        if totals is not None and own is None:
            staged = await _write_day(db, files.directory, totals)
            compared.append(staged)
        counted = await _counted(files, compared)
        new = [
            replace(it, adopted=it is not own)
            for it in counted
            if it is not staged and it not in recorded
        ]
        if staged is not None and staged in counted:
            new.append(await _in_thread(_place, files, staged))
    except OSError as error:
        raise ConfigError(
            f"{files.directory}: accesses of {day} cannot be written: {error}"
        ) from None
    finally:
        if staged is not None:
            (files.directory / staged.file).unlink(missing_ok=True)
    contained = [it.file for it in compared if it in recorded and it not in counted]
    return _WrittenDay(new, contained)


def _of_totals(found: Sequence[ExportedDay], totals: AccessTotals) -> ExportedDay | None:
    """The file that an export wrote that was interrupted before it was recorded."""
    same = [it for it in found if object_attributes(it) == object_attributes(totals)]
    return same[0] if same else None


async def _counted(files: AccessFiles, compared: Sequence[ExportedDay]) -> list[ExportedDay]:
    """Those of a day's files that have each access once."""
    counted: list[ExportedDay] = []
    for file in sorted(compared, key=lambda it: -it.accesses):
        if not await _in_thread(has_all, files, counted, file):
            counted.append(file)
    return counted


def _place(files: AccessFiles, staged: ExportedDay) -> ExportedDay:
    """Move a file to where it stays, under a name that no other content has."""
    path = files.directory / staged.file
    name = f"{staged.day:%Y}/{staged.day}.{sha256_of(path)[:_NAME_DIGITS]}.parquet"
    placed = replace(staged, file=files.name_of(name))
    if is_object(placed.file):
        files.upload(path, placed.file, object_attributes(placed))
    else:
        target = files.directory / name
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
        make_durable(target)
    return placed


async def _write_day(db: Database, directory: Path, totals: AccessTotals) -> ExportedDay:
    """Write a day's file under a name of its own, and check it.

    Raises:
        ConfigError: it cannot be read.
        NotMovedError: it has other accesses than the database.
        OSError: it cannot be written.
    """
    name = f"{totals.day}.{os.getpid()}-{secrets.token_hex(4)}"
    csv, path = directory / f"{name}.csv.tmp", directory / f"{name}.parquet.tmp"
    try:
        await copy_day(db, totals.day, csv)
        await _in_thread(write_day, csv, path, directory)
    finally:
        csv.unlink(missing_ok=True)
    written = await _in_thread(read_totals, path, totals.day, directory)
    if written != totals:
        path.unlink()
        month = totals.day.replace(day=1)
        if totals not in await totals_by_day(db, month):
            raise _AddedMeanwhileError(month)
        raise NotMovedError(
            f"accesses of {totals.day} stay in the database: their file was written with "
            f"{written.accesses:,} accesses and {written.bytes:,} bytes instead of "
            f"{totals.accesses:,} and {totals.bytes:,}"
        )
    return ExportedDay(file=path.name, **msgspec.structs.asdict(totals))
