"""How long a page that is wanted at once waits while the pages of all projects are written again."""

import asyncio
import math
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from piwheels.db import page_digests, page_queue
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind
from piwheels.rendering.render_pool import RenderPool
from piwheels.webroot import Webroot
from piwheels.website.page_data import Site
from piwheels.website.single_page_publisher import SinglePagePublisher
from piwheels.website.site_publisher import SitePublisher
from tests.benchmarks.goal_table import Rate
from tests.benchmarks.large_farm import TARGET_NAMES

_GOAL_S = 2.0
_LOOK_S = 0.02
#: A build ends at ten times the rate of a real farm, which ends 6,700 a day.
_PAUSE_S = 86_400 / 67_000
_FIRST_PAGES = 100
_LAST_OUTDATED = """
    SELECT page_key AS project FROM page_queue
     WHERE page_kind = 'project' AND dirty
     ORDER BY urgent, dirty_since DESC LIMIT 1
"""
_GIVE_UP_S = 600.0


async def urgent_waits(db: Database, dsn: str, folder: Path, samples: int) -> Rate:
    """The row of pages of builds that ended, on a farm of `large_farm` with all pages outdated.

    Args:
        db: the farm's database, for questions of the benchmark.
        dsn: the same database, for the publishers.
        folder: for files, which are left there.
        samples: how many pages are wanted at once, one after the other.
    """
    root = folder / "www-urgent"
    root.mkdir()
    await db.execute("TRUNCATE page_queue, page_invalidations, page_digests")
    await page_queue.invalidate(db, PageKind.PROJECTS, [""])
    async with _publishing(dsn, Webroot(root)):
        waits = await _sample(db, samples)
        left = await page_queue.pending_page_count(db, [PageKind.PROJECT])
    p50_s, p95_s = statistics.median(waits), sorted(waits)[math.ceil(len(waits) * 0.95) - 1]
    return Rate(
        f"page of a build that ended, {left:,} other pages wait",
        f"p50 {p50_s:.1f}, p95 {p95_s:.1f}, at most {max(waits):.1f} s",
        f"{_GOAL_S:.0f} s",
        max(waits) < _GOAL_S,
    )


@asynccontextmanager
async def _publishing(dsn: str, webroot: Webroot) -> AsyncIterator[None]:
    """Run the publishers of the website as a master does: lists beside pages of projects."""
    site = Site(url="https://wheels.example.org/")
    with RenderPool(processes=2) as pool, RenderPool(5) as list_pool:
        async with (
            await Database.connect(dsn, role="show") as db,
            await Database.connect(dsn, role="lists") as lists_db,
        ):
            publisher = SitePublisher(
                db=db,
                webroot=webroot,
                executor=pool,
                site=site,
                served_targets=lambda: frozenset(TARGET_NAMES),
                writers=2,
            )
            lists = SinglePagePublisher(db=lists_db, webroot=webroot, executor=list_pool, site=site)
            writing = [asyncio.create_task(work) for work in (publisher.run(), lists.run())]
            try:
                yield
            finally:
                for task in writing:
                    task.cancel()
                for task in writing:
                    with suppress(asyncio.CancelledError):
                        await task


async def _sample(db: Database, samples: int) -> list[float]:
    """Seconds until each of some outdated pages was written, as long as there are any."""
    await _until(db, "SELECT count(*) >= %(count)s FROM page_digests", {"count": _FIRST_PAGES})
    waits: list[float] = []
    while len(waits) < samples and (row := await db.row(_LAST_OUTDATED)):
        began = time.perf_counter()
        await page_digests.forget_digests(db, [row["project"]])
        await page_queue.invalidate(db, PageKind.PROJECT, [row["project"]], urgent=True)
        await _until(
            db, "SELECT EXISTS (SELECT FROM page_digests WHERE project = %(project)s)", dict(row)
        )
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, _PAUSE_S - waits[-1]))
    return waits


async def _until(db: Database, question: str, parameters: dict[str, object]) -> None:
    async with asyncio.timeout(_GIVE_UP_S):
        while not await db.value(question, parameters):  # noqa: ASYNC110 - another process answers
            await asyncio.sleep(_LOOK_S)
