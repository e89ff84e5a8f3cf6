"""Faults of a farm's surroundings, in virtual time: no release pays for any of them."""

from pathlib import Path

import pytest

from piwheels.db import job_queue
from piwheels.db.database import Database
from tests.scheduler.simulation import PLENTY_BYTES, RESERVE_BYTES, SimFarm, add_releases, sim_farm

HOUR_S = 3600.0
NAMES = [f"p{number}" for number in range(8)]


@pytest.fixture
async def sim(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimFarm:
    """Three builders and some releases."""
    farm = await sim_farm(database, tmp_path, monkeypatch)
    await add_releases(farm, *NAMES)
    return farm


async def count(farm: SimFarm, outcome: str) -> int:
    query = "SELECT count(*) FROM builds WHERE outcome = %(outcome)s"
    return int(await farm.db.value(query, {"outcome": outcome}))


async def test_without_faults_everything_is_built_immediately(sim: SimFarm) -> None:
    await sim.run_until_built(600.0)
    await sim.assert_no_release_blamed()
    assert await count(sim, "built") == len(NAMES)


@pytest.mark.slow
async def test_an_index_outage_of_an_hour(sim: SimFarm) -> None:
    sim.index_works = False
    await sim.run(HOUR_S)
    assert "several builders cannot reach the index" in sim.dispatcher.no_jobs_reason
    tried = await count(sim, "fetch-failed")
    assert tried < 25, "the queue is not burned: builders wait, and one at a time looks"
    sim.index_works = True
    await sim.run_until_built(2 * HOUR_S)
    await sim.assert_no_release_blamed()
    assert sim.dispatcher.no_jobs_reason == ""
    assert await count(sim, "built") == len(NAMES)


async def test_a_builder_that_cannot_reach_the_index_delays_no_other(sim: SimFarm) -> None:
    sim.builders["a"].index_works = False
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()
    assert sim.builders["a"].jobs_started < 5


async def test_a_full_disk_on_one_builder(sim: SimFarm) -> None:
    sim.builders["a"].disk_free = 0
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()
    assert sim.builders["a"].jobs_started == 0
    assert sim.dispatcher.builder_views()[0].reason == "its disk has less than 512 MiB free"
    sim.builders["a"].disk_free = PLENTY_BYTES
    await add_releases(sim, "another")
    await sim.run(10.0)
    assert sim.builders["a"].jobs_started == 1, "it has room again"


async def test_a_disk_that_fills_during_a_build(sim: SimFarm) -> None:
    await sim.run(10.0)
    sim.builders["a"].disk_free = RESERVE_BYTES // 2
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()
    assert await count(sim, "disk-full") == 1
    assert sim.builders["a"].jobs_started == 1


@pytest.mark.slow
async def test_the_only_builder_with_a_full_disk_loses_nothing(sim: SimFarm) -> None:
    sim.builders = {"a": sim.builders["a"]}
    await sim.run(10.0)
    sim.builders["a"].disk_free = 0
    await sim.run(6 * HOUR_S)
    assert await count(sim, "disk-full") == 1
    sim.builders["a"].disk_free = PLENTY_BYTES
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()


@pytest.mark.parametrize("fault", ["No space left on device", "Read-only file system"])
async def test_a_web_root_that_rejects_files(sim: SimFarm, fault: str) -> None:
    await sim.run(10.0)
    sim.upload_server.disk_error = fault
    await sim.run(HOUR_S)
    assert fault in sim.dispatcher.no_jobs_reason
    assert await count(sim, "built") == 0
    assert all(builder.build_finished for builder in sim.builders.values()), (
        "their wheels wait with them"
    )
    assert sum(builder.jobs_started for builder in sim.builders.values()) == 3
    sim.upload_server.disk_error = ""
    await sim.run(15.0)
    assert await count(sim, "built") == 3, "what was built is published, and not built again"
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()
    assert sum(builder.jobs_started for builder in sim.builders.values()) == len(NAMES)


async def test_a_builder_without_a_compiler(sim: SimFarm) -> None:
    sim.needs_compiler = True
    sim.builders["a"].has_compiler = False
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()
    assert await count(sim, "built") == len(NAMES)


async def test_no_builder_has_a_compiler_for_hours(sim: SimFarm) -> None:
    sim.needs_compiler, sim.step_s = True, 60.0
    for builder in sim.builders.values():
        builder.has_compiler = False
    await sim.run(3 * HOUR_S)
    await sim.assert_no_release_blamed()
    assert await count(sim, "failed") == len(NAMES), "each is tried once, and waits"
    sim.builders["b"].has_compiler = True
    await sim.connect("b")
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()


async def test_memory_that_only_one_builder_has(sim: SimFarm) -> None:
    sim.required_memory_bytes = 3 << 30
    sim.builders["c"].memory_limit = 4 << 30
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()
    assert await count(sim, "out-of-memory") <= len(NAMES)


async def test_memory_that_no_builder_has_fails_on_the_largest(sim: SimFarm) -> None:
    sim.required_memory_bytes = 8 << 30
    sim.builders["c"].memory_limit = 4 << 30
    await sim.run_until_built(HOUR_S)
    assert await count(sim, "built") == 0
    rows = await sim.db.rows("SELECT DISTINCT builder FROM builds WHERE NOT will_retry")
    assert [row["builder"] for row in rows] == ["c"]


@pytest.mark.slow
async def test_a_timed_out_build_gets_twice_the_time_once(sim: SimFarm) -> None:
    sim.build_duration_s, sim.step_s = 1.5 * HOUR_S, 60.0
    await sim.run_until_built(30 * HOUR_S)
    await sim.assert_no_release_blamed()
    assert await count(sim, "timed-out") == len(NAMES)


async def test_a_network_outage_of_hours_loses_no_build(sim: SimFarm) -> None:
    sim.builders = {"a": sim.builders["a"]}
    await sim.run(10.0)
    sim.builders["a"].disconnected = True
    await sim.run(HOUR_S)
    assert await count(sim, "lost") == 1
    sim.builders["a"].disconnected = False
    await sim.run(10.0)
    assert await count(sim, "lost") == 0, "it was not lost after all"
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()
    assert sim.builders["a"].jobs_started == len(NAMES)


async def test_a_reconnected_builder_does_not_take_the_job_of_another(sim: SimFarm) -> None:
    await sim.run(10.0)
    job = sim.builders["a"].job
    assert job is not None
    sim.builders["a"].disconnected = True
    await sim.run_until_built(HOUR_S)
    sim.builders["a"].disconnected = False
    await sim.run(10.0)
    assert sim.builders["a"].job is None
    query = "SELECT builder FROM builds WHERE project = %(name)s AND outcome = 'built'"
    assert await sim.db.value(query, {"name": job.project}) != "a"


async def test_a_release_that_loses_two_builders_is_blocked(sim: SimFarm) -> None:
    for label in "ab":
        sim.builders = {label: sim.builders.get(label) or type(sim.builders["a"])(label)}
        await sim.db.execute(
            "UPDATE jobs SET priority_time = now() - interval '1 day' WHERE project = 'p3'"
        )
        await sim.run(10.0)
        job = sim.builders[label].job
        assert job is not None
        assert job.project == "p3"
        sim.builders[label].disconnected = True
        await sim.run(400.0)
    held = await sim.db.value("SELECT hold_reason FROM jobs WHERE project = 'p3'")
    assert "2 builders were lost" in held
    await sim.run(HOUR_S)
    assert await count(sim, "lost") == 2, "no builder gets it before an operator retries it"
    await job_queue.retry(sim.db, "p3")
    sim.builders = {"c": type(sim.builders["b"])("c")}
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()


async def test_a_clock_that_was_ahead_delays_no_job_longer_than_its_delay(
    sim: SimFarm,
) -> None:
    sim.builders = {"a": sim.builders["a"]}
    sim.builders["a"].index_works = False
    await sim.run(10.0)
    sim.builders["a"].index_works = True
    await sim.db.execute(
        "UPDATE jobs SET retry_at = now() + interval '400 days' WHERE retry_at IS NOT NULL"
    )
    await sim.run_until_built(HOUR_S)
    await sim.assert_no_release_blamed()
