"""Parses untrusted names, versions, tags and requirements within limits.

The `packaging` library has no limits: one file name of 2 kB can expand to millions of tags, and
int() raises a plain ValueError at 4,300 digits. So every such text goes through this module, which
checks its length and parts first, and raises only RejectedError.
"""

import math
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
import packaging.utils
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.version import Version

from piwheels.errors import RejectedError

#: Not below PyPI's own limits; a name followed by `.provenance.json` is still a valid file name.
MAX_PROJECT_LENGTH = 200
MAX_VERSION_LENGTH = 200
MAX_FILENAME_BYTES = 239
MAX_SPECIFIER_LENGTH = 500
MAX_REQUIREMENT_LENGTH = 2000

#: The largest compressed tag set (PEP 425) that is expanded; real ones have up to about 20.
MAX_TAGS = 500

_MAX_SHOWN_LENGTH = 80
_WHEEL_FILENAME = re.compile(r"[A-Za-z0-9._+!-]+\.whl")

Parsed = TypeVar("Parsed")


class WheelFilename(msgspec.Struct, frozen=True, kw_only=True):
    """What the file name of a wheel says (PEP 427)."""

    project: str  # normalized
    version: Version
    build_tag: str  # the build tag; "" for none
    tags: frozenset[Tag]
    tag_text: str  # the compressed tag set as it is written: "py3-none-any"


def normalize_project(text: str) -> str:
    """The normalized form of a project's name.

    Raises:
        RejectedError: it is no valid name, or longer than MAX_PROJECT_LENGTH.
    """
    parse = packaging.utils.canonicalize_name
    return _parse_limited(
        "project name", text, MAX_PROJECT_LENGTH, lambda text: parse(text, validate=True)
    )


def parse_version(text: str) -> Version:
    """A version (PEP 440).

    Raises:
        RejectedError: it is none, or longer than MAX_VERSION_LENGTH.
    """
    return _parse_limited("version", text, MAX_VERSION_LENGTH, Version)


def parse_tags(text: str) -> frozenset[Tag]:
    """Every tag of a compressed tag set (PEP 425): `py2.py3-none-any`.

    Raises:
        RejectedError: it is invalid, or expands to more than MAX_TAGS tags.
    """
    parts = text.split("-", 3)
    if math.prod(part.count(".") + 1 for part in parts) > MAX_TAGS:
        raise RejectedError(
            f"the tag {_quote_shortened(text)} stands for more than {MAX_TAGS} tags"
        )
    return _parse_limited("tag", text, MAX_FILENAME_BYTES, parse_tag)


def parse_wheel_filename(filename: str) -> WheelFilename:
    """What the file name of a wheel says (PEP 427).

    Its characters need no quoting in a URL: with `#`, `?` or `%`, links on pages would point
    elsewhere.

    Raises:
        RejectedError: it is none of a wheel, longer than MAX_FILENAME_BYTES, or has more than
            MAX_TAGS tags.
    """
    if len(filename.encode(errors="replace")) > MAX_FILENAME_BYTES:
        raise RejectedError(
            f"{_quote_shortened(filename)}: the name is longer than {MAX_FILENAME_BYTES} bytes"
        )
    parts = filename.removesuffix(".whl").split("-")
    if len(parts) not in {5, 6} or not _WHEEL_FILENAME.fullmatch(filename):
        raise RejectedError(f"{_quote_shortened(filename)} is not the file name of a wheel")
    parse_tags("-".join(parts[-3:]))
    parse = packaging.utils.parse_wheel_filename
    name, number, _, found = _parse_limited("wheel", filename, MAX_FILENAME_BYTES, parse)
    return WheelFilename(
        project=name,
        version=number,
        build_tag=parts[2] if len(parts) == 6 else "",
        tags=found,
        tag_text="-".join(parts[-3:]),
    )


def parse_specifier(text: str) -> SpecifierSet:
    """A set of version specifiers (PEP 440), such as a Requires-Python.

    Raises:
        RejectedError: it is none, or longer than MAX_SPECIFIER_LENGTH.
    """
    return _parse_limited("version specifier", text, MAX_SPECIFIER_LENGTH, SpecifierSet)


def parse_requirement(text: str) -> Requirement:
    """A requirement (PEP 508).

    Raises:
        RejectedError: it is none, or longer than MAX_REQUIREMENT_LENGTH.
    """
    found = _parse_limited("requirement", text, MAX_REQUIREMENT_LENGTH, Requirement)
    normalize_project(found.name)
    parse_specifier(str(found.specifier))
    return found


def _parse_limited(what: str, text: str, max_length: int, parse: Callable[[str], Parsed]) -> Parsed:
    if len(text) > max_length:
        raise RejectedError(
            f"the {what} {_quote_shortened(text)} has more than {max_length} characters"
        )
    try:
        return parse(text)
    # Apart from their own errors, all of them ValueErrors, the library's parsers recurse, and fail
    # in other ways on unexpected input.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        first = str(error).partition("\n")[0] or type(error).__name__
        raise RejectedError(f"{_quote_shortened(text)} is not a {what}: {first[:200]}") from error


def _quote_shortened(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN_LENGTH else f"{text[:_MAX_SHOWN_LENGTH]}...")
