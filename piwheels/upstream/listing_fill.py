"""Reads the pages of the listed projects (listing), and stores them in batches.

A project leaves the list in the transaction that stores its page, so that a fill goes on after any
interruption where it was. Memory is bounded: pages that wait to be stored hold up the requests.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from piwheels.db import listed_projects
from piwheels.db.database import Database, is_database_error
from piwheels.db.listed_projects import NewProject
from piwheels.db.upstream import ProjectToCheck
from piwheels.errors import TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import ProjectPage
from piwheels.model import CompatibilityRules, PageCheckResult, Release
from piwheels.sanitize import truncate_line
from piwheels.upstream import page_evidence
from piwheels.upstream.clock import UpstreamClock
from piwheels.upstream.faults import describe_fault
from piwheels.upstream.health import UpstreamHealth
from piwheels.upstream.last_check import upstream_page_of
from piwheels.upstream.page_evidence import Assessment
from piwheels.upstream.reconcile import EPOCH, Reconciler
from piwheels.upstream.selection import releases_of, without_future_times
from piwheels.upstream.wheels import counting_wheels

#: A batch is stored when it has so many releases or projects, or after this time.
BATCH_RELEASES = 2000
BATCH_PROJECTS = 200
_BATCH_S = 1.0
_LOADED_NAMES = 500
#: After nothing was due in the list.
_LOAD_INTERVAL_S = 5.0
#: How often all that is postponed is counted.
_COUNT_INTERVAL_S = 60.0


@dataclass(slots=True)
class ListingFill:
    """The service that reads and stores the pages of listed projects.

    interval_s: how long a page is valid.
    """

    db: Database
    index: SimpleIndex
    rules: CompatibilityRules
    reconciler: Reconciler
    clock: UpstreamClock
    health: UpstreamHealth
    interval_s: float
    _total: int = 0
    _stored: int = 0  # since the start
    _analyze_at: int = 1
    _unread: int = 0
    _names: deque[str] = field(default_factory=deque)
    _pending: set[str] = field(default_factory=set)  # loaded, and not stored or postponed yet
    _load_at: float = float("-inf")
    _count_at: float = float("-inf")
    _pages: asyncio.Queue[NewProject] = field(
        default_factory=lambda: asyncio.Queue(maxsize=BATCH_PROJECTS)
    )

    @property
    def status_text(self) -> str:
        """How many pages were read, for operators; "" after all of them."""
        if not self._unread:
            return ""
        done = max(self._total - self._unread, 0)
        return f"read the pages of {done:,} of {self._total:,} listed projects"

    async def restart(self, total: int) -> int:
        """Read the pages that the list, of so many projects, lacks; returns how many."""
        self._total, self._unread = total, await listed_projects.count_unread(self.db)
        self._load_at = float("-inf")
        return self._unread

    async def next_projects(self, limit: int, exclude: Collection[str]) -> list[str]:
        """Projects whose pages to read now.

        Args:
            limit: how many.
            exclude: projects whose pages are being checked.
        """
        if not self._names and self._unread and time.monotonic() >= self._load_at:
            skipped = sorted(self._pending | set(exclude))
            names = await listed_projects.projects_to_read(self.db, _LOADED_NAMES, skipped)
            self._names.extend(names)
            self._pending.update(names)
            if not names:
                await self._recount()
        return [self._names.popleft() for _ in range(min(limit, len(self._names)))]

    async def _recount(self) -> None:
        """Count what is postponed or being stored, now and then: nothing else remains."""
        now = time.monotonic()
        self._load_at = now + _LOAD_INTERVAL_S
        if not await listed_projects.has_unread(self.db):
            self._unread = 0
        elif now >= self._count_at:
            self._count_at = now + _COUNT_INTERVAL_S
            self._unread = max(await listed_projects.count_unread(self.db), 1)
        if not self._unread:
            await self.reconciler.record_event("read the pages of all listed projects")

    async def read(self, project: str) -> None:
        """Read a project's page, for the next batch; whatever is wrong with it delays it alone."""
        try:
            await self._read(project)
        except Exception as error:  # noqa: BLE001 - of one page; the database's are raised again
            await self._handle_fault(project, error)

    async def _handle_fault(self, project: str, error: Exception) -> None:
        problem = describe_fault(error, f"the page of {project}")
        self.health.record_unusable(project, problem)
        await self._postpone(project, PageCheckResult.UNUSABLE, problem)

    async def _read(self, project: str) -> None:
        try:
            page = await self.index.project(project)
        except TransientError as error:
            self.health.record_overload(str(error), time.monotonic(), error.retry_after_s)
            await self._postpone(project, PageCheckResult.UNAVAILABLE, str(error))
            return
        due = ProjectToCheck(project=project, exists=False)
        if page is None:
            await self._handle_absent(project, page_evidence.assess(due, None, 0))
            return
        page = without_future_times(page, datetime.now(UTC))
        releases = releases_of(page, seen_at=page.answered_at or self.clock.now())
        assessment = page_evidence.assess(due, page, len(releases))
        if assessment.result is not PageCheckResult.UP_TO_DATE:
            self.health.record_unusable(project, assessment.problem)
            await self._postpone(project, assessment.result, assessment.problem)
            return
        self.clock.update(page.answered_at, page.age_s)
        self.health.record_success(project)
        await self._pages.put(self._new_project(page, releases))

    def _new_project(self, page: ProjectPage, releases: list[Release]) -> NewProject:
        return NewProject(
            project=page.project,
            display_name=page.display_name,
            status=page.status,
            status_reason=page.status_reason,
            etag=page.etag,
            last_modified=page.modified,
            page_serial=page.serial,
            next_check_in=timedelta(seconds=self.interval_s),
            follow_since=EPOCH,
            releases=tuple(releases),
            page=upstream_page_of(page, releases),
            wheels=tuple(counting_wheels(page, self.reconciler.wheel_policy)),
        )

    async def _handle_absent(self, project: str, assessment: Assessment) -> None:
        """A listed project without a page: forgotten after enough such responses."""
        self.health.record_absent(project, assessment.problem)
        checks = await self._postpone(project, assessment.result, assessment.problem)
        if checks >= page_evidence.CHECKS_TO_BELIEVE and self.health.trusts_absence():
            await listed_projects.drop_listed(self.db, project)

    async def _postpone(self, project: str, result: PageCheckResult, problem: str) -> int:
        """Read a page again later, and later each time; returns how often that was tried."""
        checks = await listed_projects.checks_of(self.db, project) + 1
        interval_s = self.interval_s
        if result is PageCheckResult.UNAVAILABLE:  # no fault of the page
            interval_s = min(interval_s, page_evidence.MAX_WAIT_S)
        wait_s = page_evidence.page_wait_s(interval_s, result, checks)
        await listed_projects.postpone(
            self.db, project, truncate_line(problem), timedelta(seconds=wait_s)
        )
        self._pending.discard(project)
        return checks

    async def run(self) -> None:
        """Store pages in batches, until canceled."""
        while True:
            await self._store(await self._next_batch())

    async def _next_batch(self) -> list[NewProject]:
        batch = [await self._pages.get()]
        count = len(batch[0].releases)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BATCH_S):
                while count < BATCH_RELEASES and len(batch) < BATCH_PROJECTS:
                    batch.append(await self._pages.get())
                    count += len(batch[-1].releases)
        return batch

    async def _store(self, batch: list[NewProject]) -> None:
        """Store a batch; if a page of it cannot be stored, the others one by one."""
        try:
            await listed_projects.store_new_projects(self.db, batch, self.rules)
        except Exception as error:
            if len(batch) == 1:
                await self._handle_fault(batch[0].project, error)
                return
            if is_database_error(error):
                raise
            for item in batch:
                await self._store([item])
            return
        await self._count_stored(batch)

    async def _count_stored(self, batch: list[NewProject]) -> None:
        self._pending.difference_update(item.project for item in batch)
        self._stored += len(batch)
        if self._stored >= self._analyze_at:
            await listed_projects.analyze_filled(self.db)
            self._analyze_at = self._stored * 4
        self._unread = max(self._unread - len(batch), 1)  # none remain only after a count
