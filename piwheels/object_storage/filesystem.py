"""Objects of buckets as files that DuckDB reads: what it asks for, in ranges, and nothing else.

Its own extension for S3 (httpfs) is a download, which a machine without internet cannot make.
fsspec is in the extra `s3`; this module is imported where it is needed.
"""

import io
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fsspec import AbstractFileSystem

from piwheels.object_storage.errors import BucketError
from piwheels.object_storage.files import FileBucket, ObjectFacts

#: Not `s3`, for which DuckDB would look for its extension.
PROTOCOL = "piwheels-bucket"
#: The least that one request reads; what follows is often asked for next.
_READ_AHEAD_BYTES = 64 * 1024


class BucketFilesystem(AbstractFileSystem):  # type: ignore[misc]
    """Objects as `BUCKET/KEY`, for reading.

    Args:
        bucket: the bucket of a name.

    The first error of a bucket is kept in `problem`, as DuckDB says less about it.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, bucket: Callable[[str], FileBucket]) -> None:
        super().__init__()
        self._bucket = bucket
        self._facts: dict[str, ObjectFacts] = {}
        self.problem: BucketError | None = None

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """An object's size.

        Raises:
            FileNotFoundError: there is none.
            BucketError: the bucket cannot be asked.
        """
        name = self._strip_protocol(path)
        return {"name": name, "size": self._facts_of(name).size_bytes, "type": "file"}

    def modified(self, path: str) -> datetime:
        """When an object was written."""
        return self._facts_of(self._strip_protocol(path)).changed_at

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: ARG002
        """Nothing is listed: files are asked for by name."""
        return []

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.RawIOBase:
        if mode != "rb":
            raise OSError("objects are only read")
        bucket, _, key = self._strip_protocol(path).partition("/")
        return _ObjectReader(self, self._bucket(bucket), key, self.info(path)["size"])

    def _facts_of(self, name: str) -> ObjectFacts:
        if name not in self._facts:
            bucket, _, key = name.partition("/")
            try:
                found = self._bucket(bucket).facts(key)
            except BucketError as error:
                self.problem = self.problem or error
                raise
            if found is None:
                lost = BucketError(f"{key} is not in the bucket {bucket}")
                self.problem = self.problem or lost
                raise FileNotFoundError(str(lost))
            self._facts[name] = found
        return self._facts[name]


class _ObjectReader(io.RawIOBase):
    def __init__(self, owner: BucketFilesystem, bucket: FileBucket, key: str, size: int) -> None:
        self._owner, self._bucket, self._key, self._size = owner, bucket, key, size
        self._position = 0
        self._held, self._held_from = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        start = self._position
        end = self._size if size < 0 else min(start + size, self._size)
        held_to = self._held_from + len(self._held)
        if not (self._held_from <= start and end <= held_to) and start < end:
            ahead = min(max(end, start + _READ_AHEAD_BYTES), self._size)
            try:
                self._held, self._held_from = self._bucket.read(self._key, start, ahead), start
            except BucketError as error:
                self._owner.problem = self._owner.problem or error
                raise
        found = self._held[start - self._held_from : end - self._held_from] if start < end else b""
        self._position += len(found)
        return found
