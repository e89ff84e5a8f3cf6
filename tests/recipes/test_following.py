"""The master follows a folder or a git repository of recipes."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from piwheels.cli import cli
from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.db.recipe_store import load_recipes, store_recipe
from piwheels.master import recipe_watch
from piwheels.master.recipe_watch import RecipeWatch
from piwheels.model import Outcome, Recipe, RecipeOrigin
from piwheels.recipes import load_folder
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_job_with_retry_after,
    make_build,
    make_release,
)
from tests.timeouts import WAIT_S

CP39 = TARGETS[0].name


@pytest.fixture
async def farm(database: Database) -> Database:
    """One target, and a release each of the projects alpha and beta."""
    await target_queries.add_target(database, TARGETS[0], RULES)
    for name in ("alpha", "beta"):
        await catalog.add_project(database, name, name)
        await catalog.add_releases(database, [make_release(name)], RULES)
    await target_queries.recompute_jobs(database)
    return database


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def watch(farm: Database, tmp_path: Path, events: list[str]) -> RecipeWatch:
    async def record(text: str) -> None:
        events.append(text)

    (tmp_path / "source").mkdir()
    return RecipeWatch(farm, str(tmp_path / "source"), 1.0, tmp_path / "clone", record)


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


async def fail_every_build(db: Database) -> None:
    while (job := await job_queue.claim(db, "pi4", [CP39])) is not None:
        build = make_build(job, "pi4", Outcome.FAILED)
        assert await complete_job_with_retry_after(db, build, [], RULES, None)


async def queued_projects(db: Database) -> list[str]:
    return [row["project"] for row in await db.rows("SELECT project FROM jobs ORDER BY project")]


async def test_a_recipe_reaches_the_next_build_of_its_project_only(
    watch: RecipeWatch, farm: Database, tmp_path: Path
) -> None:
    write(tmp_path / "source", "alpha", 'packages = ["libxml2-dev"]\n')
    await watch.check()
    jobs = [await job_queue.claim(farm, "pi4", [CP39]) for _ in range(2)]
    recipes = {job.project: job.recipe for job in jobs if job is not None}
    assert recipes == {"alpha": Recipe(project="alpha", packages=("libxml2-dev",)), "beta": None}
    assert [claimed.job.recipe for claimed in await job_queue.claimed_jobs(farm)] == list(
        recipes.values()
    )


async def test_a_change_queues_the_failures_of_that_project_again(
    watch: RecipeWatch, farm: Database, tmp_path: Path, events: list[str]
) -> None:
    await fail_every_build(farm)
    assert await queued_projects(farm) == []
    write(tmp_path / "source", "alpha", 'packages = ["libxml2-dev"]\n')
    await watch.check()
    assert await queued_projects(farm) == ["alpha"]
    assert events == ["the recipe of alpha changed; 1 build queued again"]
    await fail_every_build(farm)
    await watch.check()
    assert await queued_projects(farm) == []
    (tmp_path / "source" / "alpha.toml").unlink()
    await watch.check()
    assert await queued_projects(farm) == ["alpha"]
    assert await load_recipes(farm, RecipeOrigin.WRITTEN) == {}


async def test_a_broken_recipe_keeps_the_former_one_and_is_reported_once(
    watch: RecipeWatch, farm: Database, tmp_path: Path, events: list[str]
) -> None:
    write(tmp_path / "source", "alpha", 'environment = { A = "1" }\n')
    await watch.check()
    write(tmp_path / "source", "alpha", 'enviroment = { A = "2" }\n')
    for _ in range(2):
        await watch.check()
    recipes = await load_recipes(farm, RecipeOrigin.WRITTEN)
    assert recipes["alpha"].environment == (("A", "1"),)
    assert [text for text in events if "faulty" in text] == [
        "faulty recipe: alpha.toml: enviroment: is no key; allowed: environment (did you mean that?)"
    ]


async def test_a_recipe_can_skip_its_project_and_end_that(
    watch: RecipeWatch, farm: Database, tmp_path: Path
) -> None:
    write(tmp_path / "source", "alpha", 'skip = "needs a GPU"\n')
    await watch.check()
    assert await queued_projects(farm) == ["beta"]
    reason = "SELECT skip_reason FROM projects WHERE project = 'alpha'"
    assert await farm.value(reason) == "recipe: needs a GPU"
    write(tmp_path / "source", "alpha", 'contact = "me"\n')
    await watch.check()
    assert await queued_projects(farm) == ["alpha", "beta"]


async def test_a_skip_of_an_operator_is_kept(
    watch: RecipeWatch, farm: Database, tmp_path: Path
) -> None:
    await farm.execute("UPDATE projects SET skip_reason = 'mine' WHERE project = 'alpha'")
    write(tmp_path / "source", "alpha", 'contact = "me"\n')
    await watch.check()
    assert await queued_projects(farm) == ["beta"]


async def test_a_folder_that_is_away_changes_nothing(
    watch: RecipeWatch, farm: Database, tmp_path: Path, events: list[str]
) -> None:
    write(tmp_path / "source", "alpha", 'contact = "me"\n')
    await watch.check()
    (tmp_path / "source").rename(tmp_path / "elsewhere")
    for _ in range(2):
        await watch.check()
    assert list(await load_recipes(farm, RecipeOrigin.WRITTEN)) == ["alpha"]
    assert [text for text in events if "cannot be read" in text] == [
        f"the recipes cannot be read: {tmp_path}/source: No such file or directory"
    ]


async def test_a_learned_recipe_is_kept_apart_and_used_where_none_is_written(
    farm: Database, watch: RecipeWatch, tmp_path: Path
) -> None:
    learned = Recipe(project="beta", origin=RecipeOrigin.LEARNED, packages=("libpq-dev",))
    assert await store_recipe(farm, RecipeOrigin.LEARNED, "beta", learned) == 0
    await watch.check()
    assert await load_recipes(farm, RecipeOrigin.LEARNED) == {"beta": learned}
    jobs = [await job_queue.claim(farm, "pi4", [CP39]) for _ in range(2)]
    assert {job.project: job.recipe for job in jobs if job} == {"alpha": None, "beta": learned}
    write(tmp_path / "source", "beta", 'contact = "me"\n')
    await watch.check()
    (claimed, _) = [c for c in await job_queue.claimed_jobs(farm) if c.job.project == "beta"] * 2
    assert claimed.job.recipe == Recipe(project="beta", packages=("libpq-dev",), contact="me")


async def test_a_stored_recipe_that_cannot_be_read_stops_no_build(farm: Database) -> None:
    await farm.execute(
        "INSERT INTO key_values (key, value) VALUES ('recipe/written/alpha', '{\"future\": 1}')"
    )
    jobs = [await job_queue.claim(farm, "pi4", [CP39]) for _ in range(2)]
    assert [job.recipe for job in jobs if job] == [None, None]
    assert await load_recipes(farm, RecipeOrigin.WRITTEN) == {}


async def test_a_git_repository_is_cloned_and_followed(
    watch: RecipeWatch, farm: Database, tmp_path: Path, events: list[str]
) -> None:
    folder = tmp_path / "source"

    def git(*arguments: str) -> None:
        options = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "--quiet")
    (folder / "recipes").mkdir()
    write(folder / "recipes", "alpha", 'contact = "one"\n')
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    watch.source = f"file://{folder}"
    await watch.check()
    write(folder / "recipes", "alpha", 'contact = "two"\n')
    await watch.check()
    assert (await load_recipes(farm, RecipeOrigin.WRITTEN))["alpha"].contact == "one"
    git("commit", "--quiet", "-a", "-m", "two")
    await watch.check()
    assert (await load_recipes(farm, RecipeOrigin.WRITTEN))["alpha"].contact == "two"
    (folder / ".git").rename(folder / "gone")
    await watch.check()
    assert (await load_recipes(farm, RecipeOrigin.WRITTEN))["alpha"].contact == "two"
    assert "the recipes cannot be read: git: " in events[-1]


async def test_learned_recipes_are_exported_as_files_that_keep_what_is_there(
    farm: Database, dsn: str, tmp_path: Path
) -> None:
    for name in ("alpha", "beta"):
        learned = Recipe(project=name, origin=RecipeOrigin.LEARNED, packages=("libpq-dev",))
        await store_recipe(farm, RecipeOrigin.LEARNED, name, learned)
    folder = tmp_path / "out"
    folder.mkdir()
    write(folder, "alpha", 'contact = "me"\n')
    command = ["recipe", "export", str(folder), "--dsn", dsn]
    done = await asyncio.to_thread(CliRunner().invoke, cli, command)
    assert done.output == f"wrote {folder}/beta.toml\n2 recipes, 1 new file\n"
    assert load_folder(folder).recipes == {
        "alpha": Recipe(project="alpha", contact="me"),
        "beta": Recipe(project="beta", packages=("libpq-dev",)),
    }


async def test_a_git_that_does_not_respond_is_ended_with_its_processes(
    watch: RecipeWatch, events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\nsleep 600 & sleep 600\n")  # as git with its git-remote-https
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:/usr/bin:/bin")
    monkeypatch.setattr(recipe_watch, "_GIT_TIMEOUT_S", 0.5)
    watch.source = "https://git.example.org/recipes.git"
    async with asyncio.timeout(WAIT_S):
        await watch.check()
    assert events == ["the recipes cannot be read: git: no answer in 0 s"]
