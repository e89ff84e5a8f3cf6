"""A project as an operator sees it: each target with what is expected, builds, other releases."""

from datetime import UTC, datetime

import pytest

from piwheels.control.project_overviews import ProjectOverviews
from piwheels.db import catalog, job_queue, recipe_store, target_queries
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import Outcome, ProjectNeeds, Recipe, RecipeOrigin, State
from piwheels.release_status import StatusContext
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_wheel,
)

NAMES = [target.name for target in TARGETS]


@pytest.fixture
async def overviews(database: Database) -> ProjectOverviews:
    for target in TARGETS:
        await target_queries.add_target(database, target, RULES)
    for project in ("numpy", "pandas"):
        await catalog.add_project(database, project, project)
        releases = [make_release(project, version) for version in ("1.9", "1.10")]
        await catalog.add_releases(database, releases, RULES)
    context = StatusContext(served_targets=frozenset(NAMES), now=datetime.now(UTC))
    return ProjectOverviews(database, database, lambda: context)


async def fail_one(database: Database, project: str) -> int:
    """Let the project's next build fail finally; returns its number."""
    while True:
        job = await job_queue.claim(database, "pi1", NAMES)
        assert job is not None
        if job.project == project:
            build = make_build(job, "pi1", Outcome.FAILED)
            await complete_job_with_retry_after(database, build, [], RULES, None)
            return job.build_id


async def test_the_newest_release_has_a_state_and_an_expected_time_for_each_target(
    database: Database, overviews: ProjectOverviews
) -> None:
    first = await overviews.overview("numpy", None)
    assert (first.version, first.versions) == ("1.10", ("1.9",))
    queued = [target for target in first.targets if target.state is State.QUEUED]
    assert queued
    assert queued[0].expected is None  # nothing was built yet: there is no rate
    build = await fail_one(database, "numpy")
    later = ProjectOverviews(database, database, overviews.status_context)
    version = await database.value("SELECT version FROM builds")
    found = await later.overview("numpy", version)
    assert found.version == version
    assert [it.build_id for it in found.builds] == [build]
    (failed,) = (target for target in found.targets if target.state is State.FAILED)
    assert (failed.note, failed.build) == ("it broke", build)
    waiting = await later.overview("pandas", None)
    expected = [it.expected for it in waiting.targets if it.target == failed.target]
    assert expected[0] is None or expected[0].latest_s > expected[0].soonest_s


async def test_skips_and_recipes_are_told(database: Database, overviews: ProjectOverviews) -> None:
    recipe = Recipe(project="numpy", packages=("libopenblas-dev",), time_limit_s=60.0)
    await recipe_store.store_recipe(database, RecipeOrigin.WRITTEN, "numpy", recipe)
    await catalog.skip_project(database, "numpy", "too large")
    found = await overviews.overview("numpy", None)
    assert found.skip_reason == "too large"
    assert found.recipes == ("written: packages libopenblas-dev, time limit 60 s",)
    assert {target.state for target in found.targets} == {State.SKIPPED}


async def test_what_builds_of_a_project_need_is_told(
    database: Database, overviews: ProjectOverviews
) -> None:
    assert (await overviews.overview("numpy", None)).needs == ProjectNeeds()
    job = await job_queue.claim(database, "pi1", NAMES)
    assert job is not None
    await complete_as_built(
        database,
        job,
        "pi1",
        make_wheel(job, "py3-none-any"),
        duration_s=2700.0,
        peak_disk_bytes=128 << 20,
    )
    found = await overviews.overview(job.project, None)
    assert found.needs == ProjectNeeds(min_disk_bytes=128 << 20, expected_build_s=2700.0)


async def test_an_unknown_project_is_rejected_and_an_unknown_version_has_no_targets(
    overviews: ProjectOverviews,
) -> None:
    with pytest.raises(RejectedError, match="does not have nothing"):
        await overviews.overview("nothing", None)
    found = await overviews.overview("numpy", "9.9")
    assert (found.version, found.targets) == ("", ())
