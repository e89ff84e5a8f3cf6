"""The form of a rule: a kind of line that tells why a build failed."""

import re
from dataclasses import dataclass
from enum import IntEnum

from piwheels.causes.missing import MissingKind
from piwheels.model import FailureClass

#: What the C library says of a file that does not exist (ENOENT).
NO_SUCH_FILE = "No such file or directory"


class Rank(IntEnum):
    """How much a line tells, the most telling first."""

    PRECISE = 0  # is the cause wherever it is printed
    ERROR = 1  # an error of a tool: compiler, linker, build system, pip
    EXCEPTION = 2  # an exception of Python, or the last message of setuptools
    HINT = 3  # a cause if nothing else is: a build may go on after it
    CONSEQUENCE = 4  # says only that something failed that has told why before


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of line.

    `pattern` is searched in a line that contains one of `literals`; its groups `name` and
    `version` are what was missing. `weight` orders rules of one rank, the lightest wins. Of
    several matching lines the first is reported, or the last if `prefer_last`.
    """

    name: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    failure_class: FailureClass | None
    rank: Rank = Rank.ERROR
    kind: MissingKind | None = None
    weight: int = 5
    prefer_last: bool = False
    subject: str = ""  # what was missing, if no group of the pattern names it
    context: str = ""  # a text that the log has to contain as well


def rule(
    name: str,
    literals: str | tuple[str, ...],
    pattern: str,
    failure_class: FailureClass | None,
    rank: Rank = Rank.ERROR,
    *,
    kind: MissingKind | None = None,
    weight: int = 5,
    prefer_last: bool = False,
    subject: str = "",
    context: str = "",
) -> Rule:
    """A rule with its pattern compiled."""
    return Rule(
        name,
        (literals,) if isinstance(literals, str) else literals,
        re.compile(pattern),
        failure_class,
        rank,
        kind,
        weight,
        prefer_last,
        subject,
        context,
    )
