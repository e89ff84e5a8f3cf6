"""A TOML file of the console: read tolerantly, and written without loss of what it does not know.

A setting that is not valid is reported and has its default; it stays in the file until the
operator changes it, as do settings of a newer version. A file that is not TOML is renamed. Every
problem is one line, and none stops the console.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, get_args, get_origin

import msgspec
import tomli_w

from piwheels.tui.atomic_file import write_atomically
from piwheels.tui.model.terminal_text import terminal_safe

_Values = TypeVar("_Values", bound=msgspec.Struct)


class Loaded(NamedTuple, Generic[_Values]):
    """What a file holds, and one line about what is wrong with it, or ""."""

    values: _Values
    problem: str = ""


class TomlFile(Generic[_Values]):
    """Loads and saves a struct whose fields all have defaults."""

    def __init__(self, path: Path, kind: type[_Values], *, title: str) -> None:
        """title: the comment in the file's first line."""
        self.path = path
        self._kind = kind
        self._title = title
        self._last = kind()  # as loaded or saved last

    def load(self) -> Loaded[_Values]:
        """Read the file; what is missing or not valid has its default."""
        try:
            values = _read(self.path)
        except OSError as error:
            return Loaded(self._last, f"{self.path} cannot be read: {error.strerror}")
        except ValueError as error:
            reason = str(error).partition("\n")[0]
            aside = _rename_invalid_file(self.path)
            return Loaded(self._last, f"{self.path} is not valid ({reason}); {aside}")
        self._last, problems = _convert(values, self._kind)
        lines = terminal_safe("; ".join(problems))
        return Loaded(self._last, f"{self.path}: {lines}" if lines else "")

    def save(self, values: _Values) -> str:
        """Write what has changed, atomically; returns one line about a problem, or ""."""
        path = self.path.resolve()  # a symbolic link stays one
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            stored = _read(path)  # another console may have written meanwhile
            for name in _changed_fields(self._last, values):
                _store(stored, name, values)
            write_atomically(path, f"# {self._title}\n{tomli_w.dumps(stored)}")
        except (OSError, ValueError) as error:  # ValueError: it is not TOML, or has no UTF-8
            reason = (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
            return f"{path} cannot be written: {reason}; the settings apply until the console quits"
        self._last = values
        return ""


def _read(path: Path) -> dict[str, Any]:
    """The tables of a file; none without one. Raises OSError, and ValueError if it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _convert(values: dict[str, Any], kind: type[_Values]) -> tuple[_Values, list[str]]:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in values.items():
        if name not in fields:
            continue
        try:
            found[name] = _convert_entries(name, value, fields[name], problems)
        except msgspec.ValidationError as error:
            problems.append(f"{name} is ignored: {_reason(error)}")
    unknown = sorted(set(values) - set(fields))
    if unknown:
        problems.append(f"unknown settings are ignored: {', '.join(unknown)}")
    return kind(**found), problems


def _convert_entries(name: str, value: Any, kind: Any, problems: list[str]) -> Any:
    """A value of a field; of a table of structs, the entries that are valid."""
    if get_origin(kind) is not dict or not isinstance(value, dict):
        return msgspec.convert(value, kind)
    entry_kind = get_args(kind)[1]
    entries: dict[str, Any] = {}
    for key, entry in value.items():
        try:
            entries[key] = msgspec.convert(entry, entry_kind)
        except msgspec.ValidationError as error:
            problems.append(f"{name}.{key} is ignored: {_reason(error)}")
    return entries


def _reason(error: msgspec.ValidationError) -> str:
    text = str(error).partition("\n")[0]
    return f"{text[:1].lower()}{text[1:]}"


def _changed_fields(before: msgspec.Struct, after: msgspec.Struct) -> list[str]:
    names = before.__struct_fields__
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def _store(stored: dict[str, Any], name: str, values: msgspec.Struct) -> None:
    value = getattr(values, name)
    if value == getattr(type(values)(), name):
        stored.pop(name, None)
    else:
        stored[name] = msgspec.to_builtins(value)


def _rename_invalid_file(path: Path) -> str:
    """Renames it; says so, or why not."""
    aside = next(
        name
        for number in range(1_000_000)
        if not os.path.lexists(name := path.with_name(f"{path.name}.broken{number or ''}"))
    )
    try:
        path.rename(aside)
    except OSError as error:
        return f"it could not be renamed: {error.strerror}"
    return f"it was renamed to {aside.name}"
