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
from collections.abc import Iterable, Iterator
from string import ascii_lowercase, digits

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
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

# The rest of the name from the start of a word, and its rank: (-popularity, length, name).
_Entry = tuple[str, tuple[int, int, str]]


def build_search_files(downloads: Iterable[tuple[str, int]]) -> Iterator[tuple[str, bytes]]:
    """The shards as pairs of file name (without `.json`) and content, the root last.

    A shard comes after those that it refers to, so that the browser never finds one missing.

    Args:
        downloads: the normalized name of each project, once, and its recent downloads. Names that
            are invalid by PEP 503 and 508 are left out: they cannot be installed.
    """
    names, levels = _valid_projects(downloads)
    starts = _words_by_first_character(names)
    packs = _leaf_groups({char: len(starts[char]) // 2 for char in sorted(starts)})
    for pack in packs:
        entries = [entry for char in pack for entry in _entries(names, levels, starts.pop(char))]
        entries.sort()
        yield from _subtree_files(pack[0], entries)
    wanted = heapq.nsmallest(
        MAX_SHARD_PROJECTS,
        ((-level, len(name), name) for name, level in zip(names, levels, strict=True)),
    )
    yield ROOT, _shard([(name, -level) for level, _, name in wanted], packs)


def popularity(downloads: int) -> int:
    """The popularity of a project, 0 to 25; each level is twice the previous one."""
    return min(max(downloads, 0).bit_length(), len(_POPULARITY_LETTERS) - 1)


def _valid_projects(downloads: Iterable[tuple[str, int]]) -> tuple[list[str], bytearray]:
    names: list[str] = []
    levels = bytearray()
    for name, count in downloads:
        if not _NAME.fullmatch(name):
            continue
        names.append(name)
        levels.append(popularity(count))
    return names, levels


def _words_by_first_character(names: list[str]) -> dict[str, "array[int]"]:
    """Word starts as pairs of a name's index and the word's offset, by first character."""
    found: dict[str, array[int]] = {}
    for at, name in enumerate(names):
        start = 0
        while start < len(name):
            pair = found.setdefault(name[start], array("I"))
            pair.append(at)
            pair.append(start)
            start = name.find("-", start) + 1 or len(name)
    return found


def _entries(names: list[str], levels: bytearray, starts: "array[int]") -> Iterator[_Entry]:
    pairs = iter(starts)
    for at, start in zip(pairs, pairs, strict=True):
        name = names[at]
        bonus = 0 if start else _START_BONUS
        yield name[start:], (-levels[at] - bonus, len(name), name)


def _subtree_files(prefix: str, entries: list[_Entry]) -> Iterator[tuple[str, bytes]]:
    """The shard of a prefix and those below it; entries are sorted."""
    if len(entries) <= MAX_LEAF_PROJECTS or len(prefix) == _MAX_PREFIX_LENGTH:
        yield prefix, _shard(_distinct_projects(entries, MAX_LEAF_PROJECTS), [])
        return
    groups = _by_next_character(entries, len(prefix))
    # Words that end here have no further shard: of a thousand names that end in "-api" that word
    # finds the most popular ones and the project of that exact name; their other words find all.
    groups.pop("", None)
    packs = _leaf_groups({char: len(group) for char, group in groups.items()})
    for pack in packs:
        yield from _subtree_files(
            prefix + pack[0], [entry for char in pack for entry in groups[char]]
        )
    yield prefix, _shard(_most_popular(prefix, entries), packs)


def _leaf_groups(counts: dict[str, int]) -> list[str]:
    """Groups of adjacent characters that share a leaf; others have a shard of their own."""
    packs: list[str] = []
    room = 0
    for char, count in counts.items():
        if count <= room:
            packs[-1] += char
        else:
            packs.append(char)
            room = MAX_LEAF_PROJECTS
        room -= count
    return packs


def _by_next_character(entries: list[_Entry], depth: int) -> dict[str, list[_Entry]]:
    groups: dict[str, list[_Entry]] = {}
    for entry in entries:
        groups.setdefault(entry[0][depth : depth + 1], []).append(entry)
    return groups


def _most_popular(prefix: str, entries: list[_Entry]) -> list[tuple[str, int]]:
    exact = [entry for entry in entries if entry[1][2] == prefix]
    # A name with the prefix in several words has several entries: take more, then deduplicate.
    wanted = heapq.nsmallest(2 * MAX_SHARD_PROJECTS, entries, key=lambda entry: entry[1])
    return _distinct_projects(exact + wanted, MAX_SHARD_PROJECTS)


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
