"""The operator's settings and the view as it was left, in the user's directories.

    $XDG_CONFIG_HOME/piwheels/console.toml      settings   (~/.config without that variable)
    $XDG_STATE_HOME/piwheels/console.toml       the view   (~/.local/state)

The settings are written only when the operator changes one in the console; the view is written
whenever the console quits.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from piwheels.model import SeriesWindow
from piwheels.tui.model.tables.table_view import TableView
from piwheels.tui.toml_file import TomlFile

FILE_NAME = "console.toml"


class RingSettings(msgspec.Struct, frozen=True):
    """What a new alert does: the bell, a notification of the desktop, a count in the title."""

    bell: bool = True
    notification: bool = True
    title: bool = True


class ContextSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A farm by its name: the address of its master, and over TCP the keys."""

    address: str
    key: str = "console"  # the name of this machine's key
    key_dir: str = ""  # where that is; "": as piwheels.toml says
    master_key: str = ""  # the master's public key; "": as piwheels.toml says
    color: Literal["blue", "green", "yellow", "red", "cyan"] = "blue"  # of its name in the header
    read_only: bool = False


class Settings(msgspec.Struct, frozen=True):
    """What the operator has chosen.

    theme: its name, "" for the default; keys: by action name, separated by commas.
    `filters` are those that were saved, by name.
    """

    theme: str = ""
    links: bool = True  # to the farm's web pages (OSC 8)
    keys: dict[str, str] = {}
    alerts: RingSettings = RingSettings()
    window: SeriesWindow = SeriesWindow.DAY  # how far back graphs go
    contexts: dict[str, ContextSettings] = {}
    filters: dict[str, str] = {}


class ViewSettings(msgspec.Struct, frozen=True):
    """What was shown when the console quit: the screen, and the context, by their names.

    `tables` are how the tables were arranged, by screen.
    """

    screen: str = ""
    context: str = ""
    tables: dict[str, TableView] = {}


def settings_path(environ: Mapping[str, str] | None = None) -> Path:
    """The path of the settings."""
    return _base_dir("XDG_CONFIG_HOME", ".config", environ) / "piwheels" / FILE_NAME


def view_path(environ: Mapping[str, str] | None = None) -> Path:
    """The path of the view as it was left."""
    return _base_dir("XDG_STATE_HOME", ".local/state", environ) / "piwheels" / FILE_NAME


def _base_dir(variable: str, default: str, environ: Mapping[str, str] | None) -> Path:
    """A directory of the XDG specification (0.8), which ignores a relative path."""
    environ = os.environ if environ is None else environ
    base = Path(environ.get(variable, ""))
    return base if base.is_absolute() else Path(environ.get("HOME") or "~").expanduser() / default


def settings_file(path: Path | None = None) -> TomlFile[Settings]:
    """The file of the settings."""
    title = "Written by `piw tui`; manual changes are kept, comments are not."
    return TomlFile(path or settings_path(), Settings, title=title)


def view_file(path: Path | None = None) -> TomlFile[ViewSettings]:
    """The file of the view as it was left."""
    return TomlFile(path or view_path(), ViewSettings, title="Written by `piw tui` when it quits.")


def context_names() -> list[str]:
    """The names of the contexts in the settings; none where they cannot be read."""
    try:
        table = tomllib.loads(settings_path().read_text(encoding="utf-8")).get("contexts", {})
    except (OSError, ValueError, RecursionError):
        return []
    return sorted(table) if isinstance(table, dict) else []
