"""The builder's cache of index files: content-addressed, verified, of limited size (LRU).

A file is stored at <sha256[:2]>/<sha256>; its modification time is that of its last use.
"""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from weakref import WeakValueDictionary

from piwheels.index_client.client import SimpleIndex


class FileCache:
    """Files of indexes by their sha256, shared by all builds of a builder."""

    def __init__(self, root: Path, *, max_bytes: int, max_file_bytes: int) -> None:
        """Describe a cache.

        Args:
            root: its folder; created when first needed.
            max_bytes: above this size, the least recently used files are deleted.
            max_file_bytes: a larger file is rejected.
        """
        self.root = root
        self.max_bytes = max_bytes
        self.max_file_bytes = max_file_bytes
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def path(self, sha256: str) -> Path:
        """The path of a file, whether it is cached or not."""
        return self.root / sha256[:2] / sha256

    async def get(
        self,
        index: SimpleIndex,
        url: str,
        sha256: str,
        *,
        digest: str = "",
        size_bytes: int | None = None,
        bypass_caches: bool = False,
    ) -> Path:
        """The path of a file, which is fetched if necessary; its last part is the sha256.

        A file without a sha256 in the index is fetched each time, because it may have changed.

        Args:
            index: the index that lists the file.
            url: its address.
            sha256: the hash in the index, or "".
            digest: another hash in the index, as `algorithm=hex`, or "".
            size_bytes: the size in the index, or None.
            bypass_caches: as in `SimpleIndex.fetch`.

        Raises:
            TransientError, RejectedError: as `SimpleIndex.fetch`.
        """
        fetching = self._locks.setdefault(sha256 or url, asyncio.Lock())
        async with fetching:
            path = self.path(sha256)
            if not sha256 or not path.exists():
                path = await self._fetch(
                    index, url, sha256, digest, size_bytes, bypass_caches=bypass_caches
                )
            os.utime(path)
        return path

    async def _fetch(
        self,
        index: SimpleIndex,
        url: str,
        sha256: str,
        digest: str,
        size_bytes: int | None,
        *,
        bypass_caches: bool,
    ) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".fetch-") as folder:
            temporary = Path(folder) / "file"
            fetched = await index.fetch(
                url,
                sha256,
                temporary,
                digest=digest,
                size_bytes=size_bytes,
                limit_bytes=self.max_file_bytes,
                bypass_caches=bypass_caches,
            )
            path = self.path(fetched.sha256)
            path.parent.mkdir(exist_ok=True)
            temporary.replace(path)
        self._evict(path)
        return path

    def _evict(self, kept: Path) -> None:
        """Delete the least recently used files, except the one that was just fetched.

        A file that is open stays readable until it is closed.
        """
        held = []
        for path in self.root.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                held.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in held)
        for _, size, path in sorted(held):
            if total <= self.max_bytes:
                break
            if path != kept:
                path.unlink(missing_ok=True)
                total -= size
