"""Loads a folder of recipe files; a broken recipe keeps its former version."""

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from piwheels.errors import ConfigError
from piwheels.model import Recipe, Struct
from piwheels.recipes.export import export_recipe
from piwheels.recipes.keys import Fault
from piwheels.recipes.parse import MAX_FILE_BYTES, MAX_PATCH_BYTES, SUFFIX, parse_recipe

_SUBFOLDER = "recipes"


class LoadedRecipes(Struct, frozen=True):
    """The recipes of a folder by project, and what is wrong with its files.

    A project whose file is broken has its former recipe, if there was one.
    """

    recipes: dict[str, Recipe]
    faults: tuple[Fault, ...]


def recipe_files(path: Path) -> list[Path]:
    """The recipe files of a folder, or of its subfolder `recipes` if that exists; or the file.

    Raises ConfigError if there is no such folder or file.
    """
    if path.is_file():
        return [path]
    folder = path / _SUBFOLDER if (path / _SUBFOLDER).is_dir() else path
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIX))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return [folder / name for name in names if not name.startswith(".")]


def load_folder(path: Path, former: Mapping[str, Recipe] | None = None) -> LoadedRecipes:
    """Load every recipe of a folder.

    Args:
        path: the folder, or one file.
        former: the recipes of the last time, by project.

    Raises:
        ConfigError: the folder cannot be read.
    """
    recipes: dict[str, Recipe] = {}
    faults: list[Fault] = []
    for file in recipe_files(path):
        recipe, found = load_file(file)
        faults += found
        project = file.name.removesuffix(SUFFIX)
        if recipe is None:
            recipe = (former or {}).get(project)
        if recipe is not None:
            recipes[recipe.project] = recipe
    return LoadedRecipes(recipes, tuple(faults))


def write_folder(recipes: Iterable[Recipe], folder: Path) -> list[Path]:
    """Write recipes and their patches into a folder; returns the new files.

    Files that exist are kept. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for recipe in recipes:
        texts = {f"{recipe.project}{SUFFIX}": export_recipe(recipe)}
        texts |= {patch.name: patch.text for patch in recipe.patches}
        for name, text in texts.items():
            try:
                with (folder / name).open("x", encoding="utf-8", newline="") as file:
                    file.write(text)
            except FileExistsError:
                continue
            written.append(folder / name)
    return written


def load_file(path: Path) -> tuple[Recipe | None, list[Fault]]:
    """The recipe of one file, or None and what is wrong with it."""
    try:
        content = _read_limited(path, MAX_FILE_BYTES)
    except OSError as error:
        return None, [Fault(path.name, "", error.strerror or str(error))]
    return parse_recipe(
        path.name, content, lambda name: _read_limited(path.parent / name, MAX_PATCH_BYTES)
    )


def _read_limited(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file, cut one byte above the limit."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        return file.read(max_bytes + 1)
