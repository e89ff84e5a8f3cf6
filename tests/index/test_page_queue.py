"""The page queue: which pages are written, and when."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from piwheels.db import catalog, page_queue, target_queries
from piwheels.db.page_digests import Basis
from piwheels.db.page_queue import PageKind, PageToWrite
from piwheels.index import index_publisher
from piwheels.model import IndexPage
from piwheels.website import part_size, project_writer
from piwheels.website.page_data import Site
from piwheels.website.project_writer import WriteRequest, WrittenProjects
from piwheels.website.site_publisher import SitePublisher
from tests.db.scenario import RULES, TARGETS, make_release
from tests.website.harness import SiteHarness


async def test_many_changes_of_a_project_are_one_page(site: SiteHarness) -> None:
    for version in ("1.0", "2.0", "3.0"):
        await site.publish("alpha", version)
    assert await site.queued_pages() == ["alpha"]


async def test_a_check_of_the_upstream_changes_no_page(site: SiteHarness) -> None:
    await site.publish("alpha")
    await site.write_all()
    await site.db.execute("UPDATE projects SET checked_at = now(), next_poll_at = now()")
    await catalog.add_releases(site.db, [make_release("alpha")], RULES)
    assert await site.queued_pages() == []


async def test_another_target_invalidates_every_project(site: SiteHarness) -> None:
    for name in ("alpha", "beta"):
        await site.publish(name)
    await site.write_all()
    await target_queries.add_target(site.db, TARGETS[1], RULES)
    await page_queue.collect_changes(site.db, page_queue.PROJECT_PAGE_KINDS)
    assert await page_queue.invalidate_all_projects(site.db) == 2
    assert await site.queued_pages() == ["alpha", "beta"]
    await site.write_all()
    for name in ("alpha", "beta"):
        assert TARGETS[1].name in site.shown(f"project/{name}/v1.json")


async def test_a_busy_project_is_written_at_most_once_per_interval(
    site: SiteHarness,
) -> None:
    site.showing.min_project_interval_s = 3600.0
    await site.publish("alpha")
    await site.write_all()
    await site.publish("alpha", "2.0")
    await site.write_all()
    assert "2.0" not in site.shown("project/alpha/v1.json")
    await site.db.execute("UPDATE page_queue SET written_at = now() - interval '2 hours'")
    await site.write_all()
    assert "2.0" in site.shown("project/alpha/v1.json")


async def test_a_requested_rewrite_is_immediate(site: SiteHarness) -> None:
    site.showing.min_project_interval_s = 3600.0
    await site.publish("alpha")
    await site.write_all()
    await site.publish("alpha", "2.0")
    assert await page_queue.request_rewrite(site.db, None, "alpha") == 2
    await site.write_all()
    assert "2.0" in site.shown("project/alpha/v1.json")


@pytest.mark.parametrize(
    ("part", "file"),
    [
        (PageKind.HOME, "index.html"),
        (PageKind.STATS, "stats.html"),
        (PageKind.SEARCH, "packages.json"),
        (PageKind.SITEMAPS, "sitemap.xml"),
        (PageKind.FAILURES, "failures.atom"),
        (PageKind.STATIC, "faq.html"),
        (PageKind.PROJECTS, "project/alpha/v1.json"),
        (PageKind.SIMPLE, "simple/alpha/index.html"),
    ],
)
async def test_one_kind_of_page_can_be_rewritten(
    site: SiteHarness, part: PageKind, file: str
) -> None:
    await site.publish("alpha")
    await site.write_all()
    damaged = [site.webroot.root / name for name in ("index.html", "stats.html", file)]
    for path in damaged:
        path.write_bytes(b"damaged")
    await page_queue.request_rewrite(site.db, part, None)
    await site.write_all()
    assert (site.webroot.root / file).read_bytes() != b"damaged"
    others = [path for path in damaged if path.name != Path(file).name]
    assert all(path.read_bytes() == b"damaged" for path in others)


async def test_pages_of_a_build_that_ended_precede_a_backlog(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it ends while the backlog is written, and before the backlog is collected."""
    projects = 3 * part_size.MAX_PROJECTS
    await site.db.execute(
        """
        INSERT INTO projects (project, display_name)
        SELECT name, name FROM (SELECT 'backlog-' || n AS name
                                  FROM generate_series(1, %(projects)s) n) numbered
        """,
        {"projects": projects},
    )
    monkeypatch.setattr(page_queue, "_COLLECT_LIMIT", projects // 2)
    written: list[str] = []
    write_projects = project_writer.write_projects

    def write(root: Path, of: Site, request: WriteRequest) -> WrittenProjects:
        written.extend(request.names)
        return write_projects(root, of, request)

    original = SitePublisher._write_part

    async def write_part(self: SitePublisher, pages: Sequence[PageToWrite], basis: Basis) -> None:
        await original(self, pages, basis)
        if "beta" not in written and await site.db.value("SELECT count(*) FROM builds") == 1:
            await site.publish("beta")
            await site.publisher.write_pending()

    monkeypatch.setattr(project_writer, "write_projects", write)
    monkeypatch.setattr(SitePublisher, "_write_part", write_part)
    await site.publish("alpha")
    await site.write_all()
    assert set(written) >= {"alpha", "beta", "backlog-1", f"backlog-{projects}"}
    assert written[0] == "alpha"
    assert written.index("beta") <= part_size.MAX_PROJECTS, "it is in the next part"


async def test_index_pages_of_a_new_wheel_precede_a_backlog(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await site.publish(f"backlog-{number}")
    await site.write_all()
    written: list[str] = []
    write_pages = index_publisher.write_pages

    def write(root: Path, content: Sequence[tuple[str, IndexPage | None]]) -> dict[str, str]:
        written.extend(name for name, _ in content)
        return write_pages(root, content)

    monkeypatch.setattr(index_publisher, "write_pages", write)
    monkeypatch.setattr(index_publisher, "_BATCH_SIZE", 1)
    await page_queue.request_rewrite(site.db, PageKind.SIMPLE, None)
    await page_queue.collect_changes(site.db, page_queue.INDEX_PAGE_KINDS)
    await site.publish("new")
    await site.publisher.write_pending()
    assert written[0] == "new"
    assert len(written) == 6
