"""The sections `[root.NAME]` and `[pool.NAME]`, whose names their user chooses."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import tomli_w

from piwheels.config.names import POOL_TABLE, ROOT_TABLE
from piwheels.config.sections import PoolSection, RootSection, path_hook
from piwheels.config.sources import parse_toml
from piwheels.errors import ConfigError

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
#: A pool's name is a part of labels, and of names in Slurm and Kubernetes.
_POOL_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,22}[a-z0-9])?")
_Section = TypeVar("_Section", bound=msgspec.Struct)


def named_sections_text(file: Path) -> str:
    """These sections of a file, as TOML; "" if it has none or does not exist.

    Raises:
        ConfigError: it is not valid.
    """
    tables = parse_toml(file) if file.exists() else {}
    found = {name: tables[name] for name in (ROOT_TABLE, POOL_TABLE) if tables.get(name)}
    return f"\n{tomli_w.dumps(found)}" if found else ""


def read_roots(file: Path, folder: Path | None = None) -> dict[str, RootSection]:
    """The sections `[root.NAME]` of a file, by NAME; relative paths as if it were in `folder`."""
    base = folder or file.resolve().parent
    found: dict[str, RootSection] = {}
    for name, section in _read(file, ROOT_TABLE, RootSection):
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{file}: [root.{name}] is no section of a root: a name has lower-case letters, "
                "digits, dots and hyphens"
            )
        if section.folder is not None:
            section = msgspec.structs.replace(section, folder=base / section.folder)  # noqa: PLW2901
        found[name] = section
    return found


def read_pools(file: Path) -> dict[str, PoolSection]:
    """The sections `[pool.NAME]` of a file, by NAME."""
    found: dict[str, PoolSection] = {}
    for name, section in _read(file, POOL_TABLE, PoolSection):
        if not _POOL_NAME.fullmatch(name):
            raise ConfigError(
                f"{file}: [pool.{name}] is no section of a pool: a name begins with a lower-case "
                "letter and has up to 24 of these, digits and hyphens"
            )
        found[name] = section
    return found


def _read(file: Path, table_name: str, kind: type[_Section]) -> Iterator[tuple[str, _Section]]:
    tables = parse_toml(file).get(table_name, {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{file}: {table_name} is no section: write [{table_name}.NAME]")
    keys = kind.__struct_encode_fields__
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"{file}: {table_name}.{name} is no section: write [{table_name}.NAME], and "
                f"{name} below it"
            )
        for key in table:
            if key not in keys:
                raise ConfigError(
                    f"{file}: unknown key {table_name}.{name}.{key}; [{table_name}.NAME] has "
                    f"{', '.join(sorted(keys))}"
                )
        try:
            yield name, msgspec.convert(table, kind, dec_hook=path_hook)
        except (msgspec.ValidationError, TypeError) as error:
            raise ConfigError(f"{file}: [{table_name}.{name}]: {error}") from None
