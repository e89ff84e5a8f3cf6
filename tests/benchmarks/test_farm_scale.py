"""What a claim, a result and a new release cost among 70,000 releases, against a thousand."""

import statistics

import pytest

from piwheels.db import job_queue
from piwheels.db.builder_suitability import suitability_parameters
from piwheels.db.database import Database
from piwheels.db.row_counts import row_count_errors
from piwheels.local.postgres import PrivatePostgres
from piwheels.model import BuilderCapability
from tests.benchmarks.farm_operations import WRITES, FarmOperations
from tests.benchmarks.large_farm import FULL_PROJECTS, TARGET_NAMES, make_farm
from tests.conftest import create_database

_ROUNDS = 300
_SMALL_PROJECTS, _LARGE_PROJECTS = 100, FULL_PROJECTS // 100
#: Timings of a shared machine: the medians were within a fifth of each other.
_ALLOWED_RATIO = 2.0


async def _claim_plan(db: Database) -> str:
    await db.execute("SET plan_cache_mode = force_custom_plan")
    rows = await db.rows(
        "EXPLAIN " + job_queue.CLAIM_SQL,
        {
            **suitability_parameters("builder", TARGET_NAMES, BuilderCapability()),
            "first": 0,
            "last": 3,
        },
    )
    return "\n".join(row["QUERY PLAN"] for row in rows)


@pytest.mark.slow
async def test_work_on_a_large_farm_costs_as_much_as_on_a_small_one(
    database: Database, postgres: PrivatePostgres
) -> None:
    for dsn in create_database(postgres):
        async with await Database.connect(dsn, role="test") as small_db:
            await make_farm(small_db, _SMALL_PROJECTS)
            size = await make_farm(database, _LARGE_PROJECTS)
            small = await FarmOperations.on(small_db, _SMALL_PROJECTS)
            large = await FarmOperations.on(database, _LARGE_PROJECTS)
            await large.measure(WRITES, _ROUNDS, small)
            await large.measure(("status", "explain", "page data"), _ROUNDS // 5, small)
    plan = await _claim_plan(database)
    costs = {
        name: (statistics.median(small.times_ms[name]), statistics.median(large.times_ms[name]))
        for name in small.times_ms
    }
    print(costs)
    assert size.releases > 70_000
    assert "jobs_claimable" in plan
    assert "Seq Scan on jobs" not in plan
    assert "Sort" not in plan.split("jobs_claimable")[1], "the order comes from the index"
    for name, (few, many) in costs.items():
        assert many < few * _ALLOWED_RATIO, f"{name}: {few:.2f} ms, then {many:.2f}"
    assert await row_count_errors(database) == []
