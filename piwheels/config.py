"""The configuration: piwheels.toml, environment and options, merged once into a frozen struct.

Every setting has a default, an environment variable (`PIWHEELS_<SECTION>_<KEY>`) that overrides
the file, and an origin, which `piw config show` prints. Relative paths in a file are relative to
that file, so that a farm's directory can be moved. docs/configuration.md is generated from the
descriptions here.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
import tomli_w
from msgspec import Meta

from piwheels.errors import ConfigError

CONFIG_FILE_NAME = "piwheels.toml"
_ENV_PREFIX = "PIWHEELS_"
#: Environment variables that are not settings.
NON_SETTING_VARIABLES = {
    "PIWHEELS_CONFIG": "The configuration file to read, unless `--config` names one.",
    "PIWHEELS_DEBUG": "If set, errors are printed with a traceback, and the state machines check "
    "their invariants after each event.",
    "PIWHEELS_LOG": "The log level (debug, info, warning, error), unless `--log-level` gives one.",
}

Port = Annotated[int, Meta(ge=1, le=65535)]
PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveSeconds = Annotated[float, Meta(gt=0)]
NonNegativeSeconds = Annotated[float, Meta(ge=0)]
#: A package, suite or component; never an option of apt.
AptWord = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+:/=~_-]*\Z", max_length=200)]
#: The table of sections `[root.NAME]`.
_ROOT_TABLE = "root"
_ROOT_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

#: Keys of earlier versions and what they are called now; accepted for one release.
RENAMED_SETTINGS = {
    "webroot.removal_grace_s": "webroot.deletion_delay_s",
    "webroot.root_listing_s": "webroot.project_list_interval_s",
    "master.control": "master.control_bind",
    "master.control_tcp": "master.control_tcp_bind",
    "master.builders": "master.builder_bind",
    "master.files": "master.upload_bind",
    "master.keys": "master.key_dir",
    "master.spool": "master.spool_dir",
    "master.lost_after_s": "master.builder_timeout_s",
    "master.events_days": "master.event_retention_days",
    "upstream.source": "upstream.method",
    "upstream.everything": "upstream.follow_all",
    "upstream.requests": "upstream.max_requests",
    "upstream.removed_days": "upstream.removal_retention_days",
    "builder.builders_port": "builder.master_port",
    "builder.files_port": "builder.upload_port",
    "builder.keys": "builder.key_dir",
    "builder.python": "builder.interpreters",
    "builder.work": "builder.work_dir",
    "builder.pip_index": "builder.pip_index_url",
    "builder.farm_index": "builder.farm_index_url",
    "builder.timeout_s": "builder.build_timeout_s",
    "builder.memory_mb": "builder.max_memory_mb",
    "builder.file_mb": "builder.max_file_mb",
    "builder.processes": "builder.max_processes",
    "builder.disk_reserve_mb": "builder.min_free_disk_mb",
    "builder.cache_mb": "builder.max_cache_mb",
    "builder.binds": "builder.extra_readonly_paths",
    "accesslog.spool": "accesslog.spool_dir",
    "accesslog.spool_mb": "accesslog.spool_max_mb",
}


def _doc(description: str) -> Meta:
    return Meta(description=description)


class DatabaseSection(msgspec.Struct, frozen=True):
    """The PostgreSQL database of the farm."""

    dsn: Annotated[
        str,
        _doc(
            "Connection string or URL of PostgreSQL (libpq). It may name several hosts, of which "
            "one accepts writes; a connection pooler must keep sessions."
        ),
    ] = "postgresql:///piwheels"


class WebrootSection(msgspec.Struct, frozen=True):
    """The files that the web server serves."""

    root: Annotated[Path, _doc("Directory that the web server serves.")] = Path("/var/www/piwheels")
    url: Annotated[
        str, _doc("Its address as clients reach it; used in texts and redirects only.")
    ] = "http://localhost/"
    deletion_delay_s: Annotated[
        NonNegativeSeconds,
        _doc("How long a removed wheel stays on disk, for clients that read an older page."),
    ] = 300.0
    project_list_interval_s: Annotated[
        NonNegativeSeconds, _doc("Minimum interval between writes of the list of all projects.")
    ] = 60.0


class MasterSection(msgspec.Struct, frozen=True):
    """The sockets and directories of the master daemon, and its rules for builds."""

    control_bind: Annotated[
        str, _doc("ZeroMQ address of the control socket, for `piw` and consoles on this machine.")
    ] = "ipc:///run/piwheels/control.sock"
    control_tcp_bind: Annotated[
        str,
        _doc(
            "Address for consoles on other machines, such as `tcp://*:5554`; always encrypted, and "
            "only for authorized keys. Empty: none."
        ),
    ] = ""
    builder_bind: Annotated[str, _doc("Address that builders connect to.")] = "tcp://*:5555"
    upload_bind: Annotated[str, _doc("Address that builders upload wheels to.")] = "tcp://*:5556"
    key_dir: Annotated[
        Path, _doc("Directory of the master's key pair and of the authorized keys.")
    ] = Path("/etc/piwheels/keys")
    spool_dir: Annotated[
        Path, _doc("Directory of logs of running builds and of unfinished uploads.")
    ] = Path("/var/lib/piwheels/spool")
    builder_timeout_s: Annotated[
        PositiveSeconds,
        _doc("A builder that sends nothing for this long is lost; its build is requeued."),
    ] = 300.0
    retry_delay_s: Annotated[
        NonNegativeSeconds,
        _doc("Delay before a failed build is retried; doubled for each further attempt."),
    ] = 600.0
    max_attempts: Annotated[
        PositiveInt, _doc("Attempts after which a retryable failure becomes final.")
    ] = 3
    quarantine_after: Annotated[
        NonNegativeInt,
        _doc(
            "A builder is quarantined after this many consecutive builds that failed because of "
            "the builder itself. 0: never."
        ),
    ] = 3
    event_retention_days: Annotated[
        NonNegativeInt, _doc("How long the audit log (`piw events`) is kept. 0: forever.")
    ] = 400


class UpstreamSection(msgspec.Struct, frozen=True):
    """The index that releases are taken from."""

    url: Annotated[
        str, _doc("Its Simple API URL. Empty: the index that pip uses on this machine.")
    ] = ""
    method: Annotated[
        Literal["auto", "changelog", "poll"],
        _doc(
            "How new releases are found: from the index's changelog, by polling every followed "
            "project, or `auto`: the changelog where there is one."
        ),
    ] = "auto"
    poll_interval_s: Annotated[
        PositiveSeconds, _doc("How often each followed project is polled.")
    ] = 900.0
    follow_all: Annotated[
        bool, _doc("Follow every project of the changelog, not only those added with `piw add`.")
    ] = False
    max_requests: Annotated[
        PositiveInt, _doc("Maximum number of pages requested at the same time.")
    ] = 20
    removal_retention_days: Annotated[
        NonNegativeInt,
        _doc("How long a release that was removed upstream is kept here, hidden."),
    ] = 30


class BuilderSection(msgspec.Struct, frozen=True):
    """One builder: its master, what it builds for, and the limits of a build."""

    master: Annotated[str, _doc("Host name or address of the master.")] = "localhost"
    master_port: Annotated[Port, _doc("Port of `master.builder_bind`.")] = 5555
    upload_port: Annotated[Port, _doc("Port of `master.upload_bind`.")] = 5556
    master_key: Annotated[
        str, _doc("The master's public key. Empty: it is read from `key_dir`.")
    ] = ""
    key_dir: Annotated[Path, _doc("Directory of the builder's key pair.")] = Path(
        "/etc/piwheels/keys"
    )
    key_name: Annotated[str, _doc("Name of that key pair.")] = "builder"
    interpreters: Annotated[
        tuple[str, ...],
        _doc(
            "Python interpreters to build for, by name or path. Empty: the one that runs `piw`. In "
            "the environment variable they are separated by commas."
        ),
    ] = ()
    machine: Annotated[
        Literal["", "armv6l"],
        _doc(
            "Architecture to build for, if not that of the interpreters: 32-bit Raspberry Pi OS, "
            "whose compiler is for ARMv6, can build for the Pi Zero and Pi 1."
        ),
    ] = ""
    work_dir: Annotated[Path, _doc("Directory of builds and of the download cache.")] = Path(
        "/var/lib/piwheels/builder"
    )
    pip_index_url: Annotated[
        str,
        _doc(
            "Index that builds take pip from if the upstream index has none. Empty: the index that "
            "pip uses on this machine."
        ),
    ] = ""
    farm_index_url: Annotated[
        str,
        _doc("This farm's own Simple API URL, offered to builds beside the upstream. Empty: none."),
    ] = ""
    build_timeout_s: Annotated[PositiveSeconds, _doc("Time limit of a build.")] = 3 * 3600.0
    max_memory_mb: Annotated[
        NonNegativeInt, _doc("Memory limit of a build. 0: three quarters of the machine's memory.")
    ] = 0
    max_file_mb: Annotated[
        PositiveInt, _doc("Largest file that a build may write, or that is downloaded for it.")
    ] = 4096
    max_processes: Annotated[PositiveInt, _doc("Maximum number of processes of a build.")] = 1024
    min_free_disk_mb: Annotated[
        NonNegativeInt, _doc("A build that leaves less free disk space than this is canceled.")
    ] = 256
    max_cache_mb: Annotated[NonNegativeInt, _doc("Size limit of the download cache.")] = 1024
    sandbox: Annotated[
        bool,
        _doc("Build in a bubblewrap sandbox. Without it, build only code that you trust."),
    ] = True
    extra_readonly_paths: Annotated[
        tuple[Path, ...],
        _doc(
            "Further paths that a build may read. In the environment variable, separate them "
            "with commas."
        ),
    ] = ()
    roots: Annotated[
        tuple[str, ...],
        _doc(
            "Roots to build on, presets or `[root.NAME]`, instead of this machine's own system "
            "(`piw root add`). `host` is this system. None: this system alone."
        ),
    ] = ()
    roots_dir: Annotated[
        Path | None,
        _doc(
            "Directory of roots, package layers and downloaded packages. Without one: "
            "`/var/lib/piwheels/roots` for root, else `piwheels/roots` in the user's cache."
        ),
    ] = None
    max_roots_mb: Annotated[
        PositiveInt,
        _doc("Size limit of `roots_dir`; what was not used for longest is deleted, except roots."),
    ] = 20_480
    debian_mirror_url: Annotated[
        str,
        _doc(
            "Mirror that presets of roots take Debian from: it has `debian` and `debian-security`."
        ),
    ] = "http://deb.debian.org"


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Debian archive that roots are made from."""

    url: Annotated[str, Meta(pattern=r"^(https?|file)://[^\s\[\]]+\Z")]
    suites: Annotated[tuple[AptWord, ...], Meta(min_length=1)]
    components: Annotated[tuple[AptWord, ...], Meta(min_length=1)] = ("main",)
    keyring: Path = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class RootSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The root NAME that builds run on; a preset has all of it (`piw root list` names them)."""

    preset: Annotated[str, _doc("The preset to start from. Empty: the one with this NAME.")] = ""
    folder: Annotated[
        Path | None,
        _doc("A root that was made otherwise, by mmdebstrap, debootstrap or a container export."),
    ] = None
    arch: Annotated[
        Literal["", "amd64", "arm64", "armhf", "riscv64"],
        _doc("Debian's name of its architecture."),
    ] = ""
    archives: Annotated[
        tuple[Archive, ...],
        _doc("Tables with `url`, `suites`, `components` and the path of a `keyring`."),
    ] = ()
    packages: Annotated[
        tuple[AptWord, ...],
        _doc("Debian packages besides a compiler, Python's headers and pkg-config."),
    ] = ()
    interpreters: Annotated[
        tuple[str, ...], _doc("Its Python interpreters, by name or path. None: `python3`.")
    ] = ()
    cpu: Annotated[
        str,
        _doc("Processor that qemu emulates, such as `arm1176`. Empty: one of the architecture."),
    ] = ""
    machine: Annotated[
        Literal["", "armv6l"], _doc("Machine of wheel tags, if not that of its interpreters.")
    ] = ""


class AccessLogSection(msgspec.Struct, frozen=True):
    """What `piw accesslog` keeps."""

    retention_months: Annotated[
        NonNegativeInt,
        _doc(
            "How long single accesses are kept, in months before the current one; totals are kept "
            "forever. 0: single accesses are not kept."
        ),
    ] = 13
    spool_dir: Annotated[
        Path, _doc("Directory for lines read from a pipe that are not in the database yet.")
    ] = Path("/var/lib/piwheels/accesslog")
    spool_max_mb: Annotated[
        NonNegativeInt,
        _doc(
            "Size limit of `spool_dir`; while the database is unavailable, lines beyond it are "
            "dropped."
        ),
    ] = 1024


class Config(msgspec.Struct, frozen=True):
    """The whole configuration, merged."""

    database: DatabaseSection = DatabaseSection()
    webroot: WebrootSection = WebrootSection()
    master: MasterSection = MasterSection()
    upstream: UpstreamSection = UpstreamSection()
    builder: BuilderSection = BuilderSection()
    accesslog: AccessLogSection = AccessLogSection()
    root: dict[str, RootSection] = {}


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


def config_search_path(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where a configuration is looked for if none is named, in order.

    By hand, since platformdirs reads the process's environment instead of the one given.
    """
    yield Path(CONFIG_FILE_NAME)
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    yield Path(home) / "piwheels" / CONFIG_FILE_NAME
    yield Path("/etc/piwheels") / CONFIG_FILE_NAME
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


def load(
    explicit_path: Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Merge defaults, file, environment and options; later ones override earlier ones.

    Args:
        explicit_path: the file of `--config`, or None to search.
        options: values from the command line by key (`"builder.master"`); None values are ignored.
        environ: the environment; by default this process's.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a value of the wrong type, or a
            setting that is given under its old and its new name.
    """
    environ = os.environ if environ is None else environ
    file = find_config_file(explicit_path, environ)
    sources = [
        {key: _Given(value, "option", key) for key, value in (options or {}).items()},
        _read_environ(environ),
        _read_file(file) if file else {},
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
    sections[_ROOT_TABLE] = _read_roots(file) if file else {}
    return LoadedConfig(
        config=Config(**sections),
        settings=tuple(settings),
        file=file,
        deprecations=tuple(_deprecations(*sources[1:])),
    )


class _Given(NamedTuple):
    """A value that a source gives, before it is converted."""

    value: Any
    origin: str
    name: str  # of the key or variable, which may be a former one
    base: Path | None = None  # relative paths are relative to it; None: in no file


def env_var_name(key: str) -> str:
    """The environment variable that overrides a key."""
    return f"{_ENV_PREFIX}{key.replace('.', '_').upper()}"


def to_toml(values: Mapping[str, Any]) -> str:
    """A piwheels.toml that sets these keys (`"database.dsn"`), for a farm that writes its own."""
    tables: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        plain = list(map(str, value)) if isinstance(value, (list, tuple)) else value
        tables.setdefault(section, {})[name] = str(plain) if isinstance(plain, Path) else plain
    return tomli_w.dumps(tables)


def _resolve_setting(
    key: str, field: msgspec.structs.FieldInfo, sources: Sequence[Mapping[str, _Given]]
) -> Setting:
    """The value of the first source that gives one."""
    for source in sources:
        if key in source and (given := source[key]).value is not None:
            return Setting(key, _convert(key, given, field.type), given.origin)
    return Setting(key, field.default, "default")


def _convert(key: str, given: _Given, target_type: Any) -> Any:
    raw, base = given.value, given.base
    if base is None and isinstance(raw, str) and _is_list(target_type):
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    try:
        value = msgspec.convert(raw, target_type, strict=base is not None, dec_hook=_path_hook)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"{given.origin}: {key}: {error}") from None
    return _resolve_relative(value, base) if base is not None else value


def _is_list(annotation: Any) -> bool:
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_origin(plain) is tuple


def _path_hook(target_type: type, raw: object) -> object:
    if target_type is Path and isinstance(raw, (str, Path)):
        try:
            return Path(raw).expanduser()
        except RuntimeError:
            raise TypeError(f"the home directory in {str(raw)!r} is unknown") from None
    raise TypeError(f"expected a path, got {type(raw).__name__}")


def _resolve_relative(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return base / value
    if isinstance(value, tuple):
        return tuple(_resolve_relative(item, base) for item in value)
    if isinstance(value, str) and value.startswith("ipc://") and not value.startswith("ipc:///"):
        return f"ipc://{base / value.removeprefix('ipc://')}"
    return value


def read_toml(file: Path) -> dict[str, Any]:
    """The values that a piwheels.toml sets, by key (`"database.dsn"`), not converted.

    Former names of keys are replaced by the current ones.

    Raises:
        ConfigError: it cannot be read, or sets an unknown key.
    """
    return {key: given.value for key, given in _read_file(file).items()}


def _read_file(file: Path) -> dict[str, _Given]:
    tables = _parse_toml(file)
    known, base = _known_keys(), file.resolve().parent
    given: dict[str, _Given] = {}
    for section, table in tables.items():
        if section == _ROOT_TABLE:
            continue
        if section not in known or not isinstance(table, dict):
            names = ", ".join(sorted(known))
            raise ConfigError(f"{file}: unknown section [{section}]; sections are {names}")
        for name, value in table.items():
            key = RENAMED_SETTINGS.get(f"{section}.{name}", f"{section}.{name}")
            if key.partition(".")[2] not in known[section]:
                names = ", ".join(sorted(known[section]))
                raise ConfigError(f"{file}: unknown key {section}.{name}; [{section}] has {names}")
            _add(given, key, _Given(value, str(file), f"{section}.{name}", base))
    return given


def _parse_toml(file: Path) -> dict[str, Any]:
    try:
        # Some editors begin a file with a byte order mark, which TOML does not allow.
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from None


def _read_roots(file: Path) -> dict[str, RootSection]:
    """The sections `[root.NAME]` of a file, by NAME."""
    tables, base = _parse_toml(file).get(_ROOT_TABLE, {}), file.resolve().parent
    found: dict[str, RootSection] = {}
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if not _ROOT_NAME.fullmatch(name) or not isinstance(table, dict):
            raise ConfigError(
                f"{file}: [root.{name}] is no section of a root: a name has lower-case letters, "
                "digits, dots and hyphens"
            )
        try:
            section = msgspec.convert(table, RootSection, dec_hook=_path_hook)
        except (msgspec.ValidationError, TypeError) as error:
            raise ConfigError(f"{file}: [root.{name}]: {error}") from None
        folder = base / section.folder if section.folder is not None else None
        found[name] = msgspec.structs.replace(section, folder=folder)
    return found


def _read_environ(environ: Mapping[str, str]) -> dict[str, _Given]:
    keys = [f"{section}.{name}" for section, names in _known_keys().items() for name in names]
    variables = {env_var_name(key): key for key in keys}
    former = {env_var_name(old): new for old, new in RENAMED_SETTINGS.items()}
    given: dict[str, _Given] = {}
    for variable, value in environ.items():
        if not variable.startswith(_ENV_PREFIX) or variable in NON_SETTING_VARIABLES:
            continue
        key = variables.get(variable) or former.get(variable)
        if key is None:
            near = difflib.get_close_matches(variable, variables, n=1)
            hint = f"did you mean {near[0]}?" if near else "`piw config show` prints all settings"
            raise ConfigError(f"unknown environment variable {variable}: {hint}")
        _add(given, key, _Given(value, variable, variable))
    return given


def _add(given: dict[str, _Given], key: str, value: _Given) -> None:
    """Add a source's value; a former name is one key with the current name."""
    if key in given:
        raise ConfigError(
            f"{value.origin}: {given[key].name} and {value.name} are the same setting, "
            "before and after it was renamed: remove the old one"
        )
    given[key] = value


def _deprecations(*sources: Mapping[str, _Given]) -> Iterator[str]:
    for source in sources:
        for key, given in source.items():
            if given.base is not None and given.name != key:
                yield f"{given.origin}: {given.name} is now called {key}"
            elif given.base is None and given.name != env_var_name(key):
                yield f"{given.name} is now called {env_var_name(key)}"


def static_sections() -> list[msgspec.structs.FieldInfo]:
    """The sections whose keys are settings; those of roots are named by their user."""
    return [field for field in msgspec.structs.fields(Config) if field.name != _ROOT_TABLE]


def _known_keys() -> dict[str, list[str]]:
    return {
        section.name: [field.name for field in msgspec.structs.fields(section.type)]
        for section in static_sections()
    }
