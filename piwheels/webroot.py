"""The served tree: where each thing lies in it, written atomically, removed in the safe order.

A reader never sees half a file: bytes go to a temporary file beside the final name, are
synced, and are renamed over it. The order among files is the caller's: a wheel before
its metadata before the page that names them, and the reverse on removal.

Many pages at once share their syncs: all bytes are durable before the first rename, and all
renames before the batch is said to be written.
"""

import contextlib
import ctypes
import errno
import gzip
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

GZIP_LEVEL = 6

#: What every answer from the tree carries. Nothing but the site's own files is fetched by a page,
#: no script or style stands in one, and no other site frames it.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_TRIES = 100
_SECOND_NS = 1_000_000_000
_T = TypeVar("_T")


class Webroot:
    """The tree below one directory, which any web server can serve as it stands."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def wheel(self, sha256: str, filename: str) -> Path:
        """Where a wheel lies: content-addressed, so an address never changes its bytes."""
        return self.root / "packages" / sha256[:2] / sha256 / filename

    def metadata(self, sha256: str, filename: str) -> Path:
        """Where a wheel's METADATA lies (PEP 658): beside it."""
        return self.wheel(sha256, f"{filename}.metadata")

    def simple(self, project: str = "") -> Path:
        """The folder of a project's index pages, or of the root listing."""
        return self.root / "simple" / project if project else self.root / "simple"

    def project(self, project: str) -> Path:
        """The folder of a project's page, JSON and feed."""
        return self.root / "project" / project

    def log(self, build: int) -> Path:
        """Where a build's log lies, gzipped."""
        digits = f"{build:08d}"
        return self.root / "logs" / digits[:-4] / digits[-4:] / f"{build}.txt.gz"

    def write(self, path: Path, content: bytes) -> bool:
        """Write content to path, durably and atomically, unless it holds just that already.

        Returns:
            Whether anything was written.
        """
        if _same(path, content):
            return False
        replace(path, content)
        return True

    def write_page(self, path: Path, content: bytes) -> bool:
        """Write a page and its .gz twin, unless the page holds just that already.

        The twin goes first. A crash between the two leaves them apart, and the next writing
        mends it, whether it brings the new page again or the old one.

        Returns:
            Whether anything was written.
        """
        if self.says(path, content):
            return False
        replace(path.with_name(f"{path.name}.gz"), gzip.compress(content, GZIP_LEVEL, mtime=0))
        replace(path, content)
        return True

    def says(self, path: Path, content: bytes) -> bool:
        """Whether a page and its .gz twin hold just this content."""
        return _same(path, content) and _unpacks_to(path.with_name(f"{path.name}.gz"), content)

    def write_pages(self, groups: Iterable[Sequence[tuple[Path, bytes]]]) -> None:
        """Write groups of pages, each page with its .gz twin, all durable on return.

        The pages of a group belong together: they become visible in their order, twins first,
        and all get the same time, by which `holds` finds a group that a crash tore apart.

        Raises:
            OSError: a page cannot be written; each page is whole, old or new.
        """
        staged: list[tuple[Path, Path]] = []
        try:
            for group in groups:
                staged += _stage(list(_with_twins(group)))
            sync_tree(self.root)
            for new, path in staged:
                new.replace(path)
            sync_tree(self.root)
        except BaseException:
            for new, _ in staged:
                new.unlink(missing_ok=True)
            raise

    def holds(self, pages: Sequence[Path], mark: bytes) -> bool:
        """Whether a group of pages lies there whole, and the last of them begins with a mark."""
        try:
            with pages[-1].open("rb", buffering=0) as file:
                if file.read(len(mark)) != mark:
                    return False
                moment = os.fstat(file.fileno()).st_mtime_ns
            others = [*pages[:-1], *(page.with_name(f"{page.name}.gz") for page in pages)]
            return all(os.stat(path).st_mtime_ns == moment for path in others)  # noqa: PTH116 - a Path costs more than the call
        except FileNotFoundError:
            return False

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files durably in the order given, and the folders that this leaves empty."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                sync_folder(path.parent)
            self._prune(path.parent)

    def _prune(self, folder: Path) -> None:
        while self.root in folder.parents:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass  # it was removed before, perhaps without those above it
            except OSError:
                return
            folder = folder.parent


def replace(path: Path, content: bytes) -> None:
    """Put content at path so that readers see the old bytes or the new, never a mixture."""
    _in_folder(path.parent, lambda: _replace(path, content))


def move_in(source: Path, path: Path) -> None:
    """Move a complete file to its place in the tree, durably and atomically."""
    with source.open("rb") as file:
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    try:
        _in_folder(path.parent, lambda: source.replace(path))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # From another file system: the bytes have to be copied.
        _in_folder(path.parent, lambda: _copy_in(source, path))
        source.unlink()


def _with_twins(group: Iterable[tuple[Path, bytes]]) -> Iterator[tuple[Path, bytes]]:
    for path, content in group:
        packed = gzip.compress(content, GZIP_LEVEL, mtime=0)
        yield path.with_name(f"{path.name}.gz"), packed
        yield path, content


def _stage(group: Sequence[tuple[Path, bytes]]) -> list[tuple[Path, Path]]:
    """Write a group of files beside their places, all with one time; returns what to rename."""
    moment = _moment([path for path, _ in group])
    return [(_stage_file(path, content, moment), path) for path, content in group]


def _moment(paths: Sequence[Path]) -> int:
    """Now, or the next second for which no old file stands: nginx goes by seconds and sizes."""
    moment = time.time_ns()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            before_s = os.stat(path).st_mtime_ns // _SECOND_NS  # noqa: PTH116 - Path is slow here
            moment = max(moment, (before_s + 1) * _SECOND_NS)
    return moment


def _stage_file(path: Path, content: bytes, moment: int) -> Path:
    """Write content beside path; what a crash left there is overwritten."""
    new = path.with_name(f".{path.name}.new")
    tries = _TRIES
    while True:
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            break
        except FileNotFoundError:
            tries -= 1
            if not tries:
                raise
            path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o644)
        file.write(content)
        file.flush()
        os.utime(descriptor, ns=(moment, moment))
    return new


def _copy_in(source: Path, path: Path) -> None:
    with source.open("rb") as file, _taking_the_place_of(path) as copy:
        shutil.copyfileobj(file, copy)


def _replace(path: Path, content: bytes) -> None:
    with _taking_the_place_of(path) as file:
        file.write(content)


@contextlib.contextmanager
def _taking_the_place_of(path: Path) -> Iterator[BinaryIO]:
    """A new file to write, which becomes the one at path when all went well."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        _tell_apart(Path(name), path)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _tell_apart(new: Path, old: Path) -> None:
    """Give new another whole second than old: nginx makes its ETag of that and the size."""
    try:
        before = int(old.stat().st_mtime)
    except FileNotFoundError:
        return
    if int(new.stat().st_mtime) <= before:
        os.utime(new, (before + 1, before + 1))


def _in_folder(folder: Path, work: Callable[[], _T]) -> _T:
    """Make a folder and do some work in it, durably.

    A removal may take away a folder that is still empty: then it is made again.
    """
    tries = _TRIES
    while True:
        try:
            _make(folder)
            done = work()
            break
        except FileNotFoundError:
            tries -= 1
            if not tries:
                raise
    with contextlib.suppress(FileNotFoundError):  # removed already
        sync_folder(folder)
    return done


def _make(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut."""
    if folder.is_dir():
        return
    _make(folder.parent)
    with contextlib.suppress(FileExistsError):  # another writer's
        folder.mkdir()
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
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


def _same(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _unpacks_to(path: Path, content: bytes) -> bool:
    """Whether a gzip file is that of content, by the checksum and the length at its end."""
    trailer = struct.pack("<2L", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    try:
        return path.read_bytes().endswith(trailer)
    except FileNotFoundError:
        return False
