"""Writes many pages with shared syncs of the disk.

All bytes are durable before the first rename, and all renames when the function returns. Threads
free the replaced files: with the mount option discard, a rename over a file would otherwise wait
longer for freeing its blocks than for everything else.
"""

import contextlib
import errno
import gzip
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

from piwheels.webroot.atomic_file import make_dir, sync_tree, temporary_str

#: Compared with level 6, a page of 60 files is 8 % larger and takes half the CPU time.
_GZIP_LEVEL = 3

_MAX_ATTEMPTS = 100
_SECOND_NS = 1_000_000_000
_MAX_HELD = 32
#: If the disk frees more slowly than pages are written, writing waits.
_FREE_SLOTS = threading.BoundedSemaphore(8)
_FREE_POOL = ThreadPoolExecutor(8, thread_name_prefix="freeing")
#: Errors that concern a single path.
_PATH_ERRNOS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
    }
)


class _Staged(NamedTuple):
    """A file written next to its final path."""

    new: str
    path: str


def write_page_groups(
    root: Path, groups: Mapping[str, Sequence[tuple[Path, bytes]]]
) -> dict[str, OSError]:
    """See Webroot.write_pages."""
    problems: dict[str, OSError] = {}
    staged: dict[str, list[_Staged]] = {}
    try:
        for name, group in groups.items():
            with _collecting_path_errors(problems, name):
                staged[name] = _stage(list(_with_gz(group)))
        sync_tree(root)
        with _ReplacedFiles() as replaced:
            for name, files in staged.items():
                with _collecting_path_errors(problems, name):
                    _rename_into_place(files, replaced)
        sync_tree(root)
    except BaseException:
        for files in staged.values():
            _discard(files)
        raise
    return problems


def gz_path(page: Path) -> Path:
    """The path of a page's compressed file."""
    return page.with_name(f"{page.name}.gz")


def gzip_bytes(content: bytes) -> bytes:
    """Compressed content; the result is deterministic."""
    return gzip.compress(content, _GZIP_LEVEL, mtime=0)


def _with_gz(group: Iterable[tuple[Path, bytes]]) -> Iterator[tuple[str, bytes]]:
    for path, content in group:
        yield f"{path}.gz", gzip_bytes(content)
        yield str(path), content


def is_path_error(error: OSError) -> bool:
    """Whether an error concerns the file or directory that it names, not the whole disk."""
    return error.errno in _PATH_ERRNOS


@contextlib.contextmanager
def _collecting_path_errors(problems: dict[str, OSError], name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_path_error(error):
            raise
        problems[name] = error


def _stage(group: Sequence[tuple[str, bytes]]) -> list[_Staged]:
    """Write a group of files next to their paths, with one mtime; returns what to rename.

    Paths are texts here and below: those of pathlib take longer than writing a page does.
    """
    staged: list[_Staged] = []
    try:
        mtime_ns = _common_mtime_ns([path for path, _ in group])
        for path, content in group:
            staged.append(_Staged(temporary_str(path), path))
            _write_new(staged[-1].new, content, mtime_ns)
    except BaseException:
        _discard(staged)
        raise
    return staged


def _discard(staged: Iterable[_Staged]) -> None:
    for new, _ in staged:
        with contextlib.suppress(OSError):
            os.unlink(new)  # noqa: PTH108


def _common_mtime_ns(paths: Sequence[str]) -> int:
    """Now, or the second after the newest of these files: nginx's ETag is mtime and size."""
    mtime_ns = time.time_ns()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            before_s = os.stat(path).st_mtime_ns // _SECOND_NS  # noqa: PTH116 - Path is slow here
            mtime_ns = max(mtime_ns, (before_s + 1) * _SECOND_NS)
    return mtime_ns


def _write_new(new: str, content: bytes, mtime_ns: int) -> None:
    file = _open_new(new)
    try:
        os.fchmod(file, 0o644)
        _write_all(file, content)
        os.utime(file, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(file)


def _write_all(file: int, content: bytes) -> None:
    written = os.write(file, content)
    while written < len(content):  # a signal, or 2 GiB
        written += os.write(file, content[written:])


def _open_new(new: str) -> int:
    tries = _MAX_ATTEMPTS
    while True:
        try:
            return os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        except FileNotFoundError:
            tries -= 1
            if not tries:
                raise
            make_dir(Path(new).parent)


def _rename_into_place(staged: Sequence[_Staged], replaced: "_ReplacedFiles") -> None:
    try:
        for new, path in staged:
            replaced.hold(path)
            os.replace(new, path)  # noqa: PTH105
    except BaseException:
        _discard(staged)
        raise


class _ReplacedFiles:
    """Keeps replaced files open, and closes them in threads, which frees their blocks."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._free()

    def hold(self, path: str) -> None:
        """Open a file that will be replaced, so that the rename does not wait for freeing it."""
        if len(self._held) == _MAX_HELD:
            self._free()
        with contextlib.suppress(OSError):  # it does not exist, or too many files are open
            self._held.append(os.open(path, os.O_PATH))

    def _free(self) -> None:
        _FREE_SLOTS.acquire()
        _FREE_POOL.submit(_close_all, self._held)
        self._held = []


def _close_all(descriptors: Sequence[int]) -> None:
    try:
        for descriptor in descriptors:
            os.close(descriptor)
    finally:
        _FREE_SLOTS.release()
