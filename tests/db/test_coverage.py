"""The coverage rules: the view against an oracle, and the cases that operators ask about."""

import asyncio
import random
from datetime import timedelta

import pytest

from piwheels.db import catalog, jobs, pages, site
from piwheels.db.database import Database
from piwheels.model import Job, Outcome
from tests.db.world import (
    RULES,
    TARGETS,
    Removals,
    Walker,
    a_build,
    a_file,
    a_release,
    build,
    check,
)
from tests.patience import WAIT_S

CP39, CP311, CP313, CP313T = (target.name for target in TARGETS)


@pytest.fixture
async def farm(database: Database) -> Database:
    """Targets cp39 to cp313t, and a project without releases."""
    for target in reversed(TARGETS):
        await catalog.add_target(database, target, RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await catalog.converge(database)
    return database


async def queue(db: Database) -> list[str]:
    rows = await db.rows(
        "SELECT target FROM jobs JOIN targets USING (target) ORDER BY position, target"
    )
    return [row["target"] for row in rows]


async def claimed(db: Database, target: str) -> Job:
    job = await jobs.claim(db, "builder", [target])
    assert job is not None
    return job


async def fail(db: Database, target: str, later: timedelta | None = None) -> None:
    job = await claimed(db, target)
    outcome = Outcome.FAILED if later is None else Outcome.LOST
    assert await jobs.settle(db, a_build(job, "builder", outcome), [], RULES, later)


async def test_a_new_release_is_wanted_for_the_first_target_in_numeric_order(
    farm: Database,
) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    assert await queue(farm) == [CP39]


async def test_a_wheel_that_serves_all_leaves_nothing_to_do(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await claimed(farm, CP39)
    assert await build(farm, job, "builder", a_file(job, "py3-none-any"))
    assert await queue(farm) == []


async def test_a_wheel_that_serves_one_unlocks_all_the_others(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await claimed(farm, CP39)
    assert await build(farm, job, "builder", a_file(job, "cp39-cp39-linux_aarch64"))
    assert await queue(farm) == [CP311, CP313, CP313T]


async def test_abi3_serves_its_interpreters_and_not_the_free_threaded(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await claimed(farm, CP39)
    assert await build(farm, job, "builder", a_file(job, "cp39-abi3-linux_aarch64"))
    assert await queue(farm) == [CP313T]


async def test_a_wheel_that_needs_a_newer_glibc_does_not_serve(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await claimed(farm, CP39)
    assert await build(farm, job, "builder", a_file(job, "cp39-cp39-linux_aarch64", "2.41"))
    assert CP39 in await queue(farm)


async def test_a_final_failure_unlocks_the_next_target(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    await fail(farm, CP39)
    assert await queue(farm) == [CP311]


async def test_a_passing_failure_unlocks_the_next_and_leaves_its_own_open(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    await fail(farm, CP39, timedelta(hours=1))
    assert await queue(farm) == [CP39, CP311]
    assert await jobs.claim(farm, "builder", [CP39]) is None
    await jobs.retry(farm, "alpha")
    assert await jobs.claim(farm, "builder", [CP39]) is not None


async def test_a_retry_opens_a_final_failure_again(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha", requires_python="<3.10")], RULES)
    await fail(farm, CP39)
    assert await queue(farm) == []
    assert await jobs.retry(farm, "alpha") == 1
    assert await queue(farm) == [CP39]


async def test_requires_python_keeps_targets_out(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha", requires_python=">=3.12")], RULES)
    assert await queue(farm) == [CP313]


async def test_a_late_sdist_makes_its_release_buildable(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha", with_sdist=False)], RULES)
    assert await queue(farm) == []
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    assert await queue(farm) == [CP39]


async def test_a_new_target_gets_the_jobs_of_what_is_built(database: Database) -> None:
    await catalog.add_target(database, TARGETS[0], RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await catalog.add_releases(database, [a_release("alpha")], RULES)
    job = await claimed(database, CP39)
    await build(database, job, "builder", a_file(job, "cp39-cp39-linux_aarch64"))
    await catalog.add_target(database, TARGETS[1], RULES)
    assert await queue(database) == []
    assert await catalog.converge(database)
    assert await queue(database) == [CP311]
    assert not await catalog.converge(database)


async def test_a_target_that_comes_while_jobs_follow_another_gets_its_jobs_too(dsn: str) -> None:
    async with (
        await Database.connect(dsn, duty="converge") as follower,
        await Database.connect(dsn, duty="holder") as holder,
        await Database.connect(dsn, duty="adder") as adder,
    ):
        await catalog.add_target(holder, TARGETS[1], RULES)
        for project in ("alpha", "beta", "gamma"):
            await catalog.add_project(holder, project, project)
            await catalog.add_releases(holder, [a_release(project)], RULES)
        async with holder.transaction():
            await holder.execute("SELECT FROM projects WHERE project = 'beta' FOR UPDATE")
            following = asyncio.create_task(follower.execute("CALL converge(1)"))
            await _until_waiting(adder, "converge")  # alpha is done, and beta's turn has come
            adding = asyncio.create_task(catalog.add_target(adder, TARGETS[0], RULES))
            await _until_waiting(holder, "adder")
        await asyncio.gather(following, adding)
        assert await catalog.converge(follower), "there is more to do"
        assert await queue(holder) == [CP39] * 3
        assert not await catalog.converge(follower)


async def _until_waiting(db: Database, duty: str) -> None:
    """Wait until a duty waits for a lock."""
    async with asyncio.timeout(WAIT_S):
        while not await db.value(  # noqa: ASYNC110 - nothing tells of it
            """
            SELECT true FROM pg_stat_activity
             WHERE application_name = %(name)s AND wait_event_type = 'Lock'
            """,
            {"name": f"piwheels {duty}"},
        ):
            await asyncio.sleep(0.02)


async def test_settling_again_what_is_settled_so_is_no_loss(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await claimed(farm, CP39)
    failed = a_build(job, "builder", Outcome.FAILED)
    assert await jobs.settle(farm, failed, [], RULES, None)
    assert await jobs.settle(farm, failed, [], RULES, None), "the first answer can have been lost"
    lost = a_build(job, "builder", Outcome.LOST)
    assert not await jobs.settle(farm, lost, [], RULES, None)
    assert await farm.rows("SELECT outcome FROM builds") == [{"outcome": "failed"}]


async def test_a_claimed_job_that_nobody_wants_any_more_is_settled_all_the_same(
    farm: Database,
) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await claimed(farm, CP39)
    await catalog.skip_project(farm, "alpha", "opted out")
    assert await queue(farm) == [CP39]
    assert await build(farm, job, "builder", a_file(job, "cp39-cp39-linux_aarch64"))
    assert await queue(farm) == []
    await catalog.skip_project(farm, "alpha", None)
    assert await queue(farm) == [CP311, CP313, CP313T]


async def test_a_builder_cannot_settle_what_another_has_in_hand(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await jobs.claim(farm, "builder", [target.name for target in TARGETS])
    assert job is not None
    assert not await jobs.settle(farm, a_build(job, "another"), [], RULES, None)
    assert await jobs.settle(farm, a_build(job, "builder", Outcome.FAILED), [], RULES, None)


async def test_what_a_builder_lost_it_cannot_settle(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await claimed(farm, CP39)
    assert await jobs.release(farm, "builder", job.build)
    again = await claimed(farm, CP39)
    assert (again.attempt, again.build > job.build) == (job.attempt, True)
    assert not await build(farm, job, "builder", a_file(job, "py3-none-any"))
    assert await farm.value("SELECT count(*) FROM files") == 0
    assert [claim.job.build for claim in await jobs.claims(farm)] == [again.build]


async def test_a_hidden_release_is_not_built_and_keeps_its_files(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha"), a_release("alpha", "2.0")], RULES)
    job = await claimed(farm, CP39)
    assert await build(farm, job, "builder", a_file(job, "cp39-cp39-linux_aarch64"))
    listing = await catalog.note_listed(farm, "alpha", [])
    assert listing == catalog.Listing(hidden=("1.0", "2.0"), shown=())
    assert await queue(farm) == []
    assert await indexed(farm) == ([], set())
    assert len(await site.files(farm, "alpha")) == 0
    assert [item.files for item in await site.listing(farm)] == [0]
    assert await farm.value("SELECT count(*) FROM files") == 1
    assert await farm.value("SELECT count(*) FROM removals") == 0


async def test_a_release_that_is_shown_again_is_not_built_again(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha")], RULES)
    job = await claimed(farm, CP39)
    assert await build(farm, job, "builder", a_file(job, "py3-none-any"))
    await catalog.note_listed(farm, "alpha", [])
    await farm.execute("DELETE FROM page_changes")
    assert (await catalog.note_listed(farm, "alpha", ["1.0"])).shown == ("1.0",)
    assert await queue(farm) == []
    assert await indexed(farm) == (["alpha"], {"1.0"})
    stale = await farm.rows("SELECT DISTINCT name FROM page_changes WHERE part = 'simple'")
    assert {row["name"] for row in stale} == {"", "alpha"}, "the listing of all projects as well"


async def indexed(db: Database) -> tuple[list[str], set[str]]:
    """Projects of the index, and the versions that alpha's index page lists."""
    found = await pages.index_pages(db, ["alpha"])
    versions = {file.version for page in found.values() for file in page.files}
    return await pages.indexed_projects(db), versions


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_jobs_follow_the_rules_whatever_happens(database: Database, seed: int) -> None:
    walker = Walker(database, random.Random(seed))
    done = set()
    for _ in range(400):
        done.add(await walker.step())
        await check(database)
    assert len(done) == 15, "every kind of step was taken"


async def _walk_together(dsn: str, walkers: int, steps: int) -> None:
    removals = Removals()

    async def walk(number: int) -> None:
        async with await Database.connect(dsn, duty=f"walker {number}") as db:
            walker = Walker(db, random.Random(number), f"builder-{number}", removals=removals)
            for _ in range(steps):
                await walker.step()

    # A deadlock or a serialization failure would come out of here as an error.
    async with asyncio.TaskGroup() as group:
        for number in range(walkers):
            group.create_task(walk(number))
    async with await Database.connect(dsn, duty="check") as db:
        await check(db)


async def test_writers_at_once_leave_no_stale_job_and_never_deadlock(dsn: str) -> None:
    await _walk_together(dsn, 6, 150)


@pytest.mark.slow
async def test_sixteen_thousand_steps_at_once_leave_no_stale_job(dsn: str) -> None:
    await _walk_together(dsn, 8, 2000)
