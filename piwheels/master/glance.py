"""The farm at a glance: what `piw status` and every console show, told again when it changes."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from msgspec.structs import replace

from piwheels import host
from piwheels.db import history, pages, views
from piwheels.db.database import Database
from piwheels.farm.bulletin import Bulletin
from piwheels.farm.dispatch import Dispatch
from piwheels.farm.news import status_differs
from piwheels.master.numbers import downloads
from piwheels.master.seldom import Seldom
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
#: Looking may take the database a twentieth of the time, however large the farm is.
_REST = 20.0
#: Counting everything takes seconds on a large farm, and is done that much more seldom.
_TOTALS_REST = 100.0
_RECENT = 100
_MOST = 1000


@dataclass(slots=True)
class Glance:
    """Looks at the farm on a connection of its own, so that no command waits for a count."""

    db: Database
    dispatch: Dispatch
    follower: Follower
    bulletin: Bulletin
    tree: Path
    database_problem: Callable[[], str] = str
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    _began: float = field(default_factory=time.monotonic)
    _totals: Seldom[views.Totals] = field(init=False)
    _downloads: Seldom[Downloads] = field(init=False)

    def __post_init__(self) -> None:
        db = self.db
        self._totals = Seldom(lambda: views.totals(db), rest=_TOTALS_REST)
        self._downloads = Seldom(lambda: downloads(db), rest=_REST)

    async def run(self) -> None:
        """Tell those who watch whenever the farm has become another, until cancelled."""
        told: StatusReply | None = None
        while True:
            await self.bulletin.watched()
            began, faults = time.monotonic(), self.db.faults
            now = replace(await self.status(), builders=())
            # A database that was away says nothing of how much work the looking is.
            spent = time.monotonic() - began if self.db.faults == faults else 0.0
            if told is None or status_differs(told, now, now.uptime_s - told.uptime_s):
                self.bulletin.publish(Pulse(status=now))
                told = now
            await asyncio.sleep(max(_PULSE_S, spent * _REST))

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
        """The farm at a glance; with `loads`, each builder's load over the last minutes."""
        db = self.db
        totals = await db.retrying(self._totals.current)
        queues = await db.retrying(lambda: views.queue_lengths(db))
        ended = await db.retrying(lambda: history.last_hour(db))
        stale_pages = await db.retrying(lambda: pages.stale_count(db))
        now = time.monotonic()
        read_at = self.follower.read_at
        served = self.dispatch.served
        return StatusReply(
            version=version("piwheels"),
            instance=self.instance,
            uptime_s=now - self._began,
            paused=self.dispatch.paused,
            builders=tuple(self.dispatch.builders(loads=loads)),
            queues=tuple(_queue(queue, served=queue.target in served) for queue in queues),
            last_hour=ended,
            projects=totals.projects,
            releases=totals.releases,
            files=totals.files,
            files_bytes=totals.files_bytes,
            builds=totals.builds,
            stale_pages=stale_pages,
            database_bytes=totals.database_bytes,
            host=_host_state(self.tree),
            upstream=self.follower.said,
            upstream_lag_s=None if read_at is None else now - read_at,
            downloads=await db.retrying(self._downloads.current),
            database=self.database_problem(),
        )


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
