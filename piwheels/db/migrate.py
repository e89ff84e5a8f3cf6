"""Creates and upgrades the schema: numbered SQL files, all in one transaction.

A database of the development series, whose table of versions was `schema_versions`, is converted
once by sql/convert/.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from piwheels.db.connection import DatabaseError, error_text, open_connection, server_too_old
from piwheels.db.singleton_lock import acquire_master_lock
from piwheels.errors import PiwheelsError

#: The number of the newest file in sql/.
SCHEMA_VERSION = 1

_CONVERTIBLE_VERSION = 11  # the last one of the development series
_RULES_HEADING = "-- === Views, functions and triggers ==="


class MigrationError(PiwheelsError):
    """The database cannot be brought to this version."""


class Migration(NamedTuple):
    """SQL that has yet to run, and the version that it leads to."""

    version: int
    name: str  # its file, below sql/
    sql: str


async def upgrade(dsn: str, *, dry_run: bool = False) -> tuple[Migration, ...]:
    """Create or upgrade the tables.

    Args:
        dsn: the database.
        dry_run: change nothing.

    Returns:
        What ran, or with `dry_run` would run; () for a database that is up to date.

    Raises:
        DatabaseUnavailableError: no server that accepts writes answers at that DSN.
        MigrationError: the DSN is malformed, the server is too old, the database is newer, a
            master works on it, or this account may not change it.
    """
    try:
        connection = await open_connection(dsn, "piwheels db upgrade", autocommit=False)
    except DatabaseError as error:
        raise MigrationError(str(error)) from None
    try:
        async with connection:
            return await _migrate(connection, dry_run=dry_run)
    except psycopg.Error as error:
        raise MigrationError(f"{error_text(error)}; nothing was changed") from None


async def schema_version(connection: psycopg.AsyncConnection[Any]) -> int:
    """The version of a database's schema; 0 for one without any."""
    return await _newest(connection, "schema_migrations")


async def _newest(connection: psycopg.AsyncConnection[Any], table: str) -> int:
    cursor = await connection.execute("SELECT to_regclass(%s) IS NOT NULL AS exists", [table])
    row = await cursor.fetchone()
    if row is None or not _single_value(row):
        return 0
    cursor = await connection.execute(
        sql.SQL("SELECT max(version) AS version FROM {}").format(sql.Identifier(table))
    )
    row = await cursor.fetchone()
    return int(_single_value(row) or 0)


async def _migrate(
    connection: psycopg.AsyncConnection[Any], *, dry_run: bool
) -> tuple[Migration, ...]:
    if too_old := server_too_old(connection):
        raise MigrationError(too_old)
    # Two of them at once would both see an empty database.
    await connection.execute("SELECT pg_advisory_xact_lock(7090)")
    pending = await _pending(connection)
    if dry_run or not pending:
        return pending
    is_new = pending[0].version == 1 and not pending[0].name.startswith("convert/")
    if not is_new and (master := await acquire_master_lock(connection)):
        raise MigrationError(
            f"a master is using this database ({master}); stop it before the upgrade"
        )
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        " version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    for migration in pending:
        try:
            await connection.execute(migration.sql.encode())
        except psycopg.Error as error:
            raise MigrationError(
                f"sql/{migration.name}: {error_text(error)}; nothing was changed"
            ) from None
        await connection.execute(
            "INSERT INTO schema_migrations (version) VALUES (%s)", [migration.version]
        )
    return pending


async def _pending(connection: psycopg.AsyncConnection[Any]) -> tuple[Migration, ...]:
    before = await schema_version(connection)
    if before > SCHEMA_VERSION:
        raise MigrationError(
            f"the database has schema version {before}, and this piwheels supports versions up "
            f"to {SCHEMA_VERSION}: install a newer piwheels"
        )
    conversion: list[Migration] = []
    if before == 0 and (old := await _newest(connection, "schema_versions")):
        conversion, before = [_conversion(old)], 1
    return (*conversion, *(_migration(number) for number in range(before + 1, SCHEMA_VERSION + 1)))


def _conversion(old: int) -> Migration:
    """How a database of the development series becomes one of version 1."""
    if old != _CONVERTIBLE_VERSION:
        raise MigrationError(
            f"the database has version {old} of the development series, and only version "
            f"{_CONVERTIBLE_VERSION} can be converted: run `piw initdb` of the last development "
            "version first, or start with an empty database"
        )
    name = f"convert/from_{old}.sql"
    _, heading, rules = _migration(1).sql.partition(_RULES_HEADING)
    script = (_sql_dir() / "convert" / f"from_{old}.sql").read_text()
    return Migration(1, name, f"{script}\n{heading}{rules}")


def _migration(number: int) -> Migration:
    for entry in _sql_dir().iterdir():
        if entry.name.startswith(f"{number:03}_") and entry.name.endswith(".sql"):
            return Migration(number, entry.name, entry.read_text())
    raise MigrationError(f"this installation lacks sql/{number:03}; reinstall piwheels")


def _sql_dir() -> Traversable:
    """sql/ beside the package in a checkout, inside it in an installed wheel."""
    installed = files("piwheels") / "sql"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "sql"


def _single_value(row: Any) -> Any:
    return next(iter(row.values())) if isinstance(row, dict) else row[0]
