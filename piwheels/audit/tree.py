"""Reads a web root that may hold anything: symbolic links are not followed, devices not opened."""

import contextlib
import gzip
import hashlib
import itertools
import os
import re
import stat
import zlib
from collections.abc import Iterator
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

_CHUNK_BYTES = 1024 * 1024
#: The names of files that are being written (webroot.atomic_file, webroot.atomic_batch).
_TEMPORARY_NAME = re.compile(r"\.new-[a-z0-9_]{8}|\..+\.new", re.DOTALL)


class EntryKind(StrEnum):
    """What is at a path."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    OTHER = "special file"


class Entry(NamedTuple):
    """What is at a path; two looks that are equal saw the same file."""

    name: str
    kind: EntryKind
    size_bytes: int
    mtime_s: float
    inode: int
    changed_ns: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind is EntryKind.FILE

    @property
    def is_temporary(self) -> bool:
        """Whether it has the name of a file that is being written."""
        return bool(_TEMPORARY_NAME.fullmatch(self.name))


def look(path: Path) -> Entry | None:
    """What is at a path; None if nothing is.

    Raises:
        OSError: it cannot be told.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _entry(path.name, found)


def list_dir(folder: Path) -> list[Entry]:
    """What is in a directory, by name; nothing if it is not there.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    try:
        return sorted(scan(folder))
    except FileNotFoundError:
        return []


def scan(folder: Path) -> Iterator[Entry]:
    """What is in a directory, in any order; not all of it is in memory.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with os.scandir(descriptor) as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    yield _entry(entry.name, entry.stat(follow_symlinks=False))
    finally:
        os.close(descriptor)


def scan_batches(folder: Path, size: int) -> Iterator[list[Entry]]:
    """The same in lists of a bounded length.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    entries = scan(folder)
    while batch := list(itertools.islice(entries, size)):
        yield batch


def is_text(name: str) -> bool:
    """Whether a file name is UTF-8, as all names in the database are."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _entry(name: str, state: os.stat_result) -> Entry:
    return Entry(name, _kind(state), state.st_size, state.st_mtime, state.st_ino, state.st_ctime_ns)


def _kind(state: os.stat_result) -> EntryKind:
    if stat.S_ISREG(state.st_mode):
        return EntryKind.FILE
    if stat.S_ISDIR(state.st_mode):
        return EntryKind.FOLDER
    return EntryKind.LINK if stat.S_ISLNK(state.st_mode) else EntryKind.OTHER


def open_file(path: Path) -> BufferedReader:
    """A regular file, to read.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    return os.fdopen(_open(path), "rb")


def read_file(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file, at most so much of it.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    with open_file(path) as file:
        return file.read(max_bytes)


def hash_file(path: Path) -> str:
    """The SHA-256 of a regular file, in hex.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_bytes(content: bytes) -> str:
    """The SHA-256 of a content, in hex."""
    return hashlib.sha256(content).hexdigest()


def gzip_has_content(path: Path, content: bytes) -> bool:
    """Whether a gzip file unpacks to this content.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    try:
        with open_file(path) as file, gzip.GzipFile(fileobj=file) as unpacked:
            return unpacked.read(len(content) + 1) == content
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False


def is_whole_gzip(path: Path) -> bool:
    """Whether a gzip file can be unpacked to its end.

    Raises:
        OSError: it cannot be read, or is a symbolic link.
    """
    try:
        with open_file(path) as file, gzip.GzipFile(fileobj=file) as unpacked:
            while unpacked.read(_CHUNK_BYTES):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return True


def _open(path: Path) -> int:
    """A descriptor of a regular file; a FIFO that is there by now does not block."""
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
