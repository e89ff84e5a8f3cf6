"""The memory that a tree of processes uses, without pages of files on disk.

A page that processes share is counted once: proc(5) gives each its proportional share (PSS).
Memory files (memfd_create(2)) count with their size, whether they are mapped or not.
"""

import os
from collections.abc import Iterable
from pathlib import Path

#: Of /proc/pid/status, in kB: private pages, memory shared between processes, and swap.
_STATUS_FIELDS = (b"RssAnon:", b"RssShmem:", b"VmSwap:")
#: The same of /proc/pid/smaps_rollup, each page divided by the number of those that share it.
_ROLLUP_FIELDS = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")
_BLOCK_BYTES = 512  # the unit of st_blocks (inode(7))
_MEMFD_PREFIX = "/memfd:"


def used_bytes(pids: Iterable[int], limit_bytes: int) -> int:
    """The memory of these processes together, in bytes.

    Proportional shares are read only if a sum that counts shared pages repeatedly exceeds the
    limit, because the kernel has to walk every page table for them.
    """
    pids = list(pids)
    files = _memfd_bytes(pids)
    together = files + sum(_sum_fields(pid, "status", _STATUS_FIELDS) or 0 for pid in pids)
    if together <= limit_bytes:
        return together
    return files + sum(map(_proportional_bytes, pids))


def _proportional_bytes(pid: int) -> int:
    part = _sum_fields(pid, "smaps_rollup", _ROLLUP_FIELDS)
    return part if part is not None else _sum_fields(pid, "status", _STATUS_FIELDS) or 0


def _sum_fields(pid: int, name: str, fields: tuple[bytes, ...]) -> int | None:
    """The sum of these fields of a file in /proc/PID, in bytes; None if it has none of them."""
    try:
        lines = Path(f"/proc/{pid}/{name}").read_bytes().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(fields)]
    return sum(found) if found else None


def _memfd_bytes(pids: Iterable[int]) -> int:
    """The size of the memory files that these processes have open, each counted once."""
    files: dict[tuple[int, int], int] = {}
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names alone, and there may be many
        except OSError:
            continue
        for name in names:
            _add_memfd(f"{folder}/{name}", files)
    return sum(files.values())


def _add_memfd(path: str, files: dict[tuple[int, int], int]) -> None:
    try:
        if os.readlink(path).startswith(_MEMFD_PREFIX):  # noqa: PTH115 - see above
            found = os.stat(path)  # noqa: PTH116 - see above
            files[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK_BYTES
    except OSError:
        return
