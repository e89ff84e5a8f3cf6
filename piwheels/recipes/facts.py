"""What a recipe says, as labels and texts for people and for the record of a build (pure)."""

from collections.abc import Iterator

from piwheels.formatting import format_duration
from piwheels.model import Recipe


def recipe_facts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What a recipe changes in builds, what it applies to, and whom to ask about it."""
    told = [
        ("not built", recipe.skip),
        ("packages", ", ".join(recipe.packages)),
        ("constraints", ", ".join((*recipe.constraints, *recipe.tools))),
        ("index as of", str(recipe.tools_date or "")),
        *(("variable", f"{name}={value}") for name, value in recipe.environment),
        *(("patch", f"{patch.name} sha256 {patch.sha256}") for patch in recipe.patches),
        ("memory class", recipe.memory_class or ""),
        ("time limit", format_duration(recipe.time_limit_s) if recipe.time_limit_s else ""),
        ("versions", recipe.versions),
        ("targets", ", ".join(recipe.targets)),
        ("contact", recipe.contact),
    ]
    return ((label, text) for label, text in told if text)
