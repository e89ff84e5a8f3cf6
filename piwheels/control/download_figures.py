"""Downloads as consoles and `piw status` are told of them."""

from collections.abc import Iterable

from piwheels.db.database import Database
from piwheels.db.downloads import NamedCount, live_downloads
from piwheels.protocol.messages import DownloadCount, Downloads


async def live_download_figures(db: Database) -> Downloads:
    """The figures as of now."""
    found = await live_downloads(db)
    return Downloads(
        connected=found.connected,
        total=found.total,
        today=found.today,
        last_30_days=found.last_30_days,
        record_day=found.record_day,
        record_date=found.record_date,
        rate_per_s=found.rate_per_s,
        per_minute=found.per_minute,
        top=_named_counts(found.top),
        architectures=_named_counts(found.architectures),
        pythons=_named_counts(found.pythons),
        installers=_named_counts(found.installers),
    )


def _named_counts(shares: Iterable[NamedCount]) -> tuple[DownloadCount, ...]:
    return tuple(DownloadCount(name=share.name, count=share.downloads) for share in shares)
