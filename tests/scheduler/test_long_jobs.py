"""Long jobs leave a builder to short ones, and builds go where there is as much disk as they need."""

from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.model import LONG_BUILD_S, JobPriority
from tests.scheduler.simulation import BUILD_S, SimFarm, add_releases, sim_farm

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


async def test_the_limit_of_long_builds_is_the_same_in_sql(database: Database) -> None:
    for project, expected_s in (("short", LONG_BUILD_S - 1), ("long", LONG_BUILD_S)):
        await database.execute(
            "INSERT INTO projects (project, display_name, expected_build_s)"
            " VALUES (%(project)s, %(project)s, %(expected)s)",
            {"project": project, "expected": expected_s},
        )
    assert await database.value("SELECT project FROM projects WHERE is_long") == "long"
