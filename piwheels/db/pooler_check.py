"""Detects a connection pooler that assigns each transaction to another session.

The locks, settings and notifications that piwheels uses belong to a session.
"""

from piwheels.db.connection import Connection, DatabaseError, open_connection

_PID = "SELECT pg_backend_pid() AS pid"
_TRIES = 3


async def refuse_transaction_pooling(connection: Connection, dsn: str) -> None:
    """Check that statements of this connection always reach the same session.

    A pooler shows by its own number for the session. Where there is one, a second connection
    that is within a transaction must not be in the first one's session.

    Raises:
        DatabaseError: they do not.
        DatabaseUnavailableError: a second connection cannot be had now.
    """
    pid = await _pid(connection)
    if pid == connection.info.backend_pid:
        return
    for _ in range(_TRIES):
        other = await open_connection(dsn, "piwheels pooler check", autocommit=False)
        async with other:
            if await _pid(other) == pid or await _pid(connection) != pid:
                raise DatabaseError(
                    "database.dsn leads through a connection pooler that gives each transaction "
                    "another session (PgBouncer: pool_mode = transaction); set pool_mode = "
                    "session, or name PostgreSQL itself"
                )


async def _pid(connection: Connection) -> int:
    cursor = await connection.execute(_PID)
    row = await cursor.fetchone()
    return int(row["pid"]) if row else 0
