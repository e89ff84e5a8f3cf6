"""Deletes old events from the database."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from piwheels.db import audit_log
from piwheels.db.database import Database

log = logging.getLogger(__name__)

_INTERVAL_S = 3600.0
#: Deleted in one statement, which takes a few milliseconds.
_BATCH_ROWS = 1000


@dataclass(slots=True)
class EventRetention:
    """Deletes events after `retention_days`; 0 keeps them forever."""

    db: Database
    retention_days: int

    async def run(self) -> None:
        """Delete now and every hour, until canceled."""
        while True:
            await self.delete_old()
            await asyncio.sleep(_INTERVAL_S)

    async def delete_old(self) -> int:
        """Delete events that are too old, a batch at a time; returns how many."""
        if self.retention_days <= 0:
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
