"""Recipes in the database, as values of `key_values`: few, large, and read by project alone."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from piwheels.db import job_queue, key_values, page_queue
from piwheels.db.catalog import existing_projects, lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.page_queue import PageKind
from piwheels.model import Job, Recipe, RecipeOrigin

#: What the reason of a skip begins with that a recipe asked for.
SKIP_PREFIX = "recipe: "


def _prefix(origin: RecipeOrigin) -> str:
    return f"recipe/{origin}/"


async def load_recipes(db: Database, origin: RecipeOrigin) -> dict[str, Recipe]:
    """The stored recipes of an origin, by project; those that cannot be read are left out."""
    values = await key_values.get_values(db, _prefix(origin))
    decoded = {project: job_queue.decode_recipe(text) for project, text in values.items()}
    return {project: recipe for project, recipe in decoded.items() if recipe is not None}


async def project_recipes(db: Database, project: str) -> tuple[Recipe, ...]:
    """The recipes of a project: the written one, that of operators, then the learned one."""
    return (await recipes_of(db, [project])).get(project, ())


async def recipes_of(db: Database, projects: Sequence[str]) -> dict[str, tuple[Recipe, ...]]:
    """The recipes of those of these projects that have any; see project_recipes for their order."""
    keys = {
        f"{_prefix(origin)}{project}": project for project in projects for origin in RecipeOrigin
    }
    values = await key_values.get_named(db, list(keys))
    found: dict[str, tuple[Recipe, ...]] = {}
    for key, project in keys.items():
        if key in values and (recipe := job_queue.decode_recipe(values[key])) is not None:
            found[project] = (*found.get(project, ()), recipe)
    return found


async def read_recipes(dsn: str, origin: RecipeOrigin) -> dict[str, Recipe]:
    """As `load_recipes`, on a connection of its own."""
    async with await Database.connect(dsn, role="recipes") as db:
        return await load_recipes(db, origin)


@transactional
async def store_recipe(
    db: Database, origin: RecipeOrigin, project: str, recipe: Recipe | None
) -> int:
    """Store the recipe of a project, or delete it, and queue the project's failed builds again.

    Only written recipes skip anything and queue anything.

    Returns:
        How many failures and deferred jobs were queued again.
    """
    text = msgspec.json.encode(recipe).decode() if recipe else None
    # The claim of a job reads it by the same key (`job_queue`).
    await key_values.set_value(db, f"{_prefix(origin)}{project}", text)
    await page_queue.invalidate(db, PageKind.PROJECT, [project])
    if origin is not RecipeOrigin.WRITTEN:
        return 0
    await lock_projects(db, [project])
    await db.execute(
        """
        UPDATE projects SET skip_reason = %(reason)s
         WHERE project = %(project)s
           AND (skip_reason IS NULL OR starts_with(skip_reason, %(prefix)s))
           AND skip_reason IS DISTINCT FROM %(reason)s
        """,
        {
            "project": project,
            "prefix": SKIP_PREFIX,
            "reason": f"{SKIP_PREFIX}{recipe.skip}" if recipe and recipe.skip else None,
        },
    )
    memory = recipe.memory_class if recipe else None
    min_bytes = memory.size_bytes if memory else 0  # without one, builds will show it
    await db.execute(
        "UPDATE projects SET min_memory_bytes = %(bytes)s WHERE project = %(project)s",
        {"bytes": min_bytes, "project": project},
    )
    await job_queue.set_job_memory(db, project, min_bytes)
    return await job_queue.retry(db, project)


@transactional
async def learn_packages(db: Database, job: Job, added: Sequence[str], at: datetime) -> str:
    """Keep what a successful build added to its root as the learned recipe of its project.

    A build that was told no packages and added none did without the learned ones: they are
    dropped. One that was told none, and added some, replaces them. What a person's recipe has is
    not learned.

    Returns:
        What changed, in words; "" if nothing did.
    """
    by_people = [
        await _load_recipe(db, origin, job.project)
        for origin in (RecipeOrigin.WRITTEN, RecipeOrigin.OPERATOR)
    ]
    known = {name for recipe in by_people if recipe for name in recipe.packages}
    learned = await _load_recipe(db, RecipeOrigin.LEARNED, job.project)
    before = learned.packages if learned else ()
    own = [name for name in added if name not in known]
    was_told = bool(job.recipe and job.recipe.packages)
    packages = tuple(dict.fromkeys((*before, *own) if was_told else own))
    if was_told and packages == before:
        return ""
    recipe = Recipe(
        project=job.project, origin=RecipeOrigin.LEARNED, packages=packages, learned_at=at
    )
    if packages or learned:
        await store_recipe(db, RecipeOrigin.LEARNED, job.project, recipe if packages else None)
    if packages == before:
        return ""
    needs = f"needs {', '.join(packages)}" if packages else f"no longer needs {', '.join(before)}"
    return f"learned from {job.project} {job.version}: {job.project} {needs} to build"


@transactional
async def add_packages(
    db: Database,
    packages: Sequence[str],
    *,
    projects: Sequence[str] = (),
    releases: Sequence[tuple[str, str, str]] = (),
) -> tuple[int, int]:
    """Add Debian packages to the operators' recipes, and queue failed builds again.

    Args:
        db: the database.
        packages: their names.
        projects: whose failed builds are all queued again.
        releases: (project, version, target), whose failed builds alone are queued again.

    Returns:
        How many projects the farm has of those named, and how many failures and deferred jobs were
        queued again.
    """
    named = {*projects, *(project for project, _, _ in releases)}
    await lock_projects(db, sorted(named))
    there = sorted(await existing_projects(db, sorted(named)))
    for project in there:
        before = await _load_recipe(db, RecipeOrigin.OPERATOR, project)
        whole = tuple(dict.fromkeys((*(before.packages if before else ()), *packages)))
        recipe = Recipe(project=project, origin=RecipeOrigin.OPERATOR, packages=whole)
        await store_recipe(db, RecipeOrigin.OPERATOR, project, recipe)
    which = job_queue.release_parameters(releases)
    queued = await job_queue.retry_where(db, job_queue.NAMED_RELEASES, which) if releases else 0
    for project in projects:
        queued += await job_queue.retry(db, project)
    return len(there), queued


@transactional
async def drop_packages(db: Database, project: str) -> tuple[str, ...]:
    """Delete the operators' recipe of a project; returns the packages that it had."""
    await lock_projects(db, [project])
    recipe = await _load_recipe(db, RecipeOrigin.OPERATOR, project)
    if recipe is not None:
        await store_recipe(db, RecipeOrigin.OPERATOR, project, None)
    return recipe.packages if recipe else ()


async def _load_recipe(db: Database, origin: RecipeOrigin, project: str) -> Recipe | None:
    text = await key_values.get_value(db, f"{_prefix(origin)}{project}")
    return job_queue.decode_recipe(text) if text else None


def changed_recipes(
    stored: Mapping[str, Recipe], loaded: Mapping[str, Recipe]
) -> dict[str, Recipe | None]:
    """What has to be stored for each project whose recipe changed; None: it was removed."""
    return {
        project: loaded.get(project)
        for project in sorted(stored.keys() | loaded.keys())
        if stored.get(project) != loaded.get(project)
    }
