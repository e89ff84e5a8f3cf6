"""Changes one value in a piwheels.toml, and leaves its other lines and comments as they are."""

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from piwheels.config import find_config_file, load
from piwheels.errors import ConfigError, UsageError
from piwheels.webroot import as_owner, sync_dir

_NEW_MODE = 0o640


def set_value(config_file: Path | None, key: str, text: str) -> Path:
    """Set `section.key` in the file in use; returns that file.

    Raises:
        UsageError: there is no such setting, or a list is written as in TOML.
        ConfigError: there is no file, it cannot be written, or the value is not valid.
    """
    file = find_config_file(config_file, os.environ)
    if file is None:
        raise ConfigError("no piwheels.toml was found; name one with --config")
    current = next((item for item in load(file).settings if item.key == key), None)
    if current is None:
        raise unknown_setting(key)
    value = _parse(current.value, text)
    load(file, options={key: value})  # refuses a value that is not valid
    with as_owner(file.parent):
        before = file.read_text(encoding="utf-8")
        replace_text(file, edited(file, before, {key: value}))
    return file


def edited(file: Path, text: str, values: Mapping[str, Any]) -> str:
    """The text of a configuration with other values of some settings, by key.

    Raises:
        ConfigError: one of them spans several lines of the file, or it is no TOML.
    """
    try:
        expected = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}") from None
    for key, value in values.items():
        section, _, name = key.partition(".")
        text = _with_line(text, section, f"{name} = {json.dumps(value)}")
        expected.setdefault(section, {})[name] = value
        if not _contains(text, expected):
            raise ConfigError(f"{file}: {key} spans several lines; edit the file by hand")
    return text


def unknown_setting(key: str) -> UsageError:
    """The error for a key that is not a setting."""
    return UsageError(f"there is no setting {key}; `piw config show` prints all settings")


def _contains(text: str, expected: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == expected
    except (ValueError, RecursionError):
        return False


def _parse(current: object, text: str) -> Any:
    """The value in the type of the present one; what is not of that type is left as text."""
    if isinstance(current, tuple):
        if text.startswith(("[", '"')):
            raise UsageError("write a list as its items with commas between them: one,two")
        return [part for part in text.split(",") if part]
    if isinstance(current, bool) and text in {"true", "false"}:
        return text == "true"
    for kind in (int, float) if isinstance(current, (int, float)) else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _with_line(text: str, section: str, line: str) -> str:
    name = line.partition(" ")[0]
    lines = text.splitlines()
    header = next((i for i, row in enumerate(lines) if row.strip() == f"[{section}]"), None)
    if header is None:
        return "\n".join([*lines, "", f"[{section}]", line, ""]).lstrip("\n")
    for index in range(header + 1, len(lines)):
        if re.match(rf"\s*{re.escape(name)}\s*=", lines[index]):
            lines[index] = line
            return "\n".join([*lines, ""])
        if lines[index].lstrip().startswith("["):
            break
    lines.insert(header + 1, line)
    return "\n".join([*lines, ""])


def replace_text(file: Path, text: str) -> None:
    """Write a configuration: wholly, or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    put_in_place(stage_text(file, text), file)


def put_in_place(staged: Path, file: Path) -> None:
    """Replace a configuration by one that `stage_text` wrote, durably."""
    staged.replace(file)
    sync_dir(file.parent)


def stage_text(file: Path, text: str) -> Path:
    """Write a configuration beside its file, with that one's mode and owner; returns where.

    A new one can be read by its owner and group, since it may hold a password or a token. Where
    root makes it, it belongs to the owner of its directory.

    Raises:
        ConfigError: it cannot be written.
    """
    temporary = None
    try:
        # Its name cannot be guessed: nobody can have put a link there.
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as staged:
            staged.write(text)
            staged.flush()
            os.fsync(staged.fileno())
            like = file.stat() if file.exists() else file.parent.stat()
            os.fchmod(staged.fileno(), like.st_mode & 0o777 if file.exists() else _NEW_MODE)
            if os.geteuid() == 0:  # the daemons' account has to read it
                os.fchown(staged.fileno(), like.st_uid, like.st_gid)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        way_out = ": use sudo" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{file}: {error.strerror}{way_out}") from None
    return temporary
