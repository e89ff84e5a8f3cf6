"""What an ordinary account meets where tests run as root."""

import os
import shutil
import tempfile
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


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder of another account, which that account can reach; only root can make one."""
    folder = Path(tempfile.mkdtemp(prefix="piwheels-nobody-"))
    folder.chmod(0o755)
    os.chown(folder, NOBODY_UID, NOBODY_UID)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
