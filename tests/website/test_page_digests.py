"""Pages whose data did not change are neither loaded nor written, and no change is missed."""

import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from piwheels.db import catalog, job_queue, page_digests, page_queue, site_queries
from piwheels.db.database import Database
from piwheels.db.page_digests import Basis
from piwheels.db.page_queue import PageKind
from piwheels.db.upstream_wheels import store_upstream_wheels
from piwheels.website import project_writer
from piwheels.website.page_data import Site
from piwheels.website.project_writer import WriteRequest, WrittenProjects
from piwheels.website.site_publisher import SitePublisher
from tests.db.scenario import RULES, TARGETS, make_release, make_upstream_wheel, mark_yanked
from tests.website.harness import SiteHarness

_PROJECTS = ("alpha", "beta", "gamma")


async def invalidate(site: SiteHarness, *projects: str) -> None:
    await page_queue.invalidate(site.db, PageKind.PROJECT, projects)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The projects whose pages are loaded and written."""
    names: list[str] = []
    original = project_writer.write_projects

    def write(root: Path, site: Site, request: WriteRequest) -> WrittenProjects:
        names.extend(request.names)
        return original(root, site, request)

    monkeypatch.setattr(project_writer, "write_projects", write)
    return names


async def test_only_pages_whose_data_changed_are_written(
    site: SiteHarness, written: list[str]
) -> None:
    for project in _PROJECTS:
        await site.publish(project)
    await site.write_all()
    written.clear()
    await invalidate(site, *_PROJECTS)
    assert await site.showing.write_pending() == len(_PROJECTS)
    assert written == []
    assert await site.queued_pages() == []
    await mark_yanked(site.db, "beta", "1.0", "broken")
    await invalidate(site, *_PROJECTS)
    await site.write_all()
    assert written == ["beta"]
    assert "broken" in site.shown("project/beta/index.html")


async def test_an_operator_can_have_unchanged_pages_written(
    site: SiteHarness, written: list[str]
) -> None:
    for project in _PROJECTS:
        await site.publish(project)
    await site.write_all()
    damaged = site.webroot.project_dir("beta") / "index.html"
    damaged.write_bytes(b"damaged")
    written.clear()
    await page_queue.request_rewrite(site.db, PageKind.PROJECT, "beta")
    await site.write_all()
    assert written == ["beta"]
    assert b"damaged" not in damaged.read_bytes()
    await page_queue.request_rewrite(site.db, None, None)
    await site.write_all()
    assert sorted(written[1:]) == list(_PROJECTS)


@pytest.mark.parametrize("lost", ["*", "index.html", "json", "v1.json"])
async def test_missing_pages_are_written_whatever_their_digest(
    site: SiteHarness, lost: str
) -> None:
    await site.publish("alpha")
    await site.write_all()
    site.webroot.remove(list(site.webroot.project_dir("alpha").glob(lost)))
    await invalidate(site, "alpha")
    await site.write_all()
    for name in ("index.html", "json", "v1.json"):
        assert "alpha" in site.shown(f"project/alpha/{name}")


async def test_a_crash_after_writing_leaves_no_digest_of_other_data(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data returns to what it was before: the page that was written meanwhile is outdated."""
    await site.publish("alpha")
    await site.write_all()

    async def crash(*_: object) -> None:
        raise RuntimeError("killed")

    await mark_yanked(site.db, "alpha", "1.0", "broken")
    await site.publisher.write_pending()
    with monkeypatch.context() as patch:
        patch.setattr(SitePublisher, "_finish_projects", crash)
        with pytest.raises(RuntimeError, match="killed"):
            await site.showing.write_pending()
    assert "broken" in site.shown("project/alpha/index.html")
    await mark_yanked(site.db, "alpha", "1.0", None)
    await site.write_all()
    assert "broken" not in site.shown("project/alpha/index.html")


async def test_other_settings_and_another_version_rewrite_every_page(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch, written: list[str]
) -> None:
    for project in _PROJECTS:
        await site.publish(project)
    await site.write_all()
    written.clear()
    renamed = msgspec.structs.replace(site.showing.site, name="Our wheels")
    await dataclasses.replace(site.showing, site=renamed).write_pending()
    assert sorted(written) == list(_PROJECTS)
    assert "Our wheels" in site.shown("project/beta/index.html")
    written.clear()
    monkeypatch.setattr("piwheels.website.site_publisher.renderer_version", lambda: "newer")
    await dataclasses.replace(site.showing, site=renamed).write_pending()
    assert sorted(written) == list(_PROJECTS)


async def digest(db: Database) -> str:
    return (await page_digests.current_digests(db, ["alpha"], Basis()))["alpha"]


_CHANGES: dict[str, Callable[[Database], Awaitable[object]]] = {
    "claim of a job before its own": lambda db: job_queue.claim(db, "pi", [TARGETS[0].name]),
    "claim": lambda db: job_queue.claim(db, "pi", [TARGETS[0].name]),
    "yank": lambda db: mark_yanked(db, "alpha", "1.0", "broken"),
    "skip": lambda db: catalog.skip_project(db, "alpha", "no"),
    "alias": lambda db: site_queries.set_alias(db, "other", "alpha"),
    "release": lambda db: catalog.add_releases(db, [make_release("alpha", "2.0")], RULES),
    "builds": lambda db: db.execute("UPDATE builds SET reason = 'other' WHERE project = 'alpha'"),
    "files": lambda db: db.execute("UPDATE files SET build_tag = 7 WHERE project = 'alpha'"),
    "target": lambda db: db.execute("UPDATE targets SET skip_reason = 'old' WHERE python = '3.9'"),
    "recipe": lambda db: db.execute("INSERT INTO key_values VALUES ('recipe/learned/alpha', '1')"),
    "reproduction": lambda db: db.execute(
        """
        INSERT INTO reproductions (filename, project, target, asked_by, ended_at, result)
        SELECT filename, project, 't', '', now(), 'same' FROM files WHERE project = 'alpha'
        """
    ),
    "downloads": lambda db: db.execute("INSERT INTO downloads_by_project VALUES ('alpha', 1, 0)"),
    "metadata": lambda db: db.execute(
        "INSERT INTO project_metadata VALUES ('alpha', '1.0', 'a', '', '', '{}', '{}')"
    ),
    "upstream page": lambda db: db.execute(
        "INSERT INTO upstream_pages VALUES ('alpha', '3.0', NULL, true, 0, '{}')"
    ),
    "policy": lambda db: db.execute("UPDATE projects SET upstream_wheel_policy = 'missing'"),
    "upstream wheel": lambda db: store_upstream_wheels(
        db, ["alpha"], [make_upstream_wheel("alpha", "1.0", "py3-none-any")], RULES
    ),
    "skipped target": lambda db: db.execute(
        "INSERT INTO target_skips SELECT 'alpha', '', target, 'no' FROM targets"
    ),
}


async def test_whatever_a_page_shows_changes_its_digest(site: SiteHarness) -> None:
    await site.publish("alpha")
    await catalog.add_project(site.db, "first", "first")
    await catalog.add_releases(site.db, [make_release("first")], RULES)
    await catalog.add_releases(site.db, [make_release("alpha", "0.9")], RULES)
    seen, unnoticed = [await digest(site.db)], list[str]()
    for what, change in _CHANGES.items():
        await change(site.db)
        seen.append(await digest(site.db))
        unnoticed += [what] if seen[-1] == seen[-2] else []
    assert unnoticed == []
    checked = "UPDATE projects SET checked_at = now(), page_serial = 7 WHERE project = 'alpha'"
    await site.db.execute(checked)
    await site.db.execute(
        """
        INSERT INTO reproductions (filename, project, target, asked_by)
        SELECT filename, project, 't', 'ann' FROM files WHERE project = 'alpha'
        """
    )
    assert await digest(site.db) == seen[-1], (
        "a check of the upstream page is not shown, and no reproduction that has not ended"
    )


async def test_times_and_builders_matter_to_pages_with_jobs_alone(site: SiteHarness) -> None:
    await site.publish("alpha")
    await site.db.execute("DELETE FROM jobs")
    now, later = Basis(queued="now"), Basis(queued="later")
    current = page_digests.current_digests
    assert await current(site.db, ["alpha"], now) == await current(site.db, ["alpha"], later)
    await catalog.add_releases(site.db, [make_release("alpha", "2.0")], RULES)
    assert await current(site.db, ["alpha"], now) != await current(site.db, ["alpha"], later)


async def test_a_project_that_cannot_be_loaded_delays_no_other(site: SiteHarness) -> None:
    for project in _PROJECTS:
        await site.publish(project)
    # Only the website shows causes of failures, and this is none.
    await site.db.execute(
        """
        UPDATE builds SET failure_class = 'timed-out', evidence = '{"missing": 7}'
         WHERE project = 'beta'
        """
    )
    await site.publisher.write_pending()
    await site.showing.write_pending()
    for project, is_there in (("alpha", True), ("beta", False), ("gamma", True)):
        assert (site.webroot.project_dir(project) / "index.html").exists() is is_there
    events = await site.db.rows("SELECT text FROM events")
    assert any("the project page of beta cannot be written" in event["text"] for event in events)
