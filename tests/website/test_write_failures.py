"""The order of writing pages, and failures of pages and of the process."""

import asyncio
import errno
import gzip
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from piwheels.db import catalog, page_queue
from piwheels.db.page_queue import PageKind
from piwheels.errors import PiwheelsError
from piwheels.index import index_publisher, simple_pages
from piwheels.index.simple_pages import RenderedPage
from piwheels.model import IndexPage
from piwheels.rendering import write_retries
from piwheels.website import (
    log_page,
    page_schedule,
    part_size,
    project_page,
    project_writer,
    site_pages,
)
from piwheels.website.log_page import FailedBuild
from piwheels.website.page_data import ProjectData, Site
from piwheels.website.page_schedule import PageSchedule
from piwheels.website.project_writer import WriteRequest, WrittenProjects
from piwheels.website.site_publisher import SitePublisher
from tests.timeouts import WAIT_S
from tests.website.factories import SITE
from tests.website.harness import SiteHarness


async def test_nothing_is_written_while_an_index_page_is_queued(site: SiteHarness) -> None:
    await site.publish("alpha")
    task = asyncio.create_task(site.write_website())
    page = site.webroot.root / "index.html"
    seen = await site.db.value("SELECT count(*) FROM page_invalidations WHERE page_kind = 'simple'")
    for _ in range(5):
        await asyncio.sleep(0)
        assert not page.exists()
    assert seen
    await site.publisher.write_pending()
    simple = (site.webroot.simple_dir("alpha") / "index.html").stat().st_mtime_ns
    async with asyncio.timeout(WAIT_S):
        await task
    assert page.stat().st_mtime_ns >= simple
    assert (site.webroot.project_dir("alpha") / "index.html").exists()


async def test_a_page_that_cannot_be_rendered_does_not_delay_others(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alpha", "beta", "gamma"):
        await site.publish(name)
    render = project_page.render_project

    def failing(*arguments: object) -> dict[str, bytes]:
        if arguments[1].facts.project == "beta":  # type: ignore[attr-defined]
            raise ValueError("a strange project")
        return render(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(project_writer, "render_project", failing)
        await site.write_all()
    shown = {path.name for path in (site.webroot.root / "project").iterdir()}
    assert shown == {"alpha", "gamma"}
    assert (site.webroot.simple_dir("beta") / "index.html").exists()
    assert await page_queue.pending_page_count(site.db) == 1
    assert await site.queued_pages() == []
    await site.db.execute("UPDATE page_queue SET retry_at = now() WHERE retry_at IS NOT NULL")
    await site.write_all()
    assert (site.webroot.project_dir("beta") / "index.html").exists()


async def test_a_project_with_invalid_data_does_not_delay_others(
    site: SiteHarness,
) -> None:
    for name in ("alpha", "beta"):
        await site.publish(name)
    await site.db.execute(
        """
        INSERT INTO releases (project, version, released_at, requires_python)
        VALUES ('alpha', 'not a version', now(), '')
        """
    )
    await site.write_all()
    assert {path.name for path in (site.webroot.root / "project").iterdir()} == {"beta"}
    await catalog.remove_release(site.db, "alpha", "not a version")
    await page_queue.request_rewrite(site.db, None, "alpha")
    await site.write_all()
    assert (site.webroot.project_dir("alpha") / "index.html").exists()


async def test_a_log_that_cannot_be_shown_delays_its_project_alone(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alpha", "beta"):
        await site.publish(name)
    linked = log_page.linked_builds

    def fails_for_alpha(content: ProjectData) -> Iterator[FailedBuild]:
        if content.facts.project == "alpha":
            raise ValueError("no such color")
        return linked(content)

    with monkeypatch.context() as patch:
        patch.setattr(log_page, "linked_builds", fails_for_alpha)
        await site.write_all()
    assert "no such color" in await site.db.value("SELECT string_agg(text, ' ') FROM events")
    assert (site.webroot.project_dir("beta") / "index.html").exists()
    assert await page_queue.pending_page_count(site.db, [PageKind.PROJECT]) == 1


async def test_an_index_page_that_cannot_be_rendered_delays_no_other(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = simple_pages.render_project

    def fails_for_alpha(page: IndexPage) -> RenderedPage:
        if page.project == "alpha":
            raise ValueError("no such year")
        return render(page)

    def no_list(*_: object) -> None:
        raise PiwheelsError("the statement was canceled")

    for name in ("alpha", "beta"):
        await site.publish(name)
    with monkeypatch.context() as patch:
        patch.setattr(index_publisher, "render_project", fails_for_alpha)
        patch.setattr(index_publisher, "refresh_project_list", no_list)
        await site.publisher.write_pending()
    assert [file["filename"] for file in site.page("beta")["files"]]
    assert not site.webroot.simple_dir("alpha").exists()
    events = await site.db.value("SELECT string_agg(text, ' ') FROM events")
    assert "no such year" in events
    assert "the statement was canceled" in events
    await site.db.execute("UPDATE page_queue SET retry_at = now() WHERE retry_at IS NOT NULL")
    await site.publisher.write_pending()
    assert {project["name"] for project in site.page()["projects"]} == {"alpha", "beta"}


async def test_a_single_page_that_fails_does_not_delay_others(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise ValueError("no figures today")

    await site.publish("alpha")
    with monkeypatch.context() as patch:
        patch.setattr(site_pages, "stats_pages", failing)
        await site.write_all()
    assert not (site.webroot.root / "stats.html").exists()
    for name in ("index.html", "sitemap.xml", "project/alpha/index.html"):
        assert (site.webroot.root / name).exists()
    await page_queue.request_rewrite(site.db, PageKind.STATS, None)
    await site.write_all()
    assert (site.webroot.root / "stats.html").exists()


async def test_a_requested_single_page_that_fails_is_postponed(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def failing(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise ValueError("no figures today")

    await site.write_all()
    await page_queue.request_rewrite(site.db, PageKind.STATS, None)
    with monkeypatch.context() as patch:
        patch.setattr(site_pages, "stats_pages", failing)
        for _ in range(3):
            await site.write_all()
    assert tries == 1
    assert await page_queue.pending_page_count(site.db, [PageKind.STATS]) == 1
    await page_queue.request_rewrite(site.db, PageKind.STATS, None)
    await site.write_all()
    assert await page_queue.pending_page_count(site.db, [PageKind.STATS]) == 0


async def test_housekeeping_runs_while_many_pages_are_queued(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []

    async def chore() -> None:
        waiting.append(await page_queue.pending_page_count(site.db, [PageKind.PROJECT]))

    monkeypatch.setattr(part_size, "MAX_PROJECTS", 1)
    monkeypatch.setattr(page_schedule, "_MAX_PAUSE_S", 0.0)
    monkeypatch.setattr(page_schedule, "_MIN_COST_FACTOR", 0.0)
    monkeypatch.setattr(site.showing, "_chores", [PageSchedule(0.0, chore)])
    for name in ("alpha", "beta", "gamma"):
        await site.publish(name)
    await site.write_all()
    assert len([count for count in waiting if count]) >= 2


async def test_writing_resumes_after_a_full_disk(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.publish("alpha")
    await site.publisher.write_pending()
    monkeypatch.setattr(write_retries, "_FULL_DISK_DELAY_S", 0.01)
    write = project_writer.write_projects
    tries = 0

    def full(root: Path, of: Site, request: WriteRequest) -> WrittenProjects:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(root, of, request)

    monkeypatch.setattr(project_writer, "write_projects", full)
    await write_retries.retry_until_written(site.showing.write_pending, site.webroot.root)
    assert tries == 3
    assert (site.webroot.project_dir("alpha") / "index.html").exists()


#: Stops in the middle of its pages, between a file and its name.
WRITER = """
import asyncio, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from piwheels.db.database import Database
from piwheels.website.page_data import Site
from piwheels.website.site_publisher import SitePublisher
from piwheels.webroot import Webroot

replace, root = os.replace, Path(sys.argv[2])
left = 300

def replace_and_stop(new, path):
    global left
    left -= root / "project" in Path(path).parents
    if left < 0:
        root.with_name("stopped").touch()
        time.sleep(600)
    return replace(new, path)

os.replace = replace_and_stop

async def main():
    async with await Database.connect(sys.argv[1], role="show") as db:
        with ThreadPoolExecutor(1) as pool:
            site = Site(url="https://wheels.example.org/")
            await SitePublisher(db=db, webroot=Webroot(root), executor=pool, site=site).run()

asyncio.run(main())
"""


async def test_a_part_that_cannot_be_written_does_not_stop_the_one_beside_it(
    site: SiteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"project-{number:02}" for number in range(4)]
    for name in names:
        await catalog.add_project(site.db, name, name)
    write, began = project_writer.write_projects, threading.Barrier(2, timeout=WAIT_S)

    def failing(root: Path, shown: Site, request: WriteRequest) -> WrittenProjects:
        began.wait()  # both parts at the same time
        if "project-00" in request.names:
            raise OSError(errno.EROFS, "Read-only file system")
        return write(root, shown, request)

    monkeypatch.setattr(part_size, "MAX_PROJECTS", 2)
    with ThreadPoolExecutor(2) as pool:
        publisher = SitePublisher(
            db=site.db, webroot=site.webroot, executor=pool, site=SITE, writers=2,
            min_project_interval_s=0.0,
        )  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(project_writer, "write_projects", failing)
            with pytest.raises(OSError, match="Read-only"):
                await publisher.write_pending()
        assert {path.name for path in (site.webroot.root / "project").iterdir()} == {*names[2:]}
        assert await page_queue.pending_page_count(site.db) == 2
        assert await publisher.write_pending() == 2
    assert {path.name for path in (site.webroot.root / "project").iterdir()} == {*names}


async def test_queued_pages_survive_a_kill(site: SiteHarness, dsn: str) -> None:
    names = [f"project-{number}" for number in range(150)]
    for name in names:
        await catalog.add_project(site.db, name, name)
    root = site.webroot.root
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, dsn, str(root))
    try:
        async with asyncio.timeout(WAIT_S):
            while not root.with_name("stopped").exists():  # noqa: ASYNC110 - nothing tells of a file
                await asyncio.sleep(0.01)
    finally:
        process.kill()
        await process.wait()
    for path in root.rglob("*.gz"):
        gzip.decompress(path.read_bytes())
    there = {path.name for path in (root / "project").iterdir()}
    assert await page_queue.pending_page_count(site.db) > 0
    assert len(there) < len(names)
    await site.write_website()
    for name in names:
        site.shown(f"project/{name}/index.html")
        site.shown(f"project/{name}/json")
    assert await page_queue.pending_page_count(site.db) == 0
    assert not list(root.rglob(".*"))
