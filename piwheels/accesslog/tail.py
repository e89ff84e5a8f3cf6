"""Follows a log across rotations, by renaming or by copying and truncating."""

import logging
import time
from enum import Enum, auto
from pathlib import Path

from piwheels.accesslog.context import IngestContext
from piwheels.accesslog.hash_chain import first_line_digest
from piwheels.accesslog.logfile import LogFile, is_log_or_rotated, rotated_logs, stored_name
from piwheels.accesslog.reader import LogReader
from piwheels.db import access_log_positions
from piwheels.db.access_log_writer import ConcurrentReadError
from piwheels.errors import ConfigError, RejectedError

log = logging.getLogger(__name__)

#: A web server continues to write to a renamed log until it reopens its log.
_RENAMED_TIMEOUT_S = 60.0
_FIRST_LINE_BYTES = 64 * 1024
#: mtimes are from the file system's clock, read_at is from the database's.
_CLOCK_TOLERANCE_S = 3600.0


class _ReadProgress(Enum):
    NOTHING = auto()
    PART = auto()
    ALL = auto()


class OpenLog:
    """An open file that is repeatedly read to its end."""

    def __init__(self, context: IngestContext, path: Path) -> None:
        self.file = LogFile(path)
        self.reader = LogReader(context, self.file)
        self.last_growth_at = time.monotonic()

    async def poll(self) -> bool:
        """Read new content; returns whether there was any."""
        try:
            news = await self.reader.read_new()
        except ConcurrentReadError:
            # A compressed copy was read meanwhile: identify the content again.
            self.reader.rewind()
            return True
        if news:
            self.last_growth_at = time.monotonic()
        return news

    async def finish(self) -> None:
        """Read the last line, and close the file."""
        await self.reader.read_to_end()
        self.file.close()


class LogTailer:
    """Follows one path."""

    def __init__(self, context: IngestContext, path: Path) -> None:
        self._context = context
        self._path = path
        self._current: OpenLog | None = None
        self._renamed: list[OpenLog] = []
        self._reported_missing = False

    async def start(self) -> None:
        """Open the log, and read what was rotated since it was last read."""
        self._open()
        await self._read_rotated()

    async def _read_rotated(self) -> None:
        """Read the rotated logs, starting with the oldest one that was read before.

        Older ones were never requested. If none was read before, because they have been deleted,
        read those that changed since any part of this log was read.
        """
        known = False
        since = await self._last_read()
        for path in rotated_logs(self._path):
            if self._is_open(path):
                known = True
                continue
            try:
                seen = await self._progress(path)
                known = known or seen is not _ReadProgress.NOTHING
                changed = since is not None and path.stat().st_mtime >= since
                if seen is not _ReadProgress.ALL and (known or changed):
                    await self._read_rotated_file(path)
            except (RejectedError, ConfigError, OSError) as error:
                log.warning("%s", error)

    async def _last_read(self) -> float | None:
        db = self._context.db
        folder = stored_name(self._path.parent)
        names = await access_log_positions.last_reads_in_dir(db, folder)
        times = [
            read_at.timestamp()
            for name, read_at in names.items()
            if is_log_or_rotated(Path(name), Path(stored_name(self._path)))
        ]
        return max(times) - _CLOCK_TOLERANCE_S if times else None

    def _is_open(self, path: Path) -> bool:
        tails = [*self._renamed, *([self._current] if self._current else [])]
        return any(tail.file.is_at(path) for tail in tails)

    async def _progress(self, path: Path) -> "_ReadProgress":
        """How much of a file was already read, without reading all of it."""
        with LogFile(path) as file:
            first_line = first_line_digest(file.read(_FIRST_LINE_BYTES))
            size_bytes = file.uncompressed_size()
        db = self._context.db
        positions = await access_log_positions.read_positions(db, first_line)
        if not positions:
            return _ReadProgress.NOTHING
        return _ReadProgress.ALL if size_bytes in positions else _ReadProgress.PART

    async def _read_rotated_file(self, path: Path) -> None:
        tail = OpenLog(self._context, path)
        try:
            await tail.poll()
        except RejectedError:
            tail.file.close()
            raise
        if tail.file.is_compressed:
            await tail.finish()
        else:
            self._renamed.append(tail)  # the web server may still write to it

    async def poll(self) -> bool:
        """Read new content; returns whether there was any."""
        news = False
        for tail in list(self._renamed):
            news |= await tail.poll()
            if time.monotonic() - tail.last_growth_at > _RENAMED_TIMEOUT_S:
                self._renamed.remove(tail)
                await tail.finish()
        if self._current is None:
            self._open()
        current = self._current
        if current is None:
            return news
        if current.file.was_truncated():
            # The rest of it is in the copy.
            await self._read_rotated()
            current.reader.rewind()
        news |= await current.poll()
        if current.file.was_replaced():
            self._renamed.append(current)
            self._current = None
            self._open()
            # It may have been replaced several times.
            await self._read_rotated()
            news = True
        return news

    def _open(self) -> None:
        try:
            self._current = OpenLog(self._context, self._path)
        except ConfigError as error:
            if not self._reported_missing:
                log.warning("%s; waiting for it", error)
            self._reported_missing = True
        else:
            self._reported_missing = False
