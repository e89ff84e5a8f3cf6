"""The farm learns which packages the builds of a project need, and unlearns it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from piwheels.cli import cli
from piwheels.db.database import Database
from piwheels.db.recipe_store import add_packages, load_recipes, store_recipe
from piwheels.model import Recipe, RecipeOrigin
from piwheels.recipes import applies_to, combine
from tests.scheduler.simulation import SimFarm, add_releases, sim_farm

_LONGEST_S = 600.0


@pytest.fixture
async def sim(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimFarm:
    """A builder that adds packages, and a release of a project that needs one."""
    farm = await sim_farm(database, tmp_path, monkeypatch, "a")
    farm.builders["a"].has_roots = True
    farm.needed_packages["pq"] = ("libpq-dev",)
    await add_releases(farm, "pq", "plain")
    await farm.run_until_built(_LONGEST_S)
    return farm


async def learned_packages(farm: SimFarm) -> dict[str, tuple[str, ...]]:
    recipes = await load_recipes(farm.db, RecipeOrigin.LEARNED)
    return {project: recipe.packages for project, recipe in recipes.items()}


async def build_release(farm: SimFarm, version: str) -> Recipe | None:
    """Build another release of the project; returns the recipe that its build was given."""
    await add_releases(farm, "pq", version=version)
    await farm.run(10.0)
    job = farm.builders["a"].job
    assert job is not None
    await farm.run_until_built(_LONGEST_S)
    return job.recipe


async def learning_events(farm: SimFarm) -> list[str]:
    rows = await farm.db.rows(
        "SELECT text FROM events WHERE text LIKE 'learned%' ORDER BY event_id"
    )
    return [row["text"] for row in rows]


async def test_packages_that_helped_are_tried_first_for_the_next_release(sim: SimFarm) -> None:
    assert await learned_packages(sim) == {"pq": ("libpq-dev",)}
    recipe = await build_release(sim, "2.0")
    assert recipe is not None
    assert (recipe.origin, recipe.packages) == (RecipeOrigin.LEARNED, ("libpq-dev",))
    sim.needed_packages["pq"] = ("libpq-dev", "libssl-dev")
    await build_release(sim, "3.0")
    assert await learned_packages(sim) == {"pq": ("libpq-dev", "libssl-dev")}
    assert await learning_events(sim) == [
        "learned from pq 1.0: pq needs libpq-dev to build",
        "learned from pq 3.0: pq needs libpq-dev, libssl-dev to build",
    ]


@pytest.mark.parametrize(
    ("needed", "learned"), [((), {}), (("libfoo-dev",), {"pq": ("libfoo-dev",)})]
)
async def test_after_a_while_a_build_goes_without_and_shows_what_is_still_needed(
    sim: SimFarm, needed: tuple[str, ...], learned: dict[str, tuple[str, ...]]
) -> None:
    (recipe,) = (await load_recipes(sim.db, RecipeOrigin.LEARNED)).values()
    old = Recipe(
        project="pq", origin=RecipeOrigin.LEARNED, packages=recipe.packages,
        learned_at=datetime.now(UTC) - timedelta(days=91),
    )  # fmt: skip
    await store_recipe(sim.db, RecipeOrigin.LEARNED, "pq", old)
    sim.needed_packages["pq"] = needed
    assert await build_release(sim, "2.0") is None
    assert await learned_packages(sim) == learned


async def test_a_build_that_needs_them_still_confirms_them_for_the_next_ones(sim: SimFarm) -> None:
    (recipe,) = (await load_recipes(sim.db, RecipeOrigin.LEARNED)).values()
    assert recipe.learned_at is not None
    old = Recipe(
        project="pq", origin=RecipeOrigin.LEARNED, packages=recipe.packages,
        learned_at=recipe.learned_at - timedelta(days=91),
    )  # fmt: skip
    await store_recipe(sim.db, RecipeOrigin.LEARNED, "pq", old)
    assert await build_release(sim, "2.0") is None
    confirmed = await build_release(sim, "3.0")
    assert confirmed is not None
    assert confirmed.packages == ("libpq-dev",)


async def test_a_build_on_a_system_that_has_everything_proves_nothing(sim: SimFarm) -> None:
    sim.builders["a"].has_roots, sim.builders["a"].installed = False, ("libpq-dev",)
    await build_release(sim, "2.0")
    assert await learned_packages(sim) == {"pq": ("libpq-dev",)}


async def test_what_a_written_recipe_has_is_not_learned(sim: SimFarm) -> None:
    written = Recipe(project="pq", packages=("libssl-dev",))
    await store_recipe(sim.db, RecipeOrigin.WRITTEN, "pq", written)
    recipe = await build_release(sim, "2.0")
    assert recipe is not None
    assert recipe.packages == ("libssl-dev", "libpq-dev")
    assert await learned_packages(sim) == {"pq": ("libpq-dev",)}


async def test_what_operators_added_is_not_learned(sim: SimFarm) -> None:
    await store_recipe(sim.db, RecipeOrigin.LEARNED, "pq", None)
    await add_packages(sim.db, ["libpq-dev"], projects=["pq"])
    recipe = await build_release(sim, "2.0")
    assert recipe is not None
    assert (recipe.origin, recipe.packages) == (RecipeOrigin.OPERATOR, ("libpq-dev",))
    assert await learned_packages(sim) == {}


async def test_learned_recipes_can_be_exported(sim: SimFarm, dsn: str, tmp_path: Path) -> None:
    assert await learned_packages(sim) == {"pq": ("libpq-dev",)}
    command = ["recipe", "export", str(tmp_path / "out"), "--dsn", dsn]
    result = await asyncio.to_thread(CliRunner().invoke, cli, command)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "pq.toml").read_text() == (
        '# Learned by the farm.\npackages = [\n    "libpq-dev",\n]\n'
    )


async def test_recipes_of_operators_can_be_exported(sim: SimFarm, dsn: str, tmp_path: Path) -> None:
    await add_packages(sim.db, ["libffi-dev"], projects=["pq"])
    words = ["recipe", "export", str(tmp_path), "--origin", "operator", "--dsn", dsn]
    result = await asyncio.to_thread(CliRunner().invoke, cli, words)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "pq.toml").read_text() == (
        '# Added by operators.\npackages = [\n    "libffi-dev",\n]\n'
    )


def test_recipes_are_combined_where_both_apply() -> None:
    written = Recipe(project="pq", packages=("a",), versions="<2", targets=("cp311-*",))
    learned = Recipe(project="pq", origin=RecipeOrigin.LEARNED, packages=("b", "a"))
    both = combine((written, learned), "1.0", "cp311-x")
    assert both is not None
    assert (both.origin, both.packages) == (RecipeOrigin.WRITTEN, ("a", "b"))
    assert combine((written, learned), "2.0", "cp311-x") == learned
    assert combine((written, None), "1.0", "cp312-x") is None
    assert applies_to(written, "1.0rc1", "cp311-x")
