"""Many pages at once, whose syncs of the disk are shared.

All bytes are durable before the first rename, and all renames before the batch is said to be
written. What pages replace is freed by threads: where the disk is told of freed blocks (mount
option discard), a rename over a file would wait for that several times as long as for all else.
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

from piwheels.webroot.atomic_file import make_dir, sync_tree

#: A page of 60 files is 8 % larger than at 6, in as many packets, for half of the processor.
_GZIP_LEVEL = 3

_MAX_ATTEMPTS = 100
_SECOND_NS = 1_000_000_000
_MAX_HELD = 32
#: Where a disk frees more slowly than pages are written, writing waits.
_FREE_SLOTS = threading.BoundedSemaphore(8)
_FREE_POOL = ThreadPoolExecutor(8, thread_name_prefix="freeing")
#: Errors that another path need not meet.
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
    """A file written beside the place that it is to take."""

    new: Path
    path: Path


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
    """Where a page lies packed."""
    return page.with_name(f"{page.name}.gz")


def gzip_bytes(content: bytes) -> bytes:
    """Content as its twin holds it: the same bytes whenever it is packed."""
    return gzip.compress(content, _GZIP_LEVEL, mtime=0)


def _with_gz(group: Iterable[tuple[Path, bytes]]) -> Iterator[tuple[Path, bytes]]:
    for path, content in group:
        yield gz_path(path), gzip_bytes(content)
        yield path, content


def is_path_error(error: OSError) -> bool:
    """Whether an error tells of the file or folder that it names, and not of the whole disk."""
    return error.errno in _PATH_ERRNOS


@contextlib.contextmanager
def _collecting_path_errors(problems: dict[str, OSError], name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_path_error(error):
            raise
        problems[name] = error


def _stage(group: Sequence[tuple[Path, bytes]]) -> list[_Staged]:
    """Write a group of files beside their places, all with one time; returns what to rename."""
    staged: list[_Staged] = []
    try:
        moment = _common_mtime_ns([path for path, _ in group])
        for path, content in group:
            staged.append(_Staged(_temporary_path(path), path))
            _write_new(staged[-1].new, content, moment)
    except BaseException:
        _discard(staged)
        raise
    return staged


def _discard(staged: Iterable[_Staged]) -> None:
    for new, _ in staged:
        with contextlib.suppress(OSError):
            new.unlink()


def _common_mtime_ns(paths: Sequence[Path]) -> int:
    """Now, or the next second for which no old file stands: nginx goes by seconds and sizes."""
    moment = time.time_ns()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            before_s = os.stat(path).st_mtime_ns // _SECOND_NS  # noqa: PTH116 - Path is slow here
            moment = max(moment, (before_s + 1) * _SECOND_NS)
    return moment


def _temporary_path(path: Path) -> Path:
    """Where the bytes wait that will be at path; what a crash left there is overwritten."""
    return path.with_name(f".{path.name}.new")


def _write_new(new: Path, content: bytes, mtime_ns: int) -> None:
    with os.fdopen(_open_new(new), "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
        file.flush()
        os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))


def _open_new(new: Path) -> int:
    tries = _MAX_ATTEMPTS
    while True:
        try:
            return os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        except FileNotFoundError:
            tries -= 1
            if not tries:
                raise
            make_dir(new.parent)


def _rename_into_place(staged: Sequence[_Staged], replaced: "_ReplacedFiles") -> None:
    try:
        for new, path in staged:
            replaced.hold(path)
            new.replace(path)
    except BaseException:
        _discard(staged)
        raise


class _ReplacedFiles:
    """Old files, held open while others take their places, and freed by threads."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._free()

    def hold(self, path: Path) -> None:
        """A file will be replaced; without this the rename would wait until it is freed."""
        if len(self._held) == _MAX_HELD:
            self._free()
        with contextlib.suppress(OSError):  # there is none, or too many files are open
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
