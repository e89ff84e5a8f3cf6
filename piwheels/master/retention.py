"""Deletes what is old enough: events each hour, the rest of retention_rules once a day."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from piwheels.config import Config
from piwheels.db import audit_log, key_values
from piwheels.db.database import Database, is_database_error
from piwheels.db.database_clock import database_time
from piwheels.formatting import format_size
from piwheels.master.clock_watch import SettledClock
from piwheels.master.retention_rules import RetentionRules

log = logging.getLogger(__name__)

_INTERVAL_S = 3600.0
_DAY = timedelta(days=1)
#: When the rules were applied last.
_APPLIED_AT = "retention/applied-at"
#: Deleted in one statement, which takes a few milliseconds.
_BATCH_ROWS = 1000


@dataclass(slots=True)
class EventRetention:
    """Deletes events after `retention_days`; 0 keeps them forever."""

    db: Database
    retention_days: int
    clock: SettledClock = field(default_factory=SettledClock)

    async def run(self) -> None:
        """Delete now and every hour, until canceled."""
        while True:
            await self.delete_old()
            await asyncio.sleep(_INTERVAL_S)

    async def delete_old(self) -> int:
        """Delete events that are too old, a batch at a time; returns how many."""
        if self.retention_days <= 0 or not await self.clock.may_delete(self.db):
            return 0
        age = timedelta(days=self.retention_days)
        deleted = 0
        while count := await audit_log.delete_old_events(
            self.db, older_than=age, limit=_BATCH_ROWS
        ):
            deleted += count
        if deleted:
            log.info("deleted %s events older than %s days", deleted, self.retention_days)
        return deleted


@dataclass(slots=True)
class DailyRetention:
    """Applies the rules of the settings once a day; `record_event` writes into the audit log."""

    db: Database
    config: Config
    record_event: Callable[[str], Awaitable[None]]
    clock: SettledClock = field(default_factory=SettledClock)

    async def run(self) -> None:
        """Apply the rules when a day has passed, until canceled."""
        while True:
            await self.apply_if_due()
            await asyncio.sleep(_INTERVAL_S)

    async def apply_if_due(self) -> bool:
        """Apply the rules, unless that was done within a day, by this master or one before it."""
        if not await self.clock.may_delete(self.db):
            return False
        now = await database_time(self.db)
        applied_at = await key_values.get_value(self.db, _APPLIED_AT)
        # A time in the future is of a clock that was set back since.
        if applied_at and timedelta(0) <= now - datetime.fromisoformat(applied_at) < _DAY:
            return False
        try:
            reports = await RetentionRules(self.db, self.config, now).apply(dry_run=False)
        except OSError as error:  # a full or broken disk is no reason to end
            log.warning("retention: %s; it is repeated in an hour", error)
            return False
        except Exception as error:  # and a fault of a rule is none
            if is_database_error(error):
                raise
            log.exception("retention failed; it is repeated in an hour")
            return False
        await key_values.set_value(self.db, _APPLIED_AT, now.isoformat())
        for report in reports:
            if report.count and report.size_bytes:
                size = format_size(report.size_bytes)
                await self.record_event(f"retention removed {report.count} {report.rule}, {size}")
        return True
