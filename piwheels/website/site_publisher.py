"""The publisher of the pages of projects and of their aliases, after the index for installers.

They are written when they change, each at most once in a few seconds, and those of builds that just
ended first. A page that fails is retried later and does not delay others.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import msgspec

from piwheels.db import catalog, key_values, page_digests, page_queue
from piwheels.db import site_queries as site_db
from piwheels.db.page_digests import Basis, PageState
from piwheels.db.page_queue import PageKind, PageToWrite
from piwheels.db.queue_outlines import queue_outlines
from piwheels.model import QueueOutline
from piwheels.release_status import StatusContext
from piwheels.rendering import write_errors
from piwheels.website import page_writer, project_writer
from piwheels.website.page_schedule import PageSchedule
from piwheels.website.part_size import MAX_PROJECTS, PartSize
from piwheels.website.renderer_version import renderer_version
from piwheels.website.website_publisher import WebsitePublisher

#: Of the files of a project's directory, those without which its page is not there.
_FILES = ("json", "v1.json", "index.html")
#: Pages of projects that are checked for changes at once.
_MAX_CHECKED = 1000
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
class SitePublisher(WebsitePublisher):
    """Keeps the pages of projects and aliases up to date.

    served_targets: the targets for which a builder is connected.
    is_paused: whether the farm is paused.
    min_project_interval_s: the minimum interval between rewrites of a project's pages.
    chore_interval_s: how often it is looked for pages that are outdated though no row of their
        projects changed, as by downloads.
    writers: how many parts of the pages of projects are written at the same time, at most as many
        as the executor has processes.
    """

    served_targets: Callable[[], frozenset[str]] = frozenset
    is_paused: Callable[[], bool] = bool
    min_project_interval_s: float = 3.0
    chore_interval_s: float = 60.0
    writers: int = 1
    _chores: list[PageSchedule] = field(init=False)
    _downloads_date: date | None = None
    _downloads_today: dict[str, int] = field(default_factory=dict)
    _outlines: dict[str, QueueOutline] = field(default_factory=dict)
    _checked_at_once: int = _MAX_CHECKED
    _part_size: PartSize = field(default_factory=PartSize)
    _known_renderer: str = ""

    def __post_init__(self) -> None:
        every_s = self.chore_interval_s
        self._chores = [
            PageSchedule(every_s, self.invalidate_downloaded),
            PageSchedule(10 * every_s, self._invalidate_queue_heads),
            PageSchedule(every_s, self._purge_written),
        ]

    async def write_pending(self) -> int:
        """Write all pages that are due; returns how many."""
        count = 0
        await self._invalidate_pages_of_other_renderer()
        while True:
            await self._do_chores()  # also while a change of targets invalidates every page
            await self._wait_for_index()
            await page_queue.collect_changes(self.db, page_queue.PROJECT_PAGE_KINDS)
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

    # --- pages of projects ---

    async def _write_projects(self) -> int:
        """Write pages of projects until more urgent ones wait; returns how many are up to date."""
        batch = await self._next_projects()
        if not batch:
            return 0
        basis = self._digest_basis()
        states = await page_digests.page_states(self.db, [page.key for page in batch], basis)
        unchanged = await asyncio.to_thread(self._written_unchanged, states)
        done = [page for page in batch if page.key in unchanged]
        await page_queue.mark_written(self.db, PageKind.PROJECT, done)
        if not batch[0].urgent:
            few = len(unchanged) < len(batch) / 2
            self._checked_at_once = MAX_PROJECTS * 4 if few else _MAX_CHECKED
        pages = {page.key: page for page in batch}
        left: Sequence[PageState] = [state for state in states if state.project not in unchanged]
        while left:
            left = await self._write_first(left, pages, basis)
            if self._has_due_chore() or await self._more_urgent_pages():
                break
        return len(batch) - len(left)

    async def _next_projects(self) -> list[PageToWrite]:
        """Pages of projects to check or write next: the urgent ones alone, if there are any."""
        batch = await self._next_batch(PageKind.PROJECT, self._checked_at_once)
        return [page for page in batch if page.urgent] or batch

    async def _write_first(
        self, states: Sequence[PageState], pages: Mapping[str, PageToWrite], basis: Basis
    ) -> Sequence[PageState]:
        """Write a part of pages with each writer, at the same time; returns those that are left."""
        parts: list[Sequence[PageState]] = []
        while states and len(parts) < self.writers:
            parts.append(self._part_size.take(states))
            states = states[len(parts[-1]) :]
        began = time.monotonic()
        await self._write_parts([[pages[state.project] for state in part] for part in parts], basis)
        self._part_size.adapt(parts, time.monotonic() - began)
        return states

    def _written_unchanged(self, states: Sequence[PageState]) -> frozenset[str]:
        """The projects whose pages were written from the same data, and are there."""
        return frozenset(
            state.project
            for state in states
            if state.is_unchanged
            and all((self.webroot.project_dir(state.project) / name).exists() for name in _FILES)
        )

    def _has_due_chore(self) -> bool:
        return any(chore.is_due for chore in self._chores)

    async def _more_urgent_pages(self) -> bool:
        await page_queue.collect_changes(self.db, page_queue.PROJECT_PAGE_KINDS)
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
        batch = await self._next_batch(PageKind.ALIAS, MAX_PROJECTS)
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

    # --- chores ---

    async def _do_chores(self) -> None:
        for chore in self._chores:
            if chore.is_due:
                await chore.attempt("website housekeeping")

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
        await page_queue.purge_written(self.db, page_queue.PROJECT_PAGE_KINDS, pause)
