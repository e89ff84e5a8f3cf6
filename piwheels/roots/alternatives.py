"""The links that update-alternatives(1) would make, read from scripts that are never run (pure).

Maintainer scripts are shell programs; what is understood here is `update-alternatives --install`
with plain words, continued lines and variables that have a plain value.
"""

import re
import shlex
from collections.abc import Iterable, Iterator

from piwheels.model import Struct

_ASSIGNMENT = re.compile(
    r"^[ \t]*(?:local[ \t]+|export[ \t]+)?"
    r"([A-Za-z_]\w*)=(\S*|\"[^\"`]*\"|'[^']*')[ \t]*(?:;[ \t]*)?$",
    re.MULTILINE,
)
_CALL = re.compile(r"update-alternatives\b(?P<words>[^\n;&|]*)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PRIORITY = re.compile(r"-?[0-9]{1,9}")
#: Longer values are not expanded: variables of variables double with each line.
_MAX_VALUE_CHARS = 4096


class Alternative(Struct, frozen=True):
    """One link, and where it leads if no other has a higher priority."""

    link: str
    target: str
    priority: int


def read_alternatives(script: str) -> tuple[Alternative, ...]:
    """The alternatives that a postinst script installs, slaves too."""
    text = script.replace("\\\n", " ")
    variables: dict[str, str] = {}
    for name, value in _ASSIGNMENT.findall(text):
        variables[name] = _expand(value.strip("\"'")[:_MAX_VALUE_CHARS], variables)[
            :_MAX_VALUE_CHARS
        ]
    found: list[Alternative] = []
    for call in _CALL.finditer(text):
        try:
            words = shlex.split(_expand(call["words"][:_MAX_VALUE_CHARS], variables))
        except ValueError:
            continue
        found += _parse(words)
    return tuple(found)


def choose_links(alternatives: Iterable[Alternative]) -> dict[str, list[str]]:
    """For each link its targets, the one with the highest priority first."""
    chosen: dict[str, list[str]] = {}
    for item in sorted(alternatives, key=lambda item: -item.priority):
        chosen.setdefault(item.link, []).append(item.target)
    return chosen


def _expand(text: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[0]), text)


def _parse(words: list[str]) -> Iterator[Alternative]:
    at = words.index("--install") + 1 if "--install" in words else len(words)
    main = words[at : at + 4]
    if len(main) < 4 or not _PRIORITY.fullmatch(main[3]) or not _plain(main[0], main[2]):
        return
    priority = int(main[3])
    yield Alternative(main[0], main[2], priority)
    rest = words[at + 4 :]
    for number, word in enumerate(rest):
        slave = rest[number + 1 : number + 4]
        if word == "--slave" and len(slave) == 3 and _plain(slave[0], slave[2]):
            yield Alternative(slave[0], slave[2], priority)


def _plain(*paths: str) -> bool:
    return all(path.startswith("/usr/") and not set(path) & set("$`*?") for path in paths)
