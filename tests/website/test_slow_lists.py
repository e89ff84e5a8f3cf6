"""A list that takes long to write, and the page of a build that ended meanwhile."""

import asyncio
import fcntl
from pathlib import Path

from piwheels.db import page_queue
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind
from piwheels.rendering.render_pool import RenderPool
from piwheels.website.page_schedule import PageSchedule
from piwheels.website.single_page_publisher import SinglePagePublisher
from tests.timeouts import WAIT_S
from tests.website.factories import SITE
from tests.website.harness import SiteHarness


def write_slowly(root: Path, *_: object) -> None:
    """Stands for a list of all projects: it ends when the lock is free."""
    (root / "list-began").touch()
    with (root / "list-lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    (root / "list-ended").touch()


async def test_the_page_of_a_build_does_not_wait_for_a_list(site: SiteHarness) -> None:
    await site.publish("alpha")
    await site.write_all()
    root = site.webroot.root
    (root / "list-lock").touch()
    async with await Database.connect(site.db.dsn, role="lists") as db:
        with RenderPool() as pool, (root / "list-lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lists = SinglePagePublisher(db=db, webroot=site.webroot, executor=pool, site=SITE)
            slow = PageSchedule(0.0, lists._writer(write_slowly))
            lists._schedules = {PageKind.SEARCH: slow}
            writing = asyncio.create_task(lists.run())
            try:
                async with asyncio.timeout(WAIT_S):
                    while not (root / "list-began").exists():  # noqa: ASYNC110 - by a process
                        await asyncio.sleep(0.01)
                    before = site.shown("project/alpha/index.html")
                    await site.db.execute("UPDATE projects SET display_name = 'ALPHA'")
                    await page_queue.invalidate(site.db, PageKind.PROJECT, ["alpha"], urgent=True)
                    while site.shown("project/alpha/index.html") == before:
                        await site.showing.write_pending()
                assert not (root / "list-ended").exists()
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
