"""What is deleted when it is old enough: events, in batches, and never the last of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from piwheels.db import audit_log
from piwheels.db.database import Database
from piwheels.master import clock_watch
from piwheels.master.retention import EventRetention


async def add_events(db: Database, many: int, days_ago: int) -> None:
    """Fill the list of events."""
    await db.execute(
        """
        INSERT INTO events (at, who, text)
        SELECT now() - make_interval(days => %(days)s), 'master', 'something'
          FROM generate_series(1, %(many)s)
        """,
        {"days": days_ago, "many": many},
    )


async def event_count(db: Database) -> int:
    """How many events there are."""
    return int(await db.value("SELECT count(*) FROM events"))


async def test_old_events_are_deleted_in_batches(database: Database) -> None:
    await add_events(database, 2500, days_ago=401)
    await add_events(database, audit_log.MIN_KEPT_EVENTS + 300, days_ago=399)
    assert await EventRetention(database, 400).delete_old() == 2500
    assert await event_count(database) == audit_log.MIN_KEPT_EVENTS + 300
    assert await EventRetention(database, 400).delete_old() == 0


async def test_the_last_events_are_kept_regardless_of_age(database: Database) -> None:
    await add_events(database, audit_log.MIN_KEPT_EVENTS + 5, days_ago=5000)
    assert await EventRetention(database, 1).delete_old() == 5
    assert await event_count(database) == audit_log.MIN_KEPT_EVENTS


@pytest.mark.parametrize("days", [0, -1])
async def test_events_can_be_kept_forever(database: Database, days: int) -> None:
    await add_events(database, audit_log.MIN_KEPT_EVENTS + 5, days_ago=5000)
    assert await EventRetention(database, days).delete_old() == 0


async def test_a_search_for_old_events_reads_one_batch(database: Database) -> None:
    await add_events(database, 20_000, days_ago=1)
    await database.execute("ANALYZE events")
    rows = await database.rows(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {audit_log.DELETE_OLD_EVENTS}",
        {"age": timedelta(days=400), "at_most": 1000, "kept": audit_log.MIN_KEPT_EVENTS},
    )
    read = sum(rows_scanned(rows[0]["QUERY PLAN"][0]["Plan"]))
    assert 1000 <= read <= 1100


def rows_scanned(plan: dict[str, Any]) -> Iterator[int]:
    """How many rows each scan of a plan's tree read."""
    if "Scan" in plan["Node Type"] and "Relation Name" in plan:
        yield plan["Actual Rows"] * plan["Actual Loops"] + plan.get("Rows Removed by Filter", 0)
    for part in plan.get("Plans", []):
        yield from rows_scanned(part)


async def test_nothing_is_deleted_by_its_age_after_the_clock_was_set_ahead(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = timedelta(0)

    async def clock(_: Database) -> datetime:
        return datetime.now(UTC) + ahead

    monkeypatch.setattr(clock_watch, "database_time", clock)
    retention = EventRetention(database, 1)
    assert await retention.delete_old() == 0
    await add_events(database, audit_log.MIN_KEPT_EVENTS + 5, days_ago=2)
    ahead = timedelta(days=1)
    assert await retention.delete_old() == 0
    ahead = timedelta(0)
    assert await retention.delete_old() == 5
