"""The index of words in names and summaries: which popular projects have a word (pure).

It serves searches that no name starts with. A *bucket* holds the words with the same first two
characters: a JSON object of each word's projects, the most popular first. The bucket `_` lists the
others, so that the browser asks for no file that is missing.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from piwheels.model import Struct
from piwheels.website.search_index import popularity

DIRECTORY = "_"
#: Only so many projects are indexed, the most downloaded ones: the index stays small on any farm.
MAX_PROJECTS = 20_000
MAX_WORD_PROJECTS = 30
_BUCKET_LENGTH = 2
_WORD = re.compile(r"[a-z0-9]{2,40}")
_PYTHON_PREFIX = re.compile(r"(?:python|py(?!thon))(?=[a-z]{3})")
#: Words that say little about a project.
_COMMON_TEXT = (
    "an and any are as at be by can for from has in into is it its of on or that the this to "
    "use used using via with your python package library module simple"
)
_COMMON = frozenset(_COMMON_TEXT.split())


class DescribedProject(Struct, frozen=True, kw_only=True):
    """A project in the index of words."""

    name: str
    summary: str
    downloads: int  # recent ones


def build_word_files(projects: Iterable[DescribedProject]) -> Iterator[tuple[str, bytes]]:
    """The buckets as pairs of file name (without `.json`) and content, the directory last."""
    words: dict[str, list[tuple[int, str]]] = {}
    for project in projects:
        rank = (-popularity(project.downloads), project.name)
        for word in project_words(project.name, project.summary):
            words.setdefault(word, []).append(rank)
    buckets: dict[str, dict[str, list[str]]] = {}
    for word in sorted(words):
        names = [name for _, name in sorted(words[word])[:MAX_WORD_PROJECTS]]
        buckets.setdefault(word[:_BUCKET_LENGTH], {})[word] = names
    for bucket, content in buckets.items():
        yield bucket, msgspec.json.encode(content)
    yield DIRECTORY, msgspec.json.encode(list(buckets))


def project_words(name: str, summary: str) -> set[str]:
    """The words that a project is found by: `yaml` also finds pyyaml."""
    words = set(_WORD.findall(name)) | (set(_WORD.findall(summary.lower())) - _COMMON)
    return words | {_PYTHON_PREFIX.sub("", word, count=1) for word in _WORD.findall(name)}
