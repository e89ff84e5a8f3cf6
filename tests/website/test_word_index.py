"""The index of words in names and summaries."""

import json
from pathlib import Path

from piwheels.db import catalog
from piwheels.db.project_metadata import store_metadata
from piwheels.model import ProjectMetadata
from piwheels.webroot import Webroot
from piwheels.website import search_files
from piwheels.website.word_index import (
    DIRECTORY,
    MAX_WORD_PROJECTS,
    DescribedProject,
    build_word_files,
    project_words,
)
from tests.website.factories import HOSTILE
from tests.website.harness import SiteHarness


def described(name: str, summary: str = "", downloads: int = 0) -> DescribedProject:
    return DescribedProject(name=name, summary=summary, downloads=downloads)


def built(*projects: DescribedProject) -> dict[str, object]:
    return {name: json.loads(content) for name, content in build_word_files(projects)}


def test_a_project_is_found_by_its_words() -> None:
    assert project_words("pyyaml", "A YAML parser for Python") == {"pyyaml", "yaml", "parser"}
    assert project_words("python-dateutil", "") == {"python", "dateutil"}
    assert project_words("py", "") == {"py"}


def test_words_are_in_buckets_with_the_most_popular_projects_first() -> None:
    found = built(
        described("flask", "Web framework", 900),
        described("django", "A web framework", 9000),
        described("other", "Frameworks"),
    )
    assert found["fr"] == {"framework": ["django", "flask"], "frameworks": ["other"]}
    assert list(found)[-1] == DIRECTORY
    assert set(found) - {DIRECTORY} == set(found[DIRECTORY])  # type: ignore[call-overload]


def test_a_common_word_has_few_projects() -> None:
    found = built(*(described(f"p{number}", "web", number) for number in range(90)))
    words = found["we"]
    assert isinstance(words, dict)
    assert len(words["web"]) == MAX_WORD_PROJECTS
    assert words["web"][0] == "p64", "the order changes only as downloads double"


def test_any_text_can_be_indexed() -> None:
    assert built(described("x" * 100, HOSTILE), described("", "")).keys() >= {DIRECTORY}


def test_the_directory_of_an_empty_farm_is_written(tmp_path: Path) -> None:
    webroot = Webroot(tmp_path)
    assert search_files.write_word_files(webroot, []) == 1
    assert search_files.write_word_files(webroot, []) == 0
    assert (tmp_path / "search-words" / "_.json").read_bytes() == b"[]"


async def test_the_index_follows_the_database(site: SiteHarness) -> None:
    await catalog.add_project(site.db, "alpha", "alpha")
    await store_metadata(site.db, "alpha", "1.0", ProjectMetadata(summary="Greek letters"))
    await site.write_all()
    assert json.loads(site.shown("search-words/gr.json")) == {"greek": ["alpha"]}
