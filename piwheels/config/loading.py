"""Defaults, file, environment and options, merged into one frozen struct."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec

from piwheels.config.named_sections import read_pools, read_roots
from piwheels.config.names import POOL_TABLE, ROOT_TABLE, static_sections
from piwheels.config.sections import Config, path_hook
from piwheels.config.sources import (
    GivenValue,
    deprecations,
    find_config_file,
    read_environ,
    read_file,
)
from piwheels.errors import ConfigError


class Setting(msgspec.Struct, frozen=True):
    """One key of the merged configuration, its value, and where that came from."""

    key: str  # "database.dsn"
    value: Any
    origin: str  # a file, an environment variable, "option" or "default"


class LoadedConfig(msgspec.Struct, frozen=True):
    """What `load` returns: the configuration, and each key with its origin."""

    config: Config
    settings: tuple[Setting, ...]
    file: Path | None
    deprecations: tuple[str, ...] = ()  # one line for each old name in use


def load(
    explicit_path: Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> LoadedConfig:
    """Merge defaults, file, environment and options; later ones override earlier ones.

    Args:
        explicit_path: the file of `--config`, or None to search.
        options: values from the command line by key (`"builder.master"`); None values are ignored.
        environ: the environment; by default this process's.
        folder: what relative paths in the file are relative to; by default its own folder.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a value of the wrong type, or a
            setting that is given under its old and its new name.
    """
    environ = os.environ if environ is None else environ
    file = find_config_file(explicit_path, environ)
    sources = [
        {key: GivenValue(value, "option", key) for key, value in (options or {}).items()},
        read_environ(environ),
        read_file(file, folder) if file else {},
    ]
    settings: list[Setting] = []
    sections: dict[str, Any] = {}
    for section in static_sections():
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(section.type):
            setting = _resolve_setting(f"{section.name}.{field.name}", field, sources)
            settings.append(setting)
            values[field.name] = setting.value
        sections[section.name] = section.type(**values)
    sections[ROOT_TABLE] = read_roots(file, folder) if file else {}
    sections[POOL_TABLE] = read_pools(file) if file else {}
    return LoadedConfig(
        config=Config(**sections),
        settings=tuple(settings),
        file=file,
        deprecations=tuple(deprecations(*sources[1:])),
    )


def _resolve_setting(
    key: str, field: msgspec.structs.FieldInfo, sources: Sequence[Mapping[str, GivenValue]]
) -> Setting:
    """The value of the first source that gives one."""
    for source in sources:
        if key in source and (given := source[key]).value is not None:
            return Setting(key, _convert(key, given, field.type), given.origin)
    return Setting(key, field.default, "default")


def _convert(key: str, given: GivenValue, target_type: Any) -> Any:
    raw, base = given.value, given.base
    if base is None and isinstance(raw, str) and _is_list(target_type):
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    try:
        value = msgspec.convert(raw, target_type, strict=base is not None, dec_hook=path_hook)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"{given.origin}: {key}: {error}") from None
    return _resolve_relative(value, base) if base is not None else value


def _is_list(annotation: Any) -> bool:
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_origin(plain) is tuple


def _resolve_relative(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        while value.parts[:1] == ("..",):  # which means nothing in a folder that does not exist yet
            base, value = base.parent, Path(*value.parts[1:])
        return base / value
    if isinstance(value, tuple):
        return tuple(_resolve_relative(item, base) for item in value)
    if isinstance(value, str) and value.startswith("ipc://") and not value.startswith("ipc:///"):
        return f"ipc://{base / value.removeprefix('ipc://')}"
    return value
