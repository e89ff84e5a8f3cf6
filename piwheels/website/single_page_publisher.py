"""The publisher of the website's single pages: home page, lists, search, statistics, feeds.

Each is written at an interval that grows with the time that writing it takes. On a farm of all
projects the lists take many seconds: they have a connection and a render process of their own, so
that the page of a build that just ended does not wait for them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from piwheels.db import page_queue
from piwheels.db import site_queries as site_db
from piwheels.db.page_queue import PageKind
from piwheels.rendering import write_errors
from piwheels.website import loaders, page_writer
from piwheels.website.page_schedule import PageSchedule
from piwheels.website.website_publisher import WebsitePublisher


@dataclass(slots=True)
class SinglePagePublisher(WebsitePublisher):
    """Keeps the pages up to date of which the website has one each.

    interval_s: the interval of the home page; others are written at multiples of it.
    """

    interval_s: float = 10.0
    _schedules: dict[PageKind, PageSchedule] = field(init=False)
    _sampling: PageSchedule = field(init=False)

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
        self._sampling = PageSchedule(60 * every_s, lambda: site_db.record_queue_lengths(db))

    async def write_pending(self) -> int:
        """Write the pages that are due or requested; returns how many could be written."""
        if self._sampling.is_due:
            await self._sampling.attempt("the lengths of the queues")
        await self._wait_for_index()
        await page_queue.collect_changes(self.db, page_queue.SINGLE_PAGE_KINDS)
        written = 0
        for kind, schedule in self._schedules.items():
            written += await self._write_if_due(kind, schedule)
        return written

    async def _write_if_due(self, kind: PageKind, schedule: PageSchedule) -> bool:
        """Write a page if its time has come or somebody asked for it; returns whether it is new."""
        requested = await page_queue.single_page_to_write(self.db, kind)
        if requested is None and not schedule.is_due:
            return False
        await self._wait_for_index()
        problem = await schedule.attempt(kind)
        if requested is not None and problem:
            failed = {requested.key: problem}
            await write_errors.postpone_failed(self.db, kind, [requested], failed)
        elif requested is not None:
            await page_queue.mark_written(self.db, kind, [requested])
        return not problem

    def _writer(
        self, write: Callable[..., object], load: Callable[[], Awaitable[object]] | None = None
    ) -> Callable[[], Awaitable[object]]:
        """Writes a page in the render process, which loads long lists itself from the database."""

        async def load_and_write() -> None:
            content = self.db.dsn if load is None else await load()
            await self._in_render_process(write, self.site, content)

        return load_and_write
