"""Bringing a database to this version's schema: numbered SQL files, all in one transaction."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import psycopg

from piwheels.db.connection import MIN_SERVER_VERSION, DatabaseError, error_text, open_connection
from piwheels.db.singleton_lock import acquire_master_lock
from piwheels.errors import PiwheelsError

#: The number of the newest file in sql/.
SCHEMA_VERSION = 11


class MigrationError(PiwheelsError):
    """The database cannot be brought to this version."""


async def initdb(dsn: str) -> tuple[int, int]:
    """Create the tables, or upgrade them; returns the versions before and after.

    Raises:
        DatabaseUnavailableError: no server that accepts writes answers at that DSN.
        MigrationError: the DSN is malformed, the server is too old, the database is newer, a
            master works on it, or this account may not change it.
    """
    try:
        connection = await open_connection(dsn, "piwheels initdb", autocommit=False)
    except DatabaseError as error:
        raise MigrationError(str(error)) from None
    try:
        async with connection:
            return await _migrate(connection)
    except psycopg.Error as error:
        raise MigrationError(f"{error_text(error)}; nothing was changed") from None


async def schema_version(connection: psycopg.AsyncConnection[Any]) -> int:
    """The version of a database's schema; 0 for one without any."""
    cursor = await connection.execute("SELECT to_regclass('schema_versions') IS NOT NULL AS there")
    row = await cursor.fetchone()
    if row is None or not _single_value(row):
        return 0
    cursor = await connection.execute("SELECT max(version) AS version FROM schema_versions")
    row = await cursor.fetchone()
    return int(_single_value(row) or 0)


async def _migrate(connection: psycopg.AsyncConnection[Any]) -> tuple[int, int]:
    server = connection.info.server_version // 10000
    if server < MIN_SERVER_VERSION:
        raise MigrationError(
            f"PostgreSQL {server} is too old: piwheels needs {MIN_SERVER_VERSION} or later"
        )
    # Two of them at once would both see an empty database.
    await connection.execute("SELECT pg_advisory_xact_lock(7090)")
    before = await schema_version(connection)
    if before > SCHEMA_VERSION:
        raise MigrationError(
            f"the database has schema version {before}, newer than this piwheels' "
            f"{SCHEMA_VERSION}: install a newer piwheels"
        )
    if 0 < before < SCHEMA_VERSION and (master := await acquire_master_lock(connection)):
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
        raise MigrationError(f"sql/{number:03}: {error_text(error)}; nothing was changed") from None
    return before, SCHEMA_VERSION


def _script(number: int) -> bytes:
    for entry in _sql_dir().iterdir():
        if entry.name.startswith(f"{number:03}_") and entry.name.endswith(".sql"):
            return entry.read_bytes()
    raise MigrationError(f"this installation lacks sql/{number:03}; install piwheels again")


def _sql_dir() -> Traversable:
    """sql/ beside the package in a checkout, inside it in an installed wheel."""
    installed = files("piwheels") / "sql"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "sql"


def _single_value(row: Any) -> Any:
    return next(iter(row.values())) if isinstance(row, dict) else row[0]
