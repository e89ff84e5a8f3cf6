"""Measurements: hosts, queues and downloads."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from piwheels.model.base import Struct
from piwheels.model.builds import _Bytes
from piwheels.model.job_priority import JobPriority
from piwheels.model.queue_outline import ExpectedWait

_Figure = Annotated[float, Meta(ge=-1e12, le=1e12)]  # NaN and infinity are malformed
_Amount = Annotated[float, Meta(ge=0, le=1e12)]


class HostMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a machine: sizes in bytes, temperature in degrees Celsius, None is unknown."""

    load: _Figure = 0.0  # one minute's average
    memory_total: _Bytes = 0
    memory_free: _Bytes = 0  # available without swapping
    swap_total: _Bytes = 0
    swap_free: _Bytes = 0
    disk_total: _Bytes = 0
    disk_free: _Bytes = 0  # for an ordinary user
    temperature: _Figure | None = None  # None without a sensor
    cores: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    throttled: bool | None = None  # within the last minute; known of a Raspberry Pi only
    throttled_s: _Amount | None = None  # of the last hour
    cpu_hz: _Amount | None = None  # of its fastest core now
    max_cpu_hz: _Amount | None = None
    uptime_s: _Amount | None = None
    clock_s: _Figure | None = None  # its own time when it was measured, in UNIX seconds


class QueueStatus(Struct, frozen=True, kw_only=True):
    """How many jobs an active target has."""

    target: str
    abi: str = ""
    platform: str = ""  # "trixie aarch64"
    pending: int
    claimed: int
    deferred: int
    built_last_hour: int = 0
    oldest_s: _Figure | None = None  # how long the oldest pending job has waited
    has_builder: bool = False  # one that serves it is connected
    parked: int = 0  # until a builder has the packages that they lack


class QueueDemand(Struct, frozen=True, kw_only=True):
    """How many jobs of a target could be built now, of those that need about as much memory.

    Of a long queue the first 10,000 jobs of each target count.
    """

    target: str
    memory_mb: int  # that a builder has to give a build, a power of two; 0: any has enough
    waiting: int


class QueuedJob(Struct, frozen=True, kw_only=True):
    """A job that a builder can take, at its place in the queue of its target."""

    project: str
    version: str
    queued_at: datetime
    attempts: int = 0  # that failed
    priority: JobPriority = JobPriority.NAMED
    needs_compiler: bool = False  # only builders with a C compiler take it
    expected: ExpectedWait | None = None  # until it starts; None: unknown


class AwaitedPackage(Struct, frozen=True, kw_only=True):
    """A Debian package that no builder has or can add, and how many releases wait for one."""

    package: str
    releases: int


#: How far back `BuildHistory` goes: today and the same hours of yesterday.
BUILD_HISTORY_HOURS = 48


class BuildHistory(Struct, frozen=True, kw_only=True):
    """Completed builds by hour, for BUILD_HISTORY_HOURS, the oldest first; empty is unknown.

    They are counted while a master runs; the last hour ends at a multiple of five minutes. Only
    final failures count as failed.
    """

    built: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()


class TargetResults(Struct, frozen=True, kw_only=True):
    """Completed builds for a target: of the last hour, and of the 7 days before it.

    Only final failures count as failed.
    """

    built: int = 0
    failed: int = 0
    built_before: int = 0
    failed_before: int = 0


def total_results(results: Iterable[TargetResults]) -> TargetResults:
    """The builds for all these targets."""
    found = list(results)
    return TargetResults(
        built=sum(it.built for it in found),
        failed=sum(it.failed for it in found),
        built_before=sum(it.built_before for it in found),
        failed_before=sum(it.failed_before for it in found),
    )


class NamedCount(Struct, frozen=True, kw_only=True):
    """How often something (a project, an architecture, ...) was downloaded."""

    name: str  # "" is unknown
    count: int


class LiveDownloads(Struct, frozen=True, kw_only=True):
    """Downloads as of now; days are in UTC."""

    connected: bool = False  # an access log is being read
    total: int = 0
    today: int = 0
    yesterday: int = 0  # the whole day
    yesterday_by_now: int | None = None  # until this time of it; None where it was not measured
    last_30_days: int = 0
    record_day: int = 0  # the most downloads of one day
    record_date: str = ""  # that day, "2026-11-23"
    rate_per_s: _Figure = 0.0  # over the last ten seconds
    per_minute: tuple[int, ...] = ()  # of the last 60 whole minutes, oldest first
    top: tuple[NamedCount, ...] = ()  # projects, today
    architectures: tuple[NamedCount, ...] = ()  # today, as are the next two
    pythons: tuple[NamedCount, ...] = ()
    installers: tuple[NamedCount, ...] = ()


class DownloadTotals(Struct, frozen=True, kw_only=True):
    """Downloads of the whole farm; days are in UTC."""

    downloads: int  # all time
    last_30_days: int  # today and the 29 days before it
    today: int
    record_day: int  # the most downloads of one day; 0 without any
    record_date: date | None
    bytes: int  # served in downloads
    saved_s: float  # build time saved
    saved_30_days_s: float
    saved_today_s: float
    since: date | None  # the first day with downloads


class ProjectDownloads(Struct, frozen=True, kw_only=True):
    """The downloads of a project."""

    project: str
    downloads: int
    last_30_days: int
    saved_s: float


class ProjectDay(Struct, frozen=True, kw_only=True):
    """Downloads of a project on a day."""

    day: date
    downloads: int


class FarmTotals(Struct, frozen=True, kw_only=True):
    """How many rows the tables have, and how large they are."""

    projects: int
    releases: int
    builds: int
    files: int
    files_bytes: int
    database_bytes: int
