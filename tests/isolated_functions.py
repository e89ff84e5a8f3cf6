"""Functions that tests run in an isolated process; a child imports this file, so it imports little."""

import errno
import os
import signal
from pathlib import Path

from piwheels.errors import RejectedError
from piwheels.model import WheelCompatibility


def return_compatibility(tags: str, path: Path) -> WheelCompatibility:
    print("this is no part of the answer")
    return WheelCompatibility(tags=tags, glibc=path.name)


def raise_rejected() -> int:
    raise RejectedError("not this")


def raise_unexpected() -> int:
    raise KeyError("odd")


def raise_disk_full(folder: Path) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def raise_name_too_long() -> int:
    Path("n" * 300).read_bytes()
    return 0


def run_forever(note: Path | None = None) -> int:
    if note is not None:
        note.write_text(str(os.getpid()))
    while True:
        pass


def allocate_too_much() -> int:
    return len([bytes(1 << 20) for _ in range(1 << 20)])


def return_too_much() -> bytes:
    return bytes(2 << 20)


def kill_self(number: int) -> int:
    signal.raise_signal(signal.Signals(number))
    return 0


def recurse(level: int = 0) -> int:
    return recurse(level + 1) + 1
