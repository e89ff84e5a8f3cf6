"""Statements that every event of the upstream runs read no table from start to end."""

import pytest

from piwheels.db import catalog
from piwheels.db.database import Database
from tests.db.scenario import RULES, make_release


@pytest.mark.parametrize("table", ["jobs", "builds", "files", "page_queue"])
async def test_a_new_release_scans_no_table_that_grows(dsn: str, table: str) -> None:
    async with await Database.connect(dsn, role="test") as db:
        await catalog.add_project(db, "demo", "demo")
        async with db.transaction():
            # What has no index to use is scanned all the same.
            await db.execute("SET LOCAL enable_seqscan = off")
            await catalog.add_releases(db, [make_release("demo", "1.0")], RULES)
            scans = await db.value(
                "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = %(table)s",
                {"table": table},
            )
    assert scans == 0
