"""Durable, atomic writes of single files."""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

_MAX_ATTEMPTS = 100
_MAX_NAME_BYTES = 255
_MAX_NAME_CHARACTERS = 60  # that are surely not more bytes
_T = TypeVar("_T")


#: A web server of another account must be able to read the files, whatever the umask.
_DIR_MODE = 0o755
_FILE_MODE = 0o644
_READABLE_BY_OTHERS = 0o004


def make_dir(folder: Path, *, private: bool = False) -> None:
    """Create a directory, and its missing parents, that everybody or only its owner may read."""
    if folder.is_dir():
        return
    make_dir(folder.parent, private=private)
    try:
        folder.mkdir(mode=0o700 if private else 0o777)
    except FileExistsError:  # created by another process
        return
    if not private:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | _DIR_MODE)


def replace_file(path: Path, content: bytes, *, mode: int = _FILE_MODE) -> None:
    """Write content to path; readers see the old content or the new one.

    Directories that are missing are created: for their owner alone if the file is not for others.
    """
    private = not mode & _READABLE_BY_OTHERS
    _in_dir(path.parent, lambda: _replace(path, content, mode), private=private)


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


def temporary_path(path: Path) -> Path:
    """Where a file is written before it gets its path.

    Each path has one, so that a crash leaves at most one file, which the next write replaces.
    """
    return path.with_name(_temporary_name(path.name))


def temporary_str(path: str) -> str:
    """As `temporary_path`, in less time: for all pages of a batch, and those that are unchanged."""
    folder, separator, name = path.rpartition("/")
    return f"{folder}{separator}{_temporary_name(name)}"


def _temporary_name(name: str) -> str:
    if len(name) > _MAX_NAME_CHARACTERS and len(os.fsencode(name)) > _MAX_NAME_BYTES - 5:
        return f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.new"
    return f".{name}.new"


def discard_temporary(path: Path | str) -> None:
    """Delete what a crash may have left of a write to a path that nobody writes now."""
    with contextlib.suppress(OSError):
        os.unlink(temporary_str(str(path)))  # noqa: PTH108 - for each page that has not changed


@contextlib.contextmanager
def _atomic_replacement(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A new file to write, which replaces the one at path on success."""
    new = temporary_path(path)
    with os.fdopen(_open_locked(new), "wb") as file:
        try:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            _advance_mtime(new, path)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def _open_locked(new: Path) -> int:
    """An empty file for one writer at a time; another one waits until it has its path.

    Whatever else is there, as a link to another file, is removed, and not written to.
    """
    for _ in range(_MAX_ATTEMPTS):
        try:
            descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.EACCES, errno.ENXIO}:
                raise
            new.unlink()
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_own_file(descriptor, new):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(new))


def _is_own_file(descriptor: int, path: Path) -> bool:
    """Whether an open file is still at a path, and nobody else's."""
    found = os.fstat(descriptor)
    try:
        if not os.path.samestat(found, path.lstat()):
            return False
    except FileNotFoundError:
        return False
    is_own = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()
    if not is_own:
        path.unlink(missing_ok=True)
    return is_own


def _advance_mtime(new: Path, old: Path) -> None:
    """Set an mtime in another second than that of the old file: nginx's ETag is mtime and size."""
    try:
        before = int(old.stat().st_mtime)
    except FileNotFoundError:
        return
    if int(new.stat().st_mtime) <= before:
        os.utime(new, (before + 1, before + 1))


def _in_dir(folder: Path, work: Callable[[], _T], *, private: bool = False) -> _T:
    """Create a directory and do work in it, durably.

    A concurrent deletion may remove the empty directory: then it is created again.
    """
    tries = _MAX_ATTEMPTS
    while True:
        try:
            _make_durable_dir(folder, private=private)
            done = work()
            break
        except FileNotFoundError:
            tries -= 1
            if not tries:
                raise
    with contextlib.suppress(FileNotFoundError):  # already deleted
        sync_dir(folder)
    return done


def _make_durable_dir(folder: Path, *, private: bool) -> None:
    """Create a directory and its parents durably."""
    if folder.is_dir():
        return
    _make_durable_dir(folder.parent, private=private)
    make_dir(folder, private=private)
    sync_dir(folder.parent)


def sync_dir(folder: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
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
