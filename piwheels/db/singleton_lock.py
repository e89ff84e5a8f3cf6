"""One master per database: a lock that a connection holds while it is open."""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg

_LOCK = 7093
#: The connection of a process that has just ended stays open for a moment.
_WAIT_S = 10.0
_POLL_S = 0.2

#: Who holds it; the query terminates the former connection of this process.
_LOCK_OWNER = """
    SELECT coalesce('from ' || host(a.client_addr), 'on the database''s own machine') AS place,
           a.backend_start AT TIME ZONE 'UTC' AS since,
           CASE WHEN a.pid = %(former)s THEN pg_terminate_backend(a.pid) END
      FROM pg_locks l
      JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = %(lock)s
       AND l.granted AND a.datname = current_database()
"""


#: A client that vanished (power, network) is noticed within 10 seconds by the server, which ends
#: its session and its locks: idle, or in the middle of a statement.
_SERVER_SETTINGS: Mapping[str, str] = {
    "tcp_keepalives_idle": "4s",
    "tcp_keepalives_interval": "2s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "client_connection_check_interval": "5s",
}
_APPLY_SETTINGS = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', false)" for name, value in _SERVER_SETTINGS.items()
)


async def notice_vanished_client(connection: psycopg.AsyncConnection[Any]) -> None:
    """Have the server end this session soon after its client vanished."""
    await connection.execute(_APPLY_SETTINGS.encode())


async def acquire_master_lock(
    connection: psycopg.AsyncConnection[dict[str, Any]], former_pid: int | None = None
) -> str:
    """Take the lock, or return who holds it; "" if it was taken.

    former_pid: the server process of the connection that this one replaces. After a broken link
    the server may keep it, and its lock, for a long time.
    """
    await notice_vanished_client(connection)
    until = asyncio.get_running_loop().time() + _WAIT_S
    while True:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS taken", [_LOCK])
        row = await cursor.fetchone()
        if row and row["taken"]:
            return ""
        cursor = await connection.execute(_LOCK_OWNER, {"lock": _LOCK, "former": former_pid})
        holder = await cursor.fetchone()
        if holder and asyncio.get_running_loop().time() > until:
            return _describe_holder(holder)
        await asyncio.sleep(_POLL_S)


async def find_master(connection: psycopg.AsyncConnection[dict[str, Any]]) -> str:
    """Where the master is that holds the lock, and since when; "" for none."""
    cursor = await connection.execute(_LOCK_OWNER, {"lock": _LOCK, "former": None})
    holder = await cursor.fetchone()
    return _describe_holder(holder) if holder else ""


def _describe_holder(holder: Mapping[str, Any]) -> str:
    return f"{holder['place']} since {holder['since']:%Y-%m-%d %H:%M} UTC"
