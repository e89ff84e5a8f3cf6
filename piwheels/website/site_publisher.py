"""The website publisher: writes the pages for people, after the index pages for installers.

It has a connection and a render process of its own, and starts nothing while index pages are
queued. Pages of projects are written when they change, each at most once in a few seconds; single
pages are written at intervals that grow with the time that writing them takes. A page that fails
is retried later and does not delay others.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from piwheels.db import catalog, key_values, page_digests, page_queue
from piwheels.db import site_queries as site_db
from piwheels.db.database import Database
from piwheels.db.page_digests import Basis, PageState
from piwheels.db.page_queue import PageKind, PageToWrite
from piwheels.db.queue_outlines import queue_outlines
from piwheels.errors import PiwheelsError
from piwheels.model import QueueOutline
from piwheels.release_status import StatusContext
from piwheels.rendering import write_errors
from piwheels.rendering.subprocess_query import run_in_process
from piwheels.rendering.write_retries import retry_until_written
from piwheels.webroot import Webroot, is_path_error
from piwheels.website import loaders, page_writer, project_writer
from piwheels.website.page_data import Site
from piwheels.website.renderer_version import renderer_version

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Pages of projects that are written at once: so many projects, with so many releases.
BATCH_SIZE = 50
_BATCH_RELEASES = 600
#: Pages of projects that are checked for changes at once.
_MAX_CHECKED = 1000
_POLL_S = 1.0
_BUSY_POLL_S = 0.05
_RETRY_S = 60.0
#: A single page is rewritten at the earliest after this multiple of the time that writing it takes,
#: but not later than after _MAX_PAUSE_S on a slow machine, unless _MIN_COST_FACTOR times are more.
_COST_FACTOR, _MIN_COST_FACTOR = 50.0, 4.0
_MAX_PAUSE_S = 60.0
#: Jobs at the head of each target's queue whose projects' pages show their position.
_QUEUE_HEAD = 100
#: If at most this many projects are downloaded in a day, their pages are updated soon; otherwise
#: once a day.
_MAX_LIVE_PROJECTS = 100
#: The key of the day until which pages were invalidated for downloads.
_DOWNLOADS_KEY = "site/downloads_invalidated_until"
#: The key of what wrote the pages of projects.
_RENDERER_KEY = "site/renderer"
#: After a longer outage of the master, earlier downloads appear with the next change of a page.
_MAX_CATCH_UP = timedelta(days=31)


@dataclass(slots=True)
class PageSchedule:
    """When a single page is written next, and the function that writes it."""

    interval_s: float
    write: Callable[[], Awaitable[object]]
    due_at: float = float("-inf")

    def mark_written(self, took_s: float) -> None:
        """Schedule the next rewrite."""
        pause_s = max(min(took_s * _COST_FACTOR, _MAX_PAUSE_S), took_s * _MIN_COST_FACTOR)
        self.due_at = time.monotonic() + max(self.interval_s, pause_s)

    def mark_failed(self) -> None:
        """Schedule a retry."""
        self.due_at = time.monotonic() + max(self.interval_s, _RETRY_S)


@dataclass(slots=True)
class SitePublisher:
    """Keeps the pages of the website up to date.

    served_targets: the targets for which a builder is connected.
    is_paused: whether the farm is paused.
    min_project_interval_s: the minimum interval between rewrites of a project's pages.
    interval_s: the interval of the single pages; some are written at multiples of it.
    writers: how many parts of the pages of projects are written at the same time, at most as many
        as the executor has processes.
    """

    db: Database
    webroot: Webroot
    executor: Executor
    site: Site
    served_targets: Callable[[], frozenset[str]] = frozenset
    is_paused: Callable[[], bool] = bool
    min_project_interval_s: float = 3.0
    interval_s: float = 10.0
    writers: int = 1
    _schedules: dict[PageKind, PageSchedule] = field(init=False)
    _housekeeping: list[PageSchedule] = field(init=False)
    _downloads_date: date | None = None
    _downloads_today: dict[str, int] = field(default_factory=dict)
    _outlines: dict[str, QueueOutline] = field(default_factory=dict)
    _checked_at_once: int = _MAX_CHECKED
    _known_renderer: str = ""

    def __post_init__(self) -> None:
        db, root, every_s = self.db, self.webroot.root, self.interval_s
        static = self._writer(page_writer.write_static)
        home = self._writer(page_writer.write_home, lambda: loaders.load_home(db, root))
        search = self._writer(page_writer.write_search)
        stats = self._writer(page_writer.write_stats, lambda: loaders.load_stats(db))
        feeds = self._writer(page_writer.write_feeds, lambda: loaders.load_feeds(db))
        sitemaps = self._writer(page_writer.write_sitemaps)
        self._schedules = {
            PageKind.STATIC: PageSchedule(86_400.0, static),
            PageKind.HOME: PageSchedule(every_s, home),
            PageKind.SEARCH: PageSchedule(3 * every_s, search),
            PageKind.STATS: PageSchedule(3 * every_s, stats),
            PageKind.FAILURES: PageSchedule(3 * every_s, feeds),
            PageKind.SITEMAPS: PageSchedule(6 * every_s, sitemaps),
        }
        self._housekeeping = [
            PageSchedule(60 * every_s, lambda: site_db.record_queue_lengths(db)),
            PageSchedule(6 * every_s, self.invalidate_downloaded),
            PageSchedule(60 * every_s, self._invalidate_queue_heads),
            PageSchedule(6 * every_s, self._purge_written),
        ]

    async def run(self) -> None:
        """Write pages until canceled."""
        while True:
            await retry_until_written(self.write_pending, self.webroot.root)
            await asyncio.sleep(_POLL_S)

    async def write_pending(self) -> int:
        """Write all pages that are due; returns the number of pages of projects and aliases."""
        count = 0
        await self._invalidate_pages_of_other_renderer()
        while True:
            await self._run_housekeeping()  # also while a change of targets invalidates every page
            await self._wait_for_index()
            await page_queue.collect_changes(self.db, page_queue.WEBSITE_PAGE_KINDS)
            await self._write_single_pages()
            if await page_queue.invalidate_all_projects(self.db):
                continue
            written = await self._write_projects() + await self._write_aliases()
            if not written:
                return count
            count += written

    async def _invalidate_pages_of_other_renderer(self) -> None:
        """Have pages written again that another version, or with other settings, wrote."""
        renderer = self._digest_basis().everywhere
        if self._known_renderer == renderer:
            return
        before = await key_values.get_value(self.db, _RENDERER_KEY)
        if before is not None and before != renderer:
            await page_queue.invalidate(self.db, PageKind.PROJECTS, [""])
        await key_values.set_value(self.db, _RENDERER_KEY, renderer)
        self._known_renderer = renderer

    async def _wait_for_index(self) -> None:
        while await page_queue.index_pages_pending(self.db):  # noqa: ASYNC110 - another service writes them
            await asyncio.sleep(_BUSY_POLL_S)

    # --- single pages ---

    async def _write_single_pages(self) -> None:
        for kind, schedule in self._schedules.items():
            requested = await page_queue.single_page_to_write(self.db, kind)
            if requested is None and time.monotonic() < schedule.due_at:
                continue
            await self._wait_for_index()
            problem = await self._attempt(kind, schedule)
            if requested is None:
                continue
            if problem:
                await write_errors.postpone_failed(
                    self.db, kind, [requested], {requested.key: problem}
                )
            else:
                await page_queue.mark_written(self.db, kind, [requested])

    async def _attempt(self, what: str, schedule: PageSchedule) -> str:
        """Run a scheduled function; returns the problem, or "" on success."""
        began = time.monotonic()
        try:
            await schedule.write()
        except BrokenExecutor:
            raise
        except Exception as error:
            if isinstance(error, OSError) and not is_path_error(error):
                raise
            # One page's error must not stop the others.
            problem = write_errors.describe_error(error)
            known = isinstance(error, OSError | PiwheelsError)
            log.error("%s: %s; retrying", what, problem, exc_info=not known)
            schedule.mark_failed()
            return problem
        schedule.mark_written(time.monotonic() - began)
        return ""

    def _writer(
        self, write: Callable[..., object], load: Callable[[], Awaitable[object]] | None = None
    ) -> Callable[[], Awaitable[object]]:
        """Writes a page in the render process, which loads long lists itself from the database."""

        async def load_and_write() -> None:
            content = self.db.dsn if load is None else await load()
            await self._in_render_process(write, self.site, content)

        return load_and_write

    # --- pages of projects ---

    async def _write_projects(self) -> int:
        """Write pages of projects until more urgent ones wait; returns how many are up to date."""
        batch = await self._next_batch(PageKind.PROJECT, self._checked_at_once)
        if not batch:
            return 0
        basis = self._digest_basis()
        states = await page_digests.page_states(self.db, [page.key for page in batch], basis)
        unchanged = await asyncio.to_thread(self._written_unchanged, states)
        done = [page for page in batch if page.key in unchanged]
        await page_queue.mark_written(self.db, PageKind.PROJECT, done)
        few = len(unchanged) < len(batch) / 2
        self._checked_at_once = BATCH_SIZE * 4 if few else _MAX_CHECKED
        pages = {page.key: page for page in batch}
        count = len(done)
        parts = list(_parts([state for state in states if state.project not in unchanged]))
        for start in range(0, len(parts), self.writers):
            group = [
                [pages[name] for name in names] for names in parts[start : start + self.writers]
            ]
            await self._write_parts(group, basis)
            count += sum(map(len, group))
            if self._has_due_work() or await self._more_urgent_pages():
                break
        return count

    def _written_unchanged(self, states: Sequence[PageState]) -> frozenset[str]:
        """The projects whose pages were written from the same data, and are there."""
        return frozenset(
            state.project
            for state in states
            if state.is_unchanged
            and (self.webroot.project_dir(state.project) / "index.html").exists()
        )

    def _has_due_work(self) -> bool:
        now = time.monotonic()
        return any(it.due_at <= now for it in (*self._schedules.values(), *self._housekeeping))

    async def _more_urgent_pages(self) -> bool:
        await page_queue.collect_changes(self.db, page_queue.WEBSITE_PAGE_KINDS)
        pause = timedelta(seconds=self.min_project_interval_s)
        return await page_queue.urgent_pages_pending(self.db, PageKind.PROJECT, pause)

    async def _write_parts(self, parts: Sequence[Sequence[PageToWrite]], basis: Basis) -> None:
        """Write several parts at the same time; the first problem is raised after all ended."""
        tasks = (self._write_part(part, basis) for part in parts)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _write_part(self, pages: Sequence[PageToWrite], basis: Basis) -> None:
        await self._wait_for_index()
        names = [page.key for page in pages]
        request = project_writer.WriteRequest(
            dsn=self.db.dsn,
            names=tuple(names),
            status_context=self._status_context(),
            outlines=self._outlines,
            basis=basis,
        )
        # A crash from here on leaves pages that may be old or new, and no digest.
        await page_digests.forget_digests(self.db, names)
        written = await self._in_render_process(project_writer.write_projects, self.site, request)
        await self._finish_projects(pages, written)
        # An alias may have the name of a project that is gone.
        await page_queue.invalidate(self.db, PageKind.ALIAS, written.gone)

    async def _finish_projects(
        self, pages: Sequence[PageToWrite], written: project_writer.WrittenProjects
    ) -> None:
        async def record() -> None:
            await page_digests.store_digests(self.db, written.digests)
            await self._finish_batch(PageKind.PROJECT, pages, written.problems)

        await self.db.in_transaction(record)

    def _status_context(self) -> StatusContext:
        return StatusContext(served_targets=self.served_targets(), paused=self.is_paused())

    def _digest_basis(self) -> Basis:
        queued = (sorted(self.served_targets()), self.is_paused(), self._outlines)
        hour = f"{datetime.now(UTC):%Y-%m-%d %H}"
        settings = msgspec.json.encode((self.site, str(self.webroot.root)))
        return Basis(
            everywhere=f"{renderer_version()} {hashlib.sha256(settings).hexdigest()}",
            queued=f"{hour} {hashlib.sha256(msgspec.json.encode(queued)).hexdigest()}",
        )

    async def _write_aliases(self) -> int:
        batch = await self._next_batch(PageKind.ALIAS, BATCH_SIZE)
        if not batch:
            return 0
        names = [page.key for page in batch]
        leads = await site_db.resolve_aliases(self.db, names)
        there = await catalog.existing_projects(self.db, names)
        found = [(name, leads.get(name)) for name in names if name not in there]
        problems = await self._in_render_process(page_writer.write_aliases, self.site, found)
        await self._finish_batch(PageKind.ALIAS, batch, problems)
        return len(batch)

    async def _next_batch(self, kind: PageKind, limit: int) -> list[PageToWrite]:
        pause = timedelta(seconds=self.min_project_interval_s)
        return await page_queue.pages_to_write(self.db, kind, limit, pause)

    async def _finish_batch(
        self, kind: PageKind, batch: Sequence[PageToWrite], problems: dict[str, str]
    ) -> None:
        done = [page for page in batch if page.key not in problems]
        await page_queue.mark_written(self.db, kind, done)
        await write_errors.postpone_failed(self.db, kind, batch, problems)

    # --- housekeeping ---

    async def _run_housekeeping(self) -> None:
        for chore in self._housekeeping:
            if time.monotonic() >= chore.due_at:
                await self._attempt("website housekeeping", chore)

    async def _invalidate_queue_heads(self) -> None:
        self._outlines = await queue_outlines(self.db)
        await site_db.invalidate_queue_heads(self.db, _QUEUE_HEAD)

    async def invalidate_downloaded(self, now: datetime | None = None) -> None:
        """Rewrite pages of downloaded projects: after each day, and during it if they are few."""
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
        """Invalidate pages for the days that ended since the last time, and for one day more.

        An earlier process may have recorded the last time, and a log may be read a day late.
        """
        text = await key_values.get_value(self.db, _DOWNLOADS_KEY)
        shown_until = date.fromisoformat(text) if text else today - timedelta(days=1)
        if shown_until < today:
            first = max(shown_until, today - _MAX_CATCH_UP) - timedelta(days=1)
            await site_db.invalidate_downloaded(self.db, first, today)
        await key_values.set_value(self.db, _DOWNLOADS_KEY, today.isoformat())

    async def _purge_written(self) -> None:
        pause = timedelta(seconds=self.min_project_interval_s)
        await page_queue.purge_written(self.db, page_queue.WEBSITE_PAGE_KINDS, pause)

    async def _in_render_process(self, work: Callable[..., _T], *arguments: Any) -> _T:
        await asyncio.to_thread(self.webroot.check_writer)
        return await run_in_process(self.executor, work, self.webroot.root, *arguments)


def _parts(states: Sequence[PageState]) -> Iterator[list[str]]:
    """Projects in their order, in parts that bound the memory of the render process."""
    part: list[str] = []
    releases = 0
    for state in states:
        if part and (len(part) == BATCH_SIZE or releases + state.releases > _BATCH_RELEASES):
            yield part
            part, releases = [], 0
        part.append(state.project)
        releases += state.releases
    if part:
        yield part
