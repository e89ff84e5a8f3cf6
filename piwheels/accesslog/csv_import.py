"""`piw stats import`: imports daily totals from a CSV file, all or nothing."""

import asyncio
import csv
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from piwheels.accesslog.reader import today
from piwheels.config import Config
from piwheels.db.database import Database
from piwheels.db.imported_totals import ImportedDay, import_days
from piwheels.errors import RejectedError
from piwheels.formatting import pluralize

_REQUIRED = ("day", "downloads")
_OPTIONAL = ("bytes", "saved_s")
_MAX_PROBLEMS = 5
#: The sum over a hundred years of such days fits in a bigint.
_MAX_VALUE = 2**47


def run(config: Config, file: Path, *, as_json: bool) -> int:
    """Import a file; returns the exit status.

    Raises:
        RejectedError: the file is invalid; nothing was imported.
        PiwheelsError: the database cannot be used.
    """
    days = read_days(file)
    changed = asyncio.run(_store(config.database.dsn, days))
    total = sum(day.downloads for day in days)
    if as_json:
        text = json.dumps({"days": len(days), "changed": changed, "downloads": total})
    else:
        text = (
            f"{pluralize(len(days), 'day')} with {pluralize(total, 'download')}; "
            f"new or changed: {pluralize(changed, 'day')}"
        )
    sys.stdout.write(f"{text}\n")
    return 0


async def _store(dsn: str, days: list[ImportedDay]) -> int:
    async with await Database.connect(dsn, role="stats import") as database:
        return await import_days(database, days)


def read_days(file: Path) -> list[ImportedDay]:
    """The days of a CSV file, oldest first.

    Raises:
        RejectedError: lines are invalid; the message lists the first few by number.
    """
    problems: list[str] = []
    days: dict[date, ImportedDay] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in _rows(stream, file):
                try:
                    day = _parse_day(row)
                    if day.day in days:
                        raise ValueError(f"{day.day} is listed twice")
                except ValueError as error:
                    problems.append(f"line {number}: {error}")
                else:
                    days[day.day] = day
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RejectedError(f"{file}: {error}; nothing was imported") from None
    if problems:
        more = (
            f"; and {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
        )
        raise RejectedError(
            f"{file}: {'; '.join(problems[:_MAX_PROBLEMS])}{more}; nothing was imported"
        )
    return [days[day] for day in sorted(days)]


def _rows(stream: Iterator[str], file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each line, and its values by column name."""
    reader = csv.reader(stream, strict=True)
    names = [name.strip().lower() for name in next(reader, [])]
    unknown = set(names) - {*_REQUIRED, *_OPTIONAL}
    if not set(_REQUIRED) <= set(names) or unknown or len(names) != len(set(names)):
        raise RejectedError(
            f"{file}: the first line must name the columns day and downloads, and may name "
            "bytes and saved_s; nothing was imported"
        )
    for values in reader:
        if not values:
            continue
        if len(values) != len(names):
            yield reader.line_num, {}
            continue
        yield reader.line_num, dict(zip(names, map(str.strip, values), strict=True))


def _parse_day(row: Mapping[str, str]) -> ImportedDay:
    if not row:
        raise ValueError("the number of columns differs from the first line")
    try:
        day = date.fromisoformat(row["day"])
    except ValueError:
        raise ValueError(f"{row['day']!r} is not a date like 2026-11-25") from None
    if not date(1990, 1, 1) <= day <= today():
        raise ValueError(f"{day} is not in the past")
    return ImportedDay(
        day=day,
        downloads=_parse_count(row, "downloads"),
        bytes=_parse_count(row, "bytes") if row.get("bytes") else 0,
        saved_s=_parse_seconds(row["saved_s"]) if row.get("saved_s") else 0.0,
    )


def _parse_count(row: Mapping[str, str], name: str) -> int:
    text = row[name]
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < _MAX_VALUE):
        raise ValueError(f"{name} is {text!r}, which is not a valid number")
    return int(text)


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < _MAX_VALUE:
        raise ValueError(f"saved_s is {text!r}, which is not a valid number of seconds")
    return seconds
