"""Build logs: spooled as they arrive, compressed into the web root when a build is complete.

Beside the log of a running build is when its parts arrived (`log_arrivals`), so that a restart of
the master does not lose that.

With a full or broken disk, parts of logs are lost (which is logged), and nothing else.
"""

import asyncio
import gzip
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from piwheels.errors import MALFORMED
from piwheels.protocol.messages import MAX_LOG_BYTES, MAX_TAIL_BYTES, LogTail
from piwheels.scheduler.log_arrivals import LogArrivals, compress_log, read_arrivals
from piwheels.webroot import Webroot, replace_file

log = logging.getLogger(__name__)

#: The suffix of the files that have the times of running builds' logs.
_TIMES_SUFFIX = ".times"
#: The beginning of a compressed log in which its times are.
_HEAD_BYTES = 0x1_0010


class LogSpool:
    """The logs of running builds, as plain files, and their way into the web root."""

    def __init__(
        self, folder: Path, webroot: Webroot, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock`: the time in UNIX seconds."""
        self._folder = folder
        self._webroot = webroot
        self._clock = clock
        self._arrivals: dict[int, LogArrivals | None] = {}  # of running builds; None: unknown
        self._unsynced: set[int] = set()
        self._failed_builds: set[int | None] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def size(self, build: int) -> int:
        """The size of what has arrived of a log, in bytes."""
        try:
            return self._path(build).stat().st_size
        except FileNotFoundError:
            return 0

    def create(self, build: int) -> None:
        """Create an empty log, so that it can be followed before its first line."""
        with self._ignoring_disk_errors(build):
            self._path(build).touch()
            if not self.size(build):
                self._arrivals[build] = LogArrivals(self._clock())
                self._store_arrivals(build)

    def append(self, build: int, offset: int, data: bytes) -> None:
        """Add data that begins at `offset`; what is there already is not added twice.

        Data that would leave a gap is dropped: the builder sends it again after a Welcome.
        """
        there = self.size(build)
        if offset > there or there >= MAX_LOG_BYTES:
            return
        fresh = data[there - offset :]
        if not fresh:
            return
        with self._ignoring_disk_errors(build):
            with self._path(build).open("ab") as file:
                file.write(fresh)
            self._unsynced.add(build)
            if arrivals := self._known_arrivals(build):
                arrivals.add(there, self._clock())

    async def sync(self) -> None:
        """Make what has arrived durable; the event loop does not wait for a slow disk."""
        builds, self._unsynced = self._unsynced, set()
        for build in builds:
            with self._ignoring_disk_errors(build):
                await asyncio.to_thread(_sync, self._path(build))
                self._store_arrivals(build)

    def archive(self, build: int) -> None:
        """Move a log into the web root; where there was none, an empty one."""
        path, kept = self._path(build), self._webroot.log_path(build)
        with self._ignoring_disk_errors(build):
            self._webroot.check_writer()
            text = path.read_bytes() if path.exists() else b""
            if text or not kept.exists():
                replace_file(kept, compress_log(text, self._known_arrivals(build)))
            self._remove(build)
        self._failed_builds.discard(build)

    def discard(self, build: int) -> None:
        """Delete the log of a build that was queued again as if it had not begun."""
        with self._ignoring_disk_errors(build):
            self._remove(build)
        self._failed_builds.discard(build)

    def archive_orphans(self, claimed: set[int]) -> None:
        """Archive the logs that an earlier master left of builds that are not running any more.

        One that is in the web root already is complete. A log that stayed in the spool would be
        followed forever.
        """
        for path in self._folder.glob("*.log"):
            build = int(path.stem) if path.stem.isdecimal() else None
            if build in claimed:
                continue
            if build is not None and not self._webroot.log_path(build).exists():
                self.archive(build)
            else:
                with self._ignoring_disk_errors(build):
                    path.unlink(missing_ok=True)
                    path.with_suffix(_TIMES_SUFFIX).unlink(missing_ok=True)

    def read(self, build: int, offset: int, length: int) -> bytes | None:
        """A part of the log of a running build; None when no such build is running."""
        try:
            with self._path(build).open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            return None

    def tail(self, build: int, known: int) -> LogTail | None:
        """The end of the log of a running build, after the first `known` bytes; else None."""
        start = _tail_start(self.size(build), known)
        data = self.read(build, start, MAX_TAIL_BYTES)
        return None if data is None else LogTail(offset=start, data=data, running=True)

    def archived_tail(self, build: int, known: int) -> LogTail | None:
        """The same of a completed build; None when it has no log."""
        text = self.read_archived(build)
        if text is None:
            return None
        start = _tail_start(len(text), known)
        return LogTail(offset=start, data=text[start:])

    def read_archived(self, build: int) -> bytes | None:
        """The whole log of a completed build; None when there is none."""
        try:
            return gzip.decompress(self._webroot.log_path(build).read_bytes())
        except FileNotFoundError:
            return None

    def arrivals(self, build: int) -> LogArrivals | None:
        """When the parts of a log arrived, of a running or completed build; None: unknown."""
        if self._path(build).exists():
            return self._known_arrivals(build)
        try:
            with self._webroot.log_path(build).open("rb") as file:
                return read_arrivals(file.read(_HEAD_BYTES))
        except FileNotFoundError:
            return None

    def _known_arrivals(self, build: int) -> LogArrivals | None:
        """Of a running build; after a restart of the master, as it was stored last."""
        if build not in self._arrivals:
            try:
                stored = self._arrivals_path(build).read_bytes()
                self._arrivals[build] = msgspec.msgpack.decode(stored, type=LogArrivals)
            except (OSError, *MALFORMED):
                self._arrivals[build] = None
        return self._arrivals[build]

    def _store_arrivals(self, build: int) -> None:
        if arrivals := self._arrivals.get(build):
            self._arrivals_path(build).write_bytes(msgspec.msgpack.encode(arrivals))

    def _remove(self, build: int) -> None:
        self._arrivals.pop(build, None)
        self._arrivals_path(build).unlink(missing_ok=True)
        self._path(build).unlink(missing_ok=True)

    @contextmanager
    def _ignoring_disk_errors(self, build: int | None) -> Iterator[None]:
        """Log a disk error once for each build, and continue."""
        try:
            yield
        except OSError as error:
            if build not in self._failed_builds:
                self._failed_builds.add(build)
                log.error("the log of build %s cannot be stored: %s", build, error.strerror)

    def _path(self, build: int) -> Path:
        return self._folder / f"{build}.log"

    def _arrivals_path(self, build: int) -> Path:
        return self._path(build).with_suffix(_TIMES_SUFFIX)


def no_log_text(build: int) -> str:
    """What to say of a build without a log."""
    return f"there is no log of build {build}"


def _tail_start(size: int, known: int) -> int:
    return max(min(known, size), size - MAX_TAIL_BYTES)


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
