"""The dispatcher's database work: in order for one builder, and side by side for several."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.model import Outcome
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.keyed_queue import KeyedQueue
from piwheels.scheduler.session_changes import complete_as
from piwheels.scheduler.state_machine_events import MessageReceived
from tests.scheduler.message_factories import idle
from tests.scheduler.simulation import SimFarm, add_releases, sim_farm
from tests.timeouts import WAIT_S


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - any state of the simulation
            await asyncio.sleep(0.01)


async def test_items_of_one_key_are_ordered_and_do_not_delay_other_keys() -> None:
    done: list[str] = []
    slow = asyncio.Event()
    finished = asyncio.Event()

    async def handle(item: str) -> None:
        if item == "a1":
            await slow.wait()
        done.append(item)
        if item == "a2":
            finished.set()

    queue = KeyedQueue(handle)
    running = asyncio.create_task(queue.run())
    for item in ("a1", "a2", "b1", "b2"):
        queue.put(item[0], item)
    async with asyncio.timeout(WAIT_S):
        await until(lambda: len(done) == 2)
        assert done == ["b1", "b2"]
        slow.set()
        await finished.wait()
    assert done == ["b1", "b2", "a1", "a2"]
    running.cancel()


async def test_an_exception_of_the_handler_ends_the_work() -> None:
    async def handle(_: str) -> None:
        raise ValueError("no")

    queue = KeyedQueue(handle)
    queue.put("a", "a1")
    with pytest.raises(ExceptionGroup, match="TaskGroup"):
        await asyncio.wait_for(queue.run(), WAIT_S)


@pytest.fixture
async def sim(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimFarm:
    """Two builders and three releases."""
    farm = await sim_farm(database, tmp_path, monkeypatch, "ab")
    await add_releases(farm, "one", "two", "three")
    return farm


async def test_a_slow_log_compression_does_not_delay_another_builders_claim(
    sim: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressing, go_on = threading.Event(), threading.Event()
    archive = LogSpool.archive

    def slow_archive(logs: LogSpool, build: int) -> None:
        compressing.set()
        assert go_on.wait(WAIT_S)
        archive(logs, build)

    monkeypatch.setattr(LogSpool, "archive", slow_archive)
    sim.builders["b"].disconnected = True
    await sim.run(10.0)
    job = sim.builders["a"].job
    assert job is not None
    work = sim.dispatcher._database_work
    running = asyncio.create_task(work.run())
    work.put("a", complete_as("a", job, Outcome.FAILED, "it broke", 1.0))
    assert await asyncio.to_thread(compressing.wait, WAIT_S)
    # The log of a's build is being compressed, and b gets its job.
    sim.builders["b"].disconnected = False
    async with asyncio.timeout(WAIT_S):
        await sim.connect("b")
        await sim.dispatcher._apply(MessageReceived("b", idle()))
        await until(lambda: sim.builders["b"].job is not None)
    assert await sim.db.value("SELECT count(*) FROM builds") == 0, "it is being compressed still"
    go_on.set()
    await until(lambda: sim.builders["a"].job is None)
    assert await sim.db.value("SELECT count(*) FROM builds") == 1
    running.cancel()
