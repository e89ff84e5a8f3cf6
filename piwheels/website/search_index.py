"""The search index over all projects: small files by prefix, a few kB per key press.

A *shard* is named by a prefix, and holds the projects that have a word with this prefix: a word
starts at the start of a name and after each hyphen, so `dja` finds `python-django`. A prefix with
few projects has a leaf, which holds all of them. A prefix with many projects has the most popular
ones, and further shards by the next character. The browser starts at the root shard and follows
the typed characters: each costs at most one small file, and none below a leaf.

A shard is JSON. `names` is front-coded text: for each project one character for the number of
characters that it shares with the previous one (base 36), the rest of its name, and a capital for
its downloads: A is none, each further letter is twice as many. Normalized names (PEP 503) have no
capitals, so the parts need no separators; names are sorted. `next` has the characters that can
follow, in groups separated by spaces; a group of several characters is one leaf, named by the
first character. A leaf's `next` is empty.

The output is deterministic, and ranks change only as downloads double, so few files change in a
day.
"""

import heapq
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from string import ascii_lowercase, digits
from typing import NamedTuple, TypeAlias

import msgspec

ROOT = "_"  # the file name of the root shard; it is not a valid prefix

#: The maximum number of projects in a leaf, and in a shard with shards below it.
MAX_LEAF_PROJECTS, MAX_SHARD_PROJECTS = 300, 60

_POPULARITY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE36 = digits + ascii_lowercase
#: A match at the start of the whole name counts as much as this many doublings of downloads.
_START_BONUS = 3
#: Longer prefixes are not distinguished: the length of file names is limited.
_MAX_PREFIX_LENGTH = 60
#: A rank is the popularity, from its last level on, and the length of the name.
_RANK_LEVELS, _LENGTH_BITS = 31, 26
_START_RANK = _START_BONUS << _LENGTH_BITS
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

# The rest of the name from the start of a word, and its rank: (-popularity, length, name).
_Entry = tuple[str, tuple[int, int, str]]
# The starts of words: the index of a project and the place of the word in the text of all names.
_Starts: TypeAlias = "array[int]"


def build_search_files(downloads: Iterable[tuple[str, int]]) -> Iterator[tuple[str, bytes]]:
    """The shards as pairs of file name (without `.json`) and content, the root last.

    A shard comes after those that it refers to, so that the browser never finds one missing.

    Args:
        downloads: the normalized name of each project, once, and its recent downloads. Names that
            are invalid by PEP 503 and 508 are left out: they cannot be installed.
    """
    projects = _valid_projects(downloads)
    starts = _words_by_first_character(projects)
    packs = _leaf_groups(starts)
    for pack in packs:
        yield from _subtree_files(projects, pack[0], _joined(starts, pack))
    wanted = heapq.nsmallest(
        MAX_SHARD_PROJECTS,
        (
            (-projects.level(at), len(name), name)
            for at in range(len(projects.ranks))
            for name in [projects.name(at)]
        ),
    )
    yield ROOT, _shard([(name, -level) for level, _, name in wanted], packs)


def popularity(downloads: int) -> int:
    """The popularity of a project, 0 to 25; each level is twice the previous one."""
    return min(max(downloads, 0).bit_length(), len(_POPULARITY_LETTERS) - 1)


class _Projects(NamedTuple):
    """The names of projects, one after the other, and how popular each project is."""

    text: bytearray
    ends: "array[int]"  # ends[n] is where the name of project n starts, ends[n + 1] where it ends
    ranks: "array[int]"  # the lower, the more popular, then the shorter

    def name(self, at: int) -> str:
        return self.text[self.ends[at] : self.ends[at + 1]].decode()

    def level(self, at: int) -> int:
        return _RANK_LEVELS - (self.ranks[at] >> _LENGTH_BITS)

    def entry(self, at: int, start: int) -> _Entry:
        """What a word that starts there is found by."""
        name, offset = self.name(at), start - self.ends[at]
        bonus = 0 if offset else _START_BONUS
        return name[offset:], (-self.level(at) - bonus, len(name), name)

    def rank(self, at: int, start: int) -> int:
        """The order of its entry's second part, apart from the name."""
        return self.ranks[at] - (_START_RANK if start == self.ends[at] else 0)


def _valid_projects(downloads: Iterable[tuple[str, int]]) -> _Projects:
    projects = _Projects(bytearray(), array("I", [0]), array("I"))
    for name, count in downloads:
        if not _NAME.fullmatch(name):
            continue
        projects.text.extend(name.encode())
        projects.ends.append(len(projects.text))
        projects.ranks.append((_RANK_LEVELS - popularity(count) << _LENGTH_BITS) + len(name))
    return projects


def _words_by_first_character(projects: _Projects) -> dict[int, _Starts]:
    found: dict[int, _Starts] = {}
    text = projects.text
    for at, (start, end) in enumerate(pairwise(projects.ends)):
        word = start
        while 0 <= word < end:
            _append(found, text[word], at, word)
            word = text.find(b"-", word, end) + 1 or end
    return found


def _append(groups: dict[int, _Starts], char: int, at: int, start: int) -> None:
    group = groups.get(char)
    if group is None:
        group = groups[char] = array("I")
    group.append(at)
    group.append(start)


def _joined(groups: dict[int, _Starts], pack: str) -> _Starts:
    """The groups of some characters as one; they are taken out of the others."""
    joined = groups.pop(ord(pack[0]))
    for char in pack[1:]:
        joined += groups.pop(ord(char))
    return joined


def _pairs(starts: _Starts) -> Iterator[tuple[int, int]]:
    numbers = iter(starts)
    return zip(numbers, numbers, strict=True)


def _subtree_files(
    projects: _Projects, prefix: str, starts: _Starts
) -> Iterator[tuple[str, bytes]]:
    """The shard of a prefix and those below it.

    Args:
        projects: all of them.
        prefix: which words.
        starts: of these words; emptied, since those of a long list would take the memory again at
            each level.
    """
    if len(starts) <= 2 * MAX_LEAF_PROJECTS or len(prefix) == _MAX_PREFIX_LENGTH:
        entries = sorted(projects.entry(at, start) for at, start in _pairs(starts))
        yield prefix, _shard(_distinct_projects(entries, MAX_LEAF_PROJECTS), [])
        return
    popular = _most_popular(prefix, projects, starts)
    groups = _by_next_character(projects, starts, len(prefix))
    del starts[:]
    packs = _leaf_groups(groups)
    for pack in packs:
        yield from _subtree_files(projects, prefix + pack[0], _joined(groups, pack))
    yield prefix, _shard(popular, packs)


def _leaf_groups(groups: Mapping[int, _Starts]) -> list[str]:
    """Groups of adjacent characters that share a leaf; others have a shard of their own."""
    packs: list[str] = []
    room = 0
    for char in sorted(groups):
        count = len(groups[char]) // 2
        if count <= room:
            packs[-1] += chr(char)
        else:
            packs.append(chr(char))
            room = MAX_LEAF_PROJECTS
        room -= count
    return packs


def _by_next_character(projects: _Projects, starts: _Starts, depth: int) -> dict[int, _Starts]:
    """The words by the character that follows a prefix of this length.

    Words that end there have no further shard: of a thousand names that end in "-api" that word
    finds the most popular ones and the project of that exact name; their other words find all.
    """
    groups: dict[int, _Starts] = {}
    text, ends = projects.text, projects.ends
    for at, start in _pairs(starts):
        if start + depth < ends[at + 1]:
            _append(groups, text[start + depth], at, start)
    return groups


def _most_popular(prefix: str, projects: _Projects, starts: _Starts) -> list[tuple[str, int]]:
    # A name with the prefix in several words has several entries: take more, then deduplicate.
    ranks = heapq.nsmallest(
        2 * MAX_SHARD_PROJECTS, (projects.rank(at, start) for at, start in _pairs(starts))
    )
    wanted = [
        projects.entry(at, start)
        for at, start in _pairs(starts)
        if projects.rank(at, start) <= ranks[-1]
    ]
    wanted.sort(key=lambda entry: (entry[1], entry[0]))
    exact = [
        projects.entry(at, start)
        for at, start in _pairs(starts)
        if start == projects.ends[at] and projects.ends[at + 1] - start == len(prefix)
    ]
    return _distinct_projects(exact + wanted[: 2 * MAX_SHARD_PROJECTS], MAX_SHARD_PROJECTS)


def _distinct_projects(entries: list[_Entry], limit: int) -> list[tuple[str, int]]:
    """The first distinct projects, with their popularity."""
    found: dict[str, int] = {}
    for key, (weight, _, name) in entries:
        if name not in found and len(found) < limit:
            found[name] = -weight - (_START_BONUS if len(key) == len(name) else 0)
    return list(found.items())


def _shard(projects: list[tuple[str, int]], packs: list[str]) -> bytes:
    parts: list[str] = []
    before = ""
    for name, rank in sorted(projects):
        shared = _common_prefix_length(before, name)
        parts.append(f"{_BASE36[shared]}{name[shared:]}{_POPULARITY_LETTERS[rank]}")
        before = name
    return msgspec.json.encode({"names": "".join(parts), "next": " ".join(packs)})


def _common_prefix_length(one: str, other: str) -> int:
    most = min(len(one), len(other), len(_BASE36) - 1)
    return next((at for at in range(most) if one[at] != other[at]), most)
