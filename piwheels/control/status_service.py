"""The state of the farm: what `piw status` and consoles show, published when it changes.

Counts come from the database and are cached with their age: a slow or blocked database delays no
reply. What the master itself knows (paused, builders, upstream) is always current.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from piwheels.control.adaptive_cache import AdaptiveCache, CachedValue
from piwheels.control.alert_service import AlertService
from piwheels.control.connected_operators import ConnectedOperators
from piwheels.control.database_watch import in_parentheses
from piwheels.db import (
    bucket_changes,
    failures,
    history,
    page_queue,
    parked_jobs,
    series,
    status_queries,
)
from piwheels.db.database import Database
from piwheels.db.database_clock import database_time
from piwheels.db.downloads import live_downloads
from piwheels.db.exported_accesses import waiting_accesses
from piwheels.errors import NotNowError
from piwheels.model import (
    AuditEvent,
    AwaitedPackage,
    BucketProgress,
    BuildHistory,
    BuildSummary,
    FailureReport,
    FarmTotals,
    LiveDownloads,
    QueueStatus,
    TargetResults,
    WaitingAccesses,
    projection,
)
from piwheels.protocol.messages import (
    FailuresReply,
    ListBuilds,
    ListEvents,
    OperatorsChanged,
    OperatorSession,
    Snapshot,
    StatusChanged,
    StatusReply,
)
from piwheels.scheduler.change_filter import status_changed
from piwheels.scheduler.dispatcher import Dispatcher
from piwheels.scheduler.event_bus import EventBus
from piwheels.system.metrics import read_metrics
from piwheels.upstream.sync import UpstreamSync

STATUS_INTERVAL_S = 2.0
#: Alerts are kept up to date while nobody watches, too.
UNWATCHED_INTERVAL_S = 15.0
#: Counting may take the database a twentieth of the time, but is done every 15 seconds at least.
LOAD_FACTOR = 20.0
#: What reads the builds of days is read less often.
TOTALS_LOAD_FACTOR = 100.0
TOTALS_MAX_AGE_S = 600.0
PEER_RATIOS_MAX_AGE_S = 120.0
#: The builds of a week.
RESULTS_MAX_AGE_S = 60.0
#: How long a reply waits for a refreshed count before it uses the cached one.
COUNTS_TIMEOUT_S = 1.0
#: The first count, from a slow disk; consoles wait for 15.
FIRST_COUNTS_TIMEOUT_S = 10.0
SNAPSHOT_ROWS = 100
MAX_ROWS = 1000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted in the database for a status."""

    queues: list[QueueStatus]
    last_hour: dict[str, int]
    stale_pages: int
    oldest_page_at: datetime | None
    bucket: BucketProgress | None
    waiting_accesses: WaitingAccesses | None


@dataclass(slots=True)
class StatusService:
    """Reads the farm's state on connections of its own, so that no command waits for a count.

    db: for lists, which wait for no count either. counts_db: for counts. database_wait: what the
    master's statements wait for, "" for nothing. bucket_problem: why nothing can be copied into the
    bucket, "" if it can.
    """

    db: Database
    counts_db: Database
    dispatcher: Dispatcher
    upstream_sync: UpstreamSync
    event_bus: EventBus
    alerts: AlertService
    web_root: Path
    operators: ConnectedOperators = field(default_factory=ConnectedOperators)
    web_url: str = ""
    database_wait: Callable[[], str] = str
    replication_risk: Callable[[], str] = str
    bucket_problem: Callable[[], str] = str
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    _started_at: float = field(default_factory=time.monotonic)
    _counts: AdaptiveCache[Counts] = field(init=False)
    _totals: AdaptiveCache[FarmTotals] = field(init=False)
    _downloads: AdaptiveCache[LiveDownloads] = field(init=False)
    _build_history: AdaptiveCache[BuildHistory] = field(init=False)
    _results: AdaptiveCache[dict[str, TargetResults]] = field(init=False)
    _failures: AdaptiveCache[FailureReport] = field(init=False)
    _awaited_packages: AdaptiveCache[tuple[AwaitedPackage, ...]] = field(init=False)
    _peer_ratios: AdaptiveCache[dict[str, float]] = field(init=False)
    _change_event: asyncio.Event = field(default_factory=asyncio.Event)
    _published: StatusReply | None = None
    _published_operators: tuple[OperatorSession, ...] = ()

    def __post_init__(self) -> None:
        db = self.counts_db
        self._counts = AdaptiveCache(self._read_counts, cost_factor=LOAD_FACTOR)
        self._totals = AdaptiveCache(
            lambda: status_queries.farm_totals(db),
            cost_factor=TOTALS_LOAD_FACTOR,
            max_age_s=TOTALS_MAX_AGE_S,
        )
        self._downloads = AdaptiveCache(lambda: live_downloads(db), cost_factor=LOAD_FACTOR)
        self._failures = AdaptiveCache(lambda: failures.failure_report(db), cost_factor=LOAD_FACTOR)
        self._awaited_packages = AdaptiveCache(
            lambda: parked_jobs.awaited_packages(db), cost_factor=LOAD_FACTOR
        )
        self._results = AdaptiveCache(
            lambda: history.target_results(db),
            cost_factor=TOTALS_LOAD_FACTOR,
            max_age_s=RESULTS_MAX_AGE_S,
        )
        self._build_history = AdaptiveCache(
            self._read_build_history, cost_factor=TOTALS_LOAD_FACTOR
        )

        self._peer_ratios = AdaptiveCache(
            lambda: history.peer_ratios(db),
            cost_factor=TOTALS_LOAD_FACTOR,
            max_age_s=PEER_RATIOS_MAX_AGE_S,
        )

    def on_command_executed(self) -> None:
        """Publish now what an operator's command changed."""
        self._counts.invalidate()
        self._totals.invalidate()
        self._failures.invalidate()
        self._awaited_packages.invalidate()
        self._change_event.set()

    async def run(self) -> None:
        """Publish StatusChanged whenever the farm has changed, until canceled."""
        with contextlib.suppress(NotNowError):
            await self.status()  # so that counts are cached before the first request
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNWATCHED_INTERVAL_S):
                    await self.event_bus.wait_for_subscriber()
            self._change_event.clear()
            with contextlib.suppress(NotNowError):
                self._publish(replace(await self.status(), builders=(), alerts=(), operators=()))
            self._publish_operators()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_INTERVAL_S):
                    await self._change_event.wait()

    def _publish(self, now: StatusReply) -> None:
        before = self._published
        if before is None or status_changed(before, now, now.uptime_s - before.uptime_s):
            self.event_bus.publish(StatusChanged(status=now))
            self._published = now

    def _publish_operators(self) -> None:
        operators = self.operators.sessions
        if operators != self._published_operators:
            self.event_bus.publish(OperatorsChanged(operators=operators))
            self._published_operators = operators

    async def _read_counts(self) -> Counts:
        db = self.counts_db
        return Counts(
            queues=await status_queries.queue_statuses(db),
            last_hour=await history.outcomes_last_hour(db),
            stale_pages=await page_queue.pending_page_count(db),
            oldest_page_at=await page_queue.oldest_index_page(db),
            bucket=await bucket_changes.bucket_progress(db),
            waiting_accesses=await waiting_accesses(db),
        )

    async def _read_build_history(self) -> BuildHistory:
        return await series.build_history(self.counts_db, await database_time(self.counts_db))

    async def snapshot(self) -> Snapshot:
        """What a console shows when it has connected."""
        status = await self.status(loads=True)
        builds = await self.list_builds(ListBuilds(limit=SNAPSHOT_ROWS))
        events = await self.list_events(ListEvents(limit=SNAPSHOT_ROWS))
        return Snapshot(status=status, builds=builds, events=events)

    async def list_builds(self, query: ListBuilds) -> tuple[BuildSummary, ...]:
        """Recent builds that match a query, the newest first."""
        ended = await history.recent_builds(
            self.db,
            limit=min(max(query.limit, 1), MAX_ROWS),
            project=query.project,
            builder=query.builder,
            failed=query.failed,
            slower_than_s=query.slower_than_s,
            ended_before=query.ended_before,
        )
        return tuple(ended)

    async def failures(self) -> FailuresReply:
        """What fails on the whole farm, by cause.

        Raises:
            NotNowError: the database has not answered since the master started.
        """
        cached = await self._cached(self._failures)
        return projection(FailuresReply, cached.value, age_s=cached.age_s)

    async def list_events(self, query: ListEvents) -> tuple[AuditEvent, ...]:
        """Recent events, or those before an event, the newest first."""
        limit = min(max(query.limit, 1), MAX_ROWS)
        happened = await history.recent_events(self.db, limit=limit, before=query.before)
        return tuple(happened)

    async def status(self, *, loads: bool = False) -> StatusReply:
        """The state of the farm; with `loads`, each builder's load over the last minutes.

        Its alerts follow from it.

        Raises:
            NotNowError: the database has not answered since the master started.
        """
        counts = await self._cached(self._counts)
        totals = await self._cached(self._totals)
        downloads = (await self._cached(self._downloads)).value
        build_history = (await self._cached(self._build_history)).value
        awaited_packages = (await self._cached(self._awaited_packages, 0.0)).value
        # Last, because what is read now of the builds of days delays other counts.
        self.dispatcher.set_peer_ratios((await self._cached(self._peer_ratios, 0.0)).value)
        now = time.monotonic()
        read_at = self.upstream_sync.last_synced_at
        served = self.dispatcher.targets.served
        status = projection(
            StatusReply,
            counts.value,
            totals.value,
            version=version("piwheels"),
            instance=self.instance,
            uptime_s=now - self._started_at,
            bucket_problem=self.bucket_problem(),
            paused=self.dispatcher.paused,
            paused_by=self.dispatcher.pause.by,
            paused_at=self.dispatcher.pause.at,
            waits=self.dispatcher.no_jobs_reason,
            builders=tuple(self.dispatcher.builder_views(load_history=loads)),
            queues=tuple(
                replace(queue, has_builder=queue.target in served) for queue in counts.value.queues
            ),
            build_history=build_history,
            awaited_packages=awaited_packages,
            counts_age_s=counts.age_s,
            host=read_metrics(self.web_root),
            upstream_status_text=self.upstream_sync.status_text,
            upstream_lag_s=None if read_at is None else now - read_at,
            downloads=downloads,
            totals_age_s=totals.age_s,
            index_url=f"{self.web_url.rstrip('/')}/simple/" if self.web_url else "",
            database=self.database_wait(),
            replication=self.replication_risk(),
            operators=self.operators.sessions,
            refused_keys=self.dispatcher.registration.waiting(),
        )
        return replace(
            status,
            alerts=self.alerts.update(status, (await self._cached(self._results, 0.0)).value),
        )

    async def _cached(
        self, cached: AdaptiveCache[_T], wait_s: float = COUNTS_TIMEOUT_S
    ) -> CachedValue[_T]:
        """The cached value if a newer one takes longer; the first value is waited for longer."""
        try:
            async with asyncio.timeout(FIRST_COUNTS_TIMEOUT_S):
                return await cached.get_within(wait_s)
        except TimeoutError:
            raise NotNowError(
                "the database has not answered since the master started; still retrying"
                + in_parentheses(self.database_wait())
            ) from None
