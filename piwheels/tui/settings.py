"""The operator's settings, kept in the user's configuration directory: theme, keys, alerts.

    $XDG_CONFIG_HOME/piwheels/console.toml      (~/.config without that variable)

An invalid file is renamed and reported in one line; it never stops the console.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from piwheels.tui.atomic_file import write_atomically

FILE_NAME = "console.toml"


class RingSettings(msgspec.Struct, frozen=True):
    """What a new alert does: the bell, a notification of the desktop, a count in the title."""

    bell: bool = True
    notification: bool = True
    title: bool = True


class Settings(msgspec.Struct, frozen=True):
    """theme: its name, "" for the default; keys: by action name, separated by commas."""

    theme: str = ""
    keys: dict[str, str] = {}
    alerts: RingSettings = RingSettings()


class LoadedSettings(msgspec.Struct, frozen=True):
    """Settings, and one line about a problem with their file, or ""."""

    settings: Settings
    problem: str = ""


def settings_path(environ: Mapping[str, str] | None = None) -> Path:
    """The path of the settings. A relative $XDG_CONFIG_HOME is ignored (XDG 0.8)."""
    environ = os.environ if environ is None else environ
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        base = Path(environ.get("HOME") or "~").expanduser() / ".config"
    return base / "piwheels" / FILE_NAME


def load_settings(file: Path) -> LoadedSettings:
    """Read the settings; missing ones have their defaults."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        settings = msgspec.convert(values, Settings)
    except FileNotFoundError:
        return LoadedSettings(Settings())
    except OSError as error:
        return LoadedSettings(Settings(), f"{file} cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        reason = str(error).partition("\n")[0]
        return LoadedSettings(
            Settings(), f"{file} is not valid ({reason}); {_quarantine_file(file)}"
        )
    unknown = sorted(set(values) - {field.name for field in msgspec.structs.fields(Settings)})
    if unknown:
        return LoadedSettings(
            settings, f"{file}: unknown settings are ignored: {', '.join(unknown)}"
        )
    return LoadedSettings(settings)


def save_settings(file: Path, settings: Settings) -> str:
    """Write the settings atomically; returns one line about a problem, or ""."""
    file = file.resolve()  # a symbolic link stays one
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(file, _to_toml(settings))
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return f"{file} cannot be written: {reason}; the settings apply until the console quits"
    return ""


def _quarantine_file(file: Path) -> str:
    aside = next(
        name
        for number in range(1_000_000)
        if not os.path.lexists(name := file.with_name(f"{FILE_NAME}.broken{number or ''}"))
    )
    try:
        file.rename(aside)
    except OSError as error:
        return f"it could not be renamed: {error.strerror}"
    return f"it was renamed to {aside.name}"


def _to_toml(settings: Settings) -> str:
    values: dict[str, Any] = {}
    if settings.theme:
        values["theme"] = settings.theme
    if settings.keys:
        values["keys"] = settings.keys
    if settings.alerts != RingSettings():
        values["alerts"] = msgspec.structs.asdict(settings.alerts)
    return "# Written by `piw tui`; manual changes are kept.\n" + tomli_w.dumps(values)
