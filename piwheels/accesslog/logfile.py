"""Logs as byte streams: plain or compressed files, and rotated logs."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import zlib
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

from piwheels.errors import ConfigError, RejectedError

_HEAD_BYTES = 256
_GZIP_TRAILER_BYTES = 8
#: What rotation appends to a name, or inserts before its suffix as Caddy does: access.log.1,
#: access.log.2.gz, access.log-20261125, access-2026-11-25T16-51-00.000.log.gz
_ROTATION_STAMP = r"[.-][0-9][0-9.Tt_-]*"
_COMPRESSED_SUFFIX = r"(?:\.(?:gz|bz2|xz))?"


#: Exceptions raised by reading a damaged compressed log.
DAMAGE_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error)
_DecompressingStream: TypeAlias = (
    "io.BufferedReader[Any] | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile"
)


#: Signatures of other compression formats, and programs that decompress them to a pipe.
_UNSUPPORTED = {
    b"\x28\xb5\x2f\xfd": "zstdcat",
    b"\x04\x22\x4d\x18": "lz4cat",
    b"\x89LZO": "lzop -dc",
    b"\x1f\x9d": "zcat",  # compress
    b"PK\x03\x04": "unzip -p",
}


_SUPPORTED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_SIGNATURES = (*_SUPPORTED, *_UNSUPPORTED)


def is_compressed(head: bytes) -> bool:
    """Whether a log that begins so is compressed, in a format that is supported or not."""
    return head.startswith(_SIGNATURES)


def decompress(raw: "io.BufferedReader[Any]", head: bytes) -> _DecompressingStream:
    """The content of a log, decompressed according to its first bytes.

    Raises:
        RejectedError: its compression format is not supported.
    """
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if head.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(raw)
    for magic, program in _UNSUPPORTED.items():
        if head.startswith(magic):
            raise RejectedError(
                f"compressed in an unsupported format (supported: gzip, bzip2, xz); decompress it: "
                f"`{program} FILE | piw accesslog`"
            )
    return raw


class LogStream(Protocol):
    """A source of a log's bytes, in order."""

    name: str

    def read(self, size: int) -> bytes:
        """The next bytes, at most this many; b"" if there are none now."""
        ...

    def rewind(self) -> None:
        """Restart at the beginning of the log."""
        ...

    def acknowledge(self, position: int) -> None:
        """Note that everything before this position is committed and not needed again."""
        ...


class LogFile:
    """A file, decompressed if it is compressed."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ConfigError: it cannot be read or decompressed.
        """
        self.path = path
        self.name = stored_name(path)
        try:
            self._raw = path.open("rb")
            self._head = self._raw.read(_HEAD_BYTES)
            self._raw.seek(0)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        try:
            self._stream = decompress(self._raw, self._head)
        except RejectedError as error:
            self._raw.close()
            raise ConfigError(f"{path}: {error}") from None
        self._position = 0
        self._damage = ""

    def read(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            RejectedError: the compressed file is damaged here; what came before is valid.
        """
        try:
            data = b"" if self._damage else self._stream.read(size)
        except DAMAGE_ERRORS as error:
            self._damage, data = str(error), b""
        if self._damage:
            raise RejectedError(
                f"{self.path} is damaged: {self._damage}; everything before the damage was read"
            )
        self._position += len(data)
        return data

    def rewind(self) -> None:
        """Restart at the beginning of the file."""
        self._stream.seek(0)
        self._position, self._damage = 0, ""

    def acknowledge(self, position: int) -> None:
        """Do nothing: a file keeps its content."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    @property
    def is_compressed(self) -> bool:
        """Whether the file is compressed."""
        return self._stream is not self._raw

    def uncompressed_size(self) -> int | None:
        """The size of the content in bytes; None if it is unknown without reading it."""
        descriptor = self._raw.fileno()
        size_bytes = os.fstat(descriptor).st_size
        if not self.is_compressed:
            return size_bytes
        if isinstance(self._stream, gzip.GzipFile) and size_bytes > _GZIP_TRAILER_BYTES:
            # RFC 1952: the last four bytes are the size modulo 2**32.
            tail = os.pread(descriptor, 4, size_bytes - 4)
            return int.from_bytes(tail, "little")
        return None

    def is_at(self, path: Path) -> bool:
        """Whether a path refers to this file."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self._raw.fileno()))
        except OSError:
            return False

    # --- a file that is being followed ---

    def was_replaced(self) -> bool:
        """Whether its path refers to another file now, or to none."""
        return not self.is_at(self.path)

    def was_truncated(self) -> bool:
        """Whether it was truncated, and perhaps written again (logrotate's copytruncate)."""
        if os.fstat(self._raw.fileno()).st_size < self._position:
            return True
        if len(self._head) < _HEAD_BYTES:
            grown = os.pread(self._raw.fileno(), _HEAD_BYTES, 0)
            same, self._head = grown.startswith(self._head), grown
            return not same
        return os.pread(self._raw.fileno(), _HEAD_BYTES, 0) != self._head


def is_log_or_rotated(entry: Path, path: Path) -> bool:
    """Whether an entry is the log at a path, or one that was rotated from it."""
    stem, suffix = re.escape(path.stem), re.escape(path.suffix)
    names = f"{suffix}|{suffix}{_ROTATION_STAMP}|{_ROTATION_STAMP}{suffix}"
    pattern = f"{stem}(?:{names}){_COMPRESSED_SUFFIX}"
    return entry.parent == path.parent and re.fullmatch(pattern, entry.name) is not None


def rotated_logs(path: Path) -> list[Path]:
    """The rotated logs next to a log, oldest first."""
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for entry in path.parent.iterdir():
            if entry.name != path.name and is_log_or_rotated(entry, path):
                with contextlib.suppress(OSError):  # it was renamed or deleted
                    found.append((entry.stat().st_mtime, entry))
    return [entry for _, entry in sorted(found)]


def stored_name(path: Path) -> str:
    """A path as stored in the database, which accepts only UTF-8."""
    return os.fsencode(path.absolute()).decode("utf-8", "replace")
