"""The publish duty: stale index pages rendered, written if they changed, removed files unlinked.

What has to be written is a table; a page leaves it after it lies in the tree, so that a crash
repeats work and never loses any. Rendering and writing happen in another process. The pages that
people read are another duty's (site.showing), which waits for this one.
"""

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from piwheels.db import pages
from piwheels.db.database import Database, DatabaseUnavailableError
from piwheels.db.pages import Part, Removal, StalePage
from piwheels.model import IndexPage
from piwheels.site import failing, reading
from piwheels.site.pages import Rendered, mark, render_project, render_root
from piwheels.webroot import Webroot, is_of_one_path, twin

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_BATCH = 100
_UNLINKED_AT_ONCE = 20
_POLL_S = 5.0
_FULL_DISK_DELAY_S = 10.0
_BROKEN_DELAY_S = 0.5


async def persist(work: Callable[[], Awaitable[object]], root: Path) -> None:
    """Do work that writes pages; a full disk or a dead renderer is waited out and tried again."""
    while True:
        try:
            await work()
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            what = "the disk is full" if full else error
            log.error("pages in %s cannot be written: %s; trying again", root, what)
            await asyncio.sleep(_FULL_DISK_DELAY_S)
        except BrokenExecutor:
            log.warning("the process that renders pages died; starting another")
            await asyncio.sleep(_BROKEN_DELAY_S)
        else:
            return


@dataclass(slots=True)
class Publisher:
    """Keeps one tree's index true.

    removal_grace_s: how long a removed file stays for readers of an older page.
    root_listing_s: at most so often is the listing of all projects written.
    """

    db: Database
    webroot: Webroot
    executor: Executor
    removal_grace_s: float = 300.0
    root_listing_s: float = 60.0
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    _root_written: float = field(default=float("-inf"))

    async def prepare(self) -> None:
        """Have removed what an earlier master laid down in vain; before wheels come in."""
        await self.db.retrying(lambda: pages.forget_laying_down(self.db))

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heed())
            group.create_task(self._write())

    async def _heed(self) -> None:
        async for _ in self.db.notifications("stale_pages"):
            self._work.set()

    async def _write(self) -> None:
        while True:
            self._work.clear()
            await persist(self.write_pending, self.webroot.root)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_POLL_S, self.root_listing_s)):
                    await self._work.wait()

    async def write_pending(self) -> int:
        """Write every page that is stale now, and unlink what is due; returns how many pages."""
        count = 0
        while batch := await self._next_batch():
            await self._write_batch(batch)
            count += len(batch)
        count += await self._write_root()
        await self.db.retrying(lambda: pages.forget_written(self.db, pages.INDEX_PARTS))
        await self._unlink()
        return count

    async def _next_batch(self) -> list[StalePage]:
        await self.db.retrying(lambda: pages.gather(self.db, pages.INDEX_PARTS))
        return await self.db.retrying(lambda: pages.stale(self.db, Part.SIMPLE, _BATCH))

    async def _write_batch(self, batch: Sequence[StalePage]) -> None:
        names = [page.name for page in batch]
        found = await self.db.retrying(lambda: pages.index_pages(self.db, names))
        content = [(name, found.get(name)) for name in names]
        problems = await self._elsewhere(write_pages, self.webroot.root, content)
        done = [page for page in batch if page.name not in problems]
        await self.db.retrying(lambda: pages.written(self.db, Part.SIMPLE, done))
        await failing.put_off(self.db, Part.SIMPLE, batch, problems)

    async def _write_root(self) -> int:
        if time.monotonic() - self._root_written < self.root_listing_s:
            return 0
        stale = await self.db.retrying(lambda: pages.stale_single(self.db, Part.SIMPLE))
        if stale is None:
            return 0
        try:
            await self._elsewhere(write_listing, self.webroot.root, self.db.dsn)
        except DatabaseUnavailableError as error:
            log.warning("the listing waits: %s", error)
            return 0
        except OSError as error:
            if not is_of_one_path(error):
                raise
            problems = {stale.name: failing.reason(error)}
            await failing.put_off(self.db, Part.SIMPLE, [stale], problems)
            return 0
        self._root_written = time.monotonic()
        await self.db.retrying(lambda: pages.written(self.db, Part.SIMPLE, [stale]))
        return 1

    async def _elsewhere(self, work: Callable[..., _T], *arguments: object) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, work, *arguments)

    # --- removed files ---

    async def _unlink(self) -> None:
        while await self._unlink_some():
            pass

    async def _unlink_some(self) -> bool:
        """Unlink what is due; False if there is no more, or somebody lays a wheel down.

        The turn is taken before it is looked what is due. Who lays a file down has noted that
        before the turn is theirs: either the note is seen here, or the file comes afterwards.
        """
        grace = timedelta(seconds=self.removal_grace_s)
        with self.webroot.packages_turn(wait=False) as ours:
            if not ours:
                return False
            gone = await self.db.retrying(lambda: pages.removals(self.db, grace, _UNLINKED_AT_ONCE))
            problems = await asyncio.to_thread(self._remove, gone)
            done = [file for file in gone if file.filename not in problems]
            await self.db.retrying(lambda: pages.removed(self.db, done))
            for name, problem in problems.items():
                log.error("%s cannot be removed: %s; trying again later", name, problem)
            await self.db.retrying(lambda: pages.put_off_removals(self.db, list(problems)))
        return bool(done)

    def _remove(self, gone: Sequence[Removal]) -> dict[str, str]:
        """Remove wheels; returns those of which it was not possible, and why."""
        problems: dict[str, str] = {}
        for file in gone:
            # The metadata first: a wheel without it still installs by an old page, while
            # metadata without its wheel would be asked for and then fail.
            places = (self.webroot.metadata, self.webroot.wheel)
            with failing.noting(problems, file.filename):
                self.webroot.remove(place(file.sha256, file.filename) for place in places)
        return problems


def write_pages(root: Path, content: Sequence[tuple[str, IndexPage | None]]) -> dict[str, str]:
    """Render and write the pages of projects; None removes a project's. Runs in any process.

    Returns:
        Projects whose pages cannot be written where they belong, and why; the others' are.

    Raises:
        OSError: nothing can be written now.
    """
    webroot = Webroot(root)
    problems: dict[str, str] = {}
    changed = {}
    for project, page in content:
        # The HTML as the last of both: it tells what both of them say.
        paths = [webroot.simple(project) / name for name in ("index.v1_json", "index.html")]
        if page is None:
            with failing.noting(problems, project):
                webroot.remove([path for page in reversed(paths) for path in (page, twin(page))])
        elif not webroot.holds(paths, mark(page)):
            rendered = render_project(page)
            changed[project] = list(zip(paths, (rendered.json, rendered.html), strict=True))
    if changed:
        torn = webroot.write_pages(changed)
        problems |= {project: failing.reason(error) for project, error in torn.items()}
    return problems


def write_listing(root: Path, dsn: str) -> None:
    """Read which projects there are, and write the listing of them. Runs in any process.

    Raises:
        OSError: it cannot be written.
        PiwheelsError: the database cannot be reached.
    """
    write_root(root, reading.read(dsn, "listing", pages.indexed_projects))


def write_root(root: Path, projects: Sequence[str]) -> None:
    """Render and write the listing of projects."""
    webroot = Webroot(root)
    rendered: Rendered = render_root(projects)
    webroot.write_page(webroot.simple() / "index.html", rendered.html)
    webroot.write_page(webroot.simple() / "index.v1_json", rendered.json)
