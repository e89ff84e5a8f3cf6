"""A database that is restarted under a running master: every service resumes by itself."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from piwheels.control import status_service
from piwheels.control.status_service import StatusService
from piwheels.db.database import Database
from piwheels.model import AuditEvent, BuildSummary, Outcome
from piwheels.protocol import messages as m
from piwheels.scheduler.event_bus import EventBus
from tests.control.conftest import Master
from tests.control.test_control import STATUS


async def terminate_connections(master: Master) -> int:
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
class UnavailableDatabase:
    """A database that was away for as long as looking at the farm took."""

    faults: int = 0
    looks: int = 0


@pytest.mark.farm
async def test_status_updates_are_as_frequent_after_an_outage_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away, message = UnavailableDatabase(), asyncio.Event()

    class CountingStatus(StatusService):
        async def status(self, *, loads: bool = False) -> m.StatusReply:
            away.looks += 1
            if away.looks == 1:
                away.faults += 1
                await asyncio.sleep(2)
            else:
                message.set()
            return STATUS

    monkeypatch.setattr(status_service, "STATUS_INTERVAL_S", 0.01)
    nothing: Any = None
    looking = CountingStatus(
        db=cast("Database", away),
        counts_db=cast("Database", away),
        dispatcher=nothing,
        upstream_sync=nothing,
        event_bus=(bulletin := EventBus()),
        alerts=nothing,
        web_root=Path(),
    )
    with bulletin.subscribe():
        running = asyncio.create_task(looking.run())
        async with asyncio.timeout(30):  # not twenty times as long as it was away
            await message.wait()
        running.cancel()


async def test_every_service_continues_after_a_database_restart(master: Master) -> None:
    async with master.builder() as pi1, master.watch() as watcher:
        assert await terminate_connections(master) >= 8, (
            "each service has a connection, and some listen on another"
        )
        await master.release("demo")
        await pi1.take_job()
        assert await terminate_connections(master)
        await pi1.finish_build(Outcome.FAILED)
        await watcher.wait_for_event(BuildSummary, lambda ended: ended.project == "demo")
        await master.ask(m.Pause(), m.CommandSucceeded)
        await watcher.wait_for_event(AuditEvent, lambda event: event.what == "pause the farm")
        await watcher.wait_for_event(m.StatusChanged, lambda pulse: pulse.status.paused)
        assert await terminate_connections(master)
        await master.ask(m.Resume(), m.CommandSucceeded)
        page = master.folder / "www" / "project" / "demo" / "index.html"
        await master.wait_for_file(page)
        # Nobody asks for it: only who listens for notifications can offer it.
        await pi1.send_idle()
        await pi1.receive_type(m.NoJobAvailable)
        await master.release("other")
        assert (await pi1.receive_type(m.StartBuild)).job.project == "other"
        assert await master.ask(m.Explain(project="demo"), m.ExplainReply)
    assert "Traceback" not in master.log
    assert "another master" not in master.log
