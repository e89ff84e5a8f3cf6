"""Build logs: spooled as they stream in, gzipped into the served tree when a build is settled.

A disk that is full or broken costs parts of logs, which is told, and nothing else.
"""

import asyncio
import gzip
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from piwheels.protocol.messages import MAX_LOG_BYTES
from piwheels.webroot import Webroot, replace_file

log = logging.getLogger(__name__)

_GZIP_LEVEL = 5  # logs are kept for ever, and packed once


class LogSpool:
    """The logs of builds in hand, as plain files, and their way into the tree."""

    def __init__(self, folder: Path, webroot: Webroot) -> None:
        self._folder = folder
        self._webroot = webroot
        self._unsynced: set[int] = set()
        self._failed_builds: set[int | None] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def size(self, build: int) -> int:
        """How much of a log has arrived, in bytes."""
        try:
            return self._path(build).stat().st_size
        except FileNotFoundError:
            return 0

    def create(self, build: int) -> None:
        """Make an empty log, so that followers find it before its first line."""
        with self._ignoring_disk_errors(build):
            self._path(build).touch()

    def append(self, build: int, offset: int, data: bytes) -> None:
        """Add a piece that begins at offset; what is there already is not added twice.

        A piece that would leave a gap is dropped: the builder sends it again after a Welcome.
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

    async def sync(self) -> None:
        """Make what has arrived survive a power cut; a slow disk holds nobody up meanwhile."""
        builds, self._unsynced = self._unsynced, set()
        for build in builds:
            with self._ignoring_disk_errors(build):
                await asyncio.to_thread(_sync, self._path(build))

    def archive(self, build: int) -> None:
        """Move a log into the served tree; one that never began becomes an empty one."""
        path, kept = self._path(build), self._webroot.log_path(build)
        with self._ignoring_disk_errors(build):
            text = path.read_bytes() if path.exists() else b""
            if text or not kept.exists():
                replace_file(kept, gzip.compress(text, _GZIP_LEVEL, mtime=0))
            path.unlink(missing_ok=True)
        self._failed_builds.discard(build)

    def discard(self, build: int) -> None:
        """Drop the log of a build that did not happen."""
        with self._ignoring_disk_errors(build):
            self._path(build).unlink(missing_ok=True)
        self._failed_builds.discard(build)

    def archive_orphans(self, claimed: set[int]) -> None:
        """Move what an earlier master left of builds that nobody has in hand to where it belongs.

        What lies in the tree already is whole. A log that stays here would be followed for ever.
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

    def read(self, build: int, offset: int, length: int) -> bytes | None:
        """A piece of the log of a build in hand; None when no such build is in hand."""
        try:
            with self._path(build).open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            return None

    def read_archived(self, build: int) -> bytes | None:
        """The whole log of a settled build; None when there is none."""
        try:
            return gzip.decompress(self._webroot.log_path(build).read_bytes())
        except FileNotFoundError:
            return None

    @contextmanager
    def _ignoring_disk_errors(self, build: int | None) -> Iterator[None]:
        """Do something for a log; when the disk does not let it, say so once and go on."""
        try:
            yield
        except OSError as error:
            if build not in self._failed_builds:
                self._failed_builds.add(build)
                log.error("the log of build %s cannot be kept: %s", build, error.strerror)

    def _path(self, build: int) -> Path:
        return self._folder / f"{build}.log"


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
