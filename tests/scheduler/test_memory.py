"""Builds go where there is as much memory as their project is known to need."""

from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.db.recipe_store import store_recipe
from piwheels.model import MemoryClass, Recipe, RecipeOrigin
from tests.scheduler.simulation import SimFarm, add_releases, sim_farm

GIB = 1 << 30


@pytest.fixture
async def sim(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimFarm:
    """A small builder and a large one."""
    farm = await sim_farm(database, tmp_path, monkeypatch, "ab")
    farm.step_s = 30.0
    farm.builders["b"].memory_limit = 4 * GIB
    return farm


async def builder_of(farm: SimFarm, version: str) -> str:
    """Build a release; returns the builder that did."""
    await add_releases(farm, "big", version=version)
    await farm.run_until_built(3600.0)
    query = "SELECT builder FROM builds WHERE project = 'big' AND version = %(v)s"
    return str(await farm.db.value(query, {"v": version}))


async def needed(farm: SimFarm) -> int:
    return int(await farm.db.value("SELECT min_memory_bytes FROM projects WHERE project = 'big'"))


async def test_what_a_build_used_decides_where_the_next_ones_go(sim: SimFarm) -> None:
    assert await builder_of(sim, "1.0") == "a", "the first that asks"
    assert await needed(sim) == 0, "it told no peak"
    for builder in sim.builders.values():
        builder.peak_memory_bytes = 3 * GIB
    await builder_of(sim, "2.0")
    assert await needed(sim) == 3 * GIB
    assert await builder_of(sim, "3.0") == "b"
    sim.builders["b"].peak_memory_bytes = GIB // 2
    assert await builder_of(sim, "4.0") == "b"
    assert await needed(sim) == 5 * GIB // 2, "a lower peak lowers it step by step"


async def test_what_ran_out_of_memory_sends_other_releases_to_larger_builders(sim: SimFarm) -> None:
    sim.required_memory_bytes = 3 * GIB
    assert await builder_of(sim, "1.0") == "a", "it is tried there first, and fails"
    assert await needed(sim) == GIB + GIB // 4
    failures = "SELECT count(*) FROM builds WHERE failure_class = 'out-of-memory'"
    assert await sim.db.value(failures) == 1
    await builder_of(sim, "2.0")
    assert await sim.db.value(failures) == 1, "the next release is not tried there"


async def test_the_class_of_a_recipe_counts_instead(sim: SimFarm) -> None:
    await builder_of(sim, "1.0")
    recipe = Recipe(project="big", memory_class=MemoryClass.LARGE)
    await store_recipe(sim.db, RecipeOrigin.WRITTEN, "big", recipe)
    assert await builder_of(sim, "2.0") == "b"
    sim.builders["b"].peak_memory_bytes = GIB // 2
    assert await builder_of(sim, "3.0") == "b"
    assert await needed(sim) == 4 * GIB
    await store_recipe(sim.db, RecipeOrigin.WRITTEN, "big", None)
    assert await needed(sim) == 0


async def test_where_no_builder_has_as_much_the_largest_gets_it(sim: SimFarm) -> None:
    await builder_of(sim, "1.0")
    recipe = Recipe(project="big", memory_class=MemoryClass.HUGE)
    await store_recipe(sim.db, RecipeOrigin.WRITTEN, "big", recipe)
    assert await builder_of(sim, "2.0") == "b"


async def test_memory_and_packages_that_no_builder_has_together_end_a_job(sim: SimFarm) -> None:
    sim.required_memory_bytes, sim.needed_packages["big"] = 3 * GIB, ("cmake",)
    sim.builders["a"].has_roots, sim.builders["b"].has_roots = True, False
    await add_releases(sim, "big")
    await sim.run(3600.0)
    rows = await sim.db.rows("SELECT builder, failure_class FROM builds ORDER BY build_id")
    assert [tuple(row.values()) for row in rows] == [
        ("a", "out-of-memory"),
        ("b", "missing-package"),
        ("a", "out-of-memory"),
    ]
    assert not await sim.db.value("SELECT count(*) FROM jobs"), "the last failure is final"


async def test_a_queued_job_follows_its_recipe(sim: SimFarm) -> None:
    await add_releases(sim, "big")
    recipe = Recipe(project="big", memory_class=MemoryClass.LARGE)
    await store_recipe(sim.db, RecipeOrigin.WRITTEN, "big", recipe)
    over = "SELECT memory_over_bytes FROM jobs WHERE project = 'big'"
    assert await sim.db.value(over) == 4 * GIB - 1
