"""Queries of long lists, run by the render process: they never block the master's event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from piwheels.db.database import Database

_T = TypeVar("_T")


def run_query(dsn: str, role: str, query: Callable[[Database], Awaitable[_T]]) -> _T:
    """The result of a query over a new connection, for a thread without an event loop.

    Raises:
        PiwheelsError: the database cannot be reached.
    """
    return asyncio.run(_run_query(dsn, role, query))


async def _run_query(dsn: str, role: str, query: Callable[[Database], Awaitable[_T]]) -> _T:
    async with await Database.connect(dsn, role=role) as db:
        return await query(db)
