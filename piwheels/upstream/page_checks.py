"""Checks the pages of followed projects that are due, several at a time.

A project is due when its interval has passed, or when the changelog reported a change that no page
has shown yet. A fault delays the check and changes nothing.
"""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from piwheels.db import upstream
from piwheels.db.database import Database
from piwheels.db.upstream import CheckResult, ProjectToCheck
from piwheels.errors import TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import ProjectPage
from piwheels.model import PageCheckResult
from piwheels.upstream import page_evidence
from piwheels.upstream.clock import UpstreamClock
from piwheels.upstream.faults import describe_fault
from piwheels.upstream.health import UpstreamHealth
from piwheels.upstream.listing_fill import ListingFill
from piwheels.upstream.page_evidence import Assessment
from piwheels.upstream.reconcile import Reconciler
from piwheels.upstream.selection import releases_of, without_future_times

_IDLE_S = 5.0
#: Delays vary by a tenth; a check that is scheduled later than this many times the interval was
#: scheduled with a wrong clock.
_MAX_INTERVAL_FACTOR = 1.2
#: An event is recorded for a change that this many checks have not shown.
_REPORTED_CHECKS = 3


@dataclass(slots=True)
class PageChecker:
    """The service that checks pages.

    follow_all: also check projects that nobody added.
    interval_s: how long a page is valid.
    first_wait_s: the delay of the second check for a reported change.
    fill: reads the pages of the list of all projects, after those that are due.
    idle_at: when nothing was due last, on the monotonic clock.
    invisible_changes: why reported changes are not visible on their pages, by project.
    """

    db: Database
    index: SimpleIndex
    reconciler: Reconciler
    clock: UpstreamClock
    health: UpstreamHealth
    follow_all: bool
    interval_s: float
    first_wait_s: float
    fill: ListingFill
    idle_at: float | None = None
    invisible_changes: dict[str, str] = field(default_factory=dict)
    _was_healthy: bool = True
    _busy: set[str] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Check due projects now."""
        self._wake.set()

    async def run(self) -> None:
        """Check due projects until canceled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                wait_s = await self._start_checks(group)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()

    async def _start_checks(self, group: asyncio.TaskGroup) -> float:
        """Start as many checks as the upstream allows; returns the delay until the next ones."""
        quiet_s = self.health.retry_at - time.monotonic()
        if quiet_s > 0:
            return quiet_s
        free = self.health.concurrency - len(self._busy)
        if free <= 0:
            return _IDLE_S
        for due in await self._due_checks(free):
            self._busy.add(due.project)
            group.create_task(self._sync_project(due))
        if self.follow_all:
            await self._start_fill(group)
        if not self._busy and not self.health.outage:
            self.idle_at = time.monotonic()
        return min(_IDLE_S, self.interval_s, self.first_wait_s)

    async def _start_fill(self, group: asyncio.TaskGroup) -> None:
        free = self.health.concurrency - len(self._busy)
        for project in await self.fill.next_projects(free, self._busy):
            self._busy.add(project)
            group.create_task(self._fill_project(project))

    async def _fill_project(self, project: str) -> None:
        try:
            await self.fill.read(project)
        finally:
            self._busy.discard(project)
            self._wake.set()
        await self._record_health()

    async def _due_checks(self, limit: int) -> list[ProjectToCheck]:
        return await upstream.projects_due(
            self.db,
            limit=limit,
            exclude=sorted(self._busy),
            max_delay=timedelta(seconds=self.interval_s * _MAX_INTERVAL_FACTOR),
            max_change_delay=timedelta(seconds=page_evidence.MAX_WAIT_S * _MAX_INTERVAL_FACTOR),
        )

    async def _sync_project(self, due: ProjectToCheck) -> None:
        try:
            await self._check_and_record(due)
        finally:
            self._busy.discard(due.project)
            self._wake.set()
        await self._record_health()

    async def _check_and_record(self, due: ProjectToCheck) -> None:
        """Check a page; whatever is wrong with it, it stays the fault of this project."""
        try:
            await upstream.record_check(self.db, await self._check(due))
        except Exception as error:  # noqa: BLE001 - of one page; the database's are raised again
            problem = describe_fault(error, f"the page of {due.project}")
            self.health.record_unusable(due.project, problem)
            result = await self._result(due, _unusable(problem))
            await upstream.record_check(self.db, result)

    async def _record_health(self) -> None:
        """Record an event when an outage of the upstream starts, and when it ends."""
        was_well, self._was_healthy = self._was_healthy, not self.health.outage
        if was_well and not self._was_healthy:
            await self.reconciler.record_event(
                f"outage: no usable responses, changes are on hold: {self.health.outage}"
            )
        elif self._was_healthy and not was_well:
            await self.reconciler.record_event("the outage is over")

    async def _check(self, due: ProjectToCheck) -> CheckResult:
        """Request the page, and apply what it proves."""
        known = _last_page(due)
        try:
            page = await self.index.project(due.project, known=known)
        except TransientError as error:
            self.health.record_overload(str(error), time.monotonic(), error.retry_after_s)
            return await self._result(
                due, Assessment(result=PageCheckResult.UNAVAILABLE, problem=str(error))
            )
        if page is None:
            return await self._handle_absent(due)
        if page is known:
            self.health.record_success(due.project)
            return await self._handle_current(due, page)
        return await self._handle_page(due, page)

    async def _handle_page(self, due: ProjectToCheck, page: ProjectPage) -> CheckResult:
        page = without_future_times(page, datetime.now(UTC))
        releases = releases_of(page, seen_at=page.answered_at or self.clock.now())
        assessment = page_evidence.assess(due, page, len(releases))
        if assessment.result is PageCheckResult.EMPTY:
            return await self._handle_empty(due, page, assessment)
        if assessment.result is not PageCheckResult.UP_TO_DATE:
            self.health.record_unusable(due.project, assessment.problem)
            return await self._result(due, assessment)
        self.clock.update(page.answered_at, page.age_s)
        self.health.record_success(due.project)
        if due.change is not None and page_evidence.proves_recreation(due.change, page.serial):
            await self.reconciler.forget_known_versions(due.project)
        hid = False
        if due.exists or self.follow_all:
            hid = await self.reconciler.reconcile(
                page, releases, self.clock.now(), follow=self.follow_all and not due.exists
            )
        return await self._handle_current(due, page, recheck_soon=hid)

    async def _handle_empty(
        self, due: ProjectToCheck, page: ProjectPage, assessment: Assessment
    ) -> CheckResult:
        """A page without releases: accepted like a missing project."""
        self.health.record_absent(due.project, assessment.problem)
        if page_evidence.is_confirmed(due, PageCheckResult.EMPTY) and self.health.trusts_absence():
            await self.reconciler.reconcile(page, [], self.clock.now())
        return await self._result(due, assessment)

    async def _handle_current(
        self, due: ProjectToCheck, page: ProjectPage, *, recheck_soon: bool = False
    ) -> CheckResult:
        """A usable page completes the changes that it shows."""
        change, done = due.change, page.serial
        if change is not None and page_evidence.shows_change(change, page.serial):
            done = change.serial
            if change.removed_versions:
                await self.reconciler.confirm_removed(
                    due.project, change.removed_versions, self.clock.now()
                )
        return await self._result(
            due,
            Assessment(result=PageCheckResult.UP_TO_DATE),
            page=page,
            done_serial=done,
            recheck_soon=recheck_soon,
        )

    async def _handle_absent(self, due: ProjectToCheck) -> CheckResult:
        assessment, change, done = page_evidence.assess(due, None, 0), due.change, None
        self.health.record_absent(due.project, assessment.problem)
        if (
            change is not None
            and page_evidence.confirms_absence(change)
            and self.health.trusts_removal(due.project)
        ):
            await self.reconciler.hide_all(due.project)
            await self.reconciler.confirm_removed(
                due.project, change.removed_versions, self.clock.now()
            )
            await self.reconciler.forget_known_versions(due.project)
            done = change.serial
        elif (
            page_evidence.is_confirmed(due, PageCheckResult.NOT_FOUND)
            and self.health.trusts_absence()
        ):
            await self.reconciler.hide_all(due.project)
        return await self._result(due, assessment, done_serial=done)

    async def _result(
        self,
        due: ProjectToCheck,
        assessment: Assessment,
        *,
        page: ProjectPage | None = None,
        done_serial: int | None = None,
        recheck_soon: bool = False,
    ) -> CheckResult:
        """The result of a check; a reported change that stays invisible is recorded."""
        result = page_evidence.check_result(
            due,
            assessment,
            page=page,
            done_serial=done_serial,
            interval_s=self.interval_s,
            first_wait_s=self.first_wait_s,
            spread=random.uniform(0.9, 1.1),  # noqa: S311
            recheck_soon=recheck_soon,
        )
        await self._record_change(due, result)
        return result

    async def _record_change(self, due: ProjectToCheck, result: CheckResult) -> None:
        change = due.change
        if change is None or (
            result.visible_serial is not None and result.visible_serial >= change.serial
        ):
            self.invisible_changes.pop(due.project, None)
            if result.given_up:
                await self.reconciler.record_event(
                    f"gave up waiting: {result.change_problem}", due.project
                )
        elif result.change_problem:
            self.invisible_changes[due.project] = result.change_problem
            if change.checks + 1 == _REPORTED_CHECKS:
                await self.reconciler.record_event(
                    f"{result.change_problem}; still checking", due.project
                )


def _unusable(problem: str) -> Assessment:
    return Assessment(result=PageCheckResult.UNUSABLE, problem=problem)


def _last_page(due: ProjectToCheck) -> ProjectPage | None:
    """The validators of the last page, for a conditional request."""
    if not (due.etag or due.last_modified):
        return None
    return ProjectPage(
        project=due.project,
        display_name=due.project,
        files=(),
        serial=due.page_serial,
        etag=due.etag,
        modified=due.last_modified,
    )
