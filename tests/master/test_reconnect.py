"""A database that is restarted under a running master: every duty goes on by itself."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from piwheels.db.database import Database
from piwheels.farm.bulletin import Bulletin
from piwheels.master import glance
from piwheels.master.glance import Glance
from piwheels.model import Outcome
from piwheels.protocol import messages as m
from tests.master.conftest import Master
from tests.master.test_control import STATUS


async def cut(master: Master) -> int:
    """End every connection of the master at once, as a restart of the server does."""
    return int(
        await master.db.value(
            """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        )
    )


@dataclass
class Away:
    """A database that was away for as long as looking at the farm took."""

    faults: int = 0
    looks: int = 0


async def test_after_an_outage_consoles_are_told_as_often_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away, told = Away(), asyncio.Event()

    class Looking(Glance):
        async def status(self, *, loads: bool = False) -> m.StatusReply:
            away.looks += 1
            if away.looks == 1:
                away.faults += 1
                await asyncio.sleep(2)
            else:
                told.set()
            return STATUS

    monkeypatch.setattr(glance, "_PULSE_S", 0.01)
    nothing: Any = None
    looking = Looking(
        db=cast("Database", away),
        counting=cast("Database", away),
        dispatch=nothing,
        follower=nothing,
        bulletin=(bulletin := Bulletin()),
        tree=Path(),
    )
    with bulletin.subscribe():
        running = asyncio.create_task(looking.run())
        async with asyncio.timeout(30):  # not twenty times as long as it was away
            await told.wait()
        running.cancel()


async def test_every_duty_goes_on_after_the_database_was_restarted(master: Master) -> None:
    async with master.builder() as pi1, master.watch() as watcher:
        assert await cut(master) >= 8, "each duty has a connection, and some listen on another"
        await master.release("demo")
        await pi1.take()
        assert await cut(master)
        await pi1.end(Outcome.FAILED)
        await watcher.event(m.JobEnded, lambda ended: ended.project == "demo")
        await master.ask(m.Pause(), m.Applied)
        await watcher.event(m.Happened, lambda event: event.what == "pause the farm")
        await watcher.event(m.Pulse, lambda pulse: pulse.status.paused)
        assert await cut(master)
        await master.ask(m.Resume(), m.Applied)
        page = master.folder / "www" / "project" / "demo" / "index.html"
        await master.until_there(page)
        # Nobody asks for it: only who listens for notifications can offer it.
        await pi1.idle()
        await pi1.hear(m.Wait)
        await master.release("other")
        assert (await pi1.hear(m.BuildJob)).job.project == "other"
        assert await master.ask(m.Explain(project="demo"), m.ExplainReply)
    assert "Traceback" not in master.log
    assert "another master" not in master.log
