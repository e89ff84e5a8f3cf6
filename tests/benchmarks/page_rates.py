"""How many pages, index pages and lines of access logs are written in a second, and with what memory.

Pages are written by the publishers of a master, in their render processes, from the farm's database.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from pathlib import Path

from msgspec.structs import replace

from piwheels.accesslog.context import IngestContext
from piwheels.accesslog.log_formats import LogFormat
from piwheels.accesslog.logfile import LogFile
from piwheels.accesslog.reader import LogReader
from piwheels.accesslog.rejected_lines import RejectedLineSample
from piwheels.db import index_queries, page_queue
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind
from piwheels.index.index_publisher import write_pages
from piwheels.model import IndexPage
from piwheels.rendering.render_pool import RenderPool
from piwheels.webroot import Webroot
from piwheels.website.page_data import Site
from piwheels.website.single_page_publisher import SinglePagePublisher
from piwheels.website.site_publisher import SitePublisher
from tests.accesslog.log_generator import LogGenerator
from tests.benchmarks.goal_table import Rate
from tests.benchmarks.large_farm import TARGET_NAMES

_INDEX_BATCH = 100
#: Pages a second that were measured before, to hold.
_INDEX_GOALS = {"new": 907, "changed": 939, "unchanged": 16_989}
_WRITER_MB = 150
#: Measured over 10 M lines of repeated traffic; the first lines, with names not seen before, cost more.
_LOG_GOAL = 296_558


async def measure_rates(db: Database, folder: Path, pages: int, lines: int) -> list[Rate]:
    """All rows, on a farm of `large_farm`.

    Args:
        db: its database.
        folder: for files, which are left there.
        pages: how many projects' pages are written; at most as many as the farm has.
        lines: how many lines of an access log are read.
    """
    index = await _index_pages(db, folder / "index", pages)
    website = await _project_pages(db, folder / "www", pages)
    return [*website, *index, await _access_log(db, folder, lines)]


async def _project_pages(db: Database, root: Path, pages: int) -> list[Rate]:
    root.mkdir()
    site = Site(url="https://wheels.example.org/")
    with RenderPool(processes=2) as pool, RenderPool() as list_pool:
        publisher = SitePublisher(
            db=db,
            webroot=Webroot(root),
            executor=pool,
            site=site,
            served_targets=lambda: frozenset(TARGET_NAMES),
            writers=2,
            min_project_interval_s=0.0,
        )
        await db.execute("TRUNCATE page_queue, page_invalidations")
        await SinglePagePublisher(
            db=db, webroot=Webroot(root), executor=list_pool, site=site
        ).write_pending()
        single_mb = list_pool.submit(_peak_mb).result()
        names = [
            row["project"]
            for row in await db.rows(
                "SELECT project FROM projects ORDER BY project LIMIT %(pages)s", {"pages": pages}
            )
        ]

        async def write() -> None:
            await page_queue.invalidate(db, PageKind.PROJECT, names)
            assert await publisher.write_pending() >= len(names)

        rates = {"new": await _timed(write), "unchanged": await _timed(write)}
        await db.execute("SET session_replication_role = replica")  # without triggers
        await db.execute("UPDATE releases SET yanked = 'changed' WHERE version = '0.0'")
        await db.execute("SET session_replication_role = origin")
        rates["changed"] = await _timed(write)
        memory_mb = pool.submit(_peak_mb).result()
    goals = {"new": 300, "changed": 300, "unchanged": 5000}
    return [
        *(
            _rate(f"pages of projects, {what}", len(names) / took_s, goals[what])
            for what, took_s in rates.items()
        ),
        _memory("page writer, peak of each process with pages of projects", memory_mb),
        _memory("page writer, peak with lists alone", single_mb),
    ]


def _rate(work: str, a_second: float, goal: int) -> Rate:
    return Rate(work, f"{a_second:,.0f} a second", f"{goal:,} a second", a_second >= goal)


def _memory(work: str, peak_mb: float) -> Rate:
    return Rate(work, f"{peak_mb:,.0f} MB", f"{_WRITER_MB} MB", peak_mb < _WRITER_MB)


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def _peak_mb() -> float:
    """The peak of the memory of this process that is in use (MB)."""
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1000


async def _index_pages(db: Database, root: Path, pages: int) -> list[Rate]:
    root.mkdir()
    rows = await db.rows(
        "SELECT DISTINCT project FROM files ORDER BY project LIMIT %(pages)s", {"pages": pages}
    )
    names = [row["project"] for row in rows]
    found = await index_queries.index_pages(db, names)
    changed = {
        name: replace(page, files=tuple(replace(file, yanked="changed") for file in page.files))
        for name, page in found.items()
    }
    steps = {"new": found, "changed": changed, "unchanged": changed}
    return [
        _rate(f"index pages (data given), {what}", _index_rate(root, step), _INDEX_GOALS[what])
        for what, step in steps.items()
    ]


def _index_rate(root: Path, pages: Mapping[str, IndexPage]) -> float:
    content: list[tuple[str, IndexPage | None]] = list(pages.items())
    began = time.perf_counter()
    for start in range(0, len(content), _INDEX_BATCH):
        assert write_pages(root, content[start : start + _INDEX_BATCH]) == {}
    return len(content) / (time.perf_counter() - began)


async def _access_log(db: Database, folder: Path, lines: int) -> Rate:
    log, traffic = folder / "access.log", LogGenerator(41)
    with log.open("wb") as file:
        file.writelines(traffic.lines(lines))
    context = IngestContext.create(
        db, LogFormat.AUTO, RejectedLineSample(folder / "rejected"), lambda: date(2000, 1, 1)
    )
    began, own_s = time.perf_counter(), time.process_time()
    with LogFile(log) as file:
        await LogReader(context, file).read_to_end()
    took_s, own_s = time.perf_counter() - began, time.process_time() - own_s
    measured = f"{lines / took_s:,.0f} lines/s; {lines / own_s:,.0f} of the reader's processor"
    return Rate(
        "access log", measured, f"hold ({_LOG_GOAL:,} lines/s)", lines / took_s >= _LOG_GOAL
    )
