"""What is removed when it is old enough: wheels of old releases, logs, events, files moved aside.

Each rule finds what it removes batch by batch, in bounded memory; a dry run only counts it.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from piwheels.config import Config
from piwheels.db import audit_log, bucket_changes, catalog, retention_queries
from piwheels.db.database import Database
from piwheels.db.retention_queries import REASON_PREFIX, OldRelease
from piwheels.model import Struct
from piwheels.webroot import Webroot

_EVENT_BATCH = 1000
#: Projects whose releases are looked at in one query.
_PROJECTS = 200
_LOG_BATCH = 200
#: One of so many days may lack counts: those of a log that was lost, or is not read yet.
_UNCOUNTED_SHARE = 10
#: Between two batches, so that builders and publishers come first.
_PAUSE_S = 0.05


class RuleReport(Struct, frozen=True, kw_only=True):
    """How much a rule removed, or would remove."""

    rule: str
    setting: str
    enabled: bool
    count: int = 0  # wheels, logs, events, files
    size_bytes: int = 0  # 0 for events
    oldest: datetime | None = None
    note: str = ""  # why an enabled rule removes nothing


@dataclass(slots=True)
class _Total:
    """What a rule found so far."""

    count: int = 0
    size_bytes: int = 0
    oldest: datetime | None = None
    note: str = ""

    def add(self, count: int, size_bytes: int, at: datetime | None) -> None:
        self.count += count
        self.size_bytes += size_bytes
        if at is not None and (self.oldest is None or at < self.oldest):
            self.oldest = at


class _Log(NamedTuple):
    """The log of a build in the web root, with its page."""

    build_id: int
    paths: list[Path]
    size_bytes: int
    written_at: datetime


@dataclass(slots=True)
class RetentionRules:
    """The rules that a farm's settings ask for, at a moment."""

    db: Database
    config: Config
    now: datetime  # by the database's clock
    pause_s: float = _PAUSE_S

    async def apply(self, *, dry_run: bool) -> list[RuleReport]:
        """Apply all rules, or with `dry_run` count what they would remove."""
        master, retention = self.config.master, self.config.retention
        rules: list[tuple[str, str, int, Callable[[_Total, bool], Awaitable[None]]]] = [
            (
                "wheels of old releases",
                "retention.releases_per_project",
                retention.releases_per_project,
                self._releases,
            ),
            ("logs", "retention.log_days", retention.log_days, self._logs),
            ("events", "master.event_retention_days", master.event_retention_days, self._events),
            ("moved files", "retention.moved_aside_days", retention.moved_aside_days, self._moved),
        ]
        reports = []
        for rule, setting, value, work in rules:
            total = _Total()
            if value:
                await work(total, dry_run)
            reports.append(
                RuleReport(
                    rule=rule,
                    setting=setting,
                    enabled=bool(value),
                    count=total.count,
                    size_bytes=total.size_bytes,
                    oldest=total.oldest,
                    note=total.note,
                )
            )
        return reports

    def _before(self, days: int) -> datetime:
        return self.now - timedelta(days=days)

    # --- wheels of old releases ---

    async def _releases(self, total: _Total, dry_run: bool) -> None:
        keep = self.config.retention.releases_per_project
        since = self._before(self.config.retention.releases_used_days)
        reason = f"{REASON_PREFIX}, which keeps the newest {keep} releases with wheels"
        if note := await self._why_use_is_unknown(since):
            total.note = note
            return
        after = ""
        while projects := await catalog.next_projects(self.db, after, _PROJECTS):
            found = await retention_queries.old_releases(self.db, projects, keep, since)
            for release in found:
                total.add(release.wheels, release.size_bytes, release.released_at)
            if not dry_run:
                await self._remove_releases(found, since, reason)
            after = projects[-1]

    async def _why_use_is_unknown(self, since: datetime) -> str:
        """Why the counted downloads do not say which wheels are in use; "" if they do."""
        days = self.config.retention.releases_used_days
        counted = await retention_queries.counted_days(self.db, since.date(), self.now.date())
        if counted.first is None:
            return "nothing says which are in use, as no downloads were counted"
        if counted.first > since.date():
            return (
                f"which are in use is known when downloads were counted for {days} days; the first "
                f"day was {counted.first}"
            )
        if counted.within < days - days // _UNCOUNTED_SHARE:
            return (
                f"which are in use is not known, as downloads were counted on {counted.within} of "
                f"the last {days} days only"
            )
        return ""

    async def _remove_releases(
        self, found: Sequence[OldRelease], since: datetime, reason: str
    ) -> None:
        for project, releases in groupby(found, lambda release: release.project):
            versions = [release.version for release in releases]
            await retention_queries.remove_wheels(self.db, project, versions, since, reason)
            await asyncio.sleep(self.pause_s)

    # --- logs ---

    async def _logs(self, total: _Total, dry_run: bool) -> None:
        webroot = Webroot(self.config.webroot.root)
        before = self._before(self.config.retention.log_days)
        logs = _logs_in(webroot.root / "logs")
        while batch := await asyncio.to_thread(lambda: list(islice(logs, _LOG_BATCH))):
            old = await self._old_logs(batch, before)
            for log in old:
                total.add(1, log.size_bytes, log.written_at)
                if not dry_run:
                    await asyncio.to_thread(webroot.remove, log.paths)
            if not dry_run:
                await bucket_changes.record_logs(self.db, [log.build_id for log in old])
            if all(log.written_at >= before for log in batch):
                return  # builds are numbered in their order
            await asyncio.sleep(0 if dry_run else self.pause_s)

    async def _old_logs(self, logs: Sequence[_Log], before: datetime) -> list[_Log]:
        """Those that are old enough, and that no page shows as the current one."""
        builds = await retention_queries.logged_builds(self.db, [log.build_id for log in logs])
        old = []
        for log in logs:
            build = builds.get(log.build_id)
            ended_at = build.ended_at if build else log.written_at
            if ended_at < before and not (build and build.in_use):
                old.append(log)
        return old

    # --- events ---

    async def _events(self, total: _Total, dry_run: bool) -> None:
        days = self.config.master.event_retention_days
        found = await retention_queries.old_events(self.db, self._before(days))
        total.add(found.count, 0, found.oldest)
        deleted = 0 if dry_run else _EVENT_BATCH
        while deleted:
            deleted = await audit_log.delete_old_events(
                self.db, older_than=timedelta(days=days), limit=_EVENT_BATCH
            )

    # --- files that an audit or a restore moved aside ---

    async def _moved(self, total: _Total, dry_run: bool) -> None:
        before = self._before(self.config.retention.moved_aside_days)
        aside = self.config.master.spool_dir / "moved-aside"
        for folder in await asyncio.to_thread(_folders, aside):
            day = _day_of(folder.name)
            if day is None or day + timedelta(days=1) > before:
                continue
            total.add(*await asyncio.to_thread(_content, folder), day)
            if not dry_run:
                await asyncio.to_thread(shutil.rmtree, folder)


def _day_of(name: str) -> datetime | None:
    """The day that a folder is named after, in UTC; None if it has another name."""
    try:
        return datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _content(folder: Path) -> tuple[int, int]:
    """How many files are in a folder and those in it, and their size in bytes."""
    count = size_bytes = 0
    for path in folder.rglob("*"):
        if path.is_file():
            count += 1
            size_bytes += path.stat().st_size
    return count, size_bytes


def _logs_in(folder: Path) -> Iterator[_Log]:
    """The logs in a web root, by the number of their build."""
    for outer in _numbered(folder):
        for inner in _numbered(outer):
            files = [path for path in inner.iterdir() if path.is_file()]
            if not files:
                continue
            # The page of a log is removed before the log.
            files.sort(key=lambda path: path.name.endswith(".txt.gz"))
            stats = [path.stat() for path in files]
            yield _Log(
                build_id=int(outer.name) * 10_000 + int(inner.name),
                paths=files,
                size_bytes=sum(stat.st_size for stat in stats),
                written_at=datetime.fromtimestamp(max(stat.st_mtime for stat in stats), UTC),
            )


def _numbered(folder: Path) -> list[Path]:
    found = [path for path in _folders(folder) if path.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []
