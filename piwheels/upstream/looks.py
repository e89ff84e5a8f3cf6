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
from piwheels.db.upstream import Due, Look
from piwheels.errors import RefusedError, TransientError
from piwheels.model import Finding
from piwheels.simpleapi import ProjectPage, SimpleIndex
from piwheels.upstream import evidence
from piwheels.upstream.choose import releases_of
from piwheels.upstream.clock import UpstreamClock
from piwheels.upstream.evidence import Judgment
from piwheels.upstream.health import Health
from piwheels.upstream.reconcile import Reconciler

_IDLE_S = 5.0
#: Waits vary by a tenth; what is planned later than this many times the interval comes of a clock
#: that was wrong.
_LONGEST = 1.2
#: A change that so many looks have not shown is worth an event.
_NOTED_LOOKS = 3


@dataclass(slots=True)
class Looks:
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
    health: Health
    everything: bool
    interval_s: float
    first_wait_s: float
    idle_at: float | None = None
    hidden_changes: dict[str, str] = field(default_factory=dict)
    _well: bool = True
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
                wait_s = await self._start(group)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()

    async def _start(self, group: asyncio.TaskGroup) -> float:
        """Begin as many looks as the upstream bears; returns how long to wait for more."""
        quiet_s = self.health.not_before - time.monotonic()
        if quiet_s > 0:
            return quiet_s
        free = self.health.at_once - len(self._busy)
        if free <= 0:
            return _IDLE_S
        for due in await self.db.retrying(lambda: self._due(free)):
            self._busy.add(due.project)
            group.create_task(self._look(due))
        if not self._busy and not self.health.trouble:
            self.idle_at = time.monotonic()
        return min(_IDLE_S, self.interval_s, self.first_wait_s)

    async def _due(self, limit: int) -> list[Due]:
        return await upstream.due(
            self.db,
            limit=limit,
            busy=sorted(self._busy),
            longest=timedelta(seconds=self.interval_s * _LONGEST),
            longest_change=timedelta(seconds=evidence.LONGEST_WAIT_S * _LONGEST),
        )

    async def _look(self, due: Due) -> None:
        try:
            look = await self._looked(due)
            await self.db.retrying(lambda: upstream.looked(self.db, look))
        finally:
            self._busy.discard(due.project)
            self._wake.set()
        await self._note_health()

    async def _note_health(self) -> None:
        """Log one event where the upstream's trouble begins, and one where it ends."""
        was_well, self._well = self._well, not self.health.trouble
        if was_well and not self._well:
            await self.reconciler.note(
                f"gives no usable answers, and nothing is changed meanwhile: {self.health.trouble}"
            )
        elif self._well and not was_well:
            await self.reconciler.note("answers again")

    async def _looked(self, due: Due) -> Look:
        """Ask for the page, and take in what it proves."""
        known = _last_page(due)
        try:
            page = await self.index.project(due.project, known=known)
        except TransientError as error:
            self.health.overloaded(str(error), time.monotonic(), error.wait_s)
            return await self._result(due, Judgment(finding=Finding.FAULT, problem=str(error)))
        except RefusedError as error:
            self.health.useless(str(error))
            return await self._result(due, Judgment(finding=Finding.FAULT, problem=str(error)))
        if page is None:
            return await self._absent(due)
        if page is known:
            self.health.answered(due.project)
            return await self._current(due, page)
        return await self._judged(due, page)

    async def _judged(self, due: Due, page: ProjectPage) -> Look:
        releases = releases_of(page, seen_at=page.answered_at or self.clock.now())
        judgment = evidence.judge(due, page, len(releases))
        if judgment.finding is Finding.EMPTY:
            return await self._empty(due, page, judgment)
        if judgment.finding is not Finding.CURRENT:
            self.health.useless(judgment.problem)
            return await self._result(due, judgment)
        self.clock.hear(page.answered_at, page.age_s)
        self.health.answered(due.project)
        if due.change is not None and evidence.recreates(due.change, page.serial):
            await self.reconciler.forget_existing(due.project)
        hid = False
        if due.known or self.everything:
            hid = await self.reconciler.reconcile(
                page, releases, self.clock.now(), add=self.everything and not due.known
            )
        return await self._current(due, page, hid=hid)

    async def _empty(self, due: Due, page: ProjectPage, judgment: Judgment) -> Look:
        """A page without releases: believed as the absence of the project is."""
        self.health.absent(due.project, judgment.problem)
        if evidence.is_to_be_believed(due, Finding.EMPTY) and self.health.believes_absence():
            await self.reconciler.reconcile(page, [], self.clock.now())
        return await self._result(due, judgment)

    async def _current(self, due: Due, page: ProjectPage, *, hid: bool = False) -> Look:
        """A page that counts: changes that it shows are done; where it hid a release, look soon."""
        change, done = due.change, page.serial
        if change is not None and evidence.is_done(change, page.serial):
            done = change.serial
            if change.removed:
                await self.reconciler.confirm_removed(due.project, change.removed, self.clock.now())
        return await self._result(
            due, Judgment(finding=Finding.CURRENT), page=page, done=done, soon=hid
        )

    async def _absent(self, due: Due) -> Look:
        judgment, change, done = evidence.judge(due, None, 0), due.change, None
        self.health.absent(due.project, judgment.problem)
        if change is not None and evidence.confirms_absence(change):
            await self.reconciler.hide_all(due.project)
            await self.reconciler.confirm_removed(due.project, change.removed, self.clock.now())
            await self.reconciler.forget_existing(due.project)
            done = change.serial
        elif evidence.is_to_be_believed(due, Finding.ABSENT) and self.health.believes_absence():
            await self.reconciler.hide_all(due.project)
        return await self._result(due, judgment, done=done)

    async def _result(
        self,
        due: Due,
        judgment: Judgment,
        *,
        page: ProjectPage | None = None,
        done: int | None = None,
        soon: bool = False,
    ) -> Look:
        """What is noted of a look; says so where a reported change stays invisible."""
        look = evidence.result(
            due,
            judgment,
            page=page,
            done=done,
            interval_s=self.interval_s,
            first_wait_s=self.first_wait_s,
            spread=random.uniform(0.9, 1.1),  # noqa: S311
            soon=soon,
        )
        await self._note_change(due, look)
        return look

    async def _note_change(self, due: Due, look: Look) -> None:
        change = due.change
        if change is None or (look.done is not None and look.done >= change.serial):
            self.hidden_changes.pop(due.project, None)
            if look.given_up:
                await self.reconciler.note(f"gave up: {look.change_problem}", due.project)
        elif look.change_problem:
            self.hidden_changes[due.project] = look.change_problem
            if change.looks + 1 == _NOTED_LOOKS:
                await self.reconciler.note(
                    f"{look.change_problem}; it is looked at again", due.project
                )


def _last_page(due: Due) -> ProjectPage | None:
    """What is known of the page as it was read last, to ask whether it changed."""
    if not (due.etag or due.modified):
        return None
    return ProjectPage(
        project=due.project,
        display=due.project,
        files=(),
        serial=due.page_serial,
        etag=due.etag,
        modified=due.modified,
    )
