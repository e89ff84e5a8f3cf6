"""One file at a time, written durably: whole bytes appear under a name, or nothing does."""

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


#: A web server of another account reads the tree, whatever umask its writer has.
_DIR_MODE = 0o755
_FILE_MODE = 0o644


def make_dir(folder: Path) -> None:
    """Make a folder that everybody may read, and those above it that are not there."""
    if folder.is_dir():
        return
    make_dir(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:  # another writer's
        return
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | _DIR_MODE)


def replace_file(path: Path, content: bytes, *, mode: int = _FILE_MODE) -> None:
    """Put content at path so that readers see the old bytes or the new, never a mixture."""
    _in_dir(path.parent, lambda: _replace(path, content, mode))


def install_file(source: Path, path: Path) -> None:
    """Move a complete file to its place in the tree, durably and atomically."""
    with source.open("rb") as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        os.fsync(file.fileno())
    try:
        _in_dir(path.parent, lambda: source.replace(path))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # From another file system: the bytes have to be copied.
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
    """A new file to write, which becomes the one at path when all went well."""
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
    """Give new another whole second than old: nginx makes its ETag of that and the size."""
    try:
        before = int(old.stat().st_mtime)
    except FileNotFoundError:
        return
    if int(new.stat().st_mtime) <= before:
        os.utime(new, (before + 1, before + 1))


def _in_dir(folder: Path, work: Callable[[], _T]) -> _T:
    """Make a folder and do some work in it, durably.

    A removal may take away a folder that is still empty: then it is made again.
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
    with contextlib.suppress(FileNotFoundError):  # removed already
        sync_dir(folder)
    return done


def _make_durable_dir(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut."""
    if folder.is_dir():
        return
    _make_durable_dir(folder.parent)
    make_dir(folder)
    sync_dir(folder.parent)


def sync_dir(folder: Path) -> None:
    """Make the renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Make everything written so far to the file system of the tree survive a power cut."""
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
