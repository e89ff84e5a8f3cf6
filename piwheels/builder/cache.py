"""The builder's store of index files: content-addressed, verified, bounded, oldest use first out.

A file lies at <sha256[:2]>/<sha256>; its modification time says when it was last used.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from weakref import WeakValueDictionary

from piwheels.simpleapi import SimpleIndex


class FileCache:
    """Files of indexes by their sha256, shared by all builds of a builder."""

    def __init__(self, root: Path, *, limit_bytes: int, file_limit_bytes: int) -> None:
        """Describe a cache.

        Args:
            root: its folder; made when first needed.
            limit_bytes: above this, the files used longest ago go.
            file_limit_bytes: a longer file is refused.
        """
        self.root = root
        self.limit_bytes = limit_bytes
        self.file_limit_bytes = file_limit_bytes
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def path(self, sha256: str) -> Path:
        """Where a file lies, or would."""
        return self.root / sha256[:2] / sha256

    async def get(
        self, index: SimpleIndex, url: str, sha256: str, *, past_caches: bool = False
    ) -> Path:
        """A file, fetched if it is not there; `past_caches` as `SimpleIndex.fetch` has it.

        Raises:
            TransientError, RefusedError: as `SimpleIndex.fetch`.
        """
        path = self.path(sha256)
        fetching = self._fetching.setdefault(sha256, asyncio.Lock())
        async with fetching:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                await index.fetch(
                    url,
                    sha256,
                    path,
                    limit_bytes=self.file_limit_bytes,
                    past_caches=past_caches,
                )
                self._make_room(path)
            os.utime(path)
        return path

    def _make_room(self, kept: Path) -> None:
        """Remove what was used longest ago, but for the file that was just fetched.

        A file that is being read stays readable: its bytes go with the last reader.
        """
        held = []
        for path in self.root.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                held.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in held)
        for _, size, path in sorted(held):
            if total <= self.limit_bytes:
                break
            if path != kept:
                path.unlink(missing_ok=True)
                total -= size
