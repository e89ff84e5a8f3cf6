"""The projects of modules that builds import and do not declare; the list is undeclared.toml."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files

import msgspec

from piwheels.causes import Missing, MissingKind


def _load() -> dict[str, str]:
    text = files("piwheels.builder").joinpath("undeclared.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, str])


_PROJECTS = _load()


def undeclared_project(missing: Sequence[Missing]) -> str:
    """The project of the first missing module; "" if none is listed."""
    modules = [each.name for each in missing if each.kind is MissingKind.MODULE]
    return _PROJECTS.get(modules[0].partition(".")[0], "") if modules else ""
