"""How often idle builders are offered jobs while many small transactions queue some."""

import asyncio
from typing import Any

import pytest

from piwheels.db.database import Database
from piwheels.protocol import messages as m
from piwheels.protocol.keys import KeyStore
from piwheels.scheduler.dispatcher import Dispatcher
from piwheels.scheduler.state_machine_events import JobsAvailable
from tests.scheduler.test_faults import dispatcher_of, rejecting_router, store
from tests.timeouts import WAIT_S

__all__ = ["store"]

pytestmark = pytest.mark.farm


async def test_jobs_are_offered_at_once_and_then_not_for_each_transaction(
    database: Database, store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = rejecting_router(m.FromBuilder)
    router.close()
    dispatcher = dispatcher_of(router, store)
    dispatcher.db = database
    offered: list[Any] = []
    more = asyncio.Event()

    async def apply(_: Dispatcher, event: Any) -> None:
        offered.append(event)
        more.set()

    monkeypatch.setattr(Dispatcher, "_apply", apply)
    listening = asyncio.create_task(dispatcher._on_jobs_queued())
    async with asyncio.timeout(WAIT_S):
        await more.wait()  # it listens: something may have been missed before
        for _ in range(100):
            await database.execute("NOTIFY jobs")
        first = len(offered)
        await database.execute("NOTIFY jobs")
        while len(offered) == first:
            more.clear()
            await more.wait()
    assert len(offered) < 100
    assert set(map(type, offered)) == {JobsAvailable}
    listening.cancel()
    await asyncio.wait({listening})
