"""A process that follows every project of an index, for a test that kills it."""

import asyncio
import sys

from piwheels.db.database import Database
from piwheels.index_client.client import SimpleIndex
from piwheels.upstream.sync import SyncOptions, UpstreamSync
from tests.db.scenario import RULES


async def fill(dsn: str, url: str) -> None:
    """Follow every project, until killed."""
    options = SyncOptions(
        follow_all=True, changelog_interval_s=0.05, first_delay_s=0.05, max_concurrency=2
    )
    async with await Database.connect(dsn, role="follow") as db, SimpleIndex(url) as index:
        await UpstreamSync(db, index, RULES, options).run()


if __name__ == "__main__":
    asyncio.run(fill(*sys.argv[1:]))
