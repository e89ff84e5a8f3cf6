"""What the master has to do seldom: letting go of what is too old to be of use."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from piwheels.db import events
from piwheels.db.database import Database

log = logging.getLogger(__name__)

_INTERVAL_S = 3600.0
#: Deleted at once: a few milliseconds, in which nothing else on the connection waits long.
_BATCH_ROWS = 1000


@dataclass(slots=True)
class EventRetention:
    """The duty; `events_days` is how long events are kept, 0 for ever."""

    db: Database
    retention_days: int

    async def run(self) -> None:
        """Do it now and every hour, until cancelled."""
        while True:
            await self.delete_old()
            await asyncio.sleep(_INTERVAL_S)

    async def delete_old(self) -> int:
        """Delete events that are too old, a batch at a time; returns how many."""
        if self.retention_days <= 0:
            return 0
        age = timedelta(days=self.retention_days)
        forgotten = 0
        while gone := await events.delete_old_events(self.db, older_than=age, limit=_BATCH_ROWS):
            forgotten += gone
        if forgotten:
            log.info("forgot %s events older than %s days", forgotten, self.retention_days)
        return forgotten
