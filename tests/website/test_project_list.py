"""The list of all projects by first letter."""

import pytest

from piwheels.db import catalog
from piwheels.db.project_metadata import store_metadata
from piwheels.model import ListedProject, ProjectMetadata
from piwheels.website import project_list
from piwheels.website.project_list import GROUPS, PAGE_PROJECTS, group_files, group_page
from piwheels.website.project_list_files import write_project_list
from tests.website.factories import HOSTILE, SHOWN, SITE, Reader, assert_harmless
from tests.website.harness import SiteHarness


def listed(name: str, summary: str = "", *, has_wheels: bool = True) -> ListedProject:
    return ListedProject(name=name, summary=summary, has_wheels=has_wheels)


def test_a_group_is_split_into_pages_that_link_each_other() -> None:
    projects = [listed(f"a{number:05}") for number in range(2 * PAGE_PROJECTS + 1)]
    files = group_files("a", len(projects))
    pages = {
        name: group_page(
            SITE, "a", number, files, projects[PAGE_PROJECTS * (number - 1) :][:PAGE_PROJECTS]
        )
        for number, name in enumerate(files, start=1)
    }
    assert list(pages) == ["a.html", "a-2.html", "a-3.html"]
    shown = [
        link for page in pages.values() for link in Reader(page).links() if "/project/" in link
    ]
    assert shown == [f"../project/{project.name}/" for project in projects]
    assert {"a.html", "a-3.html", "z.html", "0-9.html"} <= set(Reader(pages["a-2.html"]).links())


def test_an_empty_group_has_a_page() -> None:
    assert group_files("x", 0) == ["x.html"]
    page = group_page(SITE, "x", 1, ["x.html"], [])
    assert "None." in assert_harmless(page).text


def test_hostile_names_and_summaries_stay_text() -> None:
    projects = [listed(HOSTILE, HOSTILE[:60], has_wheels=False)]
    page = group_page(SITE, "x", 1, ["x.html"], projects)
    text = assert_harmless(page).text
    assert SHOWN in text
    assert "no wheels" in text


@pytest.mark.parametrize(
    ("name", "group"), [("numpy", "n"), ("3to2", "0-9"), ("", "0-9"), ("ünicode", "0-9")]
)
def test_a_name_belongs_to_one_group(name: str, group: str) -> None:
    assert project_list.group_of(name) == group
    assert group in GROUPS


async def test_the_list_follows_the_database(site: SiteHarness) -> None:
    await site.publish("alpha")
    for name in ("apple", "zebra", "7zip"):
        await catalog.add_project(site.db, name, name)
    await store_metadata(site.db, "alpha", "1.0", ProjectMetadata(summary="The first letter"))
    leftover = site.webroot.root / "projects" / "a-2.html"
    site.webroot.write_page(leftover, b"of before")
    await write_project_list(site.db, site.webroot, SITE)
    assert not leftover.exists()
    text = " ".join(Reader(site.shown("projects/a.html").encode()).text.split())
    assert "alpha The first letter apple no wheels" in text
    assert "7zip" in site.shown("projects/0-9.html")
    assert "zebra" in site.shown("projects/z.html")
    assert len(list((site.webroot.root / "projects").glob("*.html"))) == len(GROUPS)
    before = site.webroot.root.joinpath("projects/a.html").stat().st_mtime_ns
    await write_project_list(site.db, site.webroot, SITE)
    assert site.webroot.root.joinpath("projects/a.html").stat().st_mtime_ns == before
