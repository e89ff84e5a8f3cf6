"""Files of days that the database does not record, as after the restore of an older one."""

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path

from piwheels.accesslog.access_files import AccessFiles, is_object
from piwheels.accesslog.parquet_files import count_common, read_totals
from piwheels.db.exported_accesses import AccessTotals, ExportedDay
from piwheels.errors import ConfigError, RejectedError
from piwheels.object_storage.files import ObjectFacts

log = logging.getLogger(__name__)

_NAME = re.compile(r"\d{4}/(\d{4}-\d\d-\d\d)\.[^/]+\.parquet")
_TOTALS = ("accesses", "downloads", "bytes")


class NotMovedError(RejectedError):
    """A month stays in the database; others are moved."""


def object_attributes(totals: AccessTotals) -> dict[str, str]:
    """By which a day's object is recognized: what it adds up to, which its file was found to."""
    return {
        "Content-Type": "application/vnd.apache.parquet",
        "day": str(totals.day),
        **{name: str(getattr(totals, name)) for name in _TOTALS},
    }


def unrecorded_files(
    files: AccessFiles, recorded: Collection[str], before: date
) -> dict[date, list[ExportedDay]]:
    """The files of the days before this one that are not recorded, by day.

    Raises:
        BucketError: the bucket cannot be asked.
        ConfigError: DuckDB is missing.
        OSError: the directory cannot be read.
    """
    found: dict[date, list[ExportedDay]] = defaultdict(list)
    for name in sorted(set(files.names()) - set(recorded)):
        day = _day_of(name, files)
        if day is None or day >= before:
            continue
        totals = _totals_of_object(files, name) if is_object(name) else _totals(files, name, day)
        if totals is not None and totals.day == day:
            found[day].append(
                ExportedDay(
                    file=name,
                    adopted=True,
                    day=day,
                    accesses=totals.accesses,
                    downloads=totals.downloads,
                    bytes=totals.bytes,
                )
            )
    return found


def _day_of(name: str, files: AccessFiles) -> date | None:
    relative = name.removeprefix(files.name_of("")) if is_object(name) else name
    match = _NAME.fullmatch(relative)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def _totals(files: AccessFiles, name: str, day: date) -> AccessTotals | None:
    try:
        return read_totals(files.directory / name, day, files.directory)
    except ConfigError as error:
        log.warning("%s is not counted: %s", files.directory / name, error)
        return None


def _totals_of_object(files: AccessFiles, name: str) -> AccessTotals | None:
    """What an object says that it adds up to; None if no export wrote it, or it is damaged."""
    found = files.find(name)
    totals = None if found is None else _said_totals(found)
    if found is None or totals is None:
        log.warning("%s is not counted: no export wrote it", name)
        return None
    return totals


def _said_totals(found: ObjectFacts) -> AccessTotals | None:
    try:
        accesses, downloads, size = (int(found.attributes[name]) for name in _TOTALS)
        day = date.fromisoformat(found.attributes["day"])
    except (KeyError, ValueError):
        return None
    return AccessTotals(day=day, accesses=accesses, downloads=downloads, bytes=size)


def is_intact(files: AccessFiles, found: ExportedDay) -> bool:
    """Whether a file is as it was written; an object is read for it.

    Raises:
        BucketError: the bucket cannot be asked.
    """
    if not is_object(found.file):
        return True  # its totals were read
    facts = files.find(found.file)
    if facts is not None and files.sha256(found.file) == facts.sha256:
        return True
    log.warning("%s is not counted: its bytes are not those that were written", found.file)
    return False


def has_all(files: AccessFiles, others: Sequence[ExportedDay], day: ExportedDay) -> bool:
    """Whether one of several files has all accesses of one that has as many at most.

    Raises:
        BucketError: the bucket cannot be asked.
        ConfigError: a file cannot be read.
        NotMovedError: one has only a part of them, so that whatever is counted is wrong.
    """
    for other in others:
        common = count_common(other.file, day.file, files)
        if common == day.accesses:
            return True
        if common:
            raise NotMovedError(
                f"accesses of {day.day} stay in the database: of {day.accesses:,} in "
                f"{_place(day)} {common:,} are also in {_place(other)}: move the one of them away "
                "that is not to be counted"
            )
    return False


def _place(day: ExportedDay) -> str:
    return "the database" if Path(day.file).suffix == ".tmp" else day.file
