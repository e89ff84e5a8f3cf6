"""What the master has to do seldom: letting go of what is too old to be of use."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from piwheels.db import events
from piwheels.db.database import Database

log = logging.getLogger(__name__)

_EVERY_S = 3600.0
#: Deleted at once: a few milliseconds, in which nothing else on the connection waits long.
_BATCH = 1000


@dataclass(slots=True)
class Upkeep:
    """The duty; `events_days` is how long events are kept, 0 for ever."""

    db: Database
    events_days: int

    async def run(self) -> None:
        """Do it now and every hour, until cancelled."""
        while True:
            await self.forget_events()
            await asyncio.sleep(_EVERY_S)

    async def forget_events(self) -> int:
        """Delete events that are too old, a batch at a time; returns how many."""
        if self.events_days <= 0:
            return 0
        age = timedelta(days=self.events_days)
        forgotten = 0
        while gone := await self.db.retrying(
            lambda: events.forget_events(self.db, older_than=age, at_most=_BATCH)
        ):
            forgotten += gone
        if forgotten:
            log.info("forgot %s events older than %s days", forgotten, self.events_days)
        return forgotten
