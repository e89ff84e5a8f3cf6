"""The publish duty: stale pages rendered, written if they changed, and removed files unlinked.

What has to be written is a table; a page leaves it after it lies in the tree, so that a crash
repeats work and never loses any. Rendering and writing happen in another process.
"""

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from piwheels.db import views
from piwheels.db.database import Database
from piwheels.site import assets
from piwheels.site.pages import File, Page, Rendered, render_project, render_root
from piwheels.webroot import Webroot

log = logging.getLogger(__name__)

_BATCH = 100
_POLL_S = 5.0
_FULL_DISK_DELAY_S = 10.0
_BROKEN_DELAY_S = 0.5


@dataclass(slots=True)
class Publisher:
    """Keeps one tree's pages true.

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
    _static_written: bool = False

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
            try:
                await self.write_pending()
            except OSError as error:
                full = error.errno in {errno.ENOSPC, errno.EDQUOT}
                what = "the disk is full" if full else error
                log.error(
                    "pages in %s cannot be written: %s; trying again", self.webroot.root, what
                )
                await asyncio.sleep(_FULL_DISK_DELAY_S)
                continue
            except BrokenExecutor:
                log.warning("the process that renders pages died; starting another")
                await asyncio.sleep(_BROKEN_DELAY_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_POLL_S, self.root_listing_s)):
                    await self._work.wait()

    async def write_pending(self) -> int:
        """Write every page that is stale now, and unlink what is due; returns how many pages."""
        written = 0
        await self._write_static()
        while pages := await self.db.retrying(lambda: views.stale_pages(self.db, _BATCH)):
            await self._write_batch(pages)
            written += len(pages)
        written += await self._write_root()
        await self._unlink()
        return written

    async def _write_static(self) -> None:
        """The static files go before any page that names them."""
        if not self._static_written:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self.executor, assets.write, self.webroot)
            self._static_written = True

    async def _write_batch(self, pages: Sequence[views.StalePage]) -> None:
        content = [
            (stale.project, await self.db.retrying(lambda: _page(self.db, stale.project)))  # noqa: B023
            for stale in pages
        ]
        await self._elsewhere(content)
        await self.db.retrying(lambda: views.pages_written(self.db, pages))

    async def _elsewhere(self, content: list[tuple[str, Page | None]]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.executor, write_pages, self.webroot.root, content)

    async def _write_root(self) -> int:
        if time.monotonic() - self._root_written < self.root_listing_s:
            return 0
        stale = await self.db.retrying(lambda: views.stale_root(self.db))
        if stale is None:
            return 0
        names = await self.db.retrying(lambda: views.indexed_projects(self.db))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.executor, write_root, self.webroot.root, names)
        self._root_written = time.monotonic()
        await self.db.retrying(lambda: views.pages_written(self.db, [stale]))
        return 1

    async def _unlink(self) -> None:
        grace = timedelta(seconds=self.removal_grace_s)
        while gone := await self.db.retrying(lambda: views.removals(self.db, grace, _BATCH)):
            for file in gone:
                # The metadata first: a wheel without it still installs by an old page, while
                # metadata without its wheel would be asked for and then fail.
                self.webroot.remove(
                    [
                        self.webroot.metadata(file.sha256, file.filename),
                        self.webroot.wheel(file.sha256, file.filename),
                    ]
                )
            await self.db.retrying(lambda: views.removed(self.db, gone))


def write_pages(root: Path, content: Sequence[tuple[str, Page | None]]) -> None:
    """Render and write the pages of projects; None removes a project's. Runs in any process."""
    webroot = Webroot(root)
    for project, page in content:
        folder = webroot.simple(project)
        if page is None:
            webroot.remove(_paths(folder))
        else:
            _put(webroot, folder, render_project(page))


def write_root(root: Path, projects: Sequence[str]) -> None:
    """Render and write the listing of all projects. Runs in any process."""
    webroot = Webroot(root)
    _put(webroot, webroot.simple(), render_root(projects))


def _put(webroot: Webroot, folder: Path, rendered: Rendered) -> None:
    webroot.write_page(folder / "index.html", rendered.html)
    webroot.write_page(folder / "index.v1_json", rendered.json)


def _paths(folder: Path) -> list[Path]:
    names = ("index.html", "index.html.gz", "index.v1_json", "index.v1_json.gz")
    return [folder / name for name in names]


async def _page(db: Database, project: str) -> Page | None:
    found = await views.index_page(db, project)
    if found is None:
        return None
    return Page(
        project=found.project,
        status=found.status,
        status_reason=found.status_reason,
        files=tuple(
            File(**{name: getattr(file, name) for name in file.__struct_fields__})
            for file in found.files
        ),
    )
