"""What the file and the environment give, before it is converted."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from piwheels.config.names import (
    CONFIG_FILE_NAME,
    ENV_PREFIX,
    NAMED_TABLES,
    NON_SETTING_VARIABLES,
    RENAMED_SETTINGS,
    env_var_name,
    known_keys,
)
from piwheels.errors import ConfigError

#: Where a farm's configuration is unless something else is chosen.
DEFAULT_CONFIG_FILE = Path("/etc/piwheels") / CONFIG_FILE_NAME


def config_search_path(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where a configuration is looked for if none is named, in order.

    By hand, since platformdirs reads the process's environment instead of the one given.
    """
    yield Path(CONFIG_FILE_NAME)
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    yield Path(home) / "piwheels" / CONFIG_FILE_NAME
    yield DEFAULT_CONFIG_FILE
    yield Path("/etc") / CONFIG_FILE_NAME


def find_config_file(explicit_path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the one named, else $PIWHEELS_CONFIG, else the first that exists.

    Raises:
        ConfigError: a file that was named does not exist or cannot be accessed.
    """
    named = (("--config", explicit_path), ("$PIWHEELS_CONFIG", environ.get("PIWHEELS_CONFIG")))
    for source, path in named:
        if path:
            try:
                exists = Path(path).is_file()
            except OSError as error:
                raise ConfigError(f"{source} names {path}: {error.strerror}") from None
            if not exists:
                raise ConfigError(f"{source} names {path}, which does not exist")
            return Path(path)
    return next((path for path in config_search_path(environ) if _is_accessible_file(path)), None)


def _is_accessible_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # this account cannot read its directory
        return False


class GivenValue(NamedTuple):
    """A value that a source gives, before it is converted."""

    value: Any
    origin: str
    name: str  # of the key or variable, which may be a former one
    base: Path | None = None  # relative paths are relative to it; None: in no file


def to_toml(values: Mapping[str, Any]) -> str:
    """A piwheels.toml that sets these keys (`"database.dsn"`), for a farm that writes its own."""
    tables: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        plain = list(map(str, value)) if isinstance(value, (list, tuple)) else value
        tables.setdefault(section, {})[name] = str(plain) if isinstance(plain, Path) else plain
    return tomli_w.dumps(tables)


def read_toml(file: Path) -> dict[str, Any]:
    """The values that a piwheels.toml sets, by key (`"database.dsn"`), not converted.

    Former names of keys are replaced by the current ones.

    Raises:
        ConfigError: it cannot be read, or sets an unknown key.
    """
    return {key: given.value for key, given in read_file(file).items()}


def read_file(file: Path, folder: Path | None = None) -> dict[str, GivenValue]:
    """What a piwheels.toml gives, as `read_toml`; its relative paths as if it were in `folder`."""
    tables = parse_toml(file)
    known, base = known_keys(), folder or file.resolve().parent
    given: dict[str, GivenValue] = {}
    for section, table in tables.items():
        if section in NAMED_TABLES:
            continue
        if section not in known or not isinstance(table, dict):
            names = ", ".join(sorted(known))
            raise ConfigError(f"{file}: unknown section [{section}]; sections are {names}")
        for name, value in table.items():
            key = RENAMED_SETTINGS.get(f"{section}.{name}", f"{section}.{name}")
            if key.partition(".")[2] not in known[section]:
                names = ", ".join(sorted(known[section]))
                raise ConfigError(f"{file}: unknown key {section}.{name}; [{section}] has {names}")
            _add(given, key, GivenValue(value, str(file), f"{section}.{name}", base))
    return given


def parse_toml(file: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        # Some editors begin a file with a byte order mark, which TOML does not allow.
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except PermissionError as error:
        raise ConfigError(f"{file}: {error.strerror}: run this as {_owner(file)}") from None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # ValueError: also of a number of 5,000 digits
        raise ConfigError(f"{file} is not valid TOML: {error}") from None


def _owner(file: Path) -> str:
    """How to act for the account that may read a file: its owner, or of root's files the group."""
    try:
        owner, group = file.owner(), file.group()
    except (OSError, KeyError):
        return "the account that owns it"
    if owner != "root" or group == "root":
        return f"its owner (sudo -u {owner} piw ...)"
    return f"the account of its group (sudo -u {group} piw ...)"


def read_environ(environ: Mapping[str, str]) -> dict[str, GivenValue]:
    """What the variables of the environment give.

    Raises:
        ConfigError: a variable with this project's prefix is unknown.
    """
    keys = [f"{section}.{name}" for section, names in known_keys().items() for name in names]
    variables = {env_var_name(key): key for key in keys}
    former = {env_var_name(old): new for old, new in RENAMED_SETTINGS.items()}
    given: dict[str, GivenValue] = {}
    for variable, value in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in NON_SETTING_VARIABLES:
            continue
        key = variables.get(variable) or former.get(variable)
        if key is None:
            near = difflib.get_close_matches(variable, variables, n=1)
            hint = f"did you mean {near[0]}?" if near else "`piw config show` prints all settings"
            raise ConfigError(f"unknown environment variable {variable}: {hint}")
        _add(given, key, GivenValue(value, variable, variable))
    return given


def _add(given: dict[str, GivenValue], key: str, value: GivenValue) -> None:
    """Add a source's value; a former name is one key with the current name."""
    if key in given:
        raise ConfigError(
            f"{value.origin}: {given[key].name} and {value.name} are the same setting, "
            "before and after it was renamed: remove the old one"
        )
    given[key] = value


def deprecations(*sources: Mapping[str, GivenValue]) -> Iterator[str]:
    """A line for each former name in use."""
    for source in sources:
        for key, given in source.items():
            if given.base is not None and given.name != key:
                yield f"{given.origin}: {given.name} is now called {key}"
            elif given.base is None and given.name != env_var_name(key):
                yield f"{given.name} is now called {env_var_name(key)}"
