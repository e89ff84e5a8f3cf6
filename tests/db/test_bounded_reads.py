"""What people ask for reads as many rows on a farm of any size: counts are kept, not counted."""

from datetime import UTC, datetime, timedelta

import pytest

from piwheels.db import (
    history,
    page_digests,
    page_queue,
    parked_jobs,
    site_queries,
    status_queries,
)
from piwheels.db.database import Database
from piwheels.db.queue_demand import queue_demand
from piwheels.db.queue_outlines import FIRST_JOBS, queue_outlines
from piwheels.db.row_counts import row_count_errors
from piwheels.model import MIRROR_MAKER
from tests.benchmarks.large_farm import TARGET_NAMES, make_farm
from tests.db.executed_plans import executed_plans, rows_read

_PROJECTS = 300


@pytest.fixture
async def farm(database: Database) -> Database:
    """A farm of some thousand releases, where small tables are not scanned for being small."""
    await make_farm(database, _PROJECTS)
    await database.execute("SET enable_seqscan = off")
    return database


async def test_a_status_reads_no_table_of_rows_that_it_counts(farm: Database) -> None:
    async def read_status() -> None:
        await status_queries.queue_statuses(farm)
        await status_queries.farm_totals(farm)
        await page_queue.pending_page_count(farm)
        await parked_jobs.awaited_packages(farm)
        await history.outcomes_last_hour(farm)

    plans = await executed_plans(farm, read_status)
    for table in ("projects", "releases", "files", "page_queue"):
        assert rows_read(plans, table) == 0, table
    # The first of each queue: whether it was prioritized, and when it was queued.
    assert 0 < rows_read(plans, "jobs") <= 4 * len(TARGET_NAMES)
    last_hour = sum((await history.outcomes_last_hour(farm)).values())
    assert rows_read(plans, "builds") <= 2 * last_hour
    assert last_hour < await farm.value("SELECT count(*) FROM builds")


async def test_what_is_recorded_each_minute_reads_jobs_of_that_minute(farm: Database) -> None:
    minute = datetime.now(UTC) - timedelta(minutes=1)
    plans = await executed_plans(farm, lambda: history.counts_of_minute(farm, minute))
    assert rows_read(plans, "jobs") <= 2 * await farm.value(
        "SELECT count(*) FROM jobs WHERE queued_at >= %(minute)s", {"minute": minute}
    )


async def test_a_page_reads_the_first_jobs_of_queues_and_rows_of_its_project(
    farm: Database,
) -> None:
    outlines = await queue_outlines(farm)
    plans = await executed_plans(
        farm, lambda: status_queries.project_statuses(farm, ["bulk-200"], outlines=outlines)
    )
    assert 0 < rows_read(plans, "jobs") <= len(TARGET_NAMES) * FIRST_JOBS + 100
    assert rows_read(plans, "releases") <= 200
    assert rows_read(plans, "files") <= 2_000


async def test_many_pages_read_rows_of_their_projects_alone(farm: Database) -> None:
    outlines, names = await queue_outlines(farm), [f"bulk-{number}" for number in range(100, 150)]
    status_plans = await executed_plans(
        farm, lambda: status_queries.project_statuses(farm, names, outlines=outlines)
    )
    assert rows_read(status_plans, "jobs") <= len(TARGET_NAMES) * FIRST_JOBS + 100 * len(names)
    assert rows_read(status_plans, "builds") <= 2_000 * len(names)
    basis = page_digests.Basis()
    digest_plans = await executed_plans(
        farm, lambda: page_digests.current_digests(farm, names, basis)
    )
    assert rows_read(digest_plans, "jobs") <= len(TARGET_NAMES) * FIRST_JOBS + 100 * len(names)
    assert rows_read(digest_plans, "builds") <= 100 * len(names)
    assert rows_read(digest_plans, "releases") <= 20 * len(names)


async def test_the_last_builds_are_found_after_many_wheels_were_mirrored(farm: Database) -> None:
    await farm.execute("SET session_replication_role = replica")  # without triggers
    await farm.execute(
        """
        INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry,
                            reason, started_at, duration_s, attempt, build_inputs)
        SELECT nextval('build_ids'), project, version, %(target)s, %(mirror)s, 'built', false, '',
               now(), 0, 1, '{}'
          FROM releases
        """,
        {"target": TARGET_NAMES[0], "mirror": MIRROR_MAKER},
    )
    await farm.execute("ANALYZE builds")

    async def read_last() -> None:
        await history.recent_builds(farm, limit=50)
        await site_queries.latest_builds(farm, 50)

    # Each reads 50, the second again by their numbers.
    assert 0 < rows_read(await executed_plans(farm, read_last), "builds") <= 3 * 50 + 50


async def test_jobs_that_wait_for_packages_are_counted_without_the_others(farm: Database) -> None:
    plans = await executed_plans(farm, lambda: queue_demand(farm, []))
    waiting = await farm.value(
        """
        SELECT count(*) FROM jobs
         WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked
        """
    )
    assert rows_read(plans, "jobs") < waiting + 1, "those that wait, once"


async def test_the_status_of_projects_is_planned_once(farm: Database) -> None:
    for number in range(1, 25):
        await status_queries.project_status(farm, f"bulk-{number}")
    (statement,) = await farm.rows(
        "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%AS last_final%'"
    )
    assert statement["generic_plans"] > 0


async def test_a_large_farm_for_measurements_agrees_with_the_rules(farm: Database) -> None:
    jobs, wanted = (f"SELECT project, version, target FROM {it}" for it in ("jobs", "wanted_jobs"))
    assert await farm.rows(f"({wanted}) EXCEPT ({jobs})") == []
    assert await farm.rows(f"({jobs}) EXCEPT ({wanted})") == []
    assert await row_count_errors(farm) == []
