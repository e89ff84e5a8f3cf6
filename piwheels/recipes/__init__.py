"""Recipes of projects: files (parse, keys), folders of them (folder), export, and scope (pure)."""

from piwheels.recipes.export import export_recipe
from piwheels.recipes.folder import LoadedRecipes, load_folder, write_folder
from piwheels.recipes.keys import KEYS, Fault
from piwheels.recipes.parse import parse_recipe
from piwheels.recipes.scope import applies_to, combine

__all__ = [
    "KEYS",
    "Fault",
    "LoadedRecipes",
    "applies_to",
    "combine",
    "export_recipe",
    "load_folder",
    "parse_recipe",
    "write_folder",
]
