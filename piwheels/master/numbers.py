"""Downloads as consoles and `piw status` are told of them."""

from collections.abc import Iterable

from piwheels.db.database import Database
from piwheels.db.downloads import Share, live
from piwheels.protocol.messages import DownloadCount, Downloads


async def downloads(db: Database) -> Downloads:
    """The figures as of now."""
    found = await live(db)
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
