"""Recipes: what the builds of a project need beyond what its releases declare."""

import re
from datetime import date, datetime
from enum import StrEnum

from piwheels.model.base import Struct

_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,100}")


class RecipeOrigin(StrEnum):
    """Who made a recipe."""

    WRITTEN = "written"  # a person, in a file
    OPERATOR = "operator"  # a person, by a command; it has packages alone
    LEARNED = "learned"  # the farm, from a build that the packages repaired


class MemoryClass(StrEnum):
    """How much memory a build needs; a builder of a class has at least that much."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    HUGE = "huge"

    @property
    def size_bytes(self) -> int:
        """The memory that a build may use at least."""
        return _MEMORY_GIB[self] << 30


_MEMORY_GIB = {
    MemoryClass.SMALL: 1,
    MemoryClass.MEDIUM: 2,
    MemoryClass.LARGE: 4,
    MemoryClass.HUGE: 8,
}


class Patch(Struct, frozen=True):
    """A patch of an sdist's files, in the unified format, for `patch -p1`."""

    name: str
    sha256: str  # of its text in UTF-8
    text: str


class Recipe(Struct, frozen=True, kw_only=True):
    """What the builds of a project need; each field can be empty.

    `constraints` are requirements (PEP 508) that limit the versions of build requirements, and
    `tools` those of build tools. With `tools_date` a build sees the index as it was on that day.
    `versions` (PEP 440) and `targets` (patterns as of `fnmatch`) limit what it applies to; it
    applies to all if they are empty. `learned_at` is when a build last showed that the packages of
    a learned recipe are needed.
    """

    project: str
    origin: RecipeOrigin = RecipeOrigin.WRITTEN
    packages: tuple[str, ...] = ()  # Debian packages
    constraints: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    tools_date: date | None = None
    environment: tuple[tuple[str, str], ...] = ()
    patches: tuple[Patch, ...] = ()
    memory_class: MemoryClass | None = None
    time_limit_s: float = 0.0  # 0: the builder's
    versions: str = ""
    targets: tuple[str, ...] = ()
    skip: str = ""  # why nothing is built
    contact: str = ""
    learned_at: datetime | None = None


def is_debian_package(name: str) -> bool:
    """Whether a Debian package can have this name (Debian Policy, 5.6.1)."""
    return _DEBIAN_PACKAGE.fullmatch(name) is not None


def debian_package_error(name: str) -> str:
    """Why a name cannot be that of a Debian package; "" if it can."""
    return "" if is_debian_package(name) else f"{name[:80]!r} is no name of a Debian package"
