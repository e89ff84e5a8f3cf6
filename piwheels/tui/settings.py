"""What an operator chose, kept in the user's configuration directory: theme and keys.

    $XDG_CONFIG_HOME/piwheels/console.toml      (~/.config without that variable)

A file that cannot be used is put aside and reported in one line; it never stops the console.
"""

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

FILE_NAME = "console.toml"


class Settings(msgspec.Struct, frozen=True):
    """theme: its name, "" for the usual one; keys: for an action's name, keys with commas."""

    theme: str = ""
    keys: dict[str, str] = {}


class LoadedSettings(msgspec.Struct, frozen=True):
    """Settings, and one line on what was wrong with their file ("" for nothing)."""

    settings: Settings
    problem: str = ""


def settings_path(environ: Mapping[str, str] | None = None) -> Path:
    """Where the settings are kept. A relative $XDG_CONFIG_HOME does not count (XDG 0.8)."""
    environ = os.environ if environ is None else environ
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        base = Path(environ.get("HOME") or "~").expanduser() / ".config"
    return base / "piwheels" / FILE_NAME


def load_settings(file: Path) -> LoadedSettings:
    """Read the settings; what is not there has its usual value."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        settings = msgspec.convert(values, Settings)
    except FileNotFoundError:
        return LoadedSettings(Settings())
    except OSError as error:
        return LoadedSettings(
            Settings(), f"{file} cannot be read: {error.strerror}; it is left as it is"
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        reason = str(error).partition("\n")[0]
        return LoadedSettings(
            Settings(), f"{file} makes no sense ({reason}); {_quarantine_file(file)}"
        )
    unknown = sorted(set(values) - {field.name for field in msgspec.structs.fields(Settings)})
    if unknown:
        return LoadedSettings(
            settings, f"{file}: unknown settings are ignored: {', '.join(unknown)}"
        )
    return LoadedSettings(settings)


def save_settings(file: Path, settings: Settings) -> str:
    """Write the settings, whole or not at all; returns one line on what went wrong, else ""."""
    file = file.resolve()  # a link to a file that is kept elsewhere stays a link
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_atomically(file, _to_toml(settings))
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return f"{file} cannot be written: {reason}; the settings hold until the console ends"
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
        return f"it could not be put aside: {error.strerror}"
    return f"it was put aside as {aside.name}"


def _write_atomically(file: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{FILE_NAME}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _to_toml(settings: Settings) -> str:
    lines = ["# Written by `piw tui`; a change made by hand is kept."]
    if settings.theme:
        lines.append(f"theme = {_quoted(settings.theme)}")
    if settings.keys:
        lines += ["", "[keys]"]
        lines += [f"{_quoted(name)} = {_quoted(keys)}" for name, keys in settings.keys.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: Any) -> str:
    # JSON's strings are TOML's basic ones, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
