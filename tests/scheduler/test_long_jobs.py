"""Long jobs leave a builder to short ones, and builds go where there is as much disk as they need."""

import asyncio
from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.model import LONG_BUILD_S, FailureClass, FailureEvidence, JobPriority, Outcome
from piwheels.model.project_needs import rounded_up
from piwheels.protocol.messages import BuildFinished
from tests.scheduler.simulation import BUILD_S, RESERVE_BYTES, SimFarm, add_releases, sim_farm
from tests.timeouts import WAIT_S

GIB = 1 << 30
LONG_S = 2 * LONG_BUILD_S


@pytest.fixture
async def sim(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimFarm:
    return await sim_farm(database, tmp_path, monkeypatch, "abc")


async def _build_once(farm: SimFarm, *projects: str, duration_s: float) -> None:
    farm.build_duration_s = duration_s
    farm.step_s = duration_s / 2
    await add_releases(farm, *projects)
    await farm.run_until_built(20 * duration_s)
    farm.step_s = 5.0


def _running(farm: SimFarm) -> dict[str, str]:
    return {label: each.job.project for label, each in farm.builders.items() if each.job}


async def _is_long(farm: SimFarm) -> dict[str, bool]:
    rows = await farm.db.rows("SELECT project, is_long FROM jobs")
    return {row["project"]: row["is_long"] for row in rows}


async def test_a_long_build_makes_other_jobs_of_its_project_long(sim: SimFarm) -> None:
    await _build_once(sim, "slow", duration_s=LONG_S)
    await add_releases(sim, "slow", version="2.0")
    await add_releases(sim, "quick")
    assert await _is_long(sim) == {"slow": True, "quick": False}
    expected = "SELECT expected_build_s FROM projects WHERE project = 'slow'"
    assert await sim.db.value(expected) == pytest.approx(LONG_S, rel=0.1)


async def test_short_jobs_do_not_wait_for_long_ones_on_all_builders(sim: SimFarm) -> None:
    await _build_once(sim, "slow", duration_s=LONG_S)
    for number in range(2, 8):
        await add_releases(sim, "slow", version=f"{number}.0")
    await add_releases(sim, "q1", "q2")
    await sim.db.execute("UPDATE jobs SET priority_class = 3 WHERE project LIKE 'q%'")
    await sim.run(10.0)
    assert sorted(_running(sim).values()) == ["q1", "slow", "slow"], "whatever their class"


async def test_builders_that_claim_together_leave_one_to_short_jobs_too(sim: SimFarm) -> None:
    await _build_once(sim, "slow", duration_s=LONG_S)
    await sim.run(10.0)
    dispatcher = sim.dispatcher
    await dispatcher.pause_farm("ann")
    for number in range(2, 6):
        await add_releases(sim, "slow", version=f"{number}.0")
    await add_releases(sim, "q1", "q2")
    await sim.db.execute("UPDATE jobs SET priority_class = 3 WHERE project LIKE 'q%'")
    await dispatcher.resume_farm()
    working = asyncio.create_task(dispatcher._database_work.run())  # as in a master
    async with asyncio.timeout(WAIT_S):
        while not all(builder.job for builder in sim.builders.values()):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    working.cancel()
    assert sorted(_running(sim).values()) == ["q1", "slow", "slow"]


async def test_a_builder_that_gets_no_jobs_leaves_no_room_for_long_builds(sim: SimFarm) -> None:
    await _build_once(sim, "slow", duration_s=LONG_S)
    sim.builders["c"].disk_free = RESERVE_BYTES + 1
    await sim.run(10.0)
    machine = sim.dispatcher.state_machine
    target = next(iter(machine.seen_targets))
    assert machine.long_load("a").builders == {target: 2}, "one has a full disk"
    machine.records["b"].back_off(sim.now, "after a fault")
    assert machine.long_load("a").builders == {target: 1}, "and one waits after a fault"
    for number in range(2, 6):
        await add_releases(sim, "slow", version=f"{number}.0")
    await add_releases(sim, "quick")
    await sim.db.execute("UPDATE jobs SET priority_class = 3 WHERE project = 'quick'")
    await sim.run(10.0)
    assert _running(sim) == {"a": "slow"}
    machine.records["b"].end_backoff()
    await sim.run(10.0)
    assert _running(sim) == {"a": "slow", "b": "quick"}


async def test_no_builder_waits_for_short_jobs(sim: SimFarm) -> None:
    await _build_once(sim, "slow", duration_s=LONG_S)
    for number in range(2, 6):
        await add_releases(sim, "slow", version=f"{number}.0")
    await sim.run(10.0)
    assert list(_running(sim).values()) == ["slow"] * 3


async def test_a_single_builder_takes_what_is_next(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = await sim_farm(database, tmp_path, monkeypatch, "a")
    await _build_once(alone, "slow", duration_s=LONG_S)
    await add_releases(alone, "slow", version="2.0")
    await add_releases(alone, "quick")
    await alone.db.execute(
        "UPDATE jobs SET priority_class = %(last)s WHERE project = 'quick'",
        {"last": int(JobPriority.BACKLOG)},
    )
    await alone.run(10.0)
    assert _running(alone) == {"a": "slow"}


async def test_what_a_build_wrote_decides_where_the_next_ones_go(sim: SimFarm) -> None:
    for label, builder in sim.builders.items():
        builder.peak_disk_bytes = 5 * GIB
        builder.disk_free = (3 if label == "a" else 8) * GIB
    await _build_once(sim, "wide", duration_s=BUILD_S)
    assert await sim.db.value("SELECT min_disk_bytes FROM projects") == 5 * GIB
    await add_releases(sim, "wide", version="2.0")
    await add_releases(sim, "narrow")
    await sim.run(10.0)
    running = _running(sim)
    assert "wide" in {running.get("b"), running.get("c")}, "these have as much"
    assert "narrow" in running.values(), "others are not delayed"
    for label in "bc":
        sim.builders[label].disk_free = 4 * GIB
    await add_releases(sim, "wide", version="3.0")
    await sim.run_until_built(10 * BUILD_S)
    query = "SELECT builder FROM builds WHERE version = '3.0'"
    assert await sim.db.value(query) in "bc", "where nobody has as much, those with most"


async def _finish(farm: SimFarm, label: str, duration_s: float, peak_bytes: int) -> None:
    """A builder reports these figures of its running build."""
    job = farm.builders[label].job
    assert job is not None
    farm.builders[label].build_finished = BuildFinished(
        build=job.build_id,
        outcome=Outcome.BUILT,
        duration_s=duration_s,
        peak_memory_bytes=peak_bytes,
        peak_disk_bytes=peak_bytes,
    )
    await farm.run(10.0)


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_build_took_no_longer_than_since_its_builder_got_it(
    sim: SimFarm, *, is_lost: bool
) -> None:
    sim.build_duration_s = 10 * BUILD_S
    await add_releases(sim, "wide")
    await sim.run(100.0)
    (label,) = _running(sim)
    if is_lost:
        for builder in sim.builders.values():
            builder.disconnected = True
        await sim.run(400.0)
        assert label in sim.dispatcher.state_machine.lost
        sim.builders[label].disconnected = False
        await sim.run(10.0)
    took_s = 500.0 if is_lost else 100.0
    await _finish(sim, label, 1e9, 1 << 62)
    query = "SELECT max(duration_s) FROM builds WHERE outcome = 'built'"
    assert await sim.db.value(query) == pytest.approx(took_s, abs=100.0)
    row = await sim.db.row("SELECT min_disk_bytes, min_memory_bytes FROM projects")
    assert row == {
        "min_disk_bytes": sim.builders[label].host().disk_total,
        "min_memory_bytes": 1 << 40,
    }
    assert not await sim.db.value("SELECT is_long FROM projects")


async def test_a_release_that_filled_a_disk_sends_others_elsewhere(sim: SimFarm) -> None:
    for label, builder in sim.builders.items():
        builder.disk_free = (3 if label == "a" else 8) * GIB
    await add_releases(sim, "wide")
    await sim.run(10.0)
    builder = sim.builders["a"]
    assert builder.job is not None, "the first that asks"
    builder.build_finished = BuildFinished(
        build=builder.job.build_id,
        outcome=Outcome.DISK_FULL,
        duration_s=1.0,
        failure_class=FailureClass.DISK_FULL,
        evidence=FailureEvidence(
            disk_free_bytes=builder.disk_free, disk_reserve_bytes=RESERVE_BYTES
        ),
        peak_disk_bytes=GIB,
    )
    await sim.run(10.0)
    needed = await sim.db.value("SELECT min_disk_bytes FROM projects")
    assert needed == rounded_up(3 * GIB - RESERVE_BYTES + 1)
    await add_releases(sim, "wide", version="2.0")
    await sim.run(10.0)
    assert _running(sim) == {"b": "wide"}, "although the other asks first"


async def test_the_limit_of_long_builds_is_the_same_in_sql(database: Database) -> None:
    for project, expected_s in (("short", LONG_BUILD_S - 1), ("long", LONG_BUILD_S)):
        await database.execute(
            "INSERT INTO projects (project, display_name, expected_build_s)"
            " VALUES (%(project)s, %(project)s, %(expected)s)",
            {"project": project, "expected": expected_s},
        )
    assert await database.value("SELECT project FROM projects WHERE is_long") == "long"
