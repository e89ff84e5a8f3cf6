"""The search of projects: what one line says about each."""

import pytest

from piwheels.control.project_search import MAX_HITS, ProjectSearch
from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.model import Job, Outcome, ProjectHit
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_wheel,
)


@pytest.fixture
async def search(database: Database) -> ProjectSearch:
    for target in TARGETS:
        await target_queries.add_target(database, target, RULES)
    for name in ("numpy", "numexpr", "scikit-learn"):
        await catalog.add_project(database, name, name)
    return ProjectSearch(database, database)


async def claim(database: Database) -> Job:
    names = [target.name for target in TARGETS]
    job = await job_queue.claim(database, "pi1", names)
    assert job is not None
    return job


async def find(search: ProjectSearch, text: str) -> list[ProjectHit]:
    return list((await search.find(text)).hits)


async def test_a_project_is_found_with_its_newest_release_and_what_is_open(
    database: Database, search: ProjectSearch
) -> None:
    (hit,) = await find(search, "scikit")
    assert (hit.project, hit.version, hit.covered) == ("scikit-learn", "", 0)
    await catalog.add_releases(
        database, [make_release("numpy", version) for version in ("1.10", "1.9")], RULES
    )
    (hit,) = await find(search, "numpy")
    assert (hit.version, hit.covered, hit.builder) == ("1.10", 0, "")
    assert hit.queued_target == TARGETS[0].name
    await database.execute("DELETE FROM releases WHERE version = '1.9'")
    job = await claim(database)
    (hit,) = await find(search, "numpy")
    assert hit.builder == "pi1"
    await complete_as_built(database, job, "pi1", make_wheel(job, "py3-none-any"))
    (hit,) = await find(search, "numpy")
    assert hit.covered == hit.targets > 0
    assert (hit.queued_target, hit.builder, hit.failure_class) == ("", "", "")


async def test_a_failure_that_nothing_follows_is_named(
    database: Database, search: ProjectSearch
) -> None:
    await catalog.add_releases(database, [make_release("numexpr")], RULES)
    failed = 0
    while await database.value("SELECT count(*) FROM jobs"):
        job = await claim(database)
        build = make_build(job, "pi1", Outcome.FAILED)
        await complete_job_with_retry_after(database, build, [], RULES, None)
        failed += 1
    assert failed == await database.value("SELECT count(*) FROM builds")
    (hit,) = await find(search, "numexpr")
    assert (hit.covered, hit.queued_target, hit.failure_class) == (0, "", "failed")


async def test_a_project_that_is_newer_than_the_index_is_found_by_its_whole_name(
    database: Database, search: ProjectSearch
) -> None:
    assert (await search.find("num")).projects == 3
    await catalog.add_project(database, "numba", "numba")
    assert [hit.project for hit in await find(search, "Numba")] == ["numba"]


async def test_hits_are_bounded_and_the_most_downloaded_come_first(
    database: Database, search: ProjectSearch
) -> None:
    names = [f"x{number:02}" for number in range(MAX_HITS + 5)]
    for name in names:
        await catalog.add_project(database, name, name)
    await database.execute(
        "INSERT INTO downloads_by_project (project, downloads, saved_s) VALUES ('x17', 9, 0)"
    )
    reply = await search.find("x")
    assert (len(reply.hits), reply.more) == (MAX_HITS, True)
    assert [hit.project for hit in reply.hits[:3]] == ["x17", "x00", "x01"]
    assert reply.hits[-1].skip_reason is None
