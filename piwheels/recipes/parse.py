"""Parses a recipe file: strictly, with one line for each fault (pure)."""

import difflib
import hashlib
import tomllib
from collections.abc import Callable
from typing import Any

from piwheels import untrusted_names
from piwheels.errors import RejectedError
from piwheels.model import Patch, Recipe
from piwheels.recipes.keys import KEYS, Fault, PatchFile

MAX_FILE_BYTES = 64 * 1024
MAX_PATCH_BYTES = 256 * 1024
SUFFIX = ".toml"

#: Reads a patch beside the recipe by its name; raises OSError.
ReadPatch = Callable[[str], bytes]

_KEYS = {key.name: key for key in KEYS}
_FIELD_NAMES = {"time_limit": "time_limit_s"}


def parse_recipe(
    filename: str, content: bytes, read_patch: ReadPatch
) -> tuple[Recipe | None, list[Fault]]:
    """The recipe of a file `PROJECT.toml`, or None and what is wrong with it.

    Args:
        filename: its name without folder, which is also the project's.
        content: of the file.
        read_patch: reads the patches that it names.
    """
    faults: list[Fault] = []
    project = _project_of(filename, faults)
    table = _decode(filename, content, faults)
    fields: dict[str, Any] = {}
    for name, value in table.items():
        key = _KEYS.get(name)
        if key is None:
            faults.append(Fault(filename, _shorten(name), "is no key", _suggest(name)))
            continue
        try:
            fields[_FIELD_NAMES.get(name, name)] = key.convert(value)
        except ValueError as error:
            faults.append(Fault(filename, name, " ".join(str(error).split()), key.allowed))
    fields["patches"] = _read_patches(filename, fields.get("patches", ()), read_patch, faults)
    if faults:
        return None, faults
    return Recipe(project=project, **fields), []


def _project_of(filename: str, faults: list[Fault]) -> str:
    name = filename.removesuffix(SUFFIX)
    try:
        project = untrusted_names.normalize_project(name)
    except RejectedError as error:
        faults.append(Fault(filename, "", f"the name of the file: {error}", "PROJECT.toml"))
        return ""
    if filename != f"{project}{SUFFIX}":
        faults.append(
            Fault(filename, "", "the name of the file is not normalized", f"{project}{SUFFIX}")
        )
    return project


def _decode(filename: str, content: bytes, faults: list[Fault]) -> dict[str, Any]:
    if len(content) > MAX_FILE_BYTES:
        faults.append(Fault(filename, "", "is too large", f"{MAX_FILE_BYTES >> 10} KiB"))
        return {}
    try:
        table = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # of TOML, or of UTF-8
        problem = " ".join(str(error).split())
        faults.append(Fault(filename, "", f"is no TOML: {problem}"))
        return {}
    if not table and not faults:
        faults.append(Fault(filename, "", "is empty", ", ".join(_KEYS)))
    return table


def _suggest(name: str) -> str:
    near = difflib.get_close_matches(name, _KEYS, n=1)
    return f"{near[0]} (did you mean that?)" if near else ", ".join(_KEYS)


def _shorten(name: str) -> str:
    return ascii(name)[1:-1][:80]


def _read_patches(
    filename: str, named: tuple[PatchFile, ...], read_patch: ReadPatch, faults: list[Fault]
) -> tuple[Patch, ...]:
    found = []
    for patch in named:
        try:
            content = read_patch(patch.file)
            text = content.decode()
        except OSError as error:
            faults.append(Fault(filename, "patches", f"{patch.file}: {error.strerror}"))
            continue
        except UnicodeDecodeError:
            faults.append(Fault(filename, "patches", f"{patch.file} is no UTF-8 text"))
            continue
        digest = hashlib.sha256(content).hexdigest()
        if len(content) > MAX_PATCH_BYTES:
            limit = f"{MAX_PATCH_BYTES >> 10} KiB"
            faults.append(Fault(filename, "patches", f"{patch.file} is too large", limit))
        elif digest != patch.sha256:
            problem = f"{patch.file} has another sha256 than {patch.sha256}"
            faults.append(Fault(filename, "patches", problem, digest))
        else:
            found.append(Patch(patch.file, digest, text))
    return tuple(found)
