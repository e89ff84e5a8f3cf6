"""What a recipe changes in a build: environment, constraints, the day of the index, time limit."""

from collections.abc import Iterator
from pathlib import Path

from piwheels.model import Job, Recipe
from piwheels.recipes import applies_to
from piwheels.recipes.facts import recipe_facts

CONSTRAINTS_FILE = "constraints.txt"
#: Newer pips read the constraints of build requirements from the second.
_CONSTRAINT_VARIABLES = ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")


def recipe_for(job: Job) -> Recipe | None:
    """The recipe of a job, if it applies to its version and target."""
    recipe = job.recipe
    return recipe if recipe and applies_to(recipe, job.version, job.target) else None


def write_constraints(recipe: Recipe, folder: Path) -> bool:
    """Write the constraints file of a recipe; False if it has none."""
    lines = [*recipe.constraints, *recipe.tools]
    if lines:
        text = "".join(f"{line}\n" for line in lines)
        (folder / CONSTRAINTS_FILE).write_text(text, encoding="utf-8")
    return bool(lines)


def write_patches(recipe: Recipe, folder: Path) -> list[Path]:
    """Write the patches of a recipe into a new folder `patches`; returns their paths, in order."""
    target = folder / "patches"
    target.mkdir()
    paths = []
    for number, patch in enumerate(recipe.patches):
        path = target / f"{number:02}-{patch.name}"
        path.write_text(patch.text, encoding="utf-8", newline="")
        paths.append(path)
    return paths


def recipe_environment(recipe: Recipe, constraints: str) -> dict[str, str]:
    """The variables that a recipe adds; `constraints` is the path of that file, or ""."""
    variables = dict(recipe.environment)
    if constraints:
        variables |= dict.fromkeys(_CONSTRAINT_VARIABLES, constraints)
    return variables


def describe_recipe(recipe: Recipe) -> Iterator[str]:
    """A recipe, one line for each fact, for the log and the build's record."""
    yield f"recipe ({recipe.origin}) of {recipe.project}"
    for label, text in recipe_facts(recipe):
        yield f"recipe: {label} {text}"
