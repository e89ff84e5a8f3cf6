"""The next jobs of a target: their order, and which are left out."""

from piwheels.db import catalog, job_queue, status_queries, target_queries
from piwheels.db.database import Database
from tests.db.scenario import RULES, TARGETS, make_release

NAMES = [target.name for target in TARGETS]


async def test_the_next_jobs_are_those_that_are_claimed_next(database: Database) -> None:
    for target in TARGETS:
        await target_queries.add_target(database, target, RULES)
    for project in ("one", "two", "three"):
        await catalog.add_project(database, project, project)
        await catalog.add_releases(database, [make_release(project)], RULES)
    await database.execute(
        "UPDATE jobs SET priority_time = now() - interval '1 hour' WHERE project = 'three'"
    )
    target = await database.value("SELECT target FROM jobs WHERE project = 'three'")
    listed = await status_queries.next_jobs(database, target, 10)
    assert [job.project for job in listed] == ["three", "one", "two"]
    assert [job.project for job in await status_queries.next_jobs(database, target, 1)] == ["three"]
    for expected in ("three", "one"):
        job = await job_queue.claim(database, "pi1", [target])
        assert job is not None
        assert job.project == expected
    assert [job.project for job in await status_queries.next_jobs(database, target, 10)] == ["two"]
