"""One snapshot of the database for everything that a backup holds."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

from piwheels.db.connection import Connection, DatabaseError, error_text, open_connection
from piwheels.db.migrate import SCHEMA_VERSION, schema_version
from piwheels.model import Struct


class SnapshotFacts(Struct, frozen=True, kw_only=True):
    """What a snapshot is of."""

    identifier: str  # for `pg_dump --snapshot`
    server_version: int  # the major version
    schema_version: int
    epoch: int  # of the last master that started
    farm: str  # its identity, which the web root has; "" before the first master
    wheels: int
    wheel_bytes: int


class Snapshot:
    """A transaction that keeps one snapshot of the database, for itself and for pg_dump."""

    def __init__(self, connection: Connection, facts: SnapshotFacts) -> None:
        self._connection = connection
        self.facts = facts

    async def copy_wheels(self, write: Callable[[bytes], object]) -> None:
        """Write the published wheels as CSV, by sha256: project, filename, sha256, size_bytes."""
        async with (
            self._connection.cursor() as cursor,
            cursor.copy(
                """
                COPY (SELECT project, filename, sha256, size_bytes FROM files
                       ORDER BY sha256, filename)
                  TO STDOUT (FORMAT csv)
                """
            ) as copy,
        ):
            async for piece in copy:
                write(bytes(piece))


@asynccontextmanager
async def open_snapshot(dsn: str) -> AsyncIterator[Snapshot]:
    """Begin a snapshot, which is valid inside of the context.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
        DatabaseError: it has no farm, or one of another version.
    """
    connection = await open_connection(dsn, "piwheels backup", autocommit=True)
    async with connection:
        try:
            yield Snapshot(connection, await _begin(connection))
        except psycopg.Error as error:
            raise DatabaseError(f"the backup failed: {error_text(error)}") from None


async def _begin(connection: Connection) -> SnapshotFacts:
    version = await schema_version(connection)
    # Tables that are older can be saved, as they should be before they are upgraded.
    if not 0 < version <= SCHEMA_VERSION:
        raise DatabaseError(
            f"the database has schema version {version} instead of {SCHEMA_VERSION}: run "
            "`piw db upgrade`, or the piwheels that belongs to it"
        )
    # It waits for pg_dump, which takes long where the database is large.
    await connection.execute("SET idle_in_transaction_session_timeout = 0")
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    cursor = await connection.execute(
        """
        SELECT pg_export_snapshot() AS identifier,
               (SELECT epoch FROM master_epoch) AS epoch,
               coalesce((SELECT value FROM key_values WHERE key = 'farm/identity'), '') AS farm,
               count(*) AS wheels, coalesce(sum(size_bytes), 0)::bigint AS wheel_bytes
          FROM files
        """
    )
    row = await cursor.fetchone()
    if row is None:
        raise DatabaseError("the database gave no snapshot")
    return SnapshotFacts(
        server_version=connection.info.server_version // 10000, schema_version=version, **row
    )
