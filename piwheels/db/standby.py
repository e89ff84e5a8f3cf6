"""Waits, as a standby master, until the database has no master."""

import asyncio
from collections.abc import Callable

import psycopg

from piwheels.db.connection import DatabaseUnavailableError, error_text, open_connection
from piwheels.db.singleton_lock import find_master, notice_vanished_client

_POLL_S = 0.5
_RETRY_S = 1.0
#: After a failover the running master may come back first.
_FAILOVER_GRACE_S = 5.0


async def wait_for_no_master(dsn: str, on_state: Callable[[str], None]) -> None:
    """Return as soon as no master holds the lock; a database that is away is waited for.

    Args:
        dsn: the database.
        on_state: called with what is waited for, at each look.

    Raises:
        DatabaseError: the DSN is malformed.
    """
    grace_s = 0.0
    while True:
        try:
            connection = await open_connection(dsn, "piwheels standby", autocommit=True)
            async with connection:
                await notice_vanished_client(connection)
                await asyncio.sleep(grace_s)
                while place := await find_master(connection):
                    on_state(f"the master runs {place}")
                    await asyncio.sleep(_POLL_S)
                return
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            DatabaseUnavailableError,
        ) as error:
            on_state(f"waiting for the database: {error_text(error)}")
            grace_s = _FAILOVER_GRACE_S
        await asyncio.sleep(_RETRY_S)
