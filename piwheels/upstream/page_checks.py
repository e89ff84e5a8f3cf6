"""Looking at the pages of followed projects: what is due, many at once, politely.

A project is due when the interval since its last look has passed, or when the changelog reported a
change of it that no page has shown yet. A fault delays and changes nothing.
"""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from datetime import timedelta

from piwheels.db import upstream
from piwheels.db.database import Database
from piwheels.db.upstream import CheckResult, ProjectToCheck
from piwheels.errors import RejectedError, TransientError
from piwheels.model import PageCheckResult
from piwheels.simple_index.client import SimpleIndex
from piwheels.simple_index.page import ProjectPage
from piwheels.upstream import evidence
from piwheels.upstream.clock import UpstreamClock
from piwheels.upstream.evidence import Assessment
from piwheels.upstream.health import UpstreamHealth
from piwheels.upstream.reconcile import Reconciler
from piwheels.upstream.selection import releases_of

_IDLE_S = 5.0
#: Waits vary by a tenth; what is planned later than this many times the interval comes of a clock
#: that was wrong.
_MAX_INTERVAL_FACTOR = 1.2
#: A change that so many looks have not shown is worth an event.
_REPORTED_CHECKS = 3


@dataclass(slots=True)
class PageChecker:
    """The duty of looking.

    everything: look also at projects that nobody added.
    interval_s: how long a page that counts is good for.
    first_wait_s: how long until the second look for a reported change.
    idle_at: when nothing was due last, on the monotonic clock.
    hidden_changes: why reported changes are not visible on their pages, by project.
    """

    db: Database
    index: SimpleIndex
    reconciler: Reconciler
    clock: UpstreamClock
    health: UpstreamHealth
    follow_all: bool
    interval_s: float
    first_wait_s: float
    idle_at: float | None = None
    invisible_changes: dict[str, str] = field(default_factory=dict)
    _was_healthy: bool = True
    _busy: set[str] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Look at what is due now."""
        self._wake.set()

    async def run(self) -> None:
        """Look at what is due until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                wait_s = await self._start_checks(group)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()

    async def _start_checks(self, group: asyncio.TaskGroup) -> float:
        """Begin as many looks as the upstream bears; returns how long to wait for more."""
        quiet_s = self.health.retry_at - time.monotonic()
        if quiet_s > 0:
            return quiet_s
        free = self.health.concurrency - len(self._busy)
        if free <= 0:
            return _IDLE_S
        for due in await self._due_checks(free):
            self._busy.add(due.project)
            group.create_task(self._sync_project(due))
        if not self._busy and not self.health.outage:
            self.idle_at = time.monotonic()
        return min(_IDLE_S, self.interval_s, self.first_wait_s)

    async def _due_checks(self, limit: int) -> list[ProjectToCheck]:
        return await upstream.projects_due(
            self.db,
            limit=limit,
            exclude=sorted(self._busy),
            max_delay=timedelta(seconds=self.interval_s * _MAX_INTERVAL_FACTOR),
            max_change_delay=timedelta(seconds=evidence.MAX_WAIT_S * _MAX_INTERVAL_FACTOR),
        )

    async def _sync_project(self, due: ProjectToCheck) -> None:
        try:
            look = await self._check(due)
            await upstream.record_check(self.db, look)
        finally:
            self._busy.discard(due.project)
            self._wake.set()
        await self._record_health()

    async def _record_health(self) -> None:
        """Log one event where the upstream's trouble begins, and one where it ends."""
        was_well, self._was_healthy = self._was_healthy, not self.health.outage
        if was_well and not self._was_healthy:
            await self.reconciler.record_event(
                f"gives no usable answers, and nothing is changed meanwhile: {self.health.outage}"
            )
        elif self._was_healthy and not was_well:
            await self.reconciler.record_event("answers again")

    async def _check(self, due: ProjectToCheck) -> CheckResult:
        """Ask for the page, and take in what it proves."""
        known = _last_page(due)
        try:
            page = await self.index.project(due.project, known=known)
        except TransientError as error:
            self.health.record_overload(str(error), time.monotonic(), error.retry_after_s)
            return await self._result(
                due, Assessment(finding=PageCheckResult.UNAVAILABLE, problem=str(error))
            )
        except RejectedError as error:
            self.health.record_unusable(str(error))
            return await self._result(
                due, Assessment(finding=PageCheckResult.UNAVAILABLE, problem=str(error))
            )
        if page is None:
            return await self._handle_absent(due)
        if page is known:
            self.health.record_success(due.project)
            return await self._handle_current(due, page)
        return await self._handle_page(due, page)

    async def _handle_page(self, due: ProjectToCheck, page: ProjectPage) -> CheckResult:
        releases = releases_of(page, seen_at=page.answered_at or self.clock.now())
        judgment = evidence.assess(due, page, len(releases))
        if judgment.finding is PageCheckResult.EMPTY:
            return await self._handle_empty(due, page, judgment)
        if judgment.finding is not PageCheckResult.UP_TO_DATE:
            self.health.record_unusable(judgment.problem)
            return await self._result(due, judgment)
        self.clock.update(page.answered_at, page.age_s)
        self.health.record_success(due.project)
        if due.change is not None and evidence.proves_recreation(due.change, page.serial):
            await self.reconciler.forget_known_versions(due.project)
        hid = False
        if due.exists or self.follow_all:
            hid = await self.reconciler.reconcile(
                page, releases, self.clock.now(), follow=self.follow_all and not due.exists
            )
        return await self._handle_current(due, page, recheck_soon=hid)

    async def _handle_empty(
        self, due: ProjectToCheck, page: ProjectPage, judgment: Assessment
    ) -> CheckResult:
        """A page without releases: believed as the absence of the project is."""
        self.health.record_absent(due.project, judgment.problem)
        if evidence.is_confirmed(due, PageCheckResult.EMPTY) and self.health.trusts_absence():
            await self.reconciler.reconcile(page, [], self.clock.now())
        return await self._result(due, judgment)

    async def _handle_current(
        self, due: ProjectToCheck, page: ProjectPage, *, recheck_soon: bool = False
    ) -> CheckResult:
        """A page that counts: changes that it shows are done; where it hid a release, look soon."""
        change, done = due.change, page.serial
        if change is not None and evidence.shows_change(change, page.serial):
            done = change.serial
            if change.removed_versions:
                await self.reconciler.confirm_removed(
                    due.project, change.removed_versions, self.clock.now()
                )
        return await self._result(
            due,
            Assessment(finding=PageCheckResult.UP_TO_DATE),
            page=page,
            done_serial=done,
            recheck_soon=recheck_soon,
        )

    async def _handle_absent(self, due: ProjectToCheck) -> CheckResult:
        judgment, change, done = evidence.assess(due, None, 0), due.change, None
        self.health.record_absent(due.project, judgment.problem)
        if change is not None and evidence.confirms_absence(change):
            await self.reconciler.hide_all(due.project)
            await self.reconciler.confirm_removed(
                due.project, change.removed_versions, self.clock.now()
            )
            await self.reconciler.forget_known_versions(due.project)
            done = change.serial
        elif evidence.is_confirmed(due, PageCheckResult.NOT_FOUND) and self.health.trusts_absence():
            await self.reconciler.hide_all(due.project)
        return await self._result(due, judgment, done_serial=done)

    async def _result(
        self,
        due: ProjectToCheck,
        assessment: Assessment,
        *,
        page: ProjectPage | None = None,
        done_serial: int | None = None,
        recheck_soon: bool = False,
    ) -> CheckResult:
        """What is noted of a look; says so where a reported change stays invisible."""
        look = evidence.check_result(
            due,
            assessment,
            page=page,
            done_serial=done_serial,
            interval_s=self.interval_s,
            first_wait_s=self.first_wait_s,
            spread=random.uniform(0.9, 1.1),  # noqa: S311
            recheck_soon=recheck_soon,
        )
        await self._record_change(due, look)
        return look

    async def _record_change(self, due: ProjectToCheck, look: CheckResult) -> None:
        change = due.change
        if change is None or (
            look.visible_serial is not None and look.visible_serial >= change.serial
        ):
            self.invisible_changes.pop(due.project, None)
            if look.given_up:
                await self.reconciler.record_event(f"gave up: {look.change_problem}", due.project)
        elif look.change_problem:
            self.invisible_changes[due.project] = look.change_problem
            if change.checks + 1 == _REPORTED_CHECKS:
                await self.reconciler.record_event(
                    f"{look.change_problem}; it is looked at again", due.project
                )


def _last_page(due: ProjectToCheck) -> ProjectPage | None:
    """What is known of the page as it was read last, to ask whether it changed."""
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
