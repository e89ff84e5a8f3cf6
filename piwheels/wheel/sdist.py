"""What an sdist holds, by the paths of its members; nothing of it is unpacked to the disk."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from piwheels.wheel.completeness import SdistContents, sdist_contents

#: What the readers of archives raise at broken ones.
ARCHIVE_READ_ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError,
    ValueError, LookupError, OverflowError, RecursionError, NotImplementedError, RuntimeError,
)  # fmt: skip

_MAX_MEMBERS = 200_000
_MAX_TOP_LEVEL_BYTES = 64 * 1024
#: Names of sources in C, C++, Cython, Rust and Fortran.
_COMPILED_SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".c++", ".pyx", ".rs", ".f", ".f90", ".f95")


def read_sdist(project: str, path: Path) -> SdistContents | None:
    """What an sdist says that its wheel should hold; None if it cannot be read.

    pip could read it, or there would be no wheel; so this is no judgement of the sdist.
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
    """Whether an sdist holds sources that a compiler makes an extension of, by their names.

    True as well where it cannot be read: nothing says then that no compiler was needed.
    """
    try:
        names = (name for name, text in _files(path) if text is None)
        return any(
            name.lower().endswith(_COMPILED_SUFFIXES) for name in islice(names, _MAX_MEMBERS)
        )
    except ARCHIVE_READ_ERRORS:
        return True


def _files(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Every regular file by name; of a top_level.txt its content, too."""
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
