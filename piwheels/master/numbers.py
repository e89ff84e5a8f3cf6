"""Downloads as consoles and `piw status` are told of them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from piwheels.db.database import Database
from piwheels.db.downloads import Live, Share, live
from piwheels.protocol.messages import DownloadCount, Downloads

#: Looking may take the database a twentieth of the time.
_REST = 20.0


@dataclass(slots=True)
class Numbers:
    """The figures, looked up again when it has been long enough since the last time."""

    db: Database
    _current: Downloads | None = None
    _until: float = 0.0

    async def current(self) -> Downloads:
        """The figures as of now, or of a little ago."""
        began = time.monotonic()
        if self._current is None or began > self._until:
            self._current = _message(await self.db.retrying(lambda: live(self.db)))
            now = time.monotonic()
            self._until = now + (now - began) * _REST
        return self._current


def _message(found: Live) -> Downloads:
    return Downloads(
        connected=found.connected,
        total=found.total,
        today=found.today,
        last_30_days=found.last_30_days,
        record_day=found.record_day,
        record_date=found.record_date,
        rate_per_s=found.rate_per_s,
        per_minute=found.per_minute,
        top=_counts(found.top),
        architectures=_counts(found.architectures),
        pythons=_counts(found.pythons),
        installers=_counts(found.installers),
    )


def _counts(shares: Iterable[Share]) -> tuple[DownloadCount, ...]:
    return tuple(DownloadCount(name=share.name, count=share.downloads) for share in shares)
