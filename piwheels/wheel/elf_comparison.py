"""Which sections of two ELF files differ, and what they say there. Both files are untrusted."""

import hashlib
import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from elftools.elf.elffile import ELFFile

from piwheels.sanitize import truncate_line
from piwheels.wheel.elf import MAGIC

#: A hostile file can claim endless sections, and that all of them are the whole file.
_MAX_SECTIONS = 200
_MAX_READ_SHARE = 2
_MAX_NAMED, _MAX_QUOTE_CHARS = 8, 100
#: What begins with a slash and looks like the path of a file.
_PATH = re.compile(rb"/[\x21-\x7e]{4,300}")
_MEANINGS = {
    ".note.gnu.build-id": "the build ID",
    ".comment": "the compiler's version",
}


class _Section(NamedTuple):
    digest: bytes
    paths: frozenset[bytes]


def describe(before: IO[bytes], after: IO[bytes]) -> str:
    """The sections that differ, and a path that is in one file alone; "" if that is unknown.

    Args:
        before: a seekable file.
        after: another.
    """
    try:
        old, new = _sections(before), _sections(after)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - pyelftools raises whatever a broken table leads to
        return ""
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if not changed:
        return ""
    named = [_MEANINGS.get(name, f"section {name}") for name in changed[:_MAX_NAMED]]
    more = len(changed) - _MAX_NAMED
    others = [f"{more} more sections"] if more > 0 else []
    return ", ".join([*named, *others]) + _changed_path(old, new, changed)


def _changed_path(old: dict[str, _Section], new: dict[str, _Section], changed: list[str]) -> str:
    nothing = _Section(b"", frozenset())
    for name in changed:
        before, after = old.get(name, nothing).paths, new.get(name, nothing).paths
        gone, came = sorted(before - after), sorted(after - before)
        if gone and came:
            return f"; the path {_quote(gone[0])} became {_quote(came[0])}"
    return ""


def _quote(path: bytes) -> str:
    return f"'{truncate_line(path.decode('ascii', 'replace'), _MAX_QUOTE_CHARS)}'"


def _sections(file: IO[bytes]) -> dict[str, _Section]:
    """The sections that have bytes in the file, by name; {} if it is no ELF file."""
    file.seek(0, 2)
    left = file.tell() * _MAX_READ_SHARE
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        return {}
    found: dict[str, _Section] = {}
    for name, offset, size in _places(ELFFile(file)):
        left -= size
        if left < 0 or len(found) >= _MAX_SECTIONS:
            raise ValueError("it has too many sections")
        file.seek(offset)
        content = file.read(size)
        paths = frozenset(_PATH.findall(content))
        found[name] = _Section(hashlib.sha256(content).digest(), paths)
    return found


def _places(elf: ELFFile) -> Iterator[tuple[str, int, int]]:
    for number, section in enumerate(elf.iter_sections()):
        if section["sh_type"] not in {"SHT_NOBITS", "SHT_NULL"}:
            name = truncate_line(section.name, 60) or f"number {number}"
            yield name, int(section["sh_offset"]), int(section["sh_size"])
