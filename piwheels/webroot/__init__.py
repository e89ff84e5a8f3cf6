"""The web root: the paths of its files, and atomic writes and deletions.

A reader never sees an incomplete file: bytes are written to a temporary file in the same directory,
synced, and renamed (atomic_file; atomic_batch for many files). The caller decides the order of
files: a wheel before its metadata before the page that lists them, and the reverse on deletion.
"""

import contextlib
import errno
import fcntl
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from piwheels.errors import RejectedError
from piwheels.webroot.atomic_batch import gz_path, gzip_bytes, is_path_error, write_page_groups
from piwheels.webroot.atomic_file import (
    discard_temporary,
    install_file,
    make_dir,
    replace_file,
    sync_dir,
    sync_file,
    sync_tree,
)
from piwheels.webroot.owner import as_owner, controlling_account
from piwheels.webroot.tree_epoch import TreeEpoch, TreeMissingError, TreeTakenError
from piwheels.webroot.tree_farm import OtherTreeError

__all__ = [
    "FILE_MAX_AGE_S",
    "PAGE_MAX_AGE_S",
    "PROVENANCE_KEYS",
    "PROVENANCE_SUFFIX",
    "SECURITY_HEADERS",
    "OtherTreeError",
    "TreeMissingError",
    "TreeTakenError",
    "Webroot",
    "as_owner",
    "cache_control",
    "controlling_account",
    "files_beside",
    "gz_path",
    "install_file",
    "is_path_error",
    "make_dir",
    "replace_file",
    "sync_dir",
    "sync_file",
    "sync_tree",
    "wheel_of",
]

#: Headers of every response. Pages load only the website's own files, have no inline scripts and
#: styles, and are not framed by other sites.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Everything is public and no response depends on cookies: any page may read it (CORS).
    "Access-Control-Allow-Origin": "*",
}

#: pip respects it: the delay until a new wheel is seen.
PAGE_MAX_AGE_S = 60
FILE_MAX_AGE_S = 31_536_000
#: Folders whose files never change: their paths contain a hash of their content.
_IMMUTABLE_DIRS = frozenset({"packages", "static"})

#: What follows the name of a wheel in that of its statement.
PROVENANCE_SUFFIX = ".provenance.json"
_METADATA_SUFFIX = ".metadata"
#: The farm's public keys.
PROVENANCE_KEYS = "provenance-keys.json"


_PACKAGES_LOCK = ".packages-lock"
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Web roots in which all that an earlier process wrote is known to be on disk.
_synced_roots: set[Path] = set()


def cache_control(folder: str) -> str:
    """How long the files in a folder of the web root are cached, as the header says it."""
    if folder in _IMMUTABLE_DIRS:
        return f"public, max-age={FILE_MAX_AGE_S}, immutable"
    return f"public, max-age={PAGE_MAX_AGE_S}"


def wheel_of(filename: str) -> str:
    """The name of the wheel that a file in its directory is, or belongs to."""
    return filename.removesuffix(_METADATA_SUFFIX).removesuffix(PROVENANCE_SUFFIX)


def files_beside(wheel: Path) -> tuple[Path, Path]:
    """The paths of a wheel's statement and of its METADATA file, given that of the wheel."""
    return (
        wheel.with_name(f"{wheel.name}{PROVENANCE_SUFFIX}"),
        wheel.with_name(f"{wheel.name}{_METADATA_SUFFIX}"),
    )


class Webroot:
    """A directory that any web server can serve."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree_epoch = TreeEpoch(root)  # which the master claims

    def check_writer(self) -> None:
        """Check that a master may write the web root; only a master can find that it may not.

        Raises:
            TreeTakenError: another master has taken it over.
            TreeMissingError: it is not there.
        """
        self.tree_epoch.check()

    def wheel_path(self, sha256: str, filename: str) -> Path:
        """The path of a wheel; it contains the hash, so the content at a path never changes.

        Raises:
            RejectedError: the hash is none, or the name is that of a file elsewhere.
        """
        if not _SHA256.fullmatch(sha256):
            raise RejectedError(f"{sha256[:80]!r} is not the SHA-256 of a wheel")
        if not filename.strip(".") or not {"/", "\\", "\0"}.isdisjoint(filename):
            raise RejectedError(f"{filename[:80]!r} is not the name of a file in the web root")
        return self.root / "packages" / sha256[:2] / sha256 / filename

    def metadata_path(self, sha256: str, filename: str) -> Path:
        """The path of a wheel's METADATA file (PEP 658)."""
        return self.wheel_path(sha256, f"{filename}{_METADATA_SUFFIX}")

    def provenance_path(self, sha256: str, filename: str) -> Path:
        """The path of the signed statement of how a wheel was built (docs/provenance.md)."""
        return self.wheel_path(sha256, f"{filename}{PROVENANCE_SUFFIX}")

    def provenance_keys_path(self) -> Path:
        """The path of the public keys that statements are signed with."""
        return self.root / PROVENANCE_KEYS

    def simple_dir(self, project: str = "") -> Path:
        """The directory of a project's index pages, or of the project list."""
        return self.root / "simple" / project if project else self.root / "simple"

    def project_dir(self, project: str) -> Path:
        """The directory of a project's pages, JSON and feed."""
        return self.root / "project" / project

    def log_path(self, build: int) -> Path:
        """The path of a build's log, which is compressed."""
        return self._log_dir(build) / f"{build}.txt.gz"

    def log_page_path(self, build: int) -> Path:
        """The path of the page of a failed build's log, which is compressed."""
        return self._log_dir(build) / f"{build}.html.gz"

    def write(self, path: Path, content: bytes) -> bool:
        """Write content to path, durably and atomically, unless the file has it already.

        Returns:
            Whether anything was written.
        """
        self._sync_once()
        if _has_content(path, content):
            discard_temporary(path)
            return False
        replace_file(path, content)
        return True

    def write_page(self, path: Path, content: bytes) -> bool:
        """Write a page and its .gz file, unless both have this content already.

        The .gz file is written first. If a crash leaves them different, the next write repairs
        that, whether its content is the new or the old page.

        Returns:
            Whether anything was written.
        """
        if self.is_up_to_date(path, content):
            self.discard_temporaries([path])
            return False
        replace_file(gz_path(path), gzip_bytes(content))
        replace_file(path, content)
        return True

    def is_up_to_date(self, path: Path, content: bytes) -> bool:
        """Whether a page and its .gz file have this content, also after a loss of power."""
        self._sync_once()
        return _has_content(path, content) and _gzip_matches(gz_path(path), content)

    def write_pages(self, groups: Mapping[str, Sequence[tuple[Path, bytes]]]) -> dict[str, OSError]:
        """Write named groups of pages, each page with its .gz file, all durable on return.

        The pages of a group become visible in their order, .gz files first, and get the same
        mtime, by which `has_marked_pages` detects a group that a crash left incomplete.

        Returns:
            By name, the error of each group that cannot be written; the others are written.

        Raises:
            OSError: the whole web root cannot be written; each page is complete, old or new.
        """
        try:
            return write_page_groups(self.root, groups)
        except OSError:
            _synced_roots.discard(self.root)  # renamed, perhaps, and not on disk
            raise

    def discard_temporaries(self, pages: Iterable[Path | str]) -> None:
        """Delete what a crash left beside pages that need not be written again."""
        for page in pages:
            discard_temporary(page)
            discard_temporary(f"{page}.gz")

    def _sync_once(self) -> None:
        """Make durable what is there, before a file counts as written because it is there.

        A process that was killed may have renamed files that are not on disk yet.
        """
        if self.root not in _synced_roots and self.root.is_dir():
            sync_tree(self.root)
            _synced_roots.add(self.root)

    def has_marked_pages(self, pages: Sequence[Path | str], marker: bytes) -> bool:
        """Whether a group of pages is complete, and the last of them starts with a marker."""
        self._sync_once()
        try:
            file = os.open(pages[-1], os.O_RDONLY | os.O_CLOEXEC)
            try:
                if os.read(file, len(marker)) != marker:
                    return False
                mtime_ns = os.fstat(file).st_mtime_ns
            finally:
                os.close(file)
            others = [*pages[:-1], *(f"{page}.gz" for page in pages)]
            return all(os.stat(path).st_mtime_ns == mtime_ns for path in others)  # noqa: PTH116 - Path.stat is slower
        except OSError as error:
            if is_path_error(error):
                return False
            raise

    def remove(self, paths: Iterable[Path]) -> None:
        """Delete files durably in the given order, and directories that become empty."""
        for path in paths:
            discard_temporary(path)
            path.unlink(missing_ok=True)
            kept = self.remove_empty_dirs(path.parent)
            # Also if there was nothing to delete: a process may have been killed before it synced.
            with contextlib.suppress(FileNotFoundError):
                sync_dir(kept)

    @contextlib.contextmanager
    def packages_lock(self, *, wait: bool = True) -> Iterator[bool]:
        """The lock for installing and deleting wheels, shared by all processes.

        Blocks until it is acquired, unless `wait` is false; yields whether it was acquired.

        Raises:
            TreeTakenError: another master writes the web root now.
            TreeMissingError: it is not there.
        """
        self.check_writer()
        make_dir(self.root)
        try:
            descriptor = _lock(self.root, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            os.close(descriptor)

    def _log_dir(self, build: int) -> Path:
        digits = f"{build:08d}"
        return self.root / "logs" / digits[:-4] / digits[-4:]

    def remove_empty_dirs(self, folder: Path) -> Path:
        """Remove a folder of the web root and those above it, as far as they are empty.

        Returns:
            The first one that stays.
        """
        while self.root in folder.parents:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass  # already deleted, perhaps without its parents
            except OSError:
                break
            folder = folder.parent
        return folder


def _lock(root: Path, how: int) -> int:
    """Lock a directory, or on NFS a file in it; returns the descriptor that has the lock."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        os.close(descriptor)
        if error.errno != errno.EBADF:
            raise
    else:
        return descriptor
    # NFS locks only what is open for writing, as no directory can be (flock(2)).
    descriptor = os.open(root / _PACKAGES_LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError as error:
        if is_path_error(error):
            return False
        raise


def _gzip_matches(path: Path, content: bytes) -> bool:
    """Whether a gzip file has this content, by the checksum and the length at its end."""
    trailer = struct.pack("<2L", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    try:
        return path.read_bytes().endswith(trailer)
    except OSError as error:
        if is_path_error(error):
            return False
        raise
