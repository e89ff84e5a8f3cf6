"""Records time series once a minute."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from piwheels.db.database import Database
from piwheels.db.database_clock import database_time
from piwheels.db.series import prune_series, record_series
from piwheels.errors import NotNowError
from piwheels.model import SeriesValue

#: What has been measured, by the name of its series; it is given when the minute began, which has
#: ended. What is unknown is left out.
SeriesSource = Callable[[datetime], Awaitable[Mapping[str, SeriesValue]]]

_MINUTE = timedelta(minutes=1)
#: So long after the end of a minute, the downloads of its last seconds have been counted.
_DELAY_S = 5.0
_PRUNE_MINUTES = 10


@dataclass(slots=True)
class SeriesRecorder:
    """Asks sources what they have measured, and stores it; a missed minute stays unknown."""

    db: Database
    sources: Sequence[SeriesSource]

    async def run(self) -> None:
        """Record each minute after it has ended, by the database's clock, until canceled."""
        while True:
            now = await database_time(self.db)
            await asyncio.sleep((_DELAY_S - now.second - now.microsecond / 1e6) % 60)
            await self.record(await database_time(self.db))

    async def record(self, now: datetime) -> None:
        """Record the last whole minute, and delete what is too old now and then."""
        minute = now.replace(second=0, microsecond=0) - _MINUTE
        values: dict[str, SeriesValue] = {}
        for source in self.sources:
            try:
                values.update(await source(minute))
            except NotNowError:
                continue
        if values:
            await record_series(self.db, minute, values)
        if not minute.minute % _PRUNE_MINUTES:
            await prune_series(self.db, now)
