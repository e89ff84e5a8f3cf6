"""What a text in the finder asks for: an action, a project, a release of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: What a version begins with (PEP 440), with or without a v.
_VERSION = re.compile(r"v?[0-9][0-9A-Za-z.!+-]{0,60}")


@dataclass(frozen=True, slots=True)
class FinderQuery:
    """A text taken apart; "" for what it does not name."""

    verb: str  # the label of an action, in lower case
    project: str
    version: str


def parse_query(typed: str, labels: Iterable[str]) -> FinderQuery:
    """Take `retry numpy 2.3` or `numpy==2.3` apart; `labels` are those of actions on projects.

    A label stands for its action only before something else, so that a project can be called so.
    """
    words = typed.casefold().replace("==", " ").split()
    verb = ""
    for label in labels:
        parts = label.casefold().split()
        if len(words) > len(parts) and words[: len(parts)] == parts:
            verb, words = label.casefold(), words[len(parts) :]
            break
    version = ""
    if len(words) > 1 and _VERSION.fullmatch(words[-1]):
        version = words.pop()
    return FinderQuery(verb, " ".join(words), version.removeprefix("v"))
