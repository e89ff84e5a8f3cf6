"""Lists of all projects, and pages of projects: neither waits while the other is written."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.rendering.render_pool import RenderPool
from piwheels.webroot import Webroot
from piwheels.website import page_writer, project_writer
from piwheels.website.single_page_publisher import SinglePagePublisher
from piwheels.website.site_publisher import SitePublisher
from piwheels.website.website_publisher import WebsitePublisher
from tests.timeouts import WAIT_S
from tests.website.factories import SITE
from tests.website.harness import SiteHarness


def write_for_long(root: Path, *_: object) -> None:
    """Stands for a writer, in its render process, and ends when the test unlocks a file."""
    (root / "began").touch()
    with (root / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    (root / "ended").touch()


@asynccontextmanager
async def publishing(dsn: str, webroot: Webroot) -> AsyncIterator[None]:
    """Run the publishers of the website, with the connections and processes that a master has."""
    async with (
        await Database.connect(dsn, role="show") as db,
        await Database.connect(dsn, role="lists") as lists_db,
    ):
        with (webroot.root / "lock").open("w") as lock, ExitStack() as stack:
            pools = [stack.enter_context(RenderPool()) for _ in range(2)]
            fcntl.flock(lock, fcntl.LOCK_EX)
            stack.callback(fcntl.flock, lock, fcntl.LOCK_UN)  # before the processes are waited for
            publishers: list[WebsitePublisher] = [
                SitePublisher(db=db, webroot=webroot, executor=pools[0], site=SITE),
                SinglePagePublisher(db=lists_db, webroot=webroot, executor=pools[1], site=SITE),
            ]
            tasks = [asyncio.create_task(publisher.run()) for publisher in publishers]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def appears(path: Path) -> None:
    async with asyncio.timeout(WAIT_S):
        while not path.exists():  # noqa: ASYNC110 - nothing tells of a file
            await asyncio.sleep(0.01)


async def test_the_page_of_a_build_that_ended_does_not_wait_for_a_list(
    site: SiteHarness, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_writer, "write_search", write_for_long)
    root = site.webroot.root
    async with publishing(dsn, site.webroot):
        await appears(root / "began")
        await site.publish("alpha")
        await site.publisher.write_pending()
        await appears(site.webroot.project_dir("alpha") / "index.html")
        assert not (root / "ended").exists()


async def test_the_home_page_does_not_wait_for_pages_of_projects(
    site: SiteHarness, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_writer, "write_projects", write_for_long)
    root = site.webroot.root
    await site.publish("alpha")
    await site.publisher.write_pending()
    async with publishing(dsn, site.webroot):
        await appears(root / "began")
        (root / "index.html").unlink(missing_ok=True)
        await appears(root / "index.html")
        assert not (root / "ended").exists()
