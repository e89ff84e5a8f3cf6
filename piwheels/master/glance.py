"""The farm at a glance: what `piw status` and every console show, published when it changes.

Counts come from the database and are kept with their age: a slow or blocked database delays no
answer. What the master itself knows (paused, builders, upstream) is always current.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from piwheels import host
from piwheels.db import history, pages, views
from piwheels.db.database import Database
from piwheels.errors import NotNowError
from piwheels.farm.bulletin import Bulletin
from piwheels.farm.dispatch import Dispatch
from piwheels.farm.news import status_differs
from piwheels.master.database_watch import because
from piwheels.master.numbers import downloads
from piwheels.master.seldom import Known, Seldom
from piwheels.model import EndedBuild
from piwheels.protocol.messages import (
    Downloads,
    Happened,
    HostState,
    JobEnded,
    ListBuilds,
    ListEvents,
    Pulse,
    QueueView,
    Snapshot,
    StatusReply,
)
from piwheels.upstream.follow import Follower

_PULSE_S = 2.0
#: Counting may take the database a twentieth of the time, but is done every 15 seconds at least.
_REST = 20.0
#: Counting everything takes seconds on a large farm, and is done that much more seldom.
_TOTALS_REST = 100.0
_TOTALS_LONGEST_REST_S = 600.0
#: An answer waits so long for a refreshed count before it takes the one in memory.
_COUNTS_WAIT_S = 1.0
#: The first count of a large farm takes seconds; consoles wait for 15.
_FIRST_COUNTS_S = 10.0
_RECENT = 100
_MOST = 1000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted in the database for a status."""

    queues: list[views.QueueLength]
    last_hour: dict[str, int]
    stale_pages: int


@dataclass(slots=True)
class Glance:
    """Looks at the farm on connections of its own, so that no command waits for a count.

    db: for lists, which wait for no count either. counting: for counts. database_problem: what
    the master waits for its database for, "" when it does not.
    """

    db: Database
    counting: Database
    dispatch: Dispatch
    follower: Follower
    bulletin: Bulletin
    tree: Path
    database_problem: Callable[[], str] = str
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    _began: float = field(default_factory=time.monotonic)
    _counts: Seldom[Counts] = field(init=False)
    _totals: Seldom[views.Totals] = field(init=False)
    _downloads: Seldom[Downloads] = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _published: StatusReply | None = None

    def __post_init__(self) -> None:
        db = self.counting
        self._counts = Seldom(self._count, rest=_REST)
        self._totals = Seldom(
            lambda: views.totals(db), rest=_TOTALS_REST, longest_rest_s=_TOTALS_LONGEST_REST_S
        )
        self._downloads = Seldom(lambda: downloads(db), rest=_REST)

    def changed(self) -> None:
        """An operator's command was carried out: publish what it changed now."""
        self._counts.expire()
        self._totals.expire()
        self._changed.set()

    async def run(self) -> None:
        """Publish a Pulse whenever the farm has changed, until cancelled."""
        with contextlib.suppress(NotNowError):
            await self.status()  # so that counts are in memory when somebody asks
        while True:
            await self.bulletin.watched()
            self._changed.clear()
            with contextlib.suppress(NotNowError):
                self._publish(replace(await self.status(), builders=()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PULSE_S):
                    await self._changed.wait()

    def _publish(self, now: StatusReply) -> None:
        before = self._published
        if before is None or status_differs(before, now, now.uptime_s - before.uptime_s):
            self.bulletin.publish(Pulse(status=now))
            self._published = now

    async def _count(self) -> Counts:
        db = self.counting
        return Counts(
            queues=await views.queue_lengths(db),
            last_hour=await history.last_hour(db),
            stale_pages=await pages.stale_count(db),
        )

    async def snapshot(self) -> Snapshot:
        """All that a console shows at first."""
        status = await self.status(loads=True)
        builds = await self.builds(ListBuilds(limit=_RECENT))
        events = await self.events(ListEvents(limit=_RECENT))
        return Snapshot(status=status, builds=builds, events=events)

    async def builds(self, question: ListBuilds) -> tuple[JobEnded, ...]:
        """The builds that ended last, of those asked for."""
        ended = await self.db.retrying(
            lambda: history.recent_builds(
                self.db,
                limit=min(max(question.limit, 1), _MOST),
                project=question.project,
                failed=question.failed,
                slower_than_s=question.slower_than_s,
            )
        )
        return tuple(map(_ended, ended))

    async def events(self, question: ListEvents) -> tuple[Happened, ...]:
        """What happened last, or last before an event."""
        limit = min(max(question.limit, 1), _MOST)
        happened = await self.db.retrying(
            lambda: history.recent_events(self.db, limit=limit, before=question.before)
        )
        return tuple(map(_happened, happened))

    async def status(self, *, loads: bool = False) -> StatusReply:
        """The farm at a glance; with `loads`, each builder's load over the last minutes.

        Raises:
            NotNowError: the database has not answered since the master started.
        """
        counts = await self._recent(self._counts)
        known_totals = await self._recent(self._totals)
        totals = known_totals.value
        live_downloads = (await self._recent(self._downloads)).value
        now = time.monotonic()
        read_at = self.follower.read_at
        served = self.dispatch.served
        return StatusReply(
            version=version("piwheels"),
            instance=self.instance,
            uptime_s=now - self._began,
            paused=self.dispatch.paused,
            waits=self.dispatch.waits,
            builders=tuple(self.dispatch.builders(loads=loads)),
            queues=tuple(
                _queue(queue, served=queue.target in served) for queue in counts.value.queues
            ),
            last_hour=counts.value.last_hour,
            projects=totals.projects,
            releases=totals.releases,
            files=totals.files,
            files_bytes=totals.files_bytes,
            builds=totals.builds,
            stale_pages=counts.value.stale_pages,
            counts_age_s=counts.age_s,
            database_bytes=totals.database_bytes,
            host=_host_state(self.tree),
            upstream=self.follower.said,
            upstream_lag_s=None if read_at is None else now - read_at,
            downloads=live_downloads,
            totals_age_s=known_totals.age_s,
            database=self.database_problem(),
        )

    async def _recent(self, cached: Seldom[_T]) -> Known[_T]:
        """From memory where the database is slow; the very first answer is waited for a while."""
        try:
            async with asyncio.timeout(_FIRST_COUNTS_S):
                return await self.counting.retrying(lambda: cached.recent(_COUNTS_WAIT_S))
        except TimeoutError:
            raise NotNowError(
                "the database has not answered since the master started; it goes on trying"
                + because(self.database_problem())
            ) from None


def _queue(queue: views.QueueLength, *, served: bool) -> QueueView:
    return QueueView(
        target=queue.target,
        abi=queue.abi,
        platform=f"{queue.os} {queue.arch}",
        pending=queue.pending,
        claimed=queue.claimed,
        deferred=queue.deferred,
        built_last_hour=queue.built_last_hour,
        oldest_s=queue.oldest_s,
        served=served,
    )


def _ended(build: EndedBuild) -> JobEnded:
    return JobEnded(
        at=build.ended_at,
        builder=build.builder,
        build=build.build,
        project=build.project,
        version=build.version,
        target=build.target,
        outcome=build.outcome,
        duration_s=build.duration_s,
        detail=", ".join(build.files) or build.reason,
    )


def _happened(event: history.HistoryEvent) -> Happened:
    return Happened(
        event=event.event,
        at=event.at,
        who=event.who,
        what=f"{event.subject}: {event.action}" if event.subject else event.action,
        outcome=event.outcome,
    )


def _host_state(root: Path) -> HostState:
    stats = host.stats(root)
    return HostState(**{name: getattr(stats, name) for name in HostState.__struct_fields__})
