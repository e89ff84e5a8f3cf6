"""What a build did not find, and who knows which Debian packages have it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from piwheels.model import Struct


class MissingKind(StrEnum):
    """What kind of thing a build did not find."""

    HEADER = "header"  # as included: libxml/tree.h
    LIBRARY = "library"  # as linked, xml2 for -lxml2, or its file: libxml2.so.2
    PKG_CONFIG = "pkg-config"  # the name of a .pc file, without .pc: libxml-2.0
    PROGRAM = "program"  # the file name of a command: swig, pg_config
    CMAKE = "cmake"  # as in find_package(): Boost
    SOFTWARE = "software"  # named in a message: libxml2, MySQL, openssl
    MODULE = "module"  # as imported by Python: numpy, Cython.Build
    REQUIREMENT = "requirement"  # a project on the index
    FILE = "file"  # of the sdist
    HOST = "host"  # that the build tried to reach
    DOWNLOADER = "downloader"  # the program that tried to reach a host


#: The kinds that packages of the operating system provide.
SYSTEM_KINDS = frozenset(
    {
        MissingKind.HEADER,
        MissingKind.LIBRARY,
        MissingKind.PKG_CONFIG,
        MissingKind.PROGRAM,
        MissingKind.CMAKE,
        MissingKind.SOFTWARE,
    }
)


class Missing(Struct, frozen=True):
    """One thing that a build did not find; `version` is the version that it needs, as it says."""

    kind: MissingKind
    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}{f' {self.version}' if self.version else ''}"


#: What an sdist with C files that an older Cython generated may need.
CYTHON = Missing(MissingKind.MODULE, "Cython")


class PackageLookup(Protocol):
    """Finds the packages of an operating system that provide what a build did not find."""

    def find_packages(self, kind: MissingKind, name: str) -> Sequence[str]:
        """The names of packages that provide it, the preferred first; empty if none is known.

        Only the kinds in `SYSTEM_KINDS` are provided by packages.
        """
        ...
