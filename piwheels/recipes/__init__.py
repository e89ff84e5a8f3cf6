"""Recipes of projects: their files (parse, keys), folders of them (folder), and their export."""

from piwheels.recipes.export import export_recipe
from piwheels.recipes.folder import LoadedRecipes, load_folder, write_folder
from piwheels.recipes.keys import KEYS, Fault
from piwheels.recipes.parse import parse_recipe

__all__ = [
    "KEYS",
    "Fault",
    "LoadedRecipes",
    "export_recipe",
    "load_folder",
    "parse_recipe",
    "write_folder",
]
