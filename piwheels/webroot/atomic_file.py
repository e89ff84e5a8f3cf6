"""Durable, atomic writes of single files."""

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

_MAX_ATTEMPTS = 100
_T = TypeVar("_T")


#: A web server of another account must be able to read the files, whatever the umask.
_DIR_MODE = 0o755
_FILE_MODE = 0o644


def make_dir(folder: Path) -> None:
    """Create a world-readable directory, and its missing parents."""
    if folder.is_dir():
        return
    make_dir(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:  # created by another process
        return
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | _DIR_MODE)


def replace_file(path: Path, content: bytes, *, mode: int = _FILE_MODE) -> None:
    """Write content to path; readers see the old content or the new one."""
    _in_dir(path.parent, lambda: _replace(path, content, mode))


def install_file(source: Path, path: Path) -> None:
    """Move a complete file to its path in the web root, durably and atomically."""
    with source.open("rb") as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        os.fsync(file.fileno())
    try:
        _in_dir(path.parent, lambda: source.replace(path))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # It is on another file system: copy its content.
        _in_dir(path.parent, lambda: _copy_file(source, path))
        source.unlink()


def _copy_file(source: Path, path: Path) -> None:
    with source.open("rb") as file, _atomic_replacement(path, _FILE_MODE) as copy:
        shutil.copyfileobj(file, copy)


def _replace(path: Path, content: bytes, mode: int) -> None:
    with _atomic_replacement(path, mode) as file:
        file.write(content)


@contextlib.contextmanager
def _atomic_replacement(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A new file to write, which replaces the one at path on success."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        _advance_mtime(Path(name), path)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _advance_mtime(new: Path, old: Path) -> None:
    """Set an mtime in another second than that of the old file: nginx's ETag is mtime and size."""
    try:
        before = int(old.stat().st_mtime)
    except FileNotFoundError:
        return
    if int(new.stat().st_mtime) <= before:
        os.utime(new, (before + 1, before + 1))


def _in_dir(folder: Path, work: Callable[[], _T]) -> _T:
    """Create a directory and do work in it, durably.

    A concurrent deletion may remove the empty directory: then it is created again.
    """
    tries = _MAX_ATTEMPTS
    while True:
        try:
            _make_durable_dir(folder)
            done = work()
            break
        except FileNotFoundError:
            tries -= 1
            if not tries:
                raise
    with contextlib.suppress(FileNotFoundError):  # already deleted
        sync_dir(folder)
    return done


def _make_durable_dir(folder: Path) -> None:
    """Create a directory and its parents durably."""
    if folder.is_dir():
        return
    _make_durable_dir(folder.parent)
    make_dir(folder)
    sync_dir(folder.parent)


def sync_dir(folder: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Make everything written to the file system of the web root durable."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _SYNCFS(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(root))
    finally:
        os.close(descriptor)


def _syncfs() -> Callable[[int], int]:
    """syncfs(2), which the standard library lacks."""
    function: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
    return function


_SYNCFS = _syncfs()
