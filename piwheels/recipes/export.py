"""Writes a recipe as a file that can be kept beside written ones (pure)."""

from typing import Any

import tomli_w

from piwheels.model import Recipe, RecipeOrigin

#: What a file begins with, so that a reader knows where it is from.
_FIRST_LINES = {
    RecipeOrigin.LEARNED: "# Learned by the farm.\n",
    RecipeOrigin.OPERATOR: "# Added by operators.\n",
}


def export_recipe(recipe: Recipe) -> str:
    """The TOML text of a recipe; its patches are files that are named, not contained."""
    table: dict[str, Any] = {
        "packages": list(recipe.packages),
        "constraints": list(recipe.constraints),
        "tools": _tools(recipe.tools),
        "tools_date": recipe.tools_date,
        "environment": dict(recipe.environment),
        "memory_class": str(recipe.memory_class) if recipe.memory_class else None,
        "time_limit": f"{recipe.time_limit_s:.0f}s" if recipe.time_limit_s else None,
        "versions": recipe.versions,
        "targets": list(recipe.targets),
        "skip": recipe.skip,
        "contact": recipe.contact,
        "patches": [{"file": item.name, "sha256": item.sha256} for item in recipe.patches],
    }
    text = tomli_w.dumps({key: value for key, value in table.items() if value})
    return _FIRST_LINES.get(recipe.origin, "") + text


def _tools(requirements: tuple[str, ...]) -> dict[str, str]:
    """Projects and specifiers of requirements."""
    found = {}
    for text in requirements:
        split = next(place for place, character in enumerate(text) if character in "<>=!~")
        found[text[:split].strip()] = text[split:].strip()
    return found
