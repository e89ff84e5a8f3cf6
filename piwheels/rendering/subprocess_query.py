"""Long lists read by the process that writes them: the master's loop never holds their rows."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from piwheels.db.database import Database

_T = TypeVar("_T")


def run_query(dsn: str, role: str, query: Callable[[Database], Awaitable[_T]]) -> _T:
    """What a query gives, over a connection of its own; for a thread without a loop.

    Raises:
        PiwheelsError: the database cannot be reached.
    """
    return asyncio.run(_run_query(dsn, role, query))


async def _run_query(dsn: str, role: str, query: Callable[[Database], Awaitable[_T]]) -> _T:
    async with await Database.connect(dsn, role=role) as db:
        return await query(db)
