"""Finds names by what an operator types: a start, a part, or letters in their order.

The names are one text with a line for each, the most important first. The fast search of strings
reads 300,000 of them in milliseconds, so that an index costs 5 MB and nothing has to be updated;
it stops at the first hits, and they are the most important ones.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

#: Letters in their order are searched among so many characters of names: some 5 ms.
_MAX_SPELLED_CHARS = 200_000
#: So few names that contain a text are ranked one by one, which saves the other searches.
_FEW = 500
_SEPARATORS = re.compile(r"[-_.\s]+")


class NameIndex:
    """Names that can be searched, the most important first."""

    def __init__(self, names: str) -> None:
        """names: normalized (PEP 503), one in each line."""
        self._text = f"\n{names}\n"
        self.count = names.count("\n") + 1 if names else 0

    def find(self, typed: str, limit: int) -> list[str]:
        """The names that match a text, the best first, each once.

        The name itself comes first, then those that start with the text, have a word that does,
        contain it, and have its letters in this order.
        """
        text = search_text(typed)
        if not text.strip("-"):
            return []
        found: dict[str, None] = {}
        for names in (*self._containing(text), self._spelled(text)):
            for name in names:
                found[name] = None
                if len(found) >= limit:
                    return list(found)
        return list(found)

    def _containing(self, text: str) -> tuple[Iterable[str], ...]:
        """The names that contain a text, in groups, the best first."""
        in_word = f"-{text.lstrip('-')}"

        def rank(name: str) -> int:
            return (
                0 if name == text else 1 if name.startswith(text) else 2 if in_word in name else 3
            )

        few = list(islice(self._lines_with(text), _FEW + 1))
        if len(few) <= _FEW:
            return (sorted(few, key=rank),)
        parts = (f"\n{text}\n", f"\n{text}", in_word, text)
        return tuple(map(self._lines_with, parts))

    def _lines_with(self, part: str) -> Iterator[str]:
        """The lines that contain a text, which may begin with the line's start."""
        text = self._text
        at = text.find(part)
        while at >= 0:
            end = text.find("\n", at + 1)
            yield text[text.rfind("\n", 0, at + 1) + 1 : end]
            at = text.find(part, end)

    def _spelled(self, letters: str) -> Iterator[str]:
        """The lines with these letters in their order, of the most important ones.

        Each step ends at the first letter that fits, so that no line is read twice.
        """
        steps = (f"[^\\n{re.escape(letter)}]*{re.escape(letter)}" for letter in letters)
        pattern = re.compile(f"^{''.join(steps)}.*$", re.MULTILINE)
        for match in pattern.finditer(self._text, 0, _MAX_SPELLED_CHARS):
            yield match.group()


def search_text(typed: str) -> str:
    """What is searched for: in lower case, and with one hyphen for each separator (PEP 503)."""
    return _SEPARATORS.sub("-", typed.strip().lower())
