"""The private directory for the local socket of an ssh tunnel.

A lock marks a directory as in use; it is released when its process ends, however that ends.
Directories of consoles that were killed are deleted.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "piw-tunnel-"
_LOCK = "lock"
_SOCKET = "control"
#: A directory without a lock file may be new; after so long it is stale.
_UNLOCKED_GRACE_S = 60.0
_MAX_SOCKET_BYTES = 100  # bytes, of the 107 that Linux allows


class TunnelDir:
    """A directory for one socket, private to this process."""

    def __init__(self) -> None:
        """Also deletes stale directories beside it.

        Raises:
            OSError: no suitable place was found; its text says why.
        """
        base = _base_dir()
        remove_stale_dirs(base)
        self._path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        making = self._path / f"{_LOCK}.new"
        self._lock = os.open(making, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        making.rename(self._path / _LOCK)  # it is visible only once it is locked

    @property
    def socket(self) -> Path:
        """The path of the socket."""
        return self._path / _SOCKET

    def delete(self) -> None:
        """Delete the directory."""
        shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._lock)


def remove_stale_dirs(base: Path) -> None:
    """Delete this account's directories whose consoles have ended."""
    for folder in base.glob(f"{_PREFIX}*"):
        if _is_ours(folder) and _is_stale(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _is_stale(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _age_s(folder) > _UNLOCKED_GRACE_S
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _age_s(folder: Path) -> float:
    try:
        return abs(time.time() - folder.lstat().st_mtime)  # the clock may have been set back
    except OSError:  # deleted by another process
        return 0.0


def _base_dir() -> Path:
    """A directory that the system cleans at logout, else one that it cleans at boot."""
    for base in _base_candidates():
        longest = base / f"{_PREFIX}{'x' * 8}" / _SOCKET
        if len(bytes(longest)) <= _MAX_SOCKET_BYTES and os.access(base, os.W_OK | os.X_OK):
            return base
    raise OSError(
        f"the path {tempfile.gettempdir()} is too long for a socket, or not writable; set TMPDIR"
    )


def _base_candidates() -> Iterator[Path]:
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute():  # a relative path is ignored (XDG 0.8)
        yield runtime
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")  # noqa: S108 - mkdtemp makes a private directory in it
