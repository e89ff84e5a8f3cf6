"""What an ordinary account meets where tests run as root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY_UID = 65534


@contextmanager
def as_ordinary_account() -> Iterator[None]:
    """Root becomes another account meanwhile."""
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY_UID)
        yield
    finally:
        if root:
            os.seteuid(0)


@contextmanager
def inaccessible(folder: Path) -> Iterator[None]:
    """A folder that the account at hand may not enter; root becomes another account meanwhile."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    try:
        with as_ordinary_account():
            yield
    finally:
        folder.chmod(mode)
