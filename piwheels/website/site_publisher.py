"""The show duty: the pages that people read, written after the index that installers read.

It works on connections and in a process of its own, and begins nothing while an index page waits.
Pages of projects follow what changed, each at most once in a few seconds; the pages that there is
one of each go by the clock, and the costlier one is, the more seldom it is written. One that
fails is tried again later, and holds nobody else up.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from piwheels.db import catalog, key_values, page_queue
from piwheels.db import site_queries as site_db
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind, PageToWrite
from piwheels.errors import PiwheelsError
from piwheels.release_status import StatusContext
from piwheels.rendering import write_errors
from piwheels.rendering.write_retries import retry_until_written
from piwheels.webroot import Webroot, is_path_error
from piwheels.website import loaders, page_writer
from piwheels.website.page_data import ProjectData, Site

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_BATCH_SIZE = 20
_POLL_S = 1.0
_BUSY_POLL_S = 0.05
_RETRY_S = 60.0
#: The largest part of the time that writing one of the single pages may take.
_COST_FACTOR = 50.0
#: Pages of the projects that are next in the queue say where they stand.
_QUEUE_HEAD = 100
#: With at most so many projects downloaded in a day, pages show it soon; else once a day.
_MAX_LIVE_PROJECTS = 100
#: Until which day downloads were shown, among the settings.
_DOWNLOADS_KEY = "site/downloads_invalidated_until"
#: A master that was away for longer shows what was downloaded before with the next change.
_MAX_CATCH_UP = timedelta(days=31)


@dataclass(slots=True)
class PageSchedule:
    """When a single page is written again; a page is what a function writes."""

    interval_s: float
    write: Callable[[], Awaitable[object]]
    due_at: float = float("-inf")

    def mark_written(self, took_s: float) -> None:
        """It was written."""
        self.due_at = time.monotonic() + max(self.interval_s, took_s * _COST_FACTOR)

    def mark_failed(self) -> None:
        """It could not be written."""
        self.due_at = time.monotonic() + max(self.interval_s, _RETRY_S)


@dataclass(slots=True)
class SitePublisher:
    """Keeps the pages of one site true.

    served: the targets for which a builder is connected.
    paused: whether the farm hands out no jobs.
    pause_s: so long a project's page is left alone after it was written.
    every_s: how often the single pages are looked at; the slower ones at multiples of it.
    """

    db: Database
    webroot: Webroot
    executor: Executor
    site: Site
    served_targets: Callable[[], frozenset[str]] = frozenset
    is_paused: Callable[[], bool] = bool
    min_project_interval_s: float = 3.0
    interval_s: float = 10.0
    _schedules: dict[PageKind, PageSchedule] = field(init=False)
    _housekeeping: list[PageSchedule] = field(init=False)
    _downloads_date: date | None = None
    _downloads_today: dict[str, int] = field(default_factory=dict)
    _builds_per_hour: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        every_s = self.interval_s
        self._schedules = {
            PageKind.STATIC: PageSchedule(86_400.0, self._write_static),
            PageKind.HOME: PageSchedule(every_s, self._write_home),
            PageKind.SEARCH: PageSchedule(3 * every_s, self._write_search),
            PageKind.STATS: PageSchedule(3 * every_s, self._write_stats),
            PageKind.FAILURES: PageSchedule(3 * every_s, self._write_failures),
            PageKind.SITEMAPS: PageSchedule(6 * every_s, self._write_sitemaps),
        }
        self._housekeeping = [
            PageSchedule(60 * every_s, self._sample_queue),
            PageSchedule(6 * every_s, self.invalidate_downloaded),
            PageSchedule(60 * every_s, self._invalidate_queue_heads),
            PageSchedule(6 * every_s, self._purge_written),
        ]

    async def run(self) -> None:
        """Write pages until cancelled."""
        while True:
            await retry_until_written(self.write_pending, self.webroot.root)
            await asyncio.sleep(_POLL_S)

    async def write_pending(self) -> int:
        """Write every page that is due now; returns how many of projects, aliases included."""
        count = 0
        while True:
            await self._run_housekeeping()  # also while a change of targets has every page written
            await self._wait_for_index()
            await page_queue.collect_changes(self.db, page_queue.WEBSITE_PAGE_KINDS)
            await self._write_single_pages()
            if await page_queue.invalidate_all_projects(self.db):
                continue
            written = await self._write_projects() + await self._write_aliases()
            if not written:
                return count
            count += written

    async def _wait_for_index(self) -> None:
        while await page_queue.index_pages_pending(self.db):  # noqa: ASYNC110 - the index is another duty's
            await asyncio.sleep(_BUSY_POLL_S)

    # --- single pages ---

    async def _write_single_pages(self) -> None:
        for part, clock in self._schedules.items():
            asked = await page_queue.single_page_to_write(self.db, part)
            if asked is None and time.monotonic() < clock.due_at:
                continue
            await self._wait_for_index()
            problem = await self._attempt(part, clock)
            if asked is None:
                continue
            if problem:
                await write_errors.postpone_failed(self.db, part, [asked], {asked.key: problem})
            else:
                await page_queue.mark_written(self.db, part, [asked])

    async def _attempt(self, what: str, clock: PageSchedule) -> str:
        """Do it; returns what was wrong, and nothing when all was well."""
        began = time.monotonic()
        try:
            await clock.write()
        except BrokenExecutor:
            raise
        except Exception as error:
            if isinstance(error, OSError) and not is_path_error(error):
                raise
            # Whatever a page trips over, the others and the index go on.
            problem = write_errors.describe_error(error)
            known = isinstance(error, OSError | PiwheelsError)
            log.error("%s: %s; it is tried again", what, problem, exc_info=not known)
            clock.mark_failed()
            return problem
        clock.mark_written(time.monotonic() - began)
        return ""

    async def _write_static(self) -> None:
        await self._in_render_process(page_writer.write_static, self.site)

    async def _write_home(self) -> None:
        content = await loaders.load_home(self.db, self.webroot.root)
        await self._in_render_process(page_writer.write_home, self.site, content)

    async def _write_search(self) -> None:
        await self._in_render_process(page_writer.write_search, self.site, self.db.dsn)

    async def _write_stats(self) -> None:
        content = await loaders.load_stats(self.db)
        await self._in_render_process(page_writer.write_stats, self.site, content)

    async def _write_failures(self) -> None:
        builds = await loaders.load_failures(self.db)
        await self._in_render_process(page_writer.write_failures, self.site, builds)

    async def _write_sitemaps(self) -> None:
        await self._in_render_process(page_writer.write_sitemaps, self.site, self.db.dsn)

    # --- pages of projects ---

    async def _write_projects(self) -> int:
        batch = await self._next_batch(PageKind.PROJECT)
        if not batch:
            return 0
        circumstances = StatusContext(served_targets=self.served_targets(), paused=self.is_paused())
        found: list[tuple[str, ProjectData | None]] = []
        problems: dict[str, str] = {}
        for page in batch:
            try:
                content = await loaders.load_project(
                    self.db,
                    page.key,
                    circumstances,
                    self._builds_per_hour,
                )
            except Exception as error:  # noqa: BLE001 - one project must not stop others
                problems[page.key] = write_errors.describe_error(error)
            else:
                found.append((page.key, content))
        problems |= await self._in_render_process(page_writer.write_projects, self.site, found)
        await self._finish_batch(PageKind.PROJECT, batch, problems)
        # Another name may lead elsewhere from where a project was.
        gone = [name for name, content in found if content is None]
        await page_queue.invalidate(self.db, PageKind.ALIAS, gone)
        return len(batch)

    async def _write_aliases(self) -> int:
        batch = await self._next_batch(PageKind.ALIAS)
        if not batch:
            return 0
        names = [page.key for page in batch]
        leads = await site_db.resolve_aliases(self.db, names)
        there = await catalog.existing_projects(self.db, names)
        found = [(name, leads.get(name)) for name in names if name not in there]
        problems = await self._in_render_process(page_writer.write_aliases, self.site, found)
        await self._finish_batch(PageKind.ALIAS, batch, problems)
        return len(batch)

    async def _next_batch(self, part: PageKind) -> list[PageToWrite]:
        pause = timedelta(seconds=self.min_project_interval_s)
        return await page_queue.pages_to_write(self.db, part, _BATCH_SIZE, pause)

    async def _finish_batch(
        self, part: PageKind, batch: Sequence[PageToWrite], problems: dict[str, str]
    ) -> None:
        done = [page for page in batch if page.key not in problems]
        await page_queue.mark_written(self.db, part, done)
        await write_errors.postpone_failed(self.db, part, batch, problems)

    # --- chores ---

    async def _run_housekeeping(self) -> None:
        for chore in self._housekeeping:
            if time.monotonic() >= chore.due_at:
                await self._attempt("a chore of the site", chore)

    async def _sample_queue(self) -> None:
        await site_db.record_queue_lengths(self.db)

    async def _invalidate_queue_heads(self) -> None:
        self._builds_per_hour = await site_db.builds_per_hour(self.db)
        await site_db.invalidate_queue_heads(self.db, _QUEUE_HEAD)

    async def invalidate_downloaded(self, now: datetime | None = None) -> None:
        """A day's downloads show on the pages when it is over; few of them at once."""
        now = now or datetime.now(UTC)
        if now.date() != self._downloads_date:
            await self._invalidate_past_days(now.date())
            self._downloads_date, self._downloads_today = now.date(), {}
        today = await site_db.downloaded_today(self.db, now, limit=_MAX_LIVE_PROJECTS + 1)
        if len(today) > _MAX_LIVE_PROJECTS:
            return
        changed = [
            name for name, count in today.items() if self._downloads_today.get(name) != count
        ]
        await page_queue.invalidate(self.db, PageKind.PROJECT, changed)
        self._downloads_today = today

    async def _invalidate_past_days(self, today: date) -> None:
        """Show the days that ended since this was last done, perhaps by an earlier process.

        And the day before them once more: a log may be read the day after.
        """
        text = await key_values.get_value(self.db, _DOWNLOADS_KEY)
        heeded = date.fromisoformat(text) if text else today - timedelta(days=1)
        if heeded < today:
            first = max(heeded, today - _MAX_CATCH_UP) - timedelta(days=1)
            await site_db.invalidate_downloaded(self.db, first, today)
        await key_values.set_value(self.db, _DOWNLOADS_KEY, today.isoformat())

    async def _purge_written(self) -> None:
        pause = timedelta(seconds=self.min_project_interval_s)
        await page_queue.purge_written(self.db, page_queue.WEBSITE_PAGE_KINDS, pause)

    async def _in_render_process(self, work: Callable[..., _T], *arguments: Any) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, work, self.webroot.root, *arguments)
