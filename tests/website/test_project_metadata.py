"""What a project says about itself, stored with its wheels and shown on its page."""

import re

import pytest

from piwheels.db import catalog, page_queue
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind
from piwheels.db.project_metadata import load_metadata, store_metadata
from piwheels.model import ProjectMetadata
from piwheels.website.page_data import Site
from piwheels.website.project_page import render_project
from tests.website.factories import (
    CP311,
    HOSTILE,
    SHOWN,
    SITE,
    Reader,
    a_project,
    a_release,
    a_target,
    a_wheel,
    assert_harmless,
)
from tests.website.harness import SiteHarness

ABOUT = ProjectMetadata(
    name="Demo.Thing",
    summary="Makes wheels",
    license="MIT",
    link_labels=("Source",),
    link_urls=("https://git.example.org/demo?a=1&b=2",),
)


def page(about: ProjectMetadata = ABOUT, site: Site = SITE) -> Reader:
    wheel = a_wheel(glibc="2.34", size_bytes=4_345_678)
    release = a_release("1.0", a_target(CP311, covered_by=wheel.filename))
    content = a_project(release, files=(wheel,), metadata=about)
    return assert_harmless(render_project(site, content)["index.html"])


def test_the_page_has_name_summary_license_and_links() -> None:
    reader = page(site=Site(url=SITE.url, upstream_url="https://pypi.org/simple/"))
    assert "Demo.Thing - piwheels" in reader.text
    for words in ("Makes wheels", "License: MIT", "Upstream page"):
        assert words in reader.text
    links = reader.links()
    assert "https://pypi.org/project/demo/" in links
    assert "https://git.example.org/demo?a=1&b=2" in links


def test_hostile_metadata_stays_text() -> None:
    about = ProjectMetadata(
        name=HOSTILE, summary=HOSTILE, license=HOSTILE, link_labels=(HOSTILE,), link_urls=("http://a.b",)
    )  # fmt: skip
    assert page(about).text.count(SHOWN) >= 4


@pytest.mark.parametrize(
    ("upstream_url", "address"),
    [
        ("https://pypi.org/simple/", "https://pypi.org/project/a%2Fb/"),
        ("https://index.example.org/team/", "https://index.example.org/team/a%2Fb/"),
        ("https://user:password@index.example.org/simple/", ""),
        ("", ""),
    ],
)
def test_the_upstream_page_of_a_project(upstream_url: str, address: str) -> None:
    assert Site(url="http://x/", upstream_url=upstream_url).upstream_page("a/b") == address


def test_a_wheel_is_installed_with_other_tools_and_its_hash() -> None:
    text = page().text
    assert (
        "pipx install --pip-args='--extra-index-url https://wheels.example.org/simple/' demo"
        in (text)
    )
    assert (
        "--extra-index-url https://wheels.example.org/simple/\n"
        f"demo==1.0 --hash=sha256:{'ab' * 32}" in text
    )
    (line,) = re.findall(r"dependencies = .*", text)
    wheel = a_wheel()
    assert line.startswith(
        f'dependencies = ["demo @ {SITE.url}packages/ab/{wheel.sha256}/{wheel.filename}#sha256='
    )
    assert "Wheel: 4.3 MB; needs glibc 2.34 or newer." in text


async def test_the_metadata_of_the_newest_release_is_kept(database: Database) -> None:
    await catalog.add_project(database, "demo", "demo")
    assert await load_metadata(database, ["demo"]) == {}
    await store_metadata(database, "demo", "1.10", ABOUT)
    await store_metadata(database, "demo", "1.9", ProjectMetadata(summary="older"))
    assert await load_metadata(database, ["demo"]) == {"demo": ABOUT}
    newer = ProjectMetadata(name="demo", summary="newer")
    await store_metadata(database, "demo", "2.0", newer)
    await store_metadata(database, "unknown", "1.0", ABOUT)
    assert await load_metadata(database, ["demo"]) == {"demo": newer}
    assert await load_metadata(database, ["unknown"]) == {}


async def test_changed_metadata_writes_the_page_again(site: SiteHarness) -> None:
    await site.publish("demo")
    await site.write_all()
    await store_metadata(site.db, "demo", "1.0", ABOUT)
    await page_queue.collect_changes(site.db, page_queue.PROJECT_PAGE_KINDS)
    assert await site.queued_pages(PageKind.PROJECT) == ["demo"]
    await site.write_all()
    assert "Makes wheels" in site.shown("project/demo/index.html")
