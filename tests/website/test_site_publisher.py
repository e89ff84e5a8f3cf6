"""The website publisher with a real database and web root."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from piwheels.db import catalog, job_queue, page_queue
from piwheels.db.recipe_store import store_recipe
from piwheels.model import Outcome, Recipe, RecipeOrigin, target_words
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_job_with_retry_after,
    make_build,
    make_release,
    mark_yanked,
)
from tests.website.factories import assert_harmless
from tests.website.harness import SiteHarness

CP39 = TARGETS[0].name


SINGLE = [
    "index.html", "packages.html", "packages.json", "stats.html", "stats.json", "faq.html",
    "json.html", "404.html", "robots.txt", "sitemap.xml", "sitemap-1.xml", "failures.atom",
    "wheels.atom", "packages-v1.json", "schema/project.json", "stats/years.json", "search/_.json",
]  # fmt: skip


def times(root: Path) -> dict[str, int]:
    """The mtime of each file."""
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


async def test_an_empty_farm_has_every_page_but_those_of_projects(site: SiteHarness) -> None:
    await site.write_all()
    for name in SINGLE:
        content = site.shown(name)
        if name.endswith(".html"):
            assert_harmless(content.encode())
        if name.endswith((".xml", ".atom")):
            ET.fromstring(content)
        if name.endswith("json"):
            json.loads(content)
    assert not (site.webroot.root / "project").exists()


async def test_a_farm_with_one_project_shows_it_everywhere(site: SiteHarness) -> None:
    wheel = await site.publish("alpha")
    await site.write_all()
    page = site.shown("project/alpha/index.html")
    assert wheel.filename in assert_harmless(page.encode()).text
    assert json.loads(site.shown("project/alpha/v1.json"))["releases"][0]["files"]
    assert "alpha 1.0" in site.shown("project/alpha/feed.atom")
    assert "project/alpha/" in site.shown("index.html")
    assert "project/alpha/" in site.shown("packages.html")
    assert "/project/alpha/" in site.shown("sitemap-1.xml")
    assert json.loads(site.shown("packages-v1.json"))["projects"] == [["alpha", 1, 0]]
    assert json.loads(site.shown("packages.json")) == [["alpha", 0, 0]]
    assert "alpha 1.0" in site.shown("wheels.atom")


async def test_only_changed_files_are_written(site: SiteHarness) -> None:
    await site.publish("alpha")
    await site.publish("beta")
    await site.write_all()
    before = times(site.webroot.root / "project")
    await page_queue.request_rewrite(site.db, None, None)
    await site.publisher.write_pending()
    assert await site.write_website() >= 2
    assert times(site.webroot.root / "project") == before
    await site.publish("beta", "2.0")
    await site.write_all()
    after = times(site.webroot.root / "project")
    assert {Path(path).parent.name for path in after if before[path] != after[path]} == {"beta"}


async def test_a_page_follows_a_job_from_the_queue_to_its_failure(site: SiteHarness) -> None:
    async def shows(*words: str) -> None:
        await site.write_all()
        text = " ".join(
            assert_harmless(site.shown("project/alpha/index.html").encode()).text.split()
        )
        for word in words:
            assert word in text

    await catalog.add_project(site.db, "alpha", "Alpha")
    await shows("No releases are known yet")
    await catalog.add_releases(site.db, [make_release("alpha")], RULES)
    await shows("queued", "position 1")
    job = await job_queue.claim(site.db, "pi4-kitchen", [CP39])
    assert job is not None
    await shows("building", "It has been building on pi4-kitchen since")
    await complete_job_with_retry_after(
        site.db, make_build(job, "pi4-kitchen", Outcome.FAILED), [], RULES, None
    )
    await shows("failed", "it broke", f"Build {job.build_id} failed: it broke")
    await job_queue.retry(site.db, "alpha")
    await shows("queued")
    await catalog.skip_project(site.db, "alpha", "opted out")
    await shows("skipped", "This project is not built: opted out")
    await catalog.skip_project(site.db, "alpha", None)
    await mark_yanked(site.db, "alpha", "1.0", "too slow")
    await shows("yanked", "too slow")


async def test_a_page_follows_the_recipes_of_its_project(site: SiteHarness) -> None:
    await site.publish("alpha")
    learned = Recipe(project="alpha", origin=RecipeOrigin.LEARNED, packages=("libpq-dev",))
    await store_recipe(site.db, RecipeOrigin.LEARNED, "alpha", learned)
    await site.write_all()
    assert "libpq-dev" in site.shown("project/alpha/index.html")
    await store_recipe(site.db, RecipeOrigin.LEARNED, "alpha", None)
    await site.write_all()
    assert "libpq-dev" not in site.shown("project/alpha/index.html")


async def test_the_pages_of_a_removed_project_are_removed(site: SiteHarness) -> None:
    await site.publish("alpha")
    await site.write_all()
    await catalog.remove_project(site.db, "alpha")
    await site.write_all()
    assert not site.webroot.project_dir("alpha").exists()


async def test_unneeded_pages_of_releases_are_removed(site: SiteHarness) -> None:
    await catalog.add_project(site.db, "alpha", "alpha")
    many = [make_release("alpha", f"{number}.0") for number in range(40)]
    await catalog.add_releases(site.db, many, RULES)
    await site.write_all()
    assert (site.webroot.project_dir("alpha") / "releases-2.html").exists()
    await catalog.remove_project(site.db, "alpha")
    await catalog.add_project(site.db, "alpha", "alpha")
    await catalog.add_releases(site.db, many[:2], RULES)
    await site.write_all()
    there = {path.name for path in site.webroot.project_dir("alpha").iterdir()}
    assert there == {
        name
        for page in ("index.html", "json", "v1.json", "feed.atom")
        for name in (page, f"{page}.gz")
    }


async def test_a_new_failure_is_in_the_feed(site: SiteHarness) -> None:
    await catalog.add_project(site.db, "fresh", "fresh")
    await site.publish("alpha", "1.0")
    for name, version in (("alpha", "2.0"), ("fresh", "1.0")):
        await catalog.add_releases(site.db, [make_release(name, version)], RULES)
        job = await job_queue.claim(site.db, "builder", [CP39])
        assert job is not None
        await complete_job_with_retry_after(
            site.db, make_build(job, "builder", Outcome.FAILED), [], RULES, None
        )
    await site.write_all()
    feed = site.shown("failures.atom")
    assert f"alpha 2.0 for {target_words(CP39)}: failed" in feed
    assert "fresh" not in feed
