"""Another client's lock, with a real master: builders are answered, and the holder is named."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from piwheels.control import database_watch
from piwheels.control.database_watch import DatabaseWatch
from piwheels.db.database import Database
from piwheels.errors import PiwheelsError
from piwheels.protocol import messages as m
from tests.control.conftest import Master
from tests.timeouts import WAIT_S


@asynccontextmanager
async def hold_lock(dsn: str) -> AsyncIterator[int]:
    """A client that keeps everybody else from the queue; gives its process's number."""
    async with await psycopg.AsyncConnection.connect(dsn, application_name="psql") as holder:
        await holder.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        yield holder.info.backend_pid
        await holder.rollback()


async def wait_for_reason(watch: DatabaseWatch, word: str) -> str:
    """The wait reason, as soon as it contains a word."""
    async with asyncio.timeout(WAIT_S):
        while word not in watch.wait_reason:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
    return watch.wait_reason


async def test_the_holder_of_a_lock_is_named_until_it_is_released(
    dsn: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_watch, "_INTERVAL_S", 0.05)
    monkeypatch.setattr(database_watch, "_MIN_WAIT_S", 0.1)
    async with await Database.connect(dsn, role="watch") as db:
        watch = DatabaseWatch(db, [db, database])
        running = asyncio.create_task(watch.run())
        async with hold_lock(dsn) as pid:
            waiting = asyncio.create_task(database.execute("DELETE FROM jobs"))
            message = await wait_for_reason(watch, f"held by process {pid} (psql of ")
            assert message.startswith("test: waiting for ")
            assert "LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE" in message
            assert message.endswith(f"run SELECT pg_terminate_backend({pid})")
        await waiting
        async with asyncio.timeout(WAIT_S):
            while watch.wait_reason:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
        running.cancel()


async def test_the_last_database_error_is_the_wait_reason(database: Database) -> None:
    watch = DatabaseWatch(database, [database])
    database.last_error = "could not extend file: No space left on device"
    assert watch.wait_reason == "could not extend file: No space left on device"


@pytest.mark.slow
async def test_builders_are_answered_while_the_queue_is_locked(master: Master) -> None:
    async with master.builder() as pi1:
        await pi1.send_idle()
        await pi1.receive_type(m.NoJobAvailable)
        async with hold_lock(str(master.settings["database.dsn"])) as pid:
            await pi1.send_idle()  # asks for a claim, which waits for the lock
            for _ in range(3):
                await pi1.send_idle()
                assert "database" in (await pi1.receive_type(m.NoJobAvailable)).reason
            await pi1.say_hello()
            message = ""
            async with asyncio.timeout(WAIT_S):
                while f"held by process {pid}" not in message:
                    status = await master.ask(m.Status(), m.StatusReply)
                    message = status.database
            assert [view.state for view in status.builders] == [m.BuilderState.IDLE]
            async with master.watch() as watcher:
                assert watcher.snapshot.status.database
            assert await master.ask(m.ListEvents(), m.EventsReply)
            async with asyncio.timeout(WAIT_S):
                while f"held by process {pid}" not in master.log:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        await master.release("demo")
        await pi1.take_job()
        await pi1.finish_build()
    assert "Traceback" not in master.log


@pytest.mark.slow
async def test_a_master_without_counts_says_what_it_waits_for(
    idle_master: Master,
) -> None:
    """The lock was there before it started: nothing is in memory, and nothing is mute."""
    async with hold_lock(str(idle_master.settings["database.dsn"])) as pid:
        starting = asyncio.create_task(idle_master.start())
        async with asyncio.timeout(WAIT_S):
            while not (idle_master.folder / "c.sock").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            refusal = ""
            while f"process {pid} (psql" not in refusal:
                with pytest.raises(PiwheelsError) as refused:
                    await idle_master.ask(m.Status(), m.StatusReply)
                refusal = str(refused.value)
    assert "has not answered since the master started; still retrying (" in refusal
    await starting
    assert "Traceback" not in idle_master.log
