"""Since when the oldest page of the index has waited."""

from datetime import UTC, datetime, timedelta

from piwheels.db.database import Database
from piwheels.db.page_queue import (
    INDEX_PAGE_KINDS,
    PageKind,
    collect_changes,
    invalidate,
    mark_written,
    oldest_index_page,
    pages_to_write,
)


async def test_the_oldest_page_of_the_index_is_known_until_it_is_written(
    database: Database,
) -> None:
    await database.execute("DELETE FROM page_invalidations")
    await database.execute("UPDATE page_queue SET dirty = false")
    assert await oldest_index_page(database) is None
    await invalidate(database, PageKind.SIMPLE, [""])
    await invalidate(database, PageKind.STATS, [""])
    assert await oldest_index_page(database) is None, "these are written at intervals"
    await invalidate(database, PageKind.SIMPLE, ["numpy"])
    changed = await oldest_index_page(database)
    assert changed is not None
    assert abs(datetime.now(UTC) - changed) < timedelta(minutes=10)
    await invalidate(database, PageKind.SIMPLE, ["scipy"])
    await collect_changes(database, INDEX_PAGE_KINDS)
    assert await oldest_index_page(database) == changed
    pages = await pages_to_write(database, PageKind.SIMPLE, 10)
    await mark_written(database, PageKind.SIMPLE, pages)
    assert await oldest_index_page(database) is None
