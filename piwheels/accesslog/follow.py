"""A log followed through rotation, whether it is renamed and made anew or copied and emptied."""

import logging
import time
from enum import Enum, auto
from pathlib import Path

from piwheels.accesslog.chain import first_line_digest
from piwheels.accesslog.logfile import LogFile, is_part_of, name_of, rotated
from piwheels.accesslog.reader import Desk, LogReader
from piwheels.db import accesslogs
from piwheels.db.accesses import LogMovedError
from piwheels.errors import ConfigError, RefusedError

log = logging.getLogger(__name__)

#: A web server goes on writing to a renamed file until it is told to open its log again.
_RENAMED_S = 60.0
_FIRST_LINE_BYTES = 64 * 1024
#: mtimes are the file system's, read_at is the database's.
_CLOCKS_APART_S = 3600.0


class _Seen(Enum):
    NOTHING = auto()
    PART = auto()
    ALL = auto()


class Tail:
    """A file that is read to its end again and again."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self.file = LogFile(path)
        self.reader = LogReader(desk, self.file)
        self.grew = time.monotonic()

    async def poll(self) -> bool:
        """Read what is new; whether there was any."""
        try:
            news = await self.reader.read_on()
        except LogMovedError:
            # A packed copy was read meanwhile: find out again how far this content is known.
            self.reader.rewind()
            return True
        if news:
            self.grew = time.monotonic()
        return news

    async def finish(self) -> None:
        """Read the last line, and close."""
        await self.reader.read_all()
        self.file.close()


class Follower:
    """Follows one path."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self._desk = desk
        self._path = path
        self._current: Tail | None = None
        self._renamed: list[Tail] = []
        self._said_missing = False

    async def begin(self) -> None:
        """Open the log, and read what was rotated away since it was last read."""
        self._open()
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Read the parts that lie beside the log, from the oldest that is known on.

        Older ones were never asked for. Where none is known, because those that were have been
        removed, it is the ones that changed since anything of this log was read.
        """
        known = False
        since = await self._last_read()
        for path in rotated(self._path):
            if self._holds(path):
                known = True
                continue
            try:
                seen = await self._seen(path)
                known = known or seen is not _Seen.NOTHING
                changed = since is not None and path.stat().st_mtime >= since
                if seen is not _Seen.ALL and (known or changed):
                    await self._read_beside(path)
            except (RefusedError, ConfigError, OSError) as error:
                log.warning("%s", error)

    async def _last_read(self) -> float | None:
        db = self._desk.db
        folder = name_of(self._path.parent)
        names = await db.retrying(lambda: accesslogs.last_read_in(db, folder))
        moments = [
            moment.timestamp()
            for name, moment in names.items()
            if is_part_of(Path(name), Path(name_of(self._path)))
        ]
        return max(moments) - _CLOCKS_APART_S if moments else None

    def _holds(self, path: Path) -> bool:
        tails = [*self._renamed, *([self._current] if self._current else [])]
        return any(tail.file.is_at(path) for tail in tails)

    async def _seen(self, path: Path) -> "_Seen":
        """How much of a file was read before, without reading it."""
        with LogFile(path) as file:
            first_line = first_line_digest(file.read(_FIRST_LINE_BYTES))
            size_bytes = file.unpacked_size()
        db = self._desk.db
        positions = await db.retrying(lambda: accesslogs.positions(db, first_line))
        if not positions:
            return _Seen.NOTHING
        return _Seen.ALL if size_bytes in positions else _Seen.PART

    async def _read_beside(self, path: Path) -> None:
        tail = Tail(self._desk, path)
        try:
            await tail.poll()
        except RefusedError:
            tail.file.close()
            raise
        if tail.file.is_packed:
            await tail.finish()
        else:
            self._renamed.append(tail)  # a web server may still write to it

    async def poll(self) -> bool:
        """Read what is new; whether there was any."""
        news = False
        for tail in list(self._renamed):
            news |= await tail.poll()
            if time.monotonic() - tail.grew > _RENAMED_S:
                self._renamed.remove(tail)
                await tail.finish()
        if self._current is None:
            self._open()
        current = self._current
        if current is None:
            return news
        if current.file.was_truncated():
            # What was not read of it lies in the copy.
            await self._catch_up()
            current.reader.rewind()
        news |= await current.poll()
        if current.file.was_replaced():
            self._renamed.append(current)
            self._current = None
            self._open()
            # It may have been replaced more than once.
            await self._catch_up()
            news = True
        return news

    def _open(self) -> None:
        try:
            self._current = Tail(self._desk, self._path)
        except ConfigError as error:
            if not self._said_missing:
                log.warning("%s; waiting for it", error)
            self._said_missing = True
        else:
            self._said_missing = False
