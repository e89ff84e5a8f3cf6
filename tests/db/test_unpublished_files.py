"""Wheels that were installed for a build whose result came too late."""

from datetime import timedelta

import pytest

from piwheels.db import catalog, file_deletions, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.model import Job, WheelFile
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_as_built,
    make_release,
    make_wheel,
)

CP39 = TARGETS[0].name


@pytest.fixture
async def farm(database: Database) -> Database:
    """One target, and a release."""
    await target_queries.add_target(database, TARGETS[0], RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await target_queries.recompute_jobs(database)
    await catalog.add_releases(database, [make_release("alpha")], RULES)
    return database


async def install(db: Database) -> tuple[Job, WheelFile]:
    """Claim the job, and install its wheel."""
    job = await job_queue.claim(db, "pi4", [CP39])
    assert job is not None
    wheel = make_wheel(job, "py3-none-any")
    await file_deletions.reserve_install(db, wheel.filename, wheel.sha256, "alpha")
    return job, wheel


async def files_to_delete(db: Database) -> list[str]:
    await db.execute("TRUNCATE page_invalidations, page_queue")  # the pages are written
    found = await file_deletions.files_to_delete(db, timedelta(0), 10)
    return [file.filename for file in found]


async def test_a_wheel_of_a_release_that_was_removed_meanwhile_is_deleted(farm: Database) -> None:
    """Until the next start of the master it would lie in the web root, and no page names it."""
    job, wheel = await install(farm)
    await catalog.remove_release(farm, "alpha", "1.0")
    assert await files_to_delete(farm) == []
    assert not await complete_as_built(farm, job, "pi4", wheel)
    assert await files_to_delete(farm) == [wheel.filename]


async def test_a_wheel_stays_while_another_builder_may_have_the_same(farm: Database) -> None:
    job, wheel = await install(farm)
    assert await job_queue.unclaim(farm, "pi4", job.build_id)
    assert await job_queue.claim(farm, "pi5", [CP39]) is not None
    assert not await complete_as_built(farm, job, "pi4", wheel)
    assert await files_to_delete(farm) == []


async def test_a_result_that_is_reported_again_deletes_nothing(farm: Database) -> None:
    job, wheel = await install(farm)
    for _ in range(2):
        assert await complete_as_built(farm, job, "pi4", wheel)
    assert await files_to_delete(farm) == []
