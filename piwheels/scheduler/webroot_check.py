"""Checks whether the web root and the spool accept files now."""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

#: The free space that is required when the size of the next file is unknown.
MIN_FREE_BYTES = 1 << 20


def find_fault(
    check_writer: Callable[[], None], folders: Iterable[Path], size_bytes: int = MIN_FREE_BYTES
) -> str:
    """Why one of these folders cannot store a file of this size; "" if all can.

    The file has no name (O_TMPFILE, where the file system supports it), so no client sees it.

    Args:
        check_writer: that of the web root: its mount point can store files as well.
        folders: the web root and others.
        size_bytes: of the file.
    """
    try:
        check_writer()
    except OSError as error:
        return str(error.strerror)
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
        except OSError as error:
            return f"{error.strerror} ({folder})"
    return ""
