"""The index of the search over all projects: small files by prefix; a key press costs few kB.

A *shard* is named by a prefix, and holds the projects in whose name a word begins with it: a word
starts at the start of a name and after each hyphen, so that `dja` finds `python-django`. A prefix
with few projects has a leaf, which holds them all, and whose searches end there. One with many
has the most wanted of them, and further shards by the character that follows. A reader begins at
the root shard and follows what is typed, so each further character costs one small file at most,
and below a leaf none.

A shard is JSON. `names` is front-coded text: each project is one character for how many characters
it shares with the one before (base 36), the rest of its name, and a capital for how much it is
downloaded: A is not at all, each further letter is twice as much. Normalised names (PEP 503) have
no capitals, so nothing separates the parts; their order is that of the alphabet. `next` has the
characters that can follow, in packs between spaces; a pack of several is one leaf for all of them,
named by the first. A leaf's `next` is empty.

Deterministic, and with ranks that change only as downloads double, so that a day changes few files.
"""

import heapq
import re
from array import array
from collections.abc import Iterable, Iterator
from string import ascii_lowercase, digits

import msgspec

ROOT = "_"  # the root shard's file name, which no prefix is

#: A leaf holds at most so many projects, a shard with further ones below it the most wanted.
MAX_LEAF_PROJECTS, MAX_SHARD_PROJECTS = 300, 60

_POPULARITY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE36 = digits + ascii_lowercase
#: So many doublings is it worth that a word starts the whole name.
_START_BONUS = 3
#: Below so many characters nothing is told apart: file names have an end.
_MAX_PREFIX_LENGTH = 60
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

# Of an entry, sorted by key: what is after the start of a word, its order of preference, its name.
_Entry = tuple[str, tuple[int, int, str]]


def build_search_files(downloads: Iterable[tuple[str, int]]) -> Iterator[tuple[str, bytes]]:
    """Every shard as its file name (without `.json`) and its content, the root as the last.

    A shard comes after those that it leads to, so that a reader never follows one in vain.

    Args:
        downloads: each project's normalised name, once, and how often it was downloaded lately.
            What is no name by PEP 503 and 508 is left out: it could not be installed either.
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
    """How wanted a project is, 0 to 25: each is twice as much as the one before."""
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
    """Where words start, as pairs of a name's place and the word's: a few bytes for each."""
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
    """The shard of a prefix and those below it; entries are sorted, more than a leaf's begin so."""
    if len(entries) <= MAX_LEAF_PROJECTS or len(prefix) == _MAX_PREFIX_LENGTH:
        yield prefix, _shard(_distinct_projects(entries, MAX_LEAF_PROJECTS), [])
        return
    groups = _by_next_character(entries, len(prefix))
    # What ends here has no shard further down: of a thousand names that end in "-api" the most
    # wanted are found by that word, the project of that very name always, and all by their others.
    groups.pop("", None)
    packs = _leaf_groups({char: len(group) for char, group in groups.items()})
    for pack in packs:
        yield from _subtree_files(
            prefix + pack[0], [entry for char in pack for entry in groups[char]]
        )
    yield prefix, _shard(_most_popular(prefix, entries), packs)


def _leaf_groups(counts: dict[str, int]) -> list[str]:
    """Neighbouring characters that share a leaf; those with more than fits have their own shard."""
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
    # A name with the prefix in several words has as many entries: some more, then each once.
    wanted = heapq.nsmallest(2 * MAX_SHARD_PROJECTS, entries, key=lambda entry: entry[1])
    return _distinct_projects(exact + wanted, MAX_SHARD_PROJECTS)


def _distinct_projects(entries: list[_Entry], limit: int) -> list[tuple[str, int]]:
    """Each project once, with its level, the first ones that are given."""
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
