"""The rules beside the tables (data/rules.toml): words, alternatives, preferences, exclusions."""

import re
from functools import cache, cached_property
from importlib.resources import files

import msgspec

from piwheels.model import Struct


class Rules(Struct, frozen=True, dict=True):
    """What the archive's lists of files cannot tell.

    Names of packages are candidates, the preferred first; a release that lacks one takes the next.
    """

    #: Packages that are chosen before others which have the same file.
    preferred: tuple[str, ...]
    #: Patterns of packages that are never chosen.
    ignored: tuple[str, ...]
    #: Patterns of packages that are chosen only if no other has the file.
    avoided: tuple[str, ...]
    #: By kind and name: what maintainer scripts make at installation, or has a better source.
    alternatives: dict[str, dict[str, tuple[str, ...]]]
    #: By kind: patterns of names that no package provides.
    excluded: dict[str, tuple[str, ...]]
    #: Names of software in messages, in lower case.
    software: dict[str, tuple[str, ...]]

    @cached_property
    def packages(self) -> frozenset[str]:
        """Every package that a rule names."""
        tables = (*self.alternatives.values(), self.software)
        named = {package for table in tables for names in table.values() for package in names}
        return frozenset(named | set(self.preferred))

    @cached_property
    def rank(self) -> dict[str, int]:
        """The place of each preferred package."""
        return {package: place for place, package in enumerate(self.preferred)}

    @cached_property
    def avoided_pattern(self) -> re.Pattern[str]:
        """What matches a whole name of an avoided package."""
        return re.compile("|".join(self.avoided))

    @cached_property
    def ignored_pattern(self) -> re.Pattern[str]:
        """What matches a whole name of a package that is never chosen."""
        return re.compile("|".join(self.ignored))

    @cached_property
    def software_pattern(self) -> re.Pattern[str]:
        """The names of software in a text, the longest first."""
        names = sorted(self.software, key=lambda name: (-len(name), name))
        words = "|".join(re.escape(name) for name in names)
        return re.compile(rf"(?<![\w.+/-])(?:{words})(?![\w+/]|-(?!dev)|\.\w)", re.IGNORECASE)

    def is_excluded(self, kind: str, name: str) -> bool:
        """Whether no package provides what is called so."""
        return any(re.fullmatch(pattern, name) for pattern in self.excluded.get(kind, ()))


@cache
def load_rules() -> Rules:
    """The rules, read once."""
    text = files("piwheels.debian_index").joinpath("data/rules.toml").read_bytes()
    return msgspec.toml.decode(text, type=Rules)
