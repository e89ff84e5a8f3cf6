"""The coverage rules: the view against an oracle, and the cases that operators ask about."""

import asyncio
import random
from datetime import timedelta

import pytest

from piwheels.db import (
    audit_queries,
    catalog,
    index_queries,
    job_queue,
    site_queries,
    status_queries,
    target_queries,
)
from piwheels.db.database import Database
from piwheels.db.upstream_wheels import store_upstream_wheels
from piwheels.model import Job, Outcome, State
from piwheels.release_status import StatusContext, explain_project
from tests.db.scenario import (
    RULES,
    TARGETS,
    RandomWalk,
    RemovalCounts,
    check_jobs,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_upstream_wheel,
    make_wheel,
)
from tests.timeouts import WAIT_S

CP39, CP311, CP313, CP313T = (target.name for target in TARGETS)


@pytest.fixture
async def farm(database: Database) -> Database:
    """Targets cp39 to cp313t, and a project without releases."""
    for target in reversed(TARGETS):
        await target_queries.add_target(database, target, RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await target_queries.recompute_jobs(database)
    return database


async def queued_targets(db: Database) -> list[str]:
    rows = await db.rows(
        "SELECT target FROM jobs JOIN targets USING (target) ORDER BY sort_order, target"
    )
    return [row["target"] for row in rows]


async def claim_job(db: Database, target: str) -> Job:
    job = await job_queue.claim(db, "builder", [target])
    assert job is not None
    return job


async def fail_job(db: Database, target: str, later: timedelta | None = None) -> None:
    job = await claim_job(db, target)
    outcome = Outcome.FAILED if later is None else Outcome.LOST
    assert await complete_job_with_retry_after(
        db, make_build(job, "builder", outcome), [], RULES, later
    )


async def test_a_new_release_is_wanted_for_its_first_target_in_numeric_order(
    farm: Database,
) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    assert await queued_targets(farm) == [CP39]


async def test_a_wheel_that_covers_all_targets_leaves_no_jobs(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "py3-none-any"))
    assert await queued_targets(farm) == []


async def test_a_wheel_that_covers_one_target_unlocks_all_others(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "cp39-cp39-linux_aarch64"))
    assert await queued_targets(farm) == [CP311, CP313, CP313T]


async def test_abi3_covers_its_interpreters_and_not_the_free_threaded_one(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "cp39-abi3-linux_aarch64"))
    assert await queued_targets(farm) == [CP313T]


async def test_a_wheel_that_needs_a_newer_glibc_does_not_cover(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    assert await complete_as_built(
        farm, job, "builder", make_wheel(job, "cp39-cp39-linux_aarch64", "2.41")
    )
    assert CP39 in await queued_targets(farm)


async def test_a_final_failure_unlocks_the_next_target(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    await fail_job(farm, CP39)
    assert await queued_targets(farm) == [CP311]


async def test_a_transient_failure_unlocks_the_next_target_and_keeps_its_own_job(
    farm: Database,
) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    await fail_job(farm, CP39, timedelta(hours=1))
    assert await queued_targets(farm) == [CP39, CP311]
    assert await job_queue.claim(farm, "builder", [CP39]) is None
    await job_queue.retry(farm, "alpha")
    assert await job_queue.claim(farm, "builder", [CP39]) is not None


async def test_a_retry_removes_a_final_failure(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha", requires_python="<3.10")], RULES)
    await fail_job(farm, CP39)
    assert await queued_targets(farm) == []
    assert await job_queue.retry(farm, "alpha") == 1
    assert await queued_targets(farm) == [CP39]


async def test_a_wheel_of_upstream_that_counts_leaves_no_job_for_its_targets(
    farm: Database,
) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    wheel = make_upstream_wheel("alpha", "1.0", "cp39-cp39-manylinux_2_28_aarch64")
    changes = await store_upstream_wheels(farm, ["alpha"], [wheel], RULES)
    assert (changes.added, changes.removed) == (1, 0)
    assert await queued_targets(farm) == [CP311]
    facts = await status_queries.project_status(farm, "alpha")
    assert facts is not None
    statuses = explain_project("alpha", facts, StatusContext(served_targets=frozenset()))
    assert (statuses[0].target, statuses[0].state) == (CP39, State.UPSTREAM_WHEEL)
    assert statuses[0].text.startswith(f"upstream has {wheel.filename}, which covers it: ")
    assert "; that is the policy missing, set for the farm." in statuses[0].as_text
    unchanged = await store_upstream_wheels(farm, ["alpha"], [wheel], RULES)
    assert (unchanged.added, unchanged.removed) == (0, 0)
    changes = await store_upstream_wheels(farm, ["alpha"], [], RULES)
    assert (changes.added, changes.removed) == (0, 1)
    assert await queued_targets(farm) == [CP39], "it was yanked or removed upstream"


@pytest.mark.parametrize(
    ("tags", "requires_python"),
    [
        ("cp39-cp39-manylinux_2_38_aarch64", ""),
        ("cp39-cp39-manylinux_2_17_x86_64", ""),
        ("cp39-cp39-musllinux_1_1_aarch64", ""),
        ("py3-none-any", ">=3.10"),
    ],
)
async def test_a_wheel_of_upstream_that_does_not_install_there_does_not_count(
    farm: Database, tags: str, requires_python: str
) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    wheel = make_upstream_wheel("alpha", "1.0", tags, requires_python)
    await store_upstream_wheels(farm, ["alpha"], [wheel], RULES)
    assert CP39 in await queued_targets(farm)


async def test_requires_python_excludes_targets(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha", requires_python=">=3.12")], RULES)
    assert await queued_targets(farm) == [CP313]


async def test_a_late_sdist_makes_its_release_buildable(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha", with_sdist=False)], RULES)
    assert await queued_targets(farm) == []
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    assert await queued_targets(farm) == [CP39]


async def test_a_new_target_gets_jobs_for_built_releases(database: Database) -> None:
    await target_queries.add_target(database, TARGETS[0], RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await catalog.add_releases(database, [make_release("alpha")], RULES)
    job = await claim_job(database, CP39)
    await complete_as_built(database, job, "builder", make_wheel(job, "cp39-cp39-linux_aarch64"))
    await target_queries.add_target(database, TARGETS[1], RULES)
    assert await queued_targets(database) == []
    assert await target_queries.recompute_jobs(database)
    assert await queued_targets(database) == [CP311]
    assert not await target_queries.recompute_jobs(database)


async def test_a_target_added_while_others_wait_gets_its_jobs(dsn: str) -> None:
    async with (
        await Database.connect(dsn, role="converge") as follower,
        await Database.connect(dsn, role="holder") as holder,
        await Database.connect(dsn, role="adder") as adder,
    ):
        await target_queries.add_target(holder, TARGETS[1], RULES)
        for project in ("alpha", "beta", "gamma"):
            await catalog.add_project(holder, project, project)
            await catalog.add_releases(holder, [make_release(project)], RULES)
        async with holder.transaction():
            await holder.execute("SELECT FROM projects WHERE project = 'beta' FOR UPDATE")
            following = asyncio.create_task(follower.execute("CALL recompute_all_jobs(1)"))
            await _wait_until_blocked(adder, "converge")  # alpha is done, and beta's turn has come
            adding = asyncio.create_task(target_queries.add_target(adder, TARGETS[0], RULES))
            await _wait_until_blocked(holder, "adder")
        await asyncio.gather(following, adding)
        assert await target_queries.recompute_jobs(follower), "there is more to do"
        assert await queued_targets(holder) == [CP39] * 3
        assert not await target_queries.recompute_jobs(follower)


async def test_a_project_that_is_removed_and_added_again_is_left_to_its_triggers(dsn: str) -> None:
    async with (
        await Database.connect(dsn, role="converge") as follower,
        await Database.connect(dsn, role="holder") as holder,
    ):
        await target_queries.add_target(holder, TARGETS[0], RULES)
        await catalog.add_project(holder, "beta", "beta")
        await catalog.add_releases(holder, [make_release("beta")], RULES)
        async with holder.transaction():
            await holder.execute("DELETE FROM projects WHERE project = 'beta'")
            following = asyncio.create_task(follower.execute("CALL recompute_all_jobs()"))
            await _wait_until_blocked(holder, "converge")
            await catalog.add_project(holder, "beta", "beta")
            await catalog.add_releases(holder, [make_release("beta")], RULES)
            # So that what is recomputed without a lock can be seen: it would fail if the release
            # was removed just now.
            await holder.execute("DELETE FROM jobs")
        await following
        assert await queued_targets(holder) == []


async def test_a_change_of_targets_is_followed_in_batches_that_are_short_on_a_slow_machine(
    farm: Database,
) -> None:
    releases = [make_release("alpha", f"{number}.0") for number in range(150)]
    await catalog.add_releases(farm, releases, RULES)
    await _count_recomputed(farm, seconds=0.004)
    await farm.execute("CALL recompute_all_jobs()")
    first, *others = await _recomputed_in_transactions(farm)
    assert first <= 100
    assert max(others) <= 5, "each takes 20 ms, although all are one project's"
    assert first + sum(others) == 150


async def test_batches_grow_on_a_fast_machine(farm: Database) -> None:
    releases = [make_release("alpha", f"{number}.0") for number in range(40)]
    await catalog.add_releases(farm, releases, RULES)
    await _count_recomputed(farm)
    await farm.execute("CALL recompute_all_jobs(1, 3600000)")
    assert await _recomputed_in_transactions(farm) == [1, 2, 4, 8, 16, 9]


async def test_a_change_of_one_target_locks_only_releases_that_it_concerns(farm: Database) -> None:
    """Not one that waits for an earlier target, nor one with a wheel for all, nor one without sdist."""
    await farm.execute("DELETE FROM targets WHERE target = ANY (%(t)s)", {"t": [CP313, CP313T]})
    for name, tags in (("pure", "py3-none-any"), ("compiled", "cp39-cp39-linux_aarch64")):
        await catalog.add_project(farm, name, name)
        await catalog.add_releases(farm, [make_release(name)], RULES)
        job = await claim_job(farm, CP39)
        await complete_as_built(farm, job, "builder", make_wheel(job, tags))
    await catalog.add_project(farm, "waiting", "waiting")
    await catalog.add_releases(
        farm,
        [
            make_release("waiting"),
            make_release("waiting", "2.0", with_sdist=False),
            make_release("waiting", "3.0", requires_python="<3.10"),
        ],
        RULES,
    )
    jobs = await farm.rows("SELECT project, version, target FROM jobs ORDER BY 1, 2, 3")
    await target_queries.add_target(farm, TARGETS[2], RULES)
    await _count_recomputed(farm)
    assert await target_queries.recompute_jobs(farm)
    assert await _recomputed_in_transactions(farm) == [1], "the compiled one"
    assert jobs == await farm.rows("SELECT project, version, target FROM jobs ORDER BY 1, 2, 3")


async def _count_recomputed(db: Database, seconds: float = 0.0) -> None:
    """Have `recompute_jobs` take so long for a release, and count them."""
    await db.execute(
        "CREATE TABLE recomputed (number serial, releases integer, transaction xid8 DEFAULT "
        "pg_current_xact_id())"
    )
    await db.execute(
        f"""
        CREATE OR REPLACE FUNCTION recompute_jobs(projects text[], versions text[]) RETURNS void
        LANGUAGE sql AS $$
            INSERT INTO recomputed (releases) VALUES (cardinality(projects));
            SELECT pg_sleep({seconds} * cardinality(projects));
        $$
        """
    )


async def _recomputed_in_transactions(db: Database) -> list[int]:
    """How many releases each transaction recomputed."""
    rows = await db.rows(
        "SELECT sum(releases)::integer AS releases FROM recomputed GROUP BY transaction "
        "ORDER BY min(number)"
    )
    return [row["releases"] for row in rows]


async def _wait_until_blocked(db: Database, role: str) -> None:
    """Wait until a service waits for a lock."""
    async with asyncio.timeout(WAIT_S):
        while not await db.value(  # noqa: ASYNC110 - nothing tells of it
            """
            SELECT true FROM pg_stat_activity
             WHERE application_name = %(name)s AND wait_event_type = 'Lock'
            """,
            {"name": f"piwheels {role}"},
        ):
            await asyncio.sleep(0.02)


async def test_recording_the_same_result_again_loses_nothing(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    failed = make_build(job, "builder", Outcome.FAILED)
    assert await complete_job_with_retry_after(farm, failed, [], RULES, None)
    assert await complete_job_with_retry_after(farm, failed, [], RULES, None), (
        "the first answer can have been lost"
    )
    lost = make_build(job, "builder", Outcome.LOST)
    assert not await complete_job_with_retry_after(farm, lost, [], RULES, None)
    assert await farm.rows("SELECT outcome FROM builds") == [{"outcome": "failed"}]


async def test_a_claimed_job_that_is_no_longer_wanted_is_recorded(
    farm: Database,
) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    await catalog.skip_project(farm, "alpha", "opted out")
    assert await queued_targets(farm) == [CP39]
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "cp39-cp39-linux_aarch64"))
    assert await queued_targets(farm) == []
    await catalog.skip_project(farm, "alpha", None)
    assert await queued_targets(farm) == [CP311, CP313, CP313T]


async def test_a_builder_cannot_record_a_result_for_the_job_of_another(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await job_queue.claim(farm, "builder", [target.name for target in TARGETS])
    assert job is not None
    assert not await complete_job_with_retry_after(
        farm, make_build(job, "another"), [], RULES, None
    )
    assert await complete_job_with_retry_after(
        farm, make_build(job, "builder", Outcome.FAILED), [], RULES, None
    )


async def test_a_builder_cannot_record_a_result_for_a_job_that_it_lost(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    assert await job_queue.unclaim(farm, "builder", job.build_id)
    again = await claim_job(farm, CP39)
    assert (again.attempt, again.build_id > job.build_id) == (job.attempt, True)
    assert not await complete_as_built(farm, job, "builder", make_wheel(job, "py3-none-any"))
    assert await farm.value("SELECT count(*) FROM files") == 0
    assert [claim.job.build_id for claim in await job_queue.claimed_jobs(farm)] == [again.build_id]


async def test_a_hidden_release_is_not_built_and_keeps_its_files(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha"), make_release("alpha", "2.0")], RULES)
    job = await claim_job(farm, CP39)
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "cp39-cp39-linux_aarch64"))
    listing = await catalog.update_listed_releases(farm, "alpha", [])
    assert listing == catalog.ListingChanges(hidden=("1.0", "2.0"), shown=())
    assert await queued_targets(farm) == []
    assert await index_content(farm) == ([], set())
    assert await site_queries.project_files(farm, ["alpha"]) == {}
    assert [item.files async for item in site_queries.list_projects(farm)] == [0]
    assert [item.has_wheels for item in await site_queries.listed_projects(farm, "", 9)] == [False]
    assert await audit_queries.projects_with_listed_files(farm, "", 9) == []
    assert await farm.value("SELECT count(*) FROM files") == 1
    assert await farm.value("SELECT count(*) FROM file_deletions") == 0


async def test_the_first_listed_wheel_beside_hidden_ones_changes_the_list_of_projects(
    farm: Database,
) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "py3-none-any"))
    await catalog.update_listed_releases(farm, "alpha", [])
    await catalog.add_releases(farm, [make_release("alpha", "2.0")], RULES)
    await farm.execute("DELETE FROM page_invalidations")
    job = await claim_job(farm, CP39)
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "py3-none-any"))
    assert await index_queries.indexed_projects(farm) == ["alpha"]
    stale = "SELECT count(*) FROM page_invalidations WHERE page_kind = 'simple' AND page_key = ''"
    assert await farm.value(stale) > 0
    await farm.execute("DELETE FROM page_invalidations")
    await farm.execute("DELETE FROM files WHERE version = '2.0'")
    assert await index_queries.indexed_projects(farm) == []
    assert await farm.value(stale) > 0


async def test_a_release_that_is_shown_again_is_not_rebuilt(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha")], RULES)
    job = await claim_job(farm, CP39)
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "py3-none-any"))
    await catalog.update_listed_releases(farm, "alpha", [])
    await farm.execute("DELETE FROM page_invalidations")
    assert (await catalog.update_listed_releases(farm, "alpha", ["1.0"])).shown == ("1.0",)
    assert await queued_targets(farm) == []
    assert await index_content(farm) == (["alpha"], {"1.0"})
    stale = await farm.rows(
        "SELECT DISTINCT page_key FROM page_invalidations WHERE page_kind = 'simple'"
    )
    assert {row["page_key"] for row in stale} == {"", "alpha"}, (
        "the listing of all projects as well"
    )


async def index_content(db: Database) -> tuple[list[str], set[str]]:
    """Projects of the index, and the versions that alpha's index page lists."""
    found = await index_queries.index_pages(db, ["alpha"])
    versions = {file.version for page in found.values() for file in page.files}
    return await index_queries.indexed_projects(db), versions


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_jobs_match_the_rules_after_random_steps(database: Database, seed: int) -> None:
    walker = RandomWalk(database, random.Random(seed))
    done = set()
    for _ in range(400):
        done.add(await walker.step())
        await check_jobs(database)
    assert len(done) == 19, "every kind of step was taken"


async def _walk_concurrently(dsn: str, walkers: int, steps: int) -> None:
    removals = RemovalCounts()

    async def walk(number: int) -> None:
        async with await Database.connect(dsn, role=f"walker {number}") as db:
            walker = RandomWalk(db, random.Random(number), f"builder-{number}", removals=removals)
            for _ in range(steps):
                await walker.step()

    # A deadlock or a serialization failure would come out of here as an error.
    async with asyncio.TaskGroup() as group:
        for number in range(walkers):
            group.create_task(walk(number))
    async with await Database.connect(dsn, role="check") as db:
        await check_jobs(db)


async def test_concurrent_writers_leave_no_stale_job_and_do_not_deadlock(dsn: str) -> None:
    await _walk_concurrently(dsn, 6, 150)


@pytest.mark.slow
async def test_four_thousand_concurrent_steps_leave_no_stale_job(dsn: str) -> None:
    await _walk_concurrently(dsn, 8, 500)
