"""The configuration: piwheels.toml, environment and options, read once into a frozen struct.

Every key has a default, an environment variable (`PIWHEELS_<SECTION>_<KEY>`) that overrides
the file, and a place that it came from, which `piw config` shows. Relative paths in a file
are relative to that file, so that a farm's folder can be moved.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import msgspec

from piwheels.errors import ConfigError

CONFIG_FILE_NAME = "piwheels.toml"
_ENV_PREFIX = "PIWHEELS_"
#: Variables that are no keys: which file to read, and whether to show tracebacks.
_NON_SETTING_VARIABLES = {"PIWHEELS_CONFIG", "PIWHEELS_DEBUG"}


Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]
NonNegativeSeconds = Annotated[float, msgspec.Meta(ge=0)]


class DatabaseSection(msgspec.Struct, frozen=True):
    """[database]: where PostgreSQL is."""

    dsn: str = "postgresql:///piwheels"


class WebrootSection(msgspec.Struct, frozen=True):
    """[webroot]: the tree that the web server serves."""

    root: Path = Path("/var/www/piwheels")
    url: str = "http://localhost/"  # as clients reach it; used in texts only
    removal_grace_s: NonNegativeSeconds = (
        300.0  # a removed wheel stays for readers of an older page
    )
    root_listing_s: NonNegativeSeconds = (
        60.0  # at most this often is the listing of all projects written
    )


class MasterSection(msgspec.Struct, frozen=True):
    """[master]: the daemon's sockets and files."""

    control: str = "ipc:///run/piwheels/control.sock"
    control_tcp: str = ""  # e.g. tcp://*:5554, for consoles elsewhere; always CURVE
    builders: str = "tcp://*:5555"
    files: str = "tcp://*:5556"
    keys: Path = Path("/etc/piwheels/keys")
    spool: Path = Path("/var/lib/piwheels/spool")
    lost_after_s: PositiveSeconds = 300.0  # a builder silent for so long is lost
    retry_delay_s: NonNegativeSeconds = 600.0  # before the second try; doubled for each further one
    max_attempts: PositiveInt = 3
    quarantine_after: NonNegativeInt = (
        3  # builds in a row that failed of their builder itself; 0: never
    )
    events_days: NonNegativeInt = 400  # who did what stays listed for so long; 0: for ever


class UpstreamSection(msgspec.Struct, frozen=True):
    """[upstream]: the index that releases come from."""

    url: str = ""  # "" is the index that this machine's pip uses
    source: Literal["auto", "changelog", "poll"] = "auto"
    poll_interval_s: PositiveSeconds = 900.0
    everything: bool = False  # follow every project of the changelog, not just those added
    requests: PositiveInt = 20  # pages asked for at the same time, at most
    removed_days: NonNegativeInt = 30  # what was removed upstream is kept, hidden, for so long


class BuilderSection(msgspec.Struct, frozen=True):
    """[builder]: one builder and its limits."""

    master: str = "localhost"
    builders_port: Port = 5555
    files_port: Port = 5556
    master_key: str = ""  # the master's public key; "" reads it from `keys`
    keys: Path = Path("/etc/piwheels/keys")
    key_name: str = "builder"
    python: tuple[str, ...] = ()  # interpreters; none is the one that runs piw
    #: What it builds for if not for its interpreters' own machine: a 32-bit ARM system with a
    #: toolchain for ARMv6 (Raspberry Pi OS) can build for the Pi Zero and Pi 1.
    machine: Literal["", "armv6l"] = ""
    work: Path = Path("/var/lib/piwheels/builder")
    pip_index: str = ""  # where the upstream has no pip; "" is the one that this machine's pip uses
    farm_index: str = ""  # the farm's own Simple index, offered to builds beside the upstream
    timeout_s: PositiveSeconds = 3 * 3600.0
    memory_mb: NonNegativeInt = 0  # 0 is three quarters of this machine's
    file_mb: PositiveInt = 4096
    processes: PositiveInt = 1024
    disk_reserve_mb: NonNegativeInt = 256  # a build that leaves less free is ended
    cache_mb: NonNegativeInt = 1024
    sandbox: bool = True
    binds: tuple[Path, ...] = ()  # further folders that a build may read


class AccessLogSection(msgspec.Struct, frozen=True):
    """[accesslog]: what `piw accesslog` keeps."""

    retention_months: NonNegativeInt = (
        13  # of single accesses, beside the current month; sums stay for ever; 0: none are kept
    )
    spool: Path = Path("/var/lib/piwheels/accesslog")  # lines of a pipe until they are stored
    spool_mb: NonNegativeInt = 1024  # beyond it, lines are dropped while the database is away


class Config(msgspec.Struct, frozen=True):
    """The whole configuration, merged."""

    database: DatabaseSection = DatabaseSection()
    webroot: WebrootSection = WebrootSection()
    master: MasterSection = MasterSection()
    upstream: UpstreamSection = UpstreamSection()
    builder: BuilderSection = BuilderSection()
    accesslog: AccessLogSection = AccessLogSection()


class Setting(msgspec.Struct, frozen=True):
    """One key of the merged configuration, its value, and where that came from."""

    key: str  # "database.dsn"
    value: Any
    origin: str  # a file, an environment variable, "option" or "default"


class LoadedConfig(msgspec.Struct, frozen=True):
    """What `load` gives: the configuration, and each key with its origin."""

    config: Config
    settings: tuple[Setting, ...]
    file: Path | None


def config_search_path(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where a configuration is looked for when none is named, nearest first."""
    yield Path(CONFIG_FILE_NAME)
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    yield Path(home) / "piwheels" / CONFIG_FILE_NAME
    yield Path("/etc/piwheels") / CONFIG_FILE_NAME
    yield Path("/etc") / CONFIG_FILE_NAME


def find_config_file(explicit_path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the one named, else $PIWHEELS_CONFIG, else the first that exists.

    Raises:
        ConfigError: a file that was named does not exist, or is out of reach.
    """
    for source, path in (
        ("--config", explicit_path),
        ("$PIWHEELS_CONFIG", environ.get("PIWHEELS_CONFIG")),
    ):
        if path:
            try:
                there = Path(path).is_file()
            except OSError as error:
                raise ConfigError(f"{source} names {path}: {error.strerror}") from None
            if not there:
                raise ConfigError(f"{source} names {path}, and there is no such file")
            return Path(path)
    return next((path for path in config_search_path(environ) if _is_reachable_file(path)), None)


def _is_reachable_file(path: Path) -> bool:
    """Whether a file is there; one in a folder that is closed to this account is not."""
    try:
        return path.is_file()
    except OSError:
        return False


def load(
    explicit_path: Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Merge defaults, file, environment and options, the later over the earlier.

    Args:
        explicit_path: the file of `--config`, or None to search.
        options: values from the command line by key (`"builder.master"`); None values are left out.
        environ: the environment; the process's own by default.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, or a value of the wrong type.
    """
    environ = os.environ if environ is None else environ
    file = find_config_file(explicit_path, environ)
    from_file = read_toml(file) if file else {}
    _reject_unknown_variables(environ)
    chosen = {key: value for key, value in (options or {}).items() if value is not None}
    settings: list[Setting] = []
    sections: dict[str, Any] = {}
    for section in msgspec.structs.fields(Config):
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(section.type):
            key = f"{section.name}.{field.name}"
            setting = _resolve_setting(
                key, field, options=chosen, environ=environ, from_file=from_file, file=file
            )
            settings.append(setting)
            values[field.name] = setting.value
        sections[section.name] = section.type(**values)
    return LoadedConfig(config=Config(**sections), settings=tuple(settings), file=file)


def env_var_name(key: str) -> str:
    """The environment variable that overrides a key."""
    return f"{_ENV_PREFIX}{key.replace('.', '_').upper()}"


def to_toml(values: Mapping[str, Any]) -> str:
    """A piwheels.toml that sets these keys (`"database.dsn"`), for a farm that makes its own."""
    lines: list[str] = []
    section = ""
    for key, value in values.items():
        part, _, name = key.partition(".")
        if part != section:
            lines += ["", f"[{part}]"] if lines else [f"[{part}]"]
            section = part
        plain = [str(item) for item in value] if isinstance(value, (list, tuple)) else value
        plain = str(plain) if isinstance(plain, Path) else plain
        lines.append(f"{name} = {json.dumps(plain, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _resolve_setting(
    key: str,
    field: msgspec.structs.FieldInfo,
    *,
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    from_file: Mapping[str, Any],
    file: Path | None,
) -> Setting:
    if key in options:
        return Setting(key, _convert(key, options[key], field.type, "option", None), "option")
    name = env_var_name(key)
    if name in environ:
        raw = _split_list(environ[name]) if get_origin(field.type) is tuple else environ[name]
        return Setting(key, _convert(key, raw, field.type, name, None), name)
    if key in from_file and file is not None:
        value = _convert(key, from_file[key], field.type, str(file), file.resolve().parent)
        return Setting(key, value, str(file))
    return Setting(key, field.default, "default")


def _convert(key: str, raw: Any, target_type: Any, origin: str, base: Path | None) -> Any:
    try:
        value = msgspec.convert(raw, target_type, strict=base is not None, dec_hook=_path_hook)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"{origin}: {key}: {error}") from None
    return _resolve_relative(value, base) if base is not None else value


def _path_hook(target_type: type, raw: object) -> object:
    if target_type is Path and isinstance(raw, (str, Path)):
        try:
            return Path(raw).expanduser()
        except RuntimeError:
            raise TypeError(f"nobody knows the home directory in {str(raw)!r}") from None
    raise TypeError(f"expected a path, got {type(raw).__name__}")


def _resolve_relative(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return base / value
    if isinstance(value, tuple):
        return tuple(_resolve_relative(item, base) for item in value)
    if isinstance(value, str) and value.startswith("ipc://") and not value.startswith("ipc:///"):
        return f"ipc://{base / value.removeprefix('ipc://')}"
    return value


def _split_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def read_toml(file: Path) -> dict[str, Any]:
    """The values that a piwheels.toml sets, by key (`"database.dsn"`), not converted.

    Raises:
        ConfigError: it cannot be read, or sets something that there is not.
    """
    try:
        # Some editors begin a file with a mark that TOML does not know.
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from None
    known = {
        section.name: {field.name for field in msgspec.structs.fields(section.type)}
        for section in msgspec.structs.fields(Config)
    }
    values: dict[str, Any] = {}
    for section, table in tables.items():
        if section not in known or not isinstance(table, dict):
            raise ConfigError(
                f"{file}: unknown section [{section}]; there are {_join_names(known)}"
            )
        for key, value in table.items():
            if key not in known[section]:
                names = _join_names(known[section])
                raise ConfigError(f"{file}: unknown key {section}.{key}; [{section}] has {names}")
            values[f"{section}.{key}"] = value
    return values


def _reject_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {
        env_var_name(f"{section.name}.{field.name}")
        for section in msgspec.structs.fields(Config)
        for field in msgspec.structs.fields(section.type)
    }
    for name in environ:
        if (
            name.startswith(_ENV_PREFIX)
            and name not in known
            and name not in _NON_SETTING_VARIABLES
        ):
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"is {near[0]} meant?" if near else "`piw config` prints all keys"
            raise ConfigError(f"unknown environment variable {name}: {meant}")


def _join_names(names: Mapping[str, Any] | set[str]) -> str:
    return ", ".join(sorted(names))
