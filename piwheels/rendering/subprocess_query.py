"""Queries of long lists, run by the render process: they never block the master's event loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from piwheels.db.database import Database, DatabaseUnavailableError

log = logging.getLogger(__name__)

_RETRY_S = 1.0

_T = TypeVar("_T")


@dataclass(slots=True)
class _KeptConnection:
    """The connection of a process that runs one query after the other, and its event loop."""

    loop: asyncio.AbstractEventLoop
    db: Database | None = None
    opened_for: tuple[str, str] = ("", "")  # DSN, role


_kept: _KeptConnection | None = None


def keep_connection() -> None:
    """Keep a connection open between the queries of this process, which runs one at a time."""
    global _kept  # noqa: PLW0603 - there is one for the process
    _kept = _KeptConnection(asyncio.new_event_loop())


def run_query(dsn: str, role: str, query: Callable[[Database], Awaitable[_T]]) -> _T:
    """The result of a query, for a thread without an event loop.

    Raises:
        PiwheelsError: the database cannot be reached.
    """
    if _kept is None:
        return asyncio.run(_run_query(dsn, role, query))
    return _kept.loop.run_until_complete(_run_kept(_kept, dsn, role, query))


async def run_in_process(executor: Executor, work: Callable[..., _T], *arguments: object) -> _T:
    """Run work that queries the database in a process, again while the database is away."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.run_in_executor(executor, work, *arguments)
        except DatabaseUnavailableError as error:
            log.warning("pages: %s; retrying", error)
        await asyncio.sleep(_RETRY_S)


async def _run_query(dsn: str, role: str, query: Callable[[Database], Awaitable[_T]]) -> _T:
    async with await Database.connect(dsn, role=role) as db:
        return await query(db)


async def _run_kept(
    kept: _KeptConnection, dsn: str, role: str, query: Callable[[Database], Awaitable[_T]]
) -> _T:
    db = await _connection(kept, dsn, role)
    try:
        return await query(db)
    except BaseException:
        # Its state is not known: it may be in a transaction.
        await _close(kept)
        raise


async def _connection(kept: _KeptConnection, dsn: str, role: str) -> Database:
    if kept.db is not None and kept.opened_for == (dsn, role):
        return kept.db
    await _close(kept)
    kept.db, kept.opened_for = await Database.connect(dsn, role=role), (dsn, role)
    return kept.db


async def _close(kept: _KeptConnection) -> None:
    db, kept.db, kept.opened_for = kept.db, None, ("", "")
    if db is not None:
        await db.close()
