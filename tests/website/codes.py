"""Finds codes of the program in text for people."""

import re
from collections.abc import Iterator
from enum import StrEnum

from piwheels.model import FailureClass, Outcome, State

_ENUMS: tuple[type[StrEnum], ...] = (FailureClass, Outcome, State)


def _codes() -> Iterator[str]:
    for member in (member for enum in _ENUMS for member in enum):
        if "-" in member.value:  # others are words
            yield member.value
        if "_" in member.name:
            yield member.name


_CODE = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, _codes()))})(?![\w-])")


def codes_in(text: str) -> list[str]:
    """The failure classes, outcomes and states that a text names as programs do."""
    return sorted(set(_CODE.findall(text)))
