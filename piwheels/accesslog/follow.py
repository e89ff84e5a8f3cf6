"""A log followed through rotation, whether it is renamed and made anew or copied and emptied."""

import logging
import time
from pathlib import Path

from piwheels.accesslog.logfile import LogFile, rotated
from piwheels.accesslog.reader import Desk, LogReader
from piwheels.db import accesslogs
from piwheels.errors import ConfigError, RefusedError

log = logging.getLogger(__name__)

#: A web server goes on writing to a renamed file until it is told to open its log again.
_RENAMED_S = 60.0
#: mtimes are the file system's, read_at is the database's.
_CLOCKS_APART_S = 3600.0


class Tail:
    """A file that is read to its end again and again."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self.file = LogFile(path)
        self.reader = LogReader(desk, self.file)
        self.grew = time.monotonic()

    async def poll(self) -> bool:
        """Read what is new; whether there was any."""
        news = False
        while await self.reader.read_on():
            news = True
        if news:
            self.grew = time.monotonic()
        return news

    async def finish(self) -> None:
        """Read the last line, and close."""
        await self.reader.read_on(last=True)
        self.file.close()


class Follower:
    """Follows one path."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self._desk = desk
        self._path = path
        self._current: Tail | None = None
        self._renamed: list[Tail] = []
        self._said_missing = False

    async def catch_up(self) -> None:
        """Read what was rotated away since this path was last read."""
        db, name = self._desk.db, str(self._path.absolute())
        last = await db.retrying(lambda: accesslogs.last_read(db, name))
        if last is None:
            return
        since = last.timestamp() - _CLOCKS_APART_S
        for path in rotated(self._path):
            if path.stat().st_mtime >= since:
                await self._read_whole(path)

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
            for path in rotated(self._path)[-1:]:
                await self._read_whole(path)
            current.reader.rewind()
        news |= await current.poll()
        if current.file.was_replaced():
            self._renamed.append(current)
            self._current = None
            self._open()
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

    async def _read_whole(self, path: Path) -> None:
        try:
            with LogFile(path) as file:
                await LogReader(self._desk, file).read_all()
        except (RefusedError, ConfigError) as error:
            log.warning("%s", error)
