"""The index publisher: writes queued index pages and deletes the files of removed wheels.

The page queue is a table. A page is removed from it after it was written, so a crash repeats work
and loses none. Rendering and writing happen in another process. The website publisher writes the
pages for people, and waits for this one.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from piwheels.db import file_deletions, index_queries, page_queue
from piwheels.db.database import Database, DatabaseUnavailableError
from piwheels.db.file_deletions import FileDeletion
from piwheels.db.page_queue import PageKind, PageToWrite
from piwheels.index.simple_pages import (
    RenderedPage,
    content_marker,
    render_project,
    render_project_list,
)
from piwheels.model import IndexPage
from piwheels.rendering import subprocess_query, write_errors
from piwheels.rendering.write_retries import retry_until_written
from piwheels.webroot import Webroot, gz_path

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_BATCH_SIZE = 100
_DELETE_BATCH_SIZE = 20
_POLL_S = 5.0


@dataclass(slots=True)
class IndexPublisher:
    """Keeps the index pages of a web root up to date.

    deletion_delay_s: how long a removed file is kept for clients that have read an older page.
    project_list_interval_s: the minimum interval between rewrites of the project list.
    """

    db: Database
    webroot: Webroot
    executor: Executor
    deletion_delay_s: float = 300.0
    project_list_interval_s: float = 60.0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _list_written_at: float = field(default=float("-inf"))

    async def recover(self) -> None:
        """Schedule the deletion of wheels whose installation an earlier master did not complete."""
        await file_deletions.abandon_installs(self.db)

    async def run(self) -> None:
        """Publish until canceled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._write_loop())

    async def _listen(self) -> None:
        async for _ in self.db.notifications("page_queue"):
            self._wake.set()

    async def _write_loop(self) -> None:
        while True:
            self._wake.clear()
            await retry_until_written(self.write_pending, self.webroot.root)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_POLL_S, self.project_list_interval_s)):
                    await self._wake.wait()

    async def write_pending(self) -> int:
        """Write all queued pages and delete files that are due; returns the number of pages."""
        count = 0
        while batch := await self._next_batch():
            await self._write_batch(batch)
            count += len(batch)
        count += await self._write_project_list()
        await page_queue.purge_written(self.db, page_queue.INDEX_PAGE_KINDS)
        await self._delete_due_files()
        return count

    async def _next_batch(self) -> list[PageToWrite]:
        await page_queue.collect_changes(self.db, page_queue.INDEX_PAGE_KINDS)
        return await page_queue.pages_to_write(self.db, PageKind.SIMPLE, _BATCH_SIZE)

    async def _write_batch(self, batch: Sequence[PageToWrite]) -> None:
        names = [page.key for page in batch]
        found = await index_queries.index_pages(self.db, names)
        content = [(name, found.get(name)) for name in names]
        problems = await self._in_render_process(write_pages, self.webroot.root, content)
        done = [page for page in batch if page.key not in problems]
        await page_queue.mark_written(self.db, PageKind.SIMPLE, done)
        await write_errors.postpone_failed(self.db, PageKind.SIMPLE, batch, problems)

    async def _write_project_list(self) -> int:
        if time.monotonic() - self._list_written_at < self.project_list_interval_s:
            return 0
        queued = await page_queue.single_page_to_write(self.db, PageKind.SIMPLE)
        if queued is None:
            return 0
        try:
            await self._in_render_process(refresh_project_list, self.webroot.root, self.db.dsn)
        except DatabaseUnavailableError as error:
            log.warning("the project list was not written: %s; retrying", error)
            return 0
        except Exception as error:
            if write_errors.is_of_web_root(error) or isinstance(error, BrokenExecutor):
                raise
            problems = {queued.key: write_errors.describe_error(error)}
            await write_errors.postpone_failed(self.db, PageKind.SIMPLE, [queued], problems)
            return 0
        self._list_written_at = time.monotonic()
        await page_queue.mark_written(self.db, PageKind.SIMPLE, [queued])
        return 1

    async def _in_render_process(self, work: Callable[..., _T], *arguments: object) -> _T:
        await asyncio.to_thread(self.webroot.check_writer)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, work, *arguments)

    # --- file deletions ---

    async def _delete_due_files(self) -> None:
        while await self._delete_batch():
            pass

    async def _delete_batch(self) -> bool:
        """Delete files that are due; False if none are left, or a wheel is being installed.

        The lock is taken before the query. A file is reserved in the database before its
        installation takes the lock: either the query sees the reservation, or the file is written
        afterwards.
        """
        grace = timedelta(seconds=self.deletion_delay_s)
        with contextlib.ExitStack() as held:
            lock = self.webroot.packages_lock(wait=False)
            if not await asyncio.to_thread(held.enter_context, lock):
                return False
            deletions = await file_deletions.files_to_delete(self.db, grace, _DELETE_BATCH_SIZE)
            problems = await asyncio.to_thread(self._remove_files, deletions)
            done = [file for file in deletions if file.filename not in problems]
            await file_deletions.mark_deleted(self.db, done)
            for name, problem in problems.items():
                log.error("%s cannot be deleted: %s; retrying later", name, problem)
            await file_deletions.postpone_deletions(self.db, list(problems))
        return bool(done)

    def _remove_files(self, deletions: Sequence[FileDeletion]) -> dict[str, str]:
        """Delete wheels; returns the problems by file name."""
        problems: dict[str, str] = {}
        for file in deletions:
            # The metadata first: a client with an old page can install a wheel without metadata,
            # but fails on metadata without a wheel.
            webroot = self.webroot
            places = (webroot.provenance_path, webroot.metadata_path, webroot.wheel_path)
            with write_errors.collecting_errors(problems, file.filename):
                self.webroot.remove(place(file.sha256, file.filename) for place in places)
        return problems


def write_pages(root: Path, content: Sequence[tuple[str, IndexPage | None]]) -> dict[str, str]:
    """Render and write pages of projects; None removes those of a project. Runs in any process.

    Returns:
        By project, why its pages cannot be written; all others are written.

    Raises:
        OSError: the whole web root cannot be written now.
    """
    webroot = Webroot(root)
    index = webroot.simple_dir()
    problems: dict[str, str] = {}
    changed = {}
    for project, page in content:
        folder = f"{index}/{project}"  # a Path would take longer than all else, if nothing changed
        # The HTML is written last: its first bytes identify the content of both.
        pages = [f"{folder}/index.v1_json", f"{folder}/index.html"]
        paths = map(Path, pages)
        with write_errors.collecting_errors(problems, project):
            if page is None:
                webroot.remove(
                    path for page in reversed([*paths]) for path in (page, gz_path(page))
                )
            elif webroot.has_marked_pages(pages, content_marker(page)):
                webroot.discard_temporaries(pages)
            else:
                rendered = render_project(page)
                changed[project] = list(zip(paths, (rendered.json, rendered.html), strict=True))
    if changed:
        failed = webroot.write_pages(changed)
        problems |= {
            project: write_errors.describe_error(error) for project, error in failed.items()
        }
    return problems


def refresh_project_list(root: Path, dsn: str) -> None:
    """Query the projects, and write the list of them. Runs in any process.

    Raises:
        OSError: it cannot be written.
        PiwheelsError: the database cannot be reached.
    """
    write_project_list(
        root, subprocess_query.run_query(dsn, "listing", index_queries.indexed_projects)
    )


def write_project_list(root: Path, projects: Sequence[str]) -> None:
    """Render and write the list of projects."""
    webroot = Webroot(root)
    rendered: RenderedPage = render_project_list(projects)
    webroot.write_page(webroot.simple_dir() / "index.html", rendered.html)
    webroot.write_page(webroot.simple_dir() / "index.v1_json", rendered.json)
