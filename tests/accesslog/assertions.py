"""Assertions that the database matches the generator's counts."""

from piwheels.db import downloads
from piwheels.db.database import Database
from piwheels.db.downloads import Dimension
from tests.accesslog.log_generator import ExpectedCounts


async def total_downloads(db: Database) -> int:
    """The number of downloads, on which four tables must agree."""
    found = {
        table: await db.value(f"SELECT coalesce(sum({column}), 0)::bigint FROM {table}")
        for table, column in (
            ("downloads_daily", "counted"),
            ("downloads_monthly_by_project", "downloads"),
            ("downloads_monthly_by_wheel", "downloads"),
            ("downloads_by_project", "downloads"),
        )
    }
    assert len(set(found.values())) == 1, found
    return int(found["downloads_daily"])


async def assert_counts(db: Database, counts: ExpectedCounts) -> None:
    """Every figure equals the generator's."""
    assert await total_downloads(db) == sum(counts.downloads.values())
    days = {day.day: day for day in await downloads.per_day(db)}
    assert {day: found.downloads for day, found in days.items()} == dict(counts.downloads)
    assert {day: found.bytes for day, found in days.items()} == dict(counts.bytes)
    assert {day: found.index_hits for day, found in days.items()} == dict(counts.index_hits)
    assert {day: found.clients for day, found in days.items()} == {
        day: len(clients) for day, clients in counts.clients.items()
    }
    projects = await downloads.top_projects(db, limit=1_000_000)
    assert {share.name: share.count for share in projects} == dict(counts.projects)
    for dimension, expected in (
        (Dimension.INSTALLER, counts.installers),
        (Dimension.ARCH, counts.arches),
    ):
        found = await downloads.breakdown(db, dimension)
        assert {share.name: share.count for share in found} == dict(expected)
    totals = await db.row(
        "SELECT sum(lines) AS lines, sum(rejected_lines) AS rejected_lines FROM ingested_logs"
    )
    assert totals == {"lines": counts.lines, "rejected_lines": counts.rejected}
    assert await db.value("SELECT count(*) FROM access_records") == counts.lines - counts.rejected
