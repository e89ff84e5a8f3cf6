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

from piwheels.db import catalog, pages, settings
from piwheels.db import site as site_db
from piwheels.db.database import Database
from piwheels.db.pages import Part, StalePage
from piwheels.errors import PiwheelsError
from piwheels.site import failing, gathering, writing
from piwheels.site.content import Project, Site
from piwheels.site.publish import persist
from piwheels.standing import Circumstances
from piwheels.webroot import Webroot, is_of_one_path

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_BATCH = 20
_POLL_S = 1.0
_BUSY_POLL_S = 0.05
_FAILED_S = 60.0
#: The largest part of the time that writing one of the single pages may take.
_REST = 50.0
#: Pages of the projects that are next in the queue say where they stand.
_NEXT_FOR_TARGET = 100
#: With at most so many projects downloaded in a day, pages show it soon; else once a day.
_FEW = 100
#: Until which day downloads were shown, among the settings.
_HEEDED = "site downloads shown until"
#: A master that was away for longer shows what was downloaded before with the next change.
_LONGEST_PAUSE = timedelta(days=31)


@dataclass(slots=True)
class Clock:
    """When a single page is written again; a page is what a function writes."""

    every_s: float
    write: Callable[[], Awaitable[object]]
    due: float = float("-inf")

    def done(self, took_s: float) -> None:
        """It was written."""
        self.due = time.monotonic() + max(self.every_s, took_s * _REST)

    def failed(self) -> None:
        """It could not be written."""
        self.due = time.monotonic() + max(self.every_s, _FAILED_S)


@dataclass(slots=True)
class Showing:
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
    served: Callable[[], frozenset[str]] = frozenset
    paused: Callable[[], bool] = bool
    pause_s: float = 3.0
    every_s: float = 10.0
    _clocks: dict[Part, Clock] = field(init=False)
    _chores: list[Clock] = field(init=False)
    _downloads_on: date | None = None
    _downloads: dict[str, int] = field(default_factory=dict)
    _hourly: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        every_s = self.every_s
        self._clocks = {
            Part.STATIC: Clock(86_400.0, self._static),
            Part.HOME: Clock(every_s, self._home),
            Part.SEARCH: Clock(3 * every_s, self._search),
            Part.STATS: Clock(3 * every_s, self._stats),
            Part.FAILURES: Clock(3 * every_s, self._failures),
            Part.SITEMAPS: Clock(6 * every_s, self._sitemaps),
        }
        self._chores = [
            Clock(60 * every_s, self._sample_queue),
            Clock(6 * every_s, self.heed_downloads),
            Clock(60 * every_s, self._heed_queue),
            Clock(6 * every_s, self._tidy),
        ]

    async def run(self) -> None:
        """Write pages until cancelled."""
        while True:
            await persist(self.write_pending, self.webroot.root)
            await asyncio.sleep(_POLL_S)

    async def write_pending(self) -> int:
        """Write every page that is due now; returns how many of projects, aliases included."""
        count = 0
        while True:
            await self._do_chores()  # also while a change of targets has every page written
            await self._index_first()
            await self.db.retrying(lambda: pages.gather(self.db, pages.SITE_PARTS))
            await self._write_singles()
            if await self.db.retrying(lambda: pages.expand(self.db)):
                continue
            written = await self._write_projects() + await self._write_aliases()
            if not written:
                return count
            count += written

    async def _index_first(self) -> None:
        while await self.db.retrying(lambda: pages.index_waits(self.db)):  # noqa: ASYNC110 - the index is another duty's
            await asyncio.sleep(_BUSY_POLL_S)

    # --- single pages ---

    async def _write_singles(self) -> None:
        for part, clock in self._clocks.items():
            asked = await self.db.retrying(lambda: pages.stale_single(self.db, part))  # noqa: B023
            if asked is None and time.monotonic() < clock.due:
                continue
            await self._index_first()
            problem = await self._attempt(part, clock)
            if asked is None:
                continue
            if problem:
                await failing.put_off(self.db, part, [asked], {asked.name: problem})
            else:
                await self.db.retrying(lambda: pages.written(self.db, part, [asked]))  # noqa: B023

    async def _attempt(self, what: str, clock: Clock) -> str:
        """Do it; returns what was wrong, and nothing when all was well."""
        began = time.monotonic()
        try:
            await clock.write()
        except BrokenExecutor:
            raise
        except Exception as error:
            if isinstance(error, OSError) and not is_of_one_path(error):
                raise
            # Whatever a page trips over, the others and the index go on.
            problem = failing.reason(error)
            known = isinstance(error, OSError | PiwheelsError)
            log.error("%s: %s; it is tried again", what, problem, exc_info=not known)
            clock.failed()
            return problem
        clock.done(time.monotonic() - began)
        return ""

    async def _static(self) -> None:
        await self._elsewhere(writing.write_static, self.site)

    async def _home(self) -> None:
        content = await self.db.retrying(lambda: gathering.home(self.db, self.webroot.root))
        await self._elsewhere(writing.write_home, self.site, content)

    async def _search(self) -> None:
        await self._elsewhere(writing.write_search, self.site, self.db.dsn)

    async def _stats(self) -> None:
        content = await self.db.retrying(lambda: gathering.stats(self.db))
        await self._elsewhere(writing.write_stats, self.site, content)

    async def _failures(self) -> None:
        builds = await self.db.retrying(lambda: gathering.failures(self.db))
        await self._elsewhere(writing.write_failures, self.site, builds)

    async def _sitemaps(self) -> None:
        await self._elsewhere(writing.write_sitemaps, self.site, self.db.dsn)

    # --- pages of projects ---

    async def _write_projects(self) -> int:
        batch = await self._next(Part.PROJECT)
        if not batch:
            return 0
        circumstances = Circumstances(served=self.served(), paused=self.paused())
        found: list[tuple[str, Project | None]] = []
        problems: dict[str, str] = {}
        for page in batch:
            try:
                content = await self.db.retrying(
                    lambda: gathering.project(self.db, page.name, circumstances, self._hourly)  # noqa: B023
                )
            except Exception as error:  # noqa: BLE001 - one project must not stop others
                problems[page.name] = failing.reason(error)
            else:
                found.append((page.name, content))
        problems |= await self._elsewhere(writing.write_projects, self.site, found)
        await self._conclude(Part.PROJECT, batch, problems)
        # Another name may lead elsewhere from where a project was.
        gone = [name for name, content in found if content is None]
        await self.db.retrying(lambda: pages.note(self.db, Part.ALIAS, gone))
        return len(batch)

    async def _write_aliases(self) -> int:
        batch = await self._next(Part.ALIAS)
        if not batch:
            return 0
        names = [page.name for page in batch]
        leads = await self.db.retrying(lambda: site_db.leads_to(self.db, names))
        there = await self.db.retrying(lambda: catalog.known(self.db, names))
        found = [(name, leads.get(name)) for name in names if name not in there]
        problems = await self._elsewhere(writing.write_aliases, self.site, found)
        await self._conclude(Part.ALIAS, batch, problems)
        return len(batch)

    async def _next(self, part: Part) -> list[StalePage]:
        pause = timedelta(seconds=self.pause_s)
        return await self.db.retrying(lambda: pages.stale(self.db, part, _BATCH, pause))

    async def _conclude(
        self, part: Part, batch: Sequence[StalePage], problems: dict[str, str]
    ) -> None:
        done = [page for page in batch if page.name not in problems]
        await self.db.retrying(lambda: pages.written(self.db, part, done))
        await failing.put_off(self.db, part, batch, problems)

    # --- chores ---

    async def _do_chores(self) -> None:
        for chore in self._chores:
            if time.monotonic() >= chore.due:
                await self._attempt("a chore of the site", chore)

    async def _sample_queue(self) -> None:
        await self.db.retrying(lambda: site_db.sample_queue(self.db))

    async def _heed_queue(self) -> None:
        self._hourly = await self.db.retrying(lambda: site_db.hourly(self.db))
        await self.db.retrying(lambda: site_db.note_queue_moved(self.db, _NEXT_FOR_TARGET))

    async def heed_downloads(self, now: datetime | None = None) -> None:
        """A day's downloads show on the pages when it is over; few of them at once."""
        now = now or datetime.now(UTC)
        if now.date() != self._downloads_on:
            await self._heed_past_days(now.date())
            self._downloads_on, self._downloads = now.date(), {}
        today = await self.db.retrying(
            lambda: site_db.downloaded_today(self.db, now, limit=_FEW + 1)
        )
        if len(today) > _FEW:
            return
        changed = [name for name, count in today.items() if self._downloads.get(name) != count]
        await self.db.retrying(lambda: pages.note(self.db, Part.PROJECT, changed))
        self._downloads = today

    async def _heed_past_days(self, today: date) -> None:
        """Show the days that ended since this was last done, perhaps by an earlier process.

        And the day before them once more: a log may be read the day after.
        """
        text = await self.db.retrying(lambda: settings.setting(self.db, _HEEDED))
        heeded = date.fromisoformat(text) if text else today - timedelta(days=1)
        if heeded < today:
            first = max(heeded, today - _LONGEST_PAUSE) - timedelta(days=1)
            await self.db.retrying(lambda: site_db.note_downloads(self.db, first, today))
        await self.db.retrying(lambda: settings.put_setting(self.db, _HEEDED, today.isoformat()))

    async def _tidy(self) -> None:
        pause = timedelta(seconds=self.pause_s)
        await self.db.retrying(lambda: pages.forget_written(self.db, pages.SITE_PARTS, pause))

    async def _elsewhere(self, work: Callable[..., _T], *arguments: Any) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, work, self.webroot.root, *arguments)
