"""Jobs that wait: for packages that no builder has, and for projects that lack a version."""

from pathlib import Path

import pytest

from piwheels.cli.remote.status import awaited_package_text
from piwheels.db import job_queue, parked_jobs, status_queries
from piwheels.db.database import Database
from piwheels.model import AwaitedPackage
from piwheels.release_status import StatusContext
from piwheels.release_status.target_status import target_status
from tests.scheduler.simulation import TARGET, SimBuilder, SimFarm, add_releases, sim_farm

HOUR_S, DAY_S = 3600.0, 86400.0
NAMES = ["p0", "p1", "p2"]


@pytest.fixture
async def sim(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimFarm:
    """Two builders without libpq-dev, and releases."""
    farm = await sim_farm(database, tmp_path, monkeypatch, "ab")
    farm.step_s = 30.0
    await add_releases(farm, *NAMES)
    return farm


async def count_builds(farm: SimFarm) -> int:
    return int(await farm.db.value("SELECT count(*) FROM builds"))


async def add_builder(farm: SimFarm, builder: SimBuilder) -> None:
    farm.builders[builder.label] = builder
    await farm.run_until_built(HOUR_S)
    await farm.assert_no_release_blamed()


@pytest.fixture
async def parked(sim: SimFarm) -> SimFarm:
    """The same, after two of the releases turned out to need a package."""
    sim.needed_packages = {"p0": ("libpq-dev",), "p1": ("libpq-dev", "swig")}
    await sim.run(HOUR_S / 4)
    return sim


async def test_jobs_are_parked_under_the_packages_that_they_lack(parked: SimFarm) -> None:
    assert await count_builds(parked) == 3, "each failed once, on one builder"
    assert await parked.db.value("SELECT sum(attempts) FROM jobs") == 0
    awaited = await parked_jobs.awaited_packages(parked.db)
    assert awaited == (
        AwaitedPackage(package="libpq-dev", releases=2), AwaitedPackage(package="swig", releases=1),
    )  # fmt: skip
    assert [awaited_package_text(each) for each in awaited] == [
        "libpq-dev: 2 releases wait", "swig: 1 release waits",
    ]  # fmt: skip
    (queue,) = await status_queries.queue_statuses(parked.db)
    assert (queue.pending, queue.parked) == (0, 2)
    await parked.assert_no_release_blamed()


@pytest.mark.parametrize(
    "newcomer",
    [SimBuilder("c", installed=("libpq-dev", "swig")), SimBuilder("c", has_roots=True)],
    ids=["installed", "roots"],
)
async def test_a_builder_that_has_or_adds_the_packages_gets_the_jobs(
    parked: SimFarm, newcomer: SimBuilder
) -> None:
    await add_builder(parked, newcomer)
    assert newcomer.jobs_started == 2
    assert await count_builds(parked) == 5, "no other builder tried again"


async def test_a_package_that_is_installed_on_a_builder_is_noticed(parked: SimFarm) -> None:
    parked.builders["a"].installed = ("libpq-dev", "swig")
    await parked.connect("a")  # it says Hello again
    await parked.run_until_built(HOUR_S)
    await parked.assert_no_release_blamed()


async def test_jobs_are_parked_again_when_the_builder_that_has_the_packages_leaves(
    parked: SimFarm,
) -> None:
    parked.builders["c"] = SimBuilder("c", installed=("libpq-dev",))
    await parked.run(5.0)
    parked.builders["c"].disconnected = True
    await parked.run(HOUR_S / 4)
    (queue,) = await status_queries.queue_statuses(parked.db)
    assert queue.parked == 2


async def test_a_package_that_is_there_and_does_not_help_is_final(sim: SimFarm) -> None:
    sim.needed_packages = {"p0": ("libpq-dev",)}
    sim.builders = {"a": SimBuilder("a")}
    await sim.run(HOUR_S / 4)
    sim.builders["a"].installed = ("libpq-dev",)
    await sim.connect("a")
    sim.builders["a"].installed = ()  # it says so, and the build still fails
    await sim.run(HOUR_S / 4)
    query = "SELECT count(*) FROM builds WHERE project = 'p0' AND NOT will_retry"
    assert await sim.db.value(query) == 1
    assert await sim.db.value("SELECT count(*) FROM jobs") == 0


async def test_a_parked_job_is_explained_and_an_operator_can_retry_it(parked: SimFarm) -> None:
    facts = await status_queries.project_status(parked.db, "p1")
    assert facts is not None
    release = facts.releases[0]
    (target,) = release.targets
    now = release.released_at
    context = StatusContext(now=now, served_targets=frozenset({TARGET.name}))
    text = target_status(facts, release, target, context).text
    assert "waits for a builder that has libpq-dev, swig" in text
    assert await job_queue.retry(parked.db, "p1") == 1
    await parked.run(90.0)
    assert await count_builds(parked) == 4, "it was built again, and is parked again"


async def test_a_missing_requirement_is_waited_for(sim: SimFarm) -> None:
    sim.absent_requirements = {"p0": "Some_Tool >=2"}
    await sim.run(HOUR_S / 4)
    assert await count_builds(sim) == 3
    del sim.absent_requirements["p0"]
    await sim.run(HOUR_S / 4)
    assert await sim.db.value("SELECT count(*) FROM jobs") == 1, "it waits"
    await add_releases(sim, "some-tool", version="2.0")
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()


async def test_a_missing_requirement_is_looked_for_weekly(sim: SimFarm) -> None:
    sim.absent_requirements = {"p0": "some-tool"}
    await sim.run(HOUR_S / 4)
    sim.step_s = 6 * HOUR_S
    await sim.run(6.5 * DAY_S)
    assert await count_builds(sim) == 3
    await sim.run(DAY_S)
    assert await count_builds(sim) == 4
    await sim.assert_no_release_blamed()
