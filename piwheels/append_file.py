"""Unbuffered files, whose close() cannot fail.

A buffered file keeps data that a full disk did not accept, and tries to write it again when it is
closed, so that closing it while handling the first error raises a second one. Here each write
reaches the system or raises.
"""

import contextlib
import os
from pathlib import Path
from typing import Self


class AppendFile:
    """A file to which whole chunks are appended."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it.

        Raises:
            OSError: it cannot be opened.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor: int | None = os.open(path, flags, 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return os.fstat(self._open).st_size

    def write(self, data: bytes) -> None:
        """Write all of it, or nothing.

        Raises:
            OSError: it cannot be written; what was written of it was cut off again.
        """
        before = self.size_bytes
        rest = memoryview(data)
        try:
            while rest:  # a disk that is nearly full accepts a part
                rest = rest[os.write(self._open, rest) :]
        except OSError:
            if len(rest) < len(data):
                with contextlib.suppress(OSError):  # the first error is the one to report
                    os.ftruncate(self._open, before)
            raise

    def sync(self) -> None:
        """Make what was written survive a power cut (fsync).

        Raises:
            OSError: the disk did not accept it.
        """
        os.fsync(self._open)

    def close(self) -> None:
        """Close it, ignoring errors, which a caller could not handle at this point."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    @property
    def _open(self) -> int:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        return self._descriptor
