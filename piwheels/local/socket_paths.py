"""Directories for the Unix sockets of a private farm: their paths must be short (unix(7))."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from piwheels.errors import ConfigError

_MAX_SOCKET_PATH_BYTES = 100  # sun_path holds 108 bytes; libraries append suffixes


def socket_dir(root: Path, name: str) -> Path:
    """The directory for a socket: root, or a private one elsewhere if root's path is too long.

    Args:
        root: where it should be.
        name: the socket's file name.

    Raises:
        ConfigError: no directory has a path short enough, or another user owns it.
    """
    root = root.resolve()
    if _fits(root, name):
        return root
    digest = hashlib.sha256(bytes(root)).hexdigest()[:12]
    for base in _fallback_dirs():
        short = base / f"piwheels-{os.getuid()}-{digest}"
        if _fits(short, name) and os.access(base, os.W_OK | os.X_OK):
            return _create_private_dir(short)
    raise ConfigError(
        f"the path {root} is too long for a Unix socket; choose a shorter one with --dir"
    )


def _fits(folder: Path, name: str) -> bool:
    return len(bytes(folder / name)) <= _MAX_SOCKET_PATH_BYTES


def _fallback_dirs() -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime)
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")  # noqa: S108 - the owner is checked


def _create_private_dir(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to another user; remove it")
    folder.chmod(0o700)
    return folder
