"""The epoch of a master: its writes are rejected as soon as a newer master has started.

The trigger function check_epoch() in sql/001_schema.sql checks every statement of a connection
that has an epoch.
"""

from piwheels.db.connection import Connection, DatabaseError, DatabaseUnavailableError

#: SQLSTATE of a rejected statement.
EPOCH_OVER_STATE = "PW001"

_LOCK = "SELECT pg_advisory_xact_lock(7094)"
_EPOCH_OVER_TEXT = "another master has taken over this database, and this one ends"


def epoch_over() -> DatabaseError:
    """The error with which a superseded master ends."""
    return DatabaseError(_EPOCH_OVER_TEXT)


async def begin_epoch(connection: Connection) -> int:
    """Begin a new epoch, later than those of all masters before; returns it.

    Two masters that start on servers which know nothing of each other differ by chance.
    """
    async with connection.transaction():
        await connection.execute(_LOCK)
        cursor = await connection.execute(
            """
            UPDATE master_epoch
               SET epoch = (epoch / 16777216 + 1) * 16777216 + floor(random() * 16777216)::bigint
            RETURNING epoch
            """
        )
        row = await cursor.fetchone()
    if row is None:
        raise DatabaseError("the table master_epoch is empty; restore it from a backup")
    epoch = int(row["epoch"])
    await _set_session_epoch(connection, epoch)
    return epoch


async def continue_epoch(connection: Connection, epoch: int, *, exclusive: bool) -> None:
    """Continue an epoch on a new connection, which may be to another server.

    Args:
        connection: it.
        epoch: the one that the master began.
        exclusive: whether this connection holds the master's lock (db.singleton_lock).

    Raises:
        DatabaseError: the epoch is over.
        DatabaseUnavailableError: the server does not know of it yet.
    """
    async with connection.transaction():
        if exclusive:
            # A standby that had not received our epoch was promoted.
            await connection.execute(_LOCK)
            await connection.execute(
                "UPDATE master_epoch SET epoch = %(epoch)s WHERE epoch < %(epoch)s",
                {"epoch": epoch},
            )
        cursor = await connection.execute("SELECT epoch FROM master_epoch")
        row = await cursor.fetchone()
    found = int(row["epoch"]) if row else 0
    if found > epoch:
        raise epoch_over()
    if found < epoch:
        raise DatabaseUnavailableError("the server does not know of this master yet")
    await _set_session_epoch(connection, epoch)


async def _set_session_epoch(connection: Connection, epoch: int) -> None:
    await connection.execute(
        "SELECT set_config('piwheels.epoch', %(epoch)s, false)", {"epoch": str(epoch)}
    )
