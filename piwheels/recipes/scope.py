"""What a recipe applies to, and recipes of several origins together (pure)."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from msgspec.structs import replace

from piwheels import untrusted_names
from piwheels.model import Recipe


def applies_to(recipe: Recipe, version: str, target: str) -> bool:
    """Whether a recipe applies to this release of its project, for this target."""
    return _has_target(recipe, target) and _has_version(recipe, version)


def _has_target(recipe: Recipe, target: str) -> bool:
    patterns = recipe.targets
    return not patterns or any(fnmatchcase(target, pattern) for pattern in patterns)


def _has_version(recipe: Recipe, version: str) -> bool:
    if not recipe.versions:
        return True
    specifier = untrusted_names.parse_specifier(recipe.versions)
    return specifier.contains(untrusted_names.parse_version(version), prereleases=True)


def combine(recipes: Iterable[Recipe | None], version: str, target: str) -> Recipe | None:
    """The recipe of one build: the first that applies, with the packages of all that apply."""
    applying = [recipe for recipe in recipes if recipe and applies_to(recipe, version, target)]
    if len(applying) < 2:
        return applying[0] if applying else None
    packages = dict.fromkeys(name for recipe in applying for name in recipe.packages)
    return replace(applying[0], packages=tuple(packages))
