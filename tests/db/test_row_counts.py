"""Kept counts equal exact ones, whatever is written at the same time, rolled back or killed."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest
from click.testing import CliRunner

from piwheels.cli.main import cli
from piwheels.db import catalog, job_queue, page_queue, site_queries, status_queries, target_queries
from piwheels.db.database import Database
from piwheels.db.row_counts import (
    correct_row_counts,
    fold_row_counts,
    row_count_errors,
    row_counts,
)
from tests.db.scenario import (
    PROJECTS,
    RULES,
    TARGETS,
    RandomWalk,
    RemovalCounts,
    complete_as_built,
    make_release,
    make_wheel,
)

CP39 = TARGETS[0].name


async def _add_projects(db: Database, count: int) -> None:
    await target_queries.add_target(db, TARGETS[0], RULES)
    for number in range(count):
        await catalog.add_project(db, f"project-{number}", f"project-{number}")
        await catalog.add_releases(db, [make_release(f"project-{number}")], RULES)


async def test_counts_follow_each_random_step(database: Database) -> None:
    walker = RandomWalk(database, random.Random(5))
    for number in range(200):
        await walker.step()
        assert await row_count_errors(database) == []
        if number % 20 == 0:
            await fold_row_counts(database)


@asynccontextmanager
async def _folding(dsn: str) -> AsyncIterator[None]:
    """Fold the counts all the time."""
    over = asyncio.Event()

    async def fold() -> None:
        async with await Database.connect(dsn, role="folder") as db:
            while not over.is_set():
                await fold_row_counts(db)
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(fold())
        try:
            yield
        finally:
            over.set()


#: What a transaction that may not be committed does to a project.
_CHANGES = (
    "UPDATE jobs SET parked = NOT parked WHERE project = %(project)s AND claimed_by IS NULL",
    "UPDATE jobs SET retry_at = now() WHERE project = %(project)s AND claimed_by IS NULL",
    """
    INSERT INTO page_queue (page_kind, page_key) VALUES ('project', %(project)s)
        ON CONFLICT (page_kind, page_key) DO UPDATE SET dirty = NOT page_queue.dirty
    """,
    "DELETE FROM page_queue WHERE page_key = %(project)s",
)
_REMOVALS = (
    "DELETE FROM releases WHERE project = %(project)s",
    "DELETE FROM projects WHERE project = %(project)s",
)


async def _transaction(dsn: str, chance: random.Random) -> None:
    """Change something, then commit, roll back, or lose the connection."""
    end = chance.choice(["COMMIT", "ROLLBACK", "SELECT pg_terminate_backend(pg_backend_pid())"])
    changes = _CHANGES if end == "COMMIT" else _CHANGES + _REMOVALS
    parameters = {"project": chance.choice(PROJECTS)}
    # Of a project that is not there, nothing is locked: a deadlock is one more way to roll back.
    with suppress(psycopg.errors.DeadlockDetected):
        await _run_transaction(dsn, chance.sample(changes, 2), end, parameters)


async def _run_transaction(
    dsn: str, changes: list[str], end: str, parameters: dict[str, str]
) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("BEGIN")
        await connection.execute("SELECT lock_projects(ARRAY[%(project)s])", parameters)
        for change in changes:
            await connection.execute(change.encode(), parameters)
        with suppress(psycopg.OperationalError):
            await connection.execute(end.encode())


async def _write_concurrently(dsn: str, writers: int, steps: int) -> None:
    removals = RemovalCounts()
    async with await Database.connect(dsn, role="setup") as db:
        for target in TARGETS:
            await target_queries.add_target(db, target, RULES)

    async def walk(number: int) -> None:
        async with await Database.connect(dsn, role=f"walker {number}") as db:
            walker = RandomWalk(db, random.Random(number), f"builder-{number}", removals=removals)
            for _ in range(steps):
                await walker.step()

    async def change(number: int) -> None:
        chance = random.Random(number)
        for _ in range(steps // 2):
            await _transaction(dsn, chance)

    async with _folding(dsn), asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(walk(number))
            group.create_task(change(number))
    async with await Database.connect(dsn, role="check") as db:
        assert await row_count_errors(db) == []
        assert await db.value("SELECT is_called FROM build_ids"), "jobs were claimed"


async def test_counts_hold_with_concurrent_writers_rollbacks_and_lost_connections(
    dsn: str,
) -> None:
    await _write_concurrently(dsn, writers=3, steps=60)


@pytest.mark.slow
async def test_counts_hold_after_thousands_of_concurrent_steps(dsn: str) -> None:
    await _write_concurrently(dsn, writers=6, steps=600)


async def test_folding_keeps_one_row_for_each_count_that_is_not_zero(database: Database) -> None:
    await _add_projects(database, 20)
    before = await row_counts(database)
    assert await fold_row_counts(database) > 20
    kept = await database.value("SELECT count(*) FROM row_counts")
    assert await row_counts(database) == before
    assert kept == len(+before.numbers)
    assert await fold_row_counts(database, min_rows=kept) == 0, "few rows are left alone"


async def test_a_wrong_count_is_found_and_corrected(database: Database) -> None:
    await _add_projects(database, 3)
    await database.execute("DELETE FROM row_counts WHERE table_name = 'projects'")
    (error,) = await row_count_errors(database)
    assert str(error) == "projects: 0 kept, 3 counted"
    assert await correct_row_counts(database) == 1
    assert await row_count_errors(database) == []
    assert await correct_row_counts(database) == 0


async def test_the_status_shows_each_job_in_one_state(database: Database) -> None:
    await _add_projects(database, 6)
    states = {
        "claimed_by = 'pi'": 0,
        "parked = true, required_packages = '{a}', retry_at = now()": 1,
        "retry_at = now()": 2,
        "hold_reason = 'look'": 3,
    }
    for change, number in states.items():
        await database.execute(f"UPDATE jobs SET {change} WHERE project = 'project-{number}'")
    (queue,) = await status_queries.queue_statuses(database)
    assert (queue.claimed, queue.parked, queue.deferred, queue.pending) == (1, 1, 1, 2)
    await site_queries.record_queue_lengths(database)
    assert await database.rows("SELECT pending, claimed FROM queue_length_samples") == [
        {"pending": 5, "claimed": 1}
    ]


async def test_totals_follow_builds_and_files(database: Database) -> None:
    await _add_projects(database, 2)
    job = await job_queue.claim(database, "pi", [CP39])
    assert job is not None
    await complete_as_built(database, job, "pi", make_wheel(job, "py3-none-any"))
    totals = await status_queries.farm_totals(database)
    assert (totals.projects, totals.releases, totals.builds) == (2, 2, 1)
    assert (totals.files, totals.files_bytes) == (1, 1)
    assert (await row_counts(database)).by_state("builds", CP39) == Counter(built=1)


@pytest.mark.parametrize("advanced", range(3))
async def test_the_oldest_job_is_found_behind_prioritized_ones(
    database: Database, advanced: int
) -> None:
    await _add_projects(database, 3)
    for hours, project in enumerate(("project-0", "project-1", "project-2"), 1):
        await database.execute(
            "UPDATE jobs SET queued_at = now() - make_interval(hours => %(hours)s),"
            " priority_time = now() - make_interval(hours => %(hours)s)"
            " WHERE project = %(project)s",
            {"hours": hours, "project": project},
        )
    await database.execute(
        "UPDATE jobs SET priority_time = queued_at - interval '1 day' WHERE project = %(project)s",
        {"project": f"project-{advanced}"},
    )
    (queue,) = await status_queries.queue_statuses(database)
    assert queue.oldest_s == pytest.approx(3 * 3600, abs=600)


async def test_pages_to_write_are_counted_with_those_that_were_not_collected(
    database: Database,
) -> None:
    await page_queue.invalidate(database, page_queue.PageKind.PROJECT, ["a", "b"])
    assert await page_queue.pending_page_count(database) == 2
    await page_queue.collect_changes(database, [page_queue.PageKind.PROJECT])
    assert await page_queue.pending_page_count(database) == 2
    pages = await page_queue.pages_to_write(database, page_queue.PageKind.PROJECT, 1)
    await page_queue.mark_written(database, page_queue.PageKind.PROJECT, pages)
    assert await page_queue.pending_page_count(database) == 1
    assert await page_queue.pending_page_count(database, page_queue.INDEX_PAGE_KINDS) == 0


async def test_recounting_says_what_is_wrong_and_corrects_it(dsn: str) -> None:
    async with await Database.connect(dsn, role="test") as db:
        await _add_projects(db, 2)
        await db.execute("DELETE FROM row_counts WHERE table_name = 'releases'")
    recount = ["db", "recount", "--dsn", dsn]

    async def run(*options: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, cli, [*recount, *options])
        return result.exit_code, result.output

    wrong = "releases: 0 kept, 2 counted\n"
    assert await run("--dry-run") == (1, wrong)
    assert await run() == (0, f"{wrong}1 count corrected\n")
    assert await run("--dry-run") == (0, "all counts are right\n")
