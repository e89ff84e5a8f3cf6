"""The names of settings and variables, former ones included."""

import msgspec

from piwheels.config.sections import Config

CONFIG_FILE_NAME = "piwheels.toml"

ENV_PREFIX = "PIWHEELS_"

#: Environment variables that are not settings.
NON_SETTING_VARIABLES = {
    "PIWHEELS_CONFIG": "The configuration file to read, unless `--config` names one.",
    "PIWHEELS_DEBUG": "If set, errors are printed with a traceback, and the state machines check "
    "their invariants after each event.",
    "PIWHEELS_LOG": "The log level (debug, info, warning, error), unless `--log-level` gives one.",
    "PIWHEELS_TOKEN": "The token for `piw setup builder` and `piw builder join`, unless they are "
    "given one.",
    "PIWHEELS_SETUP_DATABASE": "The database for `piw setup master`, unless `--database` or "
    "`--database-file` gives one.",
}

#: The tables of the sections `[root.NAME]` and `[pool.NAME]`.
ROOT_TABLE, POOL_TABLE = "root", "pool"
NAMED_TABLES = frozenset({ROOT_TABLE, POOL_TABLE})

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


def env_var_name(key: str) -> str:
    """The environment variable that overrides a key."""
    return f"{ENV_PREFIX}{key.replace('.', '_').upper()}"


def static_sections() -> list[msgspec.structs.FieldInfo]:
    """The sections whose keys are settings; those of roots and pools are named by their user."""
    return [field for field in msgspec.structs.fields(Config) if field.name not in NAMED_TABLES]


def known_keys() -> dict[str, list[str]]:
    """The names of the settings of each section."""
    return {
        section.name: [field.name for field in msgspec.structs.fields(section.type)]
        for section in static_sections()
    }
