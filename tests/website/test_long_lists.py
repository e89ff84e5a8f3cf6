"""Lists of all projects: read part by part, encoded part by part, and held in little memory."""

import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import msgspec
import pytest

from piwheels.db import site_queries
from piwheels.db.database import Database
from piwheels.model import ListedProject, ProjectListing
from piwheels.website import compatible_json, json_documents, project_list_files
from piwheels.website.compact_lists import NameList, ProjectTable
from piwheels.website.project_list_files import write_project_list
from tests.website.factories import SITE, Reader, a_listing
from tests.website.harness import SiteHarness

_COUNT = 20_000


def test_a_list_of_names_is_what_was_added() -> None:
    names = ["", "alpha", "ünicode", "b" * 300, "alpha"]
    compact = NameList(names)
    assert (len(compact), list(compact), compact[-1], compact[1:3]) == (
        5, names, "alpha", ["alpha", "ünicode"],
    )  # fmt: skip
    for at in (5, -6):
        with pytest.raises(IndexError):
            compact[at]


def test_a_table_of_projects_is_what_was_added() -> None:
    projects = [a_listing("a", files=3, downloads=2**40), a_listing("b", recent_downloads=7)]
    table = ProjectTable(projects)
    assert (list(table), table[-1], table[:1]) == (projects, projects[1], projects[:1])


def _size_of(make: Callable[[Iterator[ProjectListing]], Sequence[ProjectListing]]) -> int:
    """The memory of all entries together (bytes)."""
    tracemalloc.start()
    try:
        kept = make(a_listing(f"project-{number}") for number in range(_COUNT))
        assert len(kept) == _COUNT
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_table_takes_less_than_half_the_memory_of_a_list() -> None:
    table = _size_of(ProjectTable)
    assert table < _size_of(list) / 2
    assert table / _COUNT < 60


@pytest.mark.parametrize("count", [0, 1, 5000, 12_345])
def test_rows_that_are_encoded_part_by_part_are_one_document(count: int) -> None:
    rows = [(f"project-{number}", number % 3, number) for number in range(count)]
    decoded = msgspec.json.decode(
        json_documents.packages_json(iter(rows)), type=json_documents.PackagesJson
    )
    assert decoded.projects == rows
    assert msgspec.json.encode(decoded) + b"\n" == json_documents.packages_json(iter(rows))
    assert compatible_json.packages_json(iter(rows)) == msgspec.json.encode(rows) + b"\n"


async def test_every_project_is_read_once_with_its_wheels_and_downloads(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.execute(
        """
        INSERT INTO projects (project, display_name)
        SELECT name, name FROM (SELECT 'p-' || md5(n::text) AS name
                                  FROM generate_series(1, 25) n) numbered
        """
    )
    await database.execute(
        """
        INSERT INTO downloads_by_project (project, downloads, saved_s)
        SELECT project, 40, 0 FROM projects
        """
    )
    await database.execute(
        """
        INSERT INTO downloads_monthly_by_project (month, project, downloads, days)
        SELECT date_trunc('month', now() AT TIME ZONE 'UTC') - n * interval '1 month', project,
               3, ARRAY[3]
          FROM projects CROSS JOIN generate_series(0, 2) n
        """
    )
    whole = [item async for item in site_queries.list_projects(database)]
    assert {(item.files, item.downloads, item.recent_downloads) for item in whole} == {(0, 40, 6)}
    for part in (1, 7, 25, sys.maxsize):
        monkeypatch.setattr(site_queries, "_PART_PROJECTS", part)
        assert [item async for item in site_queries.list_projects(database)] == whole
        assert [name async for name in site_queries.project_names(database)] == sorted(
            item.name for item in whole
        )


async def test_a_group_of_many_pages_is_written_page_by_page(site: SiteHarness) -> None:
    await site.db.execute(
        """
        INSERT INTO projects (project, display_name)
        SELECT name, name FROM (SELECT 'many-' || to_char(n, 'FM0000') AS name
                                  FROM generate_series(1, 1001) n) numbered
        """
    )
    await write_project_list(site.db, site.webroot, SITE)
    pages = [site.shown(f"projects/{name}").encode() for name in ("m.html", "m-2.html", "m-3.html")]
    shown = [link for page in pages for link in Reader(page).links() if "/project/many" in link]
    assert shown == [f"../project/many-{number:04}/" for number in range(1, 1002)]
    assert not (site.webroot.root / "projects" / "m-4.html").exists()


async def test_projects_of_a_letter_are_listed_in_any_order_of_the_database(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sorted_in_czech(_: Database) -> AsyncIterator[ListedProject]:
        for name in ("cd", "hadoop", "chardet"):
            yield ListedProject(name=name, summary="", has_wheels=True)

    monkeypatch.setattr(project_list_files, "_listed", sorted_in_czech)
    await project_list_files.write_project_list(site.db, site.webroot, SITE)
    shown = site.shown("projects/c.html")
    assert "/project/cd/" in shown
    assert "/project/chardet/" in shown
    assert not (site.webroot.root / "projects" / "c-2.html").exists()
