"""How much disk the files of a folder use, in which a build writes meanwhile."""

import contextlib
import os
from pathlib import Path

#: A larger tree is measured in part: a build can make any number of files.
_MAX_ENTRIES = 100_000


def folder_bytes(folder: Path, max_entries: int = _MAX_ENTRIES) -> int:
    """The disk space of a folder's files, without following links; of what can be read."""
    total, left, waiting = 0, max_entries, [str(folder)]
    linked: set[int] = set()  # files with several names, by inode
    while waiting:
        # What is removed meanwhile, or has too long a path, does not count.
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    return total
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    total += _entry_bytes(entry, linked)
    return total


def _entry_bytes(entry: os.DirEntry[str], linked: set[int]) -> int:
    status = entry.stat(follow_symlinks=False)
    if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
        if status.st_ino in linked:
            return 0
        linked.add(status.st_ino)
    return status.st_blocks * 512
