"""The served tree: where each thing lies in it, written atomically, removed in the safe order.

A reader never sees half a file: bytes go to a temporary file beside the final name, are
synced, and are renamed over it (durable; batch for many at once). The order among files is the
caller's: a wheel before its metadata before the page that names them, and the reverse on removal.
"""

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from piwheels.webroot.atomic_batch import gz_path, gzip_bytes, is_path_error, write_page_groups
from piwheels.webroot.atomic_file import install_file, make_dir, replace_file, sync_dir

__all__ = [
    "SECURITY_HEADERS",
    "Webroot",
    "gz_path",
    "install_file",
    "is_path_error",
    "make_dir",
    "replace_file",
]

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


class Webroot:
    """The tree below one directory, which any web server can serve as it stands."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def wheel_path(self, sha256: str, filename: str) -> Path:
        """Where a wheel lies: content-addressed, so an address never changes its bytes."""
        return self.root / "packages" / sha256[:2] / sha256 / filename

    def metadata_path(self, sha256: str, filename: str) -> Path:
        """Where a wheel's METADATA lies (PEP 658): beside it."""
        return self.wheel_path(sha256, f"{filename}.metadata")

    def simple_dir(self, project: str = "") -> Path:
        """The folder of a project's index pages, or of the root listing."""
        return self.root / "simple" / project if project else self.root / "simple"

    def project_dir(self, project: str) -> Path:
        """The folder of a project's page, JSON and feed."""
        return self.root / "project" / project

    def log_path(self, build: int) -> Path:
        """Where a build's log lies, gzipped."""
        digits = f"{build:08d}"
        return self.root / "logs" / digits[:-4] / digits[-4:] / f"{build}.txt.gz"

    def write(self, path: Path, content: bytes) -> bool:
        """Write content to path, durably and atomically, unless it holds just that already.

        Returns:
            Whether anything was written.
        """
        if _has_content(path, content):
            return False
        replace_file(path, content)
        return True

    def write_page(self, path: Path, content: bytes) -> bool:
        """Write a page and its .gz twin, unless the page holds just that already.

        The twin goes first. A crash between the two leaves them apart, and the next writing
        mends it, whether it brings the new page again or the old one.

        Returns:
            Whether anything was written.
        """
        if self.is_up_to_date(path, content):
            return False
        replace_file(gz_path(path), gzip_bytes(content))
        replace_file(path, content)
        return True

    def is_up_to_date(self, path: Path, content: bytes) -> bool:
        """Whether a page and its .gz twin hold just this content."""
        return _has_content(path, content) and _gzip_matches(gz_path(path), content)

    def write_pages(self, groups: Mapping[str, Sequence[tuple[Path, bytes]]]) -> dict[str, OSError]:
        """Write named groups of pages, each page with its .gz twin, all durable on return.

        The pages of a group belong together: they become visible in their order, twins first,
        and all get the same time, by which `holds` finds a group that a crash tore apart.

        Returns:
            Groups that cannot be written where they belong, and why; the others are.

        Raises:
            OSError: nothing can be written now; each page is whole, old or new.
        """
        return write_page_groups(self.root, groups)

    def has_marked_pages(self, pages: Sequence[Path], marker: bytes) -> bool:
        """Whether a group of pages lies there whole, and the last of them begins with a mark."""
        try:
            with pages[-1].open("rb", buffering=0) as file:
                if file.read(len(marker)) != marker:
                    return False
                moment = os.fstat(file.fileno()).st_mtime_ns
            others = [*pages[:-1], *map(gz_path, pages)]
            return all(os.stat(path).st_mtime_ns == moment for path in others)  # noqa: PTH116 - a Path costs more than the call
        except OSError as error:
            if is_path_error(error):
                return False
            raise

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files durably in the order given, and the folders that this leaves empty."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                sync_dir(path.parent)
            self._remove_empty_dirs(path.parent)

    @contextlib.contextmanager
    def packages_lock(self, *, wait: bool = True) -> Iterator[bool]:
        """The turn to lay wheels down or to take them away, of which all processes have one.

        Blocks until it is to be had, unless told not to wait; yields whether it was.
        """
        make_dir(self.root)
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            yield False
            return
        try:
            yield True
        finally:
            os.close(descriptor)

    def _remove_empty_dirs(self, folder: Path) -> None:
        while self.root in folder.parents:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass  # it was removed before, perhaps without those above it
            except OSError:
                return
            folder = folder.parent


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError as error:
        if is_path_error(error):
            return False
        raise


def _gzip_matches(path: Path, content: bytes) -> bool:
    """Whether a gzip file is that of content, by the checksum and the length at its end."""
    trailer = struct.pack("<2L", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    try:
        return path.read_bytes().endswith(trailer)
    except OSError as error:
        if is_path_error(error):
            return False
        raise
