"""The epoch of a master: its writes are rejected as soon as a newer master has started.

The trigger function check_epoch() in sql/001_schema.sql checks every statement of a connection
that has an epoch. A promoted server begins a new timeline, and epochs of a higher timeline are
higher: whatever a former primary counts on its own, its masters stay below those of the new one.
"""

import random
from dataclasses import dataclass

from piwheels.db.connection import (
    Connection,
    DatabaseError,
    DatabaseUnavailableError,
    timeline_of,
)

#: SQLSTATE of a rejected statement.
EPOCH_OVER_STATE = "PW001"

_LOCK = "SELECT pg_advisory_xact_lock(7094)"
_EPOCH_OVER_TEXT = "another master has taken over this database, and this one ends"

#: An epoch is a timeline, the number of a start, and a random number, from the highest bit on.
_START_BITS = _RANDOM_BITS = 24
_MAX_TIMELINE = 2**15 - 1
#: By how much a restore raises an epoch: 65,536 starts, more than follow a backup.
RESTORE_STEP = 2**16 << _RANDOM_BITS


@dataclass(slots=True)
class MasterEpoch:
    """The epoch of a master, shared by its connections; after a failover the number is higher."""

    number: int
    timeline: int  # of the server that it was begun on, or continued last

    def exceeds(self, epoch: int) -> bool:
        """Whether this one is newer than another."""
        return self.number > epoch


def epoch_over() -> DatabaseError:
    """The error with which a superseded master ends."""
    return DatabaseError(_EPOCH_OVER_TEXT)


def first_epoch(timeline: int) -> int:
    """The lowest epoch of a timeline."""
    return min(timeline, _MAX_TIMELINE) << _START_BITS + _RANDOM_BITS


def next_epoch(before: int, timeline: int) -> int:
    """An epoch that follows another one, on a server that writes this timeline.

    Two masters that start on servers which know nothing of each other differ by chance.
    """
    started = max((before >> _RANDOM_BITS) + 1, first_epoch(timeline) >> _RANDOM_BITS)
    return (started << _RANDOM_BITS) + random.getrandbits(_RANDOM_BITS)


async def begin_epoch(connection: Connection) -> MasterEpoch:
    """Begin a new epoch, later than those of all masters before; returns it."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        timeline = await timeline_of(connection)
        epoch = MasterEpoch(next_epoch(await _stored(connection), timeline), timeline)
        await _store(connection, epoch)
    await _set_session_epoch(connection, epoch.number)
    return epoch


async def continue_epoch(connection: Connection, epoch: MasterEpoch, *, exclusive: bool) -> int:
    """Continue an epoch on a new connection, which may be to another server.

    Args:
        connection: it.
        epoch: the one that the master began. The exclusive connection raises it on a server that
            was promoted meanwhile.
        exclusive: whether this connection holds the master's lock (db.singleton_lock).

    Returns:
        The number that the session has; that of the master may be raised meanwhile.

    Raises:
        DatabaseError: the epoch is over.
        DatabaseUnavailableError: the server does not know of it yet, or is a former primary.
    """
    async with connection.transaction():
        if exclusive:
            await connection.execute(_LOCK)
        found = await _stored(connection)
        if found > epoch.number:
            raise epoch_over()
        if exclusive:
            await _continue_here(connection, epoch)
        elif found < epoch.number:
            raise DatabaseUnavailableError("the server does not know of this master yet")
    return await _set_session_epoch(connection, epoch.number)


async def _continue_here(connection: Connection, epoch: MasterEpoch) -> None:
    """Store the epoch in a server that had not received it, or raise it in a promoted one."""
    timeline = await timeline_of(connection)
    if timeline < epoch.timeline:
        raise DatabaseUnavailableError(
            f"{describe_server(connection)} is a former primary (timeline {timeline}; another "
            f"server was promoted to timeline {epoch.timeline}): stop it"
        )
    if timeline > epoch.timeline:
        # Before it is stored: the other connections must not take it for that of another master.
        epoch.number, epoch.timeline = next_epoch(epoch.number, timeline), timeline
    await _store(connection, epoch)


def describe_server(connection: Connection) -> str:
    """Which server a connection leads to."""
    info = connection.info
    return f"the database at {info.host}:{info.port}"


async def _stored(connection: Connection) -> int:
    row = await (await connection.execute("SELECT epoch FROM master_epoch")).fetchone()
    if row is None:
        raise DatabaseError("the table master_epoch is empty; restore it from a backup")
    return int(row["epoch"])


async def _store(connection: Connection, epoch: MasterEpoch) -> None:
    await connection.execute(
        "UPDATE master_epoch SET epoch = %(epoch)s WHERE epoch < %(epoch)s",
        {"epoch": epoch.number},
    )


async def _set_session_epoch(connection: Connection, number: int) -> int:
    await connection.execute(
        "SELECT set_config('piwheels.epoch', %(epoch)s, false)", {"epoch": str(number)}
    )
    return number
