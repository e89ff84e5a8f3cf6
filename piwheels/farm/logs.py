"""Build logs: spooled as they stream in, gzipped into the served tree when a build is settled."""

import asyncio
import gzip
import os
from collections.abc import Iterable
from pathlib import Path

from piwheels.protocol.messages import LARGEST_LOG_BYTES
from piwheels.webroot import GZIP_LEVEL, Webroot, replace


class LogSpool:
    """The logs of builds in hand, as plain files, and their way into the tree."""

    def __init__(self, folder: Path, webroot: Webroot) -> None:
        self._folder = folder
        self._webroot = webroot
        self._unsynced: set[int] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def size(self, build: int) -> int:
        """How much of a log has arrived, in bytes."""
        try:
            return self._path(build).stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self, build: int) -> None:
        """Make an empty log, so that followers find it before its first line."""
        self._path(build).touch()

    def append(self, build: int, offset: int, data: bytes) -> None:
        """Add a piece that begins at offset; what is there already is not added twice.

        A piece that would leave a gap is dropped: the builder sends it again after a Welcome.
        """
        there = self.size(build)
        if offset > there or there >= LARGEST_LOG_BYTES:
            return
        fresh = data[there - offset :]
        if not fresh:
            return
        with self._path(build).open("ab") as file:
            file.write(fresh)
        self._unsynced.add(build)

    async def sync(self) -> None:
        """Make what has arrived survive a power cut; a slow disk holds nobody up meanwhile."""
        builds, self._unsynced = self._unsynced, set()
        if builds:
            await asyncio.to_thread(_sync, [self._path(build) for build in builds])

    def finish(self, build: int) -> None:
        """Move a log into the served tree; one that never began becomes an empty one."""
        path = self._path(build)
        text = path.read_bytes() if path.exists() else b""
        if text or not self._webroot.log(build).exists():
            replace(self._webroot.log(build), gzip.compress(text, GZIP_LEVEL, mtime=0))
        path.unlink(missing_ok=True)

    def forget(self, build: int) -> None:
        """Drop the log of a build that did not happen."""
        self._path(build).unlink(missing_ok=True)

    def tidy(self, claimed: set[int]) -> None:
        """Drop the logs of builds that nobody has in hand, left by an earlier master.

        Those of builds that ended lie in the tree by then; others did not happen. One that stays
        here would be followed for ever.
        """
        for path in self._folder.iterdir():
            if not (path.stem.isdigit() and int(path.stem) in claimed):
                path.unlink(missing_ok=True)

    def read(self, build: int, offset: int, length: int) -> bytes | None:
        """A piece of the log of a build in hand; None when no such build is in hand."""
        try:
            with self._path(build).open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            return None

    def read_finished(self, build: int) -> bytes | None:
        """The whole log of a settled build; None when there is none."""
        try:
            return gzip.decompress(self._webroot.log(build).read_bytes())
        except FileNotFoundError:
            return None

    def _path(self, build: int) -> Path:
        return self._folder / f"{build}.log"


def _sync(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
