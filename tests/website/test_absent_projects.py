"""Pages of projects without wheels: why there are none, and where a visitor gets them."""

from typing import Any

import pytest

from piwheels.index_client.client import SimpleIndex
from piwheels.model import BuildRequest, UpstreamPage, UpstreamWheelPolicy
from piwheels.upstream.sync import add_projects
from piwheels.website.page_data import Site
from piwheels.website.project_page import render_project
from tests.db.scenario import RULES
from tests.fake_index import FakeIndex, fake_index
from tests.website.factories import (
    NOW,
    Reader,
    a_project,
    a_release,
    a_target,
    assert_harmless,
    project_facts,
)
from tests.website.harness import SiteHarness

PYPI = Site(url="https://wheels.example.org/", upstream_url="https://pypi.org/simple/")
WHEEL = "demo-1.0-py3-none-any.whl"
_TARGET_FIELDS = frozenset({"python_allowed", "target_skip_reason", "last_build_id"})


async def asked_for(
    site: SiteHarness,
    upstream: FakeIndex,
    wheels: UpstreamWheelPolicy = UpstreamWheelPolicy.BUILD,
) -> Reader:
    """What the page of a project says, after an operator asked for the project."""
    async with SimpleIndex(upstream.simple) as index:
        await add_projects(site.db, index, [BuildRequest(requirement="demo")], RULES, wheels=wheels)
    await site.write_all()
    return assert_harmless(site.shown("project/demo/index.html").encode())


async def test_a_project_that_was_refused_for_lack_of_an_sdist_has_a_page(
    site: SiteHarness,
) -> None:
    with fake_index() as upstream:
        upstream.add("demo", WHEEL, b"w")
        reader = await asked_for(site, upstream)
        assert "There are no wheels here. Its releases have no source distribution" in reader.text
        assert "Newest release: 1.0" in reader.text
        assert "no source" in reader.text, "its release is in the table"
        assert "pip install demo" in reader.text, "from the usual index"
        assert "or build from source" not in reader.text
        assert "project/demo/" in site.shown("sitemap-1.xml")


async def test_it_is_built_once_its_sdist_appears(site: SiteHarness) -> None:
    with fake_index() as upstream:
        upstream.add("demo", WHEEL, b"w")
        await asked_for(site, upstream)
        upstream.add("demo", "demo-1.0.tar.gz", b"s")
        assert "queued, being built" in (await asked_for(site, upstream)).text


async def test_a_project_whose_wheels_upstream_has_says_so(site: SiteHarness) -> None:
    with fake_index() as upstream:
        upstream.add("demo", WHEEL, b"w")
        upstream.add("demo", "demo-1.0.tar.gz", b"s")
        reader = await asked_for(site, upstream, UpstreamWheelPolicy.MISSING)
        assert "There are no wheels here. The upstream index has wheels of it" in reader.text
        assert "pip install demo" in reader.text
        assert "Only its authors can publish an sdist" not in reader.text


@pytest.mark.parametrize("version", ["", "==1.0"])
async def test_a_refused_project_that_upstream_lacks_leaves_nothing(
    site: SiteHarness, version: str
) -> None:
    with fake_index() as upstream:
        upstream.add("demo", "demo-2.0.tar.gz", b"s")
        name = f"demo{version}" if version else "nowhere"
        async with SimpleIndex(upstream.simple) as index:
            request = BuildRequest(requirement=name)
            (added,) = await add_projects(site.db, index, [request], RULES)
    assert added.problem
    assert await site.db.value("SELECT count(*) FROM projects") == 0


@pytest.mark.parametrize(
    ("upstream", "why"),
    [
        (None, "No releases are known yet."),
        ({"newest_version": None}, "lists no release of it that is not yanked."),
        ({"newest_version": "1.0"}, "This farm was asked for its next releases"),
        ({"newest_version": "1.0", "newest_has_sdist": False}, "no source distribution (sdist)"),
    ],
)
def test_a_project_without_releases_tells_what_upstream_has(
    upstream: dict[str, Any] | None, why: str
) -> None:
    known: dict[str, Any] = {"newest_at": NOW, "newest_has_sdist": True}
    seen = upstream and UpstreamPage(**(known | upstream))
    content = a_project(facts=project_facts(upstream=seen))
    assert why in Reader(render_project(PYPI, content)["index.html"]).text


@pytest.mark.parametrize(
    ("release", "why"),
    [
        ({"missing_since": NOW}, "The upstream index no longer lists its releases."),
        ({"skip_reason": "too large"}, "The operators of this farm decided not to build it;"),
        ({"python_allowed": False}, "exclude every Python of this farm by Requires-Python."),
        ({"target_skip_reason": "no need", "last_build_id": 1}, "decided not to build it;"),
    ],
)
def test_a_project_for_which_nothing_is_built_tells_why(release: dict[str, Any], why: str) -> None:
    of_target = {name: release[name] for name in release if name in _TARGET_FIELDS}
    of_release = {name: release[name] for name in release if name not in _TARGET_FIELDS}
    content = a_project(a_release("1.0", a_target(**of_target), **of_release))
    text = Reader(render_project(PYPI, content)["index.html"]).text
    assert f"There are no wheels here. {why}"[:25] in text
    assert why in text


def test_what_only_upstream_has_is_linked_there() -> None:
    content = a_project(a_release(has_sdist=False))
    reader = assert_harmless(render_project(PYPI, content)["index.html"])
    assert reader.links().count("https://pypi.org/project/demo/") == 2
