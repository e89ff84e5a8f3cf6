"""The table of one Debian release: sorted lines in memory, found by binary search.

A line is kind, name, folder and packages, separated by tabs; the packages are separated by
commas. Sorted text compresses better than a database, loads in a tenth of a second and needs no
file of its own on the machine that reads it.
"""

import lzma
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


class EntryKind(StrEnum):
    """What an entry of the table describes, as one letter."""

    CMAKE = "c"  # by its name in find_package(), in lower case
    FOLDER = "d"  # of headers that have no entries of their own, by its name
    HEADER = "h"  # by its file name; the folder is relative to a folder of headers
    LIBRARY = "l"  # by the name that linkers take: xml2
    PACKAGE = "n"  # a package by its own name
    PKG_CONFIG = "p"  # by its name without .pc
    PROGRAM = "x"  # by its file name
    RUNTIME = "s"  # a shared library that loaders find, by its file name: libxml2.so.2


class Entry(NamedTuple):
    """A file, by the name that builds request it by, and the packages that have it.

    `folder` is where it is below the folder that compilers and linkers search: "" if it is found
    without an option.
    """

    kind: EntryKind
    name: str
    folder: str
    packages: tuple[str, ...]


def compress_table(entries: Iterable[Entry]) -> bytes:
    """The bytes of a table's file; the same entries give the same bytes."""
    lines = sorted(
        "\t".join((entry.kind, entry.name, entry.folder, ",".join(entry.packages)))
        for entry in entries
    )
    text = "".join(f"{line}\n" for line in lines).encode()
    return lzma.compress(text, format=lzma.FORMAT_XZ, filters=_FILTERS)


class Table:
    """The entries of one release."""

    def __init__(self, compressed: bytes) -> None:
        self._text = b"\n" + lzma.decompress(compressed)

    def find(self, kind: EntryKind, name: str) -> Iterator[Entry]:
        """The entries of a kind with exactly this name."""
        return self._lines(f"\n{kind}\t{name}\t".encode())

    def entries(self, kind: EntryKind) -> Iterator[Entry]:
        """All entries of a kind."""
        return self._lines(f"\n{kind}\t".encode())

    def _lines(self, prefix: bytes) -> Iterator[Entry]:
        position = self._first_line_from(prefix)
        while self._text.startswith(prefix, position):
            end = self._text.index(b"\n", position + 1)
            yield _parse_entry(self._text[position + 1 : end].decode())
            position = end

    def _first_line_from(self, prefix: bytes) -> int:
        """Where the first line that is not less than the prefix begins, at its line break."""
        low, high = 0, len(self._text) - 1  # both at line breaks
        while low < high:
            middle = self._text.rindex(b"\n", low, (low + high) // 2 + 1)
            if self._text[middle : middle + len(prefix)] < prefix:
                low = self._text.index(b"\n", middle + 1)
            else:
                high = middle
        return low


def _parse_entry(line: str) -> Entry:
    kind, name, folder, packages = line.split("\t")
    return Entry(EntryKind(kind), name, folder, tuple(packages.split(",")))
