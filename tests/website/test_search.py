"""The search index: content, sizes and updates of its shards."""

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import ascii_lowercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piwheels.webroot import Webroot
from piwheels.website import search_files, search_index

ENTRY = re.compile(r"([0-9a-z])([a-z0-9-]*)([A-Z])")
Files = Mapping[str, bytes]


def built(downloads: Iterable[tuple[str, int]]) -> dict[str, bytes]:
    """The shards by file name."""
    return dict(search_index.build_search_files(downloads))


def names(shard: bytes) -> list[str]:
    """The projects of a shard, as the browser reads them."""
    found: list[str] = []
    for shared, rest, _ in ENTRY.findall(json.loads(shard)["names"]):
        found.append((found[-1] if found else "")[: int(shared, 36)] + rest)
    return found


def path(files: Files, typed: str) -> Iterator[bytes]:
    """The shards that the browser loads for a text."""
    file = search_index.ROOT
    for depth in range(len(typed) + 1):
        yield files[file]
        packs = json.loads(files[file])["next"].split()
        pack = next((p for p in packs if depth < len(typed) and typed[depth] in p), None)
        if pack is None:
            return
        file = typed[:depth] + pack[0]


def found(files: Files, typed: str) -> list[str]:
    """The results of a search, sorted."""
    *_, deepest = path(files, typed)
    return [name for name in names(deepest) if f"-{name}".find(f"-{typed}") >= 0]


def many(count: int) -> list[tuple[str, int]]:
    """Names of two words, some of them very common."""
    seconds = ["api", "client", "tools", "py", *(a + b for a in ascii_lowercase for b in "aeiou")]
    return [
        (f"{a}{b}{n}-{seconds[(7 * n + ord(a)) % len(seconds)]}", n)
        for n in range(count // 676 + 1)
        for a in ascii_lowercase
        for b in ascii_lowercase
    ][:count]


# --- what is found ---


def test_a_project_is_found_by_the_start_of_each_of_its_words() -> None:
    files = built([("python-django", 5), ("django", 9), ("djangorestframework", 7), ("flask", 8)])
    assert found(files, "dja") == ["django", "djangorestframework", "python-django"]
    assert found(files, "django") == ["django", "djangorestframework", "python-django"]
    assert found(files, "python-dj") == ["python-django"]
    assert found(files, "jango") == []
    assert found(files, "x") == []


def test_no_projects_give_only_a_root() -> None:
    assert built([]) == {search_index.ROOT: b'{"names":"","next":""}'}


def test_every_name_is_found_by_itself_and_its_start() -> None:
    projects = many(3000)
    files = built(projects)
    for name, _ in projects[::7]:
        assert name in found(files, name)
        assert name in found(files, name[:-1])


def test_a_common_word_finds_the_most_popular() -> None:
    projects = [(f"{a}{b}-api", ord(a) * 2**n) for n, b in enumerate("abcdef") for a in "pqrs"]
    projects += [(f"n{number}-api", 0) for number in range(1000)] + [("api", 0)]
    files = built(projects)
    results = found(files, "api")
    assert len(results) == search_index.MAX_SHARD_PROJECTS
    assert {"api", "pf-api", "sa-api"} <= set(results)


def test_invalid_names_are_left_out() -> None:
    hostile = ["../../etc/passwd", "a/b", "A", "a_b", "<script>", "é", "a--b", "-a", "a-", ""]
    files = built([*((name, 1) for name in hostile), ("good", 1)])
    assert set(files) == {search_index.ROOT, "g"}


def test_names_with_long_common_prefixes_are_limited() -> None:
    files = built([("a" * 150 + str(number), 1) for number in range(1000)])
    assert max(map(len, files)) <= 60
    assert found(files, "a" * 100) != []


WORDS = st.sampled_from(["py", "python", "django", "a", "b", "ab", "zope", "x1", "api"])
NAMES = st.lists(WORDS, min_size=1, max_size=4).map("-".join)


@given(projects=st.dictionaries(NAMES, st.integers(0, 2**40), max_size=80), typed=NAMES)
def test_a_search_of_few_names_finds_what_a_scan_finds(
    projects: dict[str, int], typed: str
) -> None:
    files = built(projects.items())
    assert found(files, typed) == sorted(
        name for name in projects if name.startswith(typed) or f"-{typed}" in name
    )


@settings(max_examples=5)
@given(st.permutations(many(900)))
def test_the_files_depend_only_on_the_projects(projects: list[tuple[str, int]]) -> None:
    assert built(projects) == built(many(900))


@pytest.mark.parametrize(
    ("downloads", "level"),
    [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1000, 10), (10**12, 25)],
)
def test_a_popularity_level_is_twice_the_previous_one(downloads: int, level: int) -> None:
    assert search_index.popularity(downloads) == level


# --- how large it is ---


def test_each_key_press_loads_little() -> None:
    projects = many(20_000)
    files = built(projects)
    for name, _ in projects[::401]:
        steps = [len(gzip.compress(shard)) for shard in path(files, name)]
        assert sum(steps[:2]) < 2000, "the first character, and the root before it"
        assert max(steps) < 5000


def test_shards_are_neither_large_nor_many() -> None:
    projects = many(20_000)
    files = built(projects)
    assert max(len(names(shard)) for shard in files.values()) <= search_index.MAX_LEAF_PROJECTS
    assert len(files) < len(projects) / 20


# --- the tree ---


def test_only_shards_that_changed_are_written(tmp_path: Path) -> None:
    webroot = Webroot(tmp_path)
    projects = many(3000)
    first = search_files.write_search_files(webroot, projects)
    assert first == len(built(projects))
    assert search_files.write_search_files(webroot, projects) == 0
    added = search_files.write_search_files(webroot, [*projects, ("zzz-new", 0)])
    assert 0 < added <= 6, "its leaves and, at most, what leads to them"


def test_unreferenced_shards_are_removed(tmp_path: Path) -> None:
    webroot = Webroot(tmp_path)
    search_files.write_search_files(webroot, many(3000))
    search_files.write_search_files(webroot, [("alpha", 1)])
    files = {path.name for path in (tmp_path / "search").iterdir()}
    assert files == {"_.json", "_.json.gz", "a.json", "a.json.gz"}


def test_a_shard_is_written_before_shards_that_refer_to_it() -> None:
    files: dict[str, bytes] = {}
    for name, content in search_index.build_search_files(many(20_000)):
        files[name] = content
        prefix = "" if name == search_index.ROOT else name
        for pack in json.loads(content)["next"].split():
            assert prefix + pack[0] in files
