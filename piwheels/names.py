"""Names, versions, tags and requirements from outside, parsed within limits.

The `packaging` library parses what it is given however long it is: the tags of one file name
of 2 kB are a product of millions, and int() raises a plain ValueError at 4,300 digits. So
every such text goes through this module: its length and its parts are counted first, and
RefusedError is all that is raised.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import msgspec
import packaging.utils
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.version import Version

from piwheels.errors import RefusedError

#: PyPI's own limits are not larger; a name with `.whl.metadata` behind it is still a file name.
LONGEST_PROJECT = 200
LONGEST_VERSION = 200
LONGEST_FILENAME_BYTES = 240
LONGEST_SPECIFIER = 500
LONGEST_REQUIREMENT = 2000

#: The largest compressed tag set (PEP 425) that is written out; real ones have up to about 20.
MOST_TAGS = 500

_SHOWN = 80

Parsed = TypeVar("Parsed")


class WheelName(msgspec.Struct, frozen=True, kw_only=True):
    """What the file name of a wheel says (PEP 427)."""

    project: str  # normalised
    version: Version
    build: str  # the build tag; "" for none
    tags: frozenset[Tag]
    tag_text: str  # the compressed tag set as it is written: "py3-none-any"


def project(text: str) -> str:
    """The normalised form of a project's name.

    Raises:
        RefusedError: it is no valid name, or longer than LONGEST_PROJECT.
    """
    parse = packaging.utils.canonicalize_name
    return _parsed("project name", text, LONGEST_PROJECT, lambda text: parse(text, validate=True))


def version(text: str) -> Version:
    """A version (PEP 440).

    Raises:
        RefusedError: it is none, or longer than LONGEST_VERSION.
    """
    return _parsed("version", text, LONGEST_VERSION, Version)


def tags(text: str) -> frozenset[Tag]:
    """Every tag of a compressed tag set (PEP 425): `py2.py3-none-any`.

    Raises:
        RefusedError: it is none, or stands for more than MOST_TAGS tags.
    """
    parts = text.split("-", 3)
    if math.prod(part.count(".") + 1 for part in parts) > MOST_TAGS:
        raise RefusedError(f"the tag {_shown(text)} stands for more than {MOST_TAGS} tags")
    return _parsed("tag", text, LONGEST_FILENAME_BYTES, parse_tag)


def wheel(filename: str) -> WheelName:
    """What the file name of a wheel says (PEP 427).

    Raises:
        RefusedError: it is none of a wheel, longer than LONGEST_FILENAME_BYTES, or has more than
            MOST_TAGS tags.
    """
    if len(filename.encode(errors="replace")) > LONGEST_FILENAME_BYTES:
        raise RefusedError(
            f"{_shown(filename)}: the name is longer than {LONGEST_FILENAME_BYTES} bytes"
        )
    parts = filename.removesuffix(".whl").split("-")
    if len(parts) not in {5, 6} or "/" in filename or not filename.isprintable():
        raise RefusedError(f"{_shown(filename)} is no file name of a wheel")
    tags("-".join(parts[-3:]))
    parse = packaging.utils.parse_wheel_filename
    name, number, _, found = _parsed("wheel", filename, LONGEST_FILENAME_BYTES, parse)
    return WheelName(
        project=name,
        version=number,
        build=parts[2] if len(parts) == 6 else "",
        tags=found,
        tag_text="-".join(parts[-3:]),
    )


def specifier(text: str) -> SpecifierSet:
    """A set of version specifiers (PEP 440), such as a Requires-Python.

    Raises:
        RefusedError: it is none, or longer than LONGEST_SPECIFIER.
    """
    return _parsed("version specifier", text, LONGEST_SPECIFIER, SpecifierSet)


def requirement(text: str) -> Requirement:
    """A requirement (PEP 508).

    Raises:
        RefusedError: it is none, or longer than LONGEST_REQUIREMENT.
    """
    found = _parsed("requirement", text, LONGEST_REQUIREMENT, Requirement)
    project(found.name)
    specifier(str(found.specifier))
    return found


def _parsed(what: str, text: str, longest: int, parse: Callable[[str], Parsed]) -> Parsed:
    if len(text) > longest:
        raise RefusedError(f"the {what} {_shown(text)} has more than {longest} characters")
    try:
        return parse(text)
    # Beside their own errors, all of which are ValueErrors, the library's parsers recurse, and
    # trip over what they did not expect.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        first = str(error).partition("\n")[0] or type(error).__name__
        raise RefusedError(f"{_shown(text)} is not a {what}: {first[:200]}") from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
