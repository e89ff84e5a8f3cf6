"""The sections `[root.NAME]`, whose names their user chooses."""

import re
from pathlib import Path

import msgspec
import tomli_w

from piwheels.config.names import ROOT_TABLE
from piwheels.config.sections import RootSection, path_hook
from piwheels.config.sources import parse_toml
from piwheels.errors import ConfigError

_ROOT_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def root_sections_text(file: Path) -> str:
    """The sections `[root.NAME]` of a file, as TOML; "" if it has none or does not exist.

    Raises:
        ConfigError: it is not valid.
    """
    found = parse_toml(file).get(ROOT_TABLE) if file.exists() else None
    return f"\n{tomli_w.dumps({ROOT_TABLE: found})}" if found else ""


def read_roots(file: Path, folder: Path | None = None) -> dict[str, RootSection]:
    """The sections `[root.NAME]` of a file, by NAME; relative paths as if it were in `folder`."""
    tables, base = parse_toml(file).get(ROOT_TABLE, {}), folder or file.resolve().parent
    found: dict[str, RootSection] = {}
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if not _ROOT_NAME.fullmatch(name) or not isinstance(table, dict):
            raise ConfigError(
                f"{file}: [root.{name}] is no section of a root: a name has lower-case letters, "
                "digits, dots and hyphens"
            )
        try:
            section = msgspec.convert(table, RootSection, dec_hook=path_hook)
        except (msgspec.ValidationError, TypeError) as error:
            raise ConfigError(f"{file}: [root.{name}]: {error}") from None
        folder = base / section.folder if section.folder is not None else None
        found[name] = msgspec.structs.replace(section, folder=folder)
    return found
