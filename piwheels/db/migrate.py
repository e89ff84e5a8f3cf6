"""Bringing a database to this version's schema: numbered SQL files, all in one transaction."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from piwheels.db.alone import lock_out_others
from piwheels.errors import PiwheelsError, TransientError

#: The number of the newest file in sql/.
SCHEMA_VERSION = 11

_OLDEST_SERVER = 15


class MigrationError(PiwheelsError):
    """The database cannot be brought to this version."""


async def initdb(dsn: str) -> tuple[int, int]:
    """Create the tables, or upgrade them; returns the versions before and after.

    Raises:
        TransientError: nobody answers at that DSN.
        MigrationError: the DSN is malformed, the server is too old, the database is newer, a
            master works on it, or this account may not change it.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            dsn, application_name="piwheels initdb", connect_timeout=10, row_factory=dict_row
        )
    except psycopg.ProgrammingError as error:
        raise MigrationError(f"database.dsn is not a connection string: {_line(error)}") from None
    except psycopg.OperationalError as error:
        raise TransientError(
            f"the database cannot be reached ({_line(error)}); check database.dsn"
        ) from None
    try:
        async with connection:
            return await _migrate(connection)
    except psycopg.Error as error:
        raise MigrationError(f"{_line(error)}; nothing was changed") from None


async def schema_version(connection: psycopg.AsyncConnection[Any]) -> int:
    """The version of a database's schema; 0 for one without any."""
    cursor = await connection.execute("SELECT to_regclass('schema_versions') IS NOT NULL AS there")
    row = await cursor.fetchone()
    if row is None or not _only(row):
        return 0
    cursor = await connection.execute("SELECT max(version) AS version FROM schema_versions")
    row = await cursor.fetchone()
    return int(_only(row) or 0)


async def _migrate(connection: psycopg.AsyncConnection[Any]) -> tuple[int, int]:
    server = connection.info.server_version // 10000
    if server < _OLDEST_SERVER:
        raise MigrationError(
            f"PostgreSQL {server} is too old: piwheels needs {_OLDEST_SERVER} or later"
        )
    # Two of them at once would both see an empty database.
    await connection.execute("SELECT pg_advisory_xact_lock(7090)")
    before = await schema_version(connection)
    if before > SCHEMA_VERSION:
        raise MigrationError(
            f"the database has schema version {before}, newer than this piwheels' "
            f"{SCHEMA_VERSION}: install a newer piwheels"
        )
    if 0 < before < SCHEMA_VERSION and (master := await lock_out_others(connection)):
        raise MigrationError(
            f"a master works on this database, {master}: end it before its tables change"
        )
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_versions ("
        " version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    try:
        for number in range(before + 1, SCHEMA_VERSION + 1):
            await connection.execute(_script(number))
            await connection.execute("INSERT INTO schema_versions (version) VALUES (%s)", [number])
    except psycopg.Error as error:
        raise MigrationError(f"sql/{number:03}: {_line(error)}; nothing was changed") from None
    return before, SCHEMA_VERSION


def _script(number: int) -> bytes:
    for entry in _folder().iterdir():
        if entry.name.startswith(f"{number:03}_") and entry.name.endswith(".sql"):
            return entry.read_bytes()
    raise MigrationError(f"this installation lacks sql/{number:03}; install piwheels again")


def _folder() -> Traversable:
    """sql/ beside the package in a checkout, inside it in an installed wheel."""
    installed = files("piwheels") / "sql"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "sql"


def _only(row: Any) -> Any:
    return next(iter(row.values())) if isinstance(row, dict) else row[0]


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
