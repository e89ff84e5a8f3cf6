"""Reader of untrusted zip archives, which accepts only what all zip readers interpret alike.

The members have to follow one another from the first byte to the central directory, without gaps
or overlaps, have names that stay below one folder, and unpack to their declared sizes. Every
build backend writes wheels that way; anything else is broken or an attack.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from piwheels.errors import RejectedError

MOST_MEMBERS = 65_000
MAX_UNPACKED_BYTES = 8 * 1024**3

#: An archive that unpacks to more than this may not exceed the compression ratio below.
_HARMLESS_BYTES = 512 * 1024**2
_MAX_RATIO = 100

_CHUNK_BYTES = 256 * 1024
_MAX_DIRECTORY_BYTES = 32 * 1024**2
_MAX_NAME_CHARS = 1024

# PKWARE's APPNOTE.TXT, 4.3.7, 4.3.9 and 4.3.16.
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"

_FLAG_ENCRYPTED = 0x1 | 0x40 | 0x2000
_FLAG_DESCRIPTOR = 0x8
_FLAG_UTF8 = 0x800


class Archive:
    """The members of one archive; a context manager."""

    def __init__(self, file: BinaryIO, members: dict[str, zipfile.ZipInfo]) -> None:
        self._file = file
        #: Regular files by name, in the order of the directory.
        self.members = members

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an archive after checking everything but the compressed data.

        Raises:
            RejectedError: it is not a zip archive, or not safe to unpack.
        """
        file = path.open("rb")
        try:
            return cls(file, _members(file))
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str, max_bytes: int) -> bytes:
        """The whole content of a member.

        Raises:
            RejectedError: it is larger than max_bytes, or damaged.
        """
        size = self.members[name].file_size
        if size > max_bytes:
            raise RejectedError(f"{name} has {size} bytes; at most {max_bytes} are accepted")
        return b"".join(self.stream(name))

    def stream(self, name: str) -> Iterator[bytes]:
        """The content of a member in chunks.

        Raises:
            RejectedError: the compressed data does not match the archive's directory.
        """
        info = self.members[name]
        pieces = self._compressed_chunks(info)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            pieces = _inflate(name, pieces)
        size = crc = 0
        for piece in pieces:
            size += len(piece)
            crc = zlib.crc32(piece, crc)
            if size > info.file_size:
                break
            yield piece
        if (size, crc) != (info.file_size, info.CRC):
            raise RejectedError(
                f"{name} does not unpack to the size or checksum in the central directory"
            )

    def _compressed_chunks(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        position = _data_offset(self._file, info)
        left = info.compress_size
        while left:
            self._file.seek(position)
            piece = self._file.read(min(left, _CHUNK_BYTES))
            if not piece:
                raise RejectedError(f"{info.filename} is truncated")
            position += len(piece)
            left -= len(piece)
            yield piece


def _inflate(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress raw deflate data in chunks of bounded size."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in pieces:
            rest = piece
            while rest and not unpacker.eof:
                yield unpacker.decompress(rest, _CHUNK_BYTES)
                rest = unpacker.unconsumed_tail
            if rest or unpacker.unused_data:
                raise RejectedError(f"{name} has bytes after its compressed data")
        yield unpacker.flush()
    except zlib.error as error:
        raise RejectedError(f"{name} is not valid deflate data: {error}") from error
    if not unpacker.eof:
        raise RejectedError(f"{name} is truncated")


def _members(file: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    directory_offset = _check_end(file)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise RejectedError(f"the central directory is damaged: {error}") from error
    _check_sizes(file, infos)
    for info in infos:
        _check_member(info)
    _check_names(infos)
    _check_layout(file, infos, directory_offset)
    return {info.filename: info for info in infos if not info.is_dir()}


def _check_end(file: BinaryIO) -> int:
    """Check the end record before the directory is read; returns the directory's offset."""
    length = file.seek(0, 2)
    if length < _END.size:
        raise RejectedError("this is not a zip archive: it is too short")
    file.seek(length - _END.size)
    signature, disk, first_disk, here, total, size, offset, comment = _END.unpack(
        file.read(_END.size)
    )
    if signature != _END_SIGNATURE or comment:
        raise RejectedError("this is not a zip archive that ends with its central directory")
    if disk or first_disk or here != total or total > MOST_MEMBERS:
        raise RejectedError(f"the archive is split, or has more than {MOST_MEMBERS} members")
    if size > _MAX_DIRECTORY_BYTES or offset + size != length - _END.size:
        raise RejectedError("the central directory is not where the end record says")
    return int(offset)


def _check_sizes(file: BinaryIO, infos: list[zipfile.ZipInfo]) -> None:
    total = sum(info.file_size for info in infos)
    bomb = total > _HARMLESS_BYTES and total > _MAX_RATIO * file.seek(0, 2)
    if bomb or total > MAX_UNPACKED_BYTES:
        raise RejectedError(f"the archive unpacks to {total} bytes, which is too large")


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    _check_name(name)
    if info.flag_bits & _FLAG_ENCRYPTED:
        raise RejectedError(f"{name!r} is encrypted")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise RejectedError(f"{name!r} is compressed with method {info.compress_type}, not deflate")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG}:
        raise RejectedError(f"{name!r} is neither a file nor a directory")
    if info.is_dir() and info.file_size:
        raise RejectedError(f"{name!r} is a directory with content")


def _check_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if (
        len(name) > _MAX_NAME_CHARS
        or not name.isprintable()
        or "\\" in name
        or ":" in parts[0]
        or not all(parts)
        or not {".", ".."}.isdisjoint(parts)
    ):
        raise RejectedError(f"{name[:200]!r} is not a valid file name in a wheel")


def _check_names(infos: list[zipfile.ZipInfo]) -> None:
    seen: dict[str, bool] = {}  # whether it is a folder
    for info in infos:
        name = info.filename.removesuffix("/")
        if name in seen:
            raise RejectedError(f"{name!r} is in the archive more than once")
        seen[name] = info.is_dir()
    # In this order the paths below a name follow it directly, so one pass finds them at any depth.
    file = "/"  # no name begins with it
    for path in sorted(f"{name}/" for name in seen):
        if path.startswith(file):
            raise RejectedError(f"{file.removesuffix('/')!r} is both a file and a directory")
        if not seen[path.removesuffix("/")]:
            file = path


def _check_layout(file: BinaryIO, infos: list[zipfile.ZipInfo], end: int) -> None:
    """Check that every byte before the directory belongs to exactly one member."""
    position = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset != position:
            raise RejectedError(f"{info.filename!r} does not follow the member before it")
        position = _data_offset(file, info) + info.compress_size
        if info.flag_bits & _FLAG_DESCRIPTOR:
            position += _descriptor_length(file, info, position)
    if position != end:
        raise RejectedError("the central directory does not follow the last member")


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """The offset of a member's data, from a local header that agrees with the directory."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_SIGNATURE):
        raise RejectedError(f"{info.filename!r} is not where the central directory says")
    _, _, flags, method, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    length = _LOCAL_HEADER.size + int(name_length) + int(extra_length)
    encoding = "utf-8" if info.flag_bits & _FLAG_UTF8 else "cp437"
    name = file.read(name_length)
    agrees = (flags, method) == (info.flag_bits, info.compress_type)
    if not agrees or name != info.orig_filename.encode(encoding, "replace"):
        raise RejectedError(
            f"{info.filename!r} differs between its local header and the central directory"
        )
    return info.header_offset + length


def _descriptor_length(file: BinaryIO, info: zipfile.ZipInfo, position: int) -> int:
    """The length of the data descriptor at position, whose signature is optional."""
    file.seek(position)
    data = file.read(24)
    for start in (_DESCRIPTOR_SIGNATURE, b""):
        for width in ("<3L", "<L2Q"):
            sizes = struct.pack(width, info.CRC, info.compress_size, info.file_size)
            if data.startswith(start + sizes):
                return len(start + sizes)
    raise RejectedError(f"{info.filename!r} is not followed by its data descriptor")
