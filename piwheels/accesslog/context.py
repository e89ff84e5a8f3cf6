"""What the readers of one run share: database, parser, caches and counters."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

import msgspec

from piwheels.accesslog.aggregate import AddressHasher
from piwheels.accesslog.log_formats import DAY_S, LogFormat, Parser
from piwheels.accesslog.rejected_lines import RejectedLineSample
from piwheels.db import access_log_positions
from piwheels.db.access_log_writer import (
    AccessLogWriter,
)
from piwheels.db.database import Database
from piwheels.model import DownloadedWheel

#: The web server's clock may be ahead by this much; later lines are rejected.
_MAX_CLOCK_SKEW_S = 86_400
#: While the clock is evidently behind, lines this long after the confirmed day are accepted.
_MAX_UNREAD_S = 366 * DAY_S
_MAX_DAYS = 4
_MAX_SIZES = 100_000


class Counters(msgspec.Struct):
    """What a run has read; also the JSON of `piw accesslog --json`, which has older names."""

    lines: int = 0
    downloads: int = 0
    rejected_lines: int = msgspec.field(default=0, name="broken")
    already_read_bytes: int = msgspec.field(default=0, name="known_bytes")
    already_counted_lines: int = msgspec.field(default=0, name="known_lines")


class WheelSizes:
    """Caches the sizes of published wheels that were downloaded."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.by_key: dict[int, int] = {}  # bytes, by wheel key

    async def look_up(self, smallest: Mapping[DownloadedWheel, int]) -> bool:
        """Look up sizes of wheels that are not cached; wheels not published here have none.

        Args:
            smallest: the smallest download of each wheel, in bytes.

        Returns:
            Whether one of the downloads was interrupted.
        """
        if not smallest:
            return False
        filenames = [wheel.filename for wheel in smallest]
        sizes = await access_log_positions.wheel_sizes(self._db, filenames)
        if len(self.by_key) > _MAX_SIZES:
            self.by_key.clear()
        found = {wheel: sizes[wheel.filename] for wheel in smallest if wheel.filename in sizes}
        self.by_key.update((wheel.key, size) for wheel, size in found.items())
        return any(smallest[wheel] < size for wheel, size in found.items())


class AddressKeys:
    """Caches the address hashers of the current days."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._days: dict[date, tuple[bytes | None, AddressHasher]] = {}

    async def for_days(self, days: set[date]) -> dict[date, AddressHasher]:
        """The address hashers of these days."""
        keys = await access_log_positions.address_keys(self._db, sorted(days))
        for day in sorted(days):
            if day not in self._days or self._days[day][0] != keys[day]:
                self._days[day] = (keys[day], AddressHasher(keys[day]))
        addresses = {day: self._days[day][1] for day in days}
        while len(self._days) > _MAX_DAYS:
            del self._days[min(self._days)]
        return addresses


@dataclass(slots=True)
class IngestContext:
    """What the readers of a run share."""

    db: Database
    writer: AccessLogWriter
    parser: Parser
    address_keys: AddressKeys
    wheel_sizes: WheelSizes
    rejected_sample: RejectedLineSample
    rows_since: Callable[[], date]  # earlier days get no access records
    counters: Counters = field(default_factory=Counters)
    confirmed_day: Callable[[], date] = lambda: date.min  # no clock that is right is before it

    def latest_s(self) -> int:
        """The time (s since 1970) after which lines are rejected, because no clock was so late.

        A machine without a battery for its clock may start years ago. What its web server logged
        before would be rejected then, and never be read again.
        """
        clock_s = now_s()
        confirmed_s = (self.confirmed_day() - date(1970, 1, 1)).days * DAY_S
        if clock_s < confirmed_s:
            clock_s = confirmed_s + _MAX_UNREAD_S
        return int(clock_s) + _MAX_CLOCK_SKEW_S

    @classmethod
    def create(
        cls,
        db: Database,
        line_format: LogFormat,
        sample: RejectedLineSample,
        rows_since: Callable[[], date],
        prefix: str = "",
    ) -> "IngestContext":
        """A context of its own database rows, parser and counters."""
        return cls(
            db=db,
            writer=AccessLogWriter(db),
            parser=Parser(line_format, prefix),
            address_keys=AddressKeys(db),
            wheel_sizes=WheelSizes(db),
            rejected_sample=sample,
            rows_since=rows_since,
        )


def now_s() -> float:
    """The time by this machine's clock (s since 1970)."""
    return time.time()
