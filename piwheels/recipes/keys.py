"""The keys of a recipe file: what each allows, and its description for docs/recipes.md (pure).

A check takes the value of a key as TOML has it, and raises ValueError with what is wrong with it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from piwheels import untrusted_names
from piwheels.errors import RejectedError
from piwheels.formatting import parse_duration
from piwheels.model import MemoryClass, debian_package_error

_MAX_ITEMS = 100
_MAX_TEXT = 500
_MAX_TIME_LIMIT_S = 7 * 86400.0
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_TARGET = re.compile(r"[a-z0-9_.*?-]{1,100}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,100}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Variables that a build sets itself; others could lead it around the sandbox's index.
_RESERVED = re.compile(
    r"PATH|HOME|TMPDIR|USER|LOGNAME|TERM|VIRTUAL_ENV|SOURCE_DATE_EPOCH|(PIP|LD|UV)_.*|PYTHON.*"
    r"|.*_PROXY|.*_proxy"
)


class Fault(NamedTuple):
    """What is wrong with a recipe file: one line."""

    file: str
    key: str  # "" for the whole file
    problem: str
    allowed: str = ""

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.problem}{f'; allowed: {self.allowed}' if self.allowed else ''}"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a recipe file."""

    name: str
    allowed: str
    description: str
    example: str  # a TOML value
    convert: Callable[[Any], Any]  # to the value of the field of `Recipe`


def _list_of(check: Callable[[str], str]) -> Callable[[Any], tuple[str, ...]]:
    def convert(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("is no list of texts")
        if len(value) > _MAX_ITEMS:
            raise ValueError(f"has {len(value)} items")
        checked = tuple(check(item) for item in value)
        if twice := {item for item in checked if checked.count(item) > 1}:
            raise ValueError(f"has {min(twice)!r} twice")
        return checked

    return convert


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is no {what}")
        return text

    return check


def _package(text: str) -> str:
    if error := debian_package_error(text):
        raise ValueError(error)
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is no text")
    if len(value) > _MAX_TEXT or not value.isprintable():
        raise ValueError("is not one line of text")
    return value


def _constraint(text: str) -> str:
    try:
        requirement = untrusted_names.parse_requirement(text)
    except RejectedError as error:
        raise ValueError(str(error)) from None
    if requirement.url or requirement.extras or not requirement.specifier:
        raise ValueError(f"{text[:80]!r} has no version, or has an address or extras")
    return str(requirement)


def _table_of_texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("is no table of texts")
    if len(value) > _MAX_ITEMS:
        raise ValueError(f"has {len(value)} items")
    return value


def _tools(value: Any) -> tuple[str, ...]:
    return tuple(
        _constraint(f"{name}{text}" if re.match("[<>=!~]", text) else f"{name}=={text}")
        for name, text in sorted(_table_of_texts(value).items())
    )


def _day(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError("is no date")
    if not 2003 <= value.year <= 2100:
        raise ValueError(f"is {value}, on which there was no index")
    return value


def _environment(value: Any) -> tuple[tuple[str, str], ...]:
    variables = _table_of_texts(value)
    for name, text in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name[:80]!r} is no name of a variable")
        if _RESERVED.fullmatch(name):
            raise ValueError(f"{name} is set by the build itself")
        if len(text) > 10_000 or "\0" in text:
            raise ValueError(f"the value of {name} is too long, or has a NUL")
    return tuple(sorted(variables.items()))


class PatchFile(NamedTuple):
    """A patch as a recipe file names it."""

    file: str
    sha256: str


def _patches(value: Any) -> tuple[PatchFile, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("is no list of tables")
    if len(value) > _MAX_ITEMS:
        raise ValueError(f"has {len(value)} items")
    return tuple(_patch(item) for item in value)


def _patch(item: dict[str, Any]) -> PatchFile:
    if set(item) != {"file", "sha256"}:
        raise ValueError(f"has the keys {', '.join(sorted(item)) or 'none'}")
    name, digest = item["file"], item["sha256"]
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        raise ValueError(f"{str(name)[:80]!r} is no name of a file in the recipe's folder")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ValueError(f"the sha256 of {name} is not 64 hexadecimal digits in lower case")
    return PatchFile(name, digest)


def _memory_class(value: Any) -> MemoryClass:
    try:
        return MemoryClass(value)
    except ValueError:
        raise ValueError(f"is {str(value)[:80]!r}") from None


def parse_duration_s(value: Any) -> float:
    """The seconds of a text such as `90m`; ValueError if it is none, or longer than a week."""
    seconds = parse_duration(value) if isinstance(value, str) else None
    if not seconds:
        raise ValueError(f"is {str(value)[:80]!r}")
    if seconds > _MAX_TIME_LIMIT_S:
        raise ValueError(f"is {value}, longer than 7 days")
    return seconds


def _versions(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is no text")
    try:
        return str(untrusted_names.parse_specifier(value))
    except RejectedError as error:
        raise ValueError(str(error)) from None


_ONE_LINE = "one line of text"

#: Every key of a recipe file, in the order of the reference. The fields of `Recipe` have the same
#: names, except `time_limit_s`.
KEYS = (
    Key(
        "packages",
        "a list of names of Debian packages",
        "Debian packages that the build needs, added to its root as layers.",
        '["libxml2-dev", "libxslt1-dev"]',
        _list_of(_package),
    ),
    Key(
        "constraints",
        "a list of requirements with versions (PEP 508), without addresses and extras",
        "Limits of the versions of build requirements, as a constraints file of pip has them.",
        '["numpy<2", "cython<3"]',
        _list_of(_constraint),
    ),
    Key(
        "tools",
        "a table of projects and versions or specifiers (PEP 440)",
        "Pins of build tools. A plain version pins exactly that one.",
        '{ setuptools = "57.5.0", cython = "<3" }',
        _tools,
    ),
    Key(
        "tools_date",
        "a TOML date without quotes, from 2003 to 2100",
        "The build sees the index as it was at the end of this day (UTC), so that build tools are "
        "of that time. Needs an index with upload times (PEP 700); files without one are not "
        "shown.",
        "2021-08-01",
        _day,
    ),
    Key(
        "environment",
        "a table of texts; no variables that the build sets itself (PATH, HOME, PIP_*, PYTHON*, "
        "LD_*, proxies)",
        "Environment variables of the build.",
        '{ STATIC_DEPS = "false" }',
        _environment,
    ),
    Key(
        "patches",
        "a list of tables with `file` (a name in the recipe's folder) and `sha256`",
        "Patches of the sdist's files, applied in this order with `patch -p1`.",
        '[{ file = "lxml-gcc14.patch", sha256 = "…64 digits…" }]',
        _patches,
    ),
    Key(
        "memory_class",
        ", ".join(MemoryClass),
        "How much memory the build needs: "
        + ", ".join(f"{item} {item.size_bytes >> 30} GiB" for item in MemoryClass)
        + ".",
        '"large"',
        _memory_class,
    ),
    Key(
        "time_limit",
        "a number with s, m, h or d, in quotes, at most 7 days",
        "The time limit of the build, if it is longer than the builder's.",
        '"3h"',
        parse_duration_s,
    ),
    Key(
        "versions",
        "a version specifier (PEP 440)",
        "The releases that the recipe applies to; without it, all.",
        '"<5"',
        _versions,
    ),
    Key(
        "targets",
        "a list of target names, in which * and ? stand for any characters",
        "The targets that the recipe applies to; without it, all.",
        '["cp313-*", "*-armv7l"]',
        _list_of(_matching(_TARGET, "pattern of target names")),
    ),
    Key(
        "skip",
        _ONE_LINE,
        "Why the project is not built at all. What is published stays.",
        '"needs a GPU"',
        _text,
    ),
    Key(
        "contact",
        _ONE_LINE,
        "Whom to ask about the recipe.",
        '"wheels@example.org"',
        _text,
    ),
)
