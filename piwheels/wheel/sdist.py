"""The contents of an sdist by its members' paths; nothing is unpacked to the disk."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from piwheels.wheel.completeness import SdistContents, sdist_contents

#: Errors that the standard library's archive readers raise for broken archives.
ARCHIVE_READ_ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError,
    ValueError, LookupError, OverflowError, RecursionError, NotImplementedError, RuntimeError,
)  # fmt: skip

_MAX_MEMBERS = 200_000
_MAX_TOP_LEVEL_BYTES = 64 * 1024
#: Source files in C, C++, Cython, Rust and Fortran.
_COMPILED_SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".c++", ".pyx", ".rs", ".f", ".f90", ".f95")


def read_sdist(project: str, path: Path) -> SdistContents | None:
    """What a wheel of an sdist should contain; None if the sdist cannot be read.

    That does not make the sdist invalid: pip was able to build it.
    """
    members: list[str] = []
    top_level: list[str] = []
    try:
        for name, text in _files(path):
            below = name.removeprefix("./").partition("/")[2]
            if below and text is None:
                members.append(below)
            elif text is not None:
                top_level += text.decode(errors="replace").splitlines()
            if len(members) > _MAX_MEMBERS:
                return None
    except ARCHIVE_READ_ERRORS:
        return None
    return sdist_contents(project, members, top_level)


def has_compiled_sources(path: Path) -> bool:
    """Whether an sdist has sources of compiled extensions, judged by file names.

    True also if it cannot be read, because it may have some.
    """
    try:
        names = (name for name, text in _files(path) if text is None)
        return any(
            name.lower().endswith(_COMPILED_SUFFIXES) for name in islice(names, _MAX_MEMBERS)
        )
    except ARCHIVE_READ_ERRORS:
        return True


def _files(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Every regular file as (name, None); a top_level.txt also as (name, content)."""
    if zipfile.is_zipfile(path):
        yield from _zip_files(path)
        return
    with tarfile.open(path, errors="replace") as tar:
        for member in tar:
            if not member.isreg():
                continue
            yield member.name, None
            if _is_top_level(member.name) and member.size <= _MAX_TOP_LEVEL_BYTES:
                file = tar.extractfile(member)
                yield member.name, file.read(_MAX_TOP_LEVEL_BYTES) if file else b""


def _zip_files(path: Path) -> Iterator[tuple[str, bytes | None]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            yield info.filename, None
            if _is_top_level(info.filename) and info.file_size <= _MAX_TOP_LEVEL_BYTES:
                with archive.open(info) as file:
                    yield info.filename, file.read(_MAX_TOP_LEVEL_BYTES)


def _is_top_level(name: str) -> bool:
    return name.endswith(".egg-info/top_level.txt")
