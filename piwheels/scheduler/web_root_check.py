"""Whether the served tree and the spool beside it take files now."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

#: Room for so much is looked for where nothing says how large the next file is.
MIN_FREE_BYTES = 1 << 20


def find_fault(folders: Iterable[Path], size_bytes: int = MIN_FREE_BYTES) -> str:
    """Why one of these folders cannot take a file of this size; "" if all can.

    The file has no name (O_TMPFILE, where the file system knows it), so that no reader of the
    tree ever sees it.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
        except OSError as error:
            return f"{error.strerror} ({folder})"
    return ""
