"""The simulated farm itself: what the console's other tests and benchmarks stand on."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from piwheels.errors import RefusedError
from piwheels.protocol.messages import (
    Applied,
    Batch,
    BuilderChanged,
    BuilderState,
    FollowLog,
    LogPiece,
    Order,
    OrderBuilders,
    Pause,
    Quit,
    Snapshot,
    Watch,
)
from piwheels.tui.fates import Turn
from piwheels.tui.link import Link
from piwheels.tui.source import Connected
from tests.patience import WAIT_S, PatientClient
from tests.simfarm import SimFarm, World
from tests.simfarm.server import socket_in
from tests.simfarm.world import ODD_STATES
from tests.tui.listening import Listener, until


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    async with SimFarm(socket_in(tmp_path), World(builders=15), hz=20) as farm:
        yield farm


def test_the_same_seed_gives_the_same_farm() -> None:
    began = World(builders=1).time
    one, other = (World(builders=30, seed=7, began=began) for _ in range(2))
    assert one.snapshot() == other.snapshot()
    assert [one.step(0.2) for _ in range(200)] == [other.step(0.2) for _ in range(200)]
    assert one.snapshot() != World(builders=30, seed=8, began=began).snapshot()


def test_every_odd_state_is_there() -> None:
    states = {view.state for view in World(builders=12).snapshot().status.builders}
    assert set(ODD_STATES) <= states
    assert BuilderState.BUILDING in states | {BuilderState.UPLOADING}


def test_builds_end_and_others_begin() -> None:
    world = World(builders=10, build_s=5)
    names = [type(event).__name__ for _ in range(200) for event in world.step(0.5)]
    assert names.count("JobEnded") > 20
    assert names.count("JobStarted") > 20
    assert {build.outcome for build in world.builds} > {"built", "failed"}


async def test_a_watcher_gets_a_snapshot_and_then_every_builder_at_each_tick(farm: SimFarm) -> None:
    async with PatientClient(farm.address) as client, client.stream(Watch()) as talk:
        assert isinstance(await talk.next(), Snapshot)
        batch = await talk.next()
    assert isinstance(batch, Batch)
    changed = [event for event in batch.events if isinstance(event, BuilderChanged)]
    assert len(changed) == 15


async def test_a_log_of_a_hundred_thousand_lines_comes_whole(farm: SimFarm) -> None:
    farm.log_lines = 100_000
    build = farm.world.builds[0].build
    data = b""
    async with (
        PatientClient(farm.address) as client,
        client.stream(FollowLog(build=build)) as talk,
    ):
        while True:
            piece = await talk.next()
            assert isinstance(piece, LogPiece)
            assert piece.offset == len(data)
            data += piece.data
            if piece.finished:
                break
    assert data.count(b"\n") == 100_000


async def test_commands_are_carried_out_and_remembered(farm: SimFarm) -> None:
    async with PatientClient(farm.address, who="ada@here") as client:
        async with client.stream(Pause(), identity="one") as talk:
            await talk.next()
            assert isinstance(await talk.next(), Applied)
        async with client.stream(Pause(), identity="one") as talk:
            assert isinstance(await talk.next(), Applied)
        with pytest.raises(RefusedError, match="there is no builder pi999"):
            await client.ask(OrderBuilders(order=Order.KILL, builders=("pi999",)), Applied)
    assert farm.world.paused
    assert [(asked.body, asked.operator) for asked in farm.asked] == [
        (Pause(), "ada@here"),
        (OrderBuilders(order=Order.KILL, builders=("pi999",)), "ada@here"),
    ]


async def test_a_read_only_asker_changes_nothing(farm: SimFarm) -> None:
    async with PatientClient(farm.address, read_only=True) as client:
        with pytest.raises(RefusedError, match="read-only"):
            await client.ask(Pause(), Applied)
    assert not farm.world.paused


async def test_in_a_process_of_its_own_it_goes_and_comes_as_it_is_told(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.simfarm", "--socket", str(tmp_path / "s"), "--builders", "2",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None

    async def said() -> str:
        assert child.stdout is not None
        return (await asyncio.wait_for(child.stdout.readline(), WAIT_S)).decode().strip()

    assert await said() == f"listening at ipc://{tmp_path}/s"
    link = Link(f"ipc://{tmp_path}/s", who="ada@here")
    async with Listener(link) as listener:
        await listener.next(Connected)
        for number, words, same in (
            (signal.SIGUSR1, "back as the same master", True),
            (signal.SIGUSR2, "back as a new master", False),
        ):
            child.send_signal(signal.SIGUSR1)
            assert await said() == "gone"
            await until(lambda: not listener.state.connected)
            child.send_signal(number)
            assert await said() == words
            await until(lambda: listener.state.connected)
            assert listener.of(Connected)[-1].same_master is same
        assert (await link.command(Pause(), what="pause")).turn is Turn.APPLIED
        assert await said() == "ada@here: Pause()"
        assert (await link.command(Quit(), what="quit")).turn is Turn.APPLIED
        assert await said() == "ada@here: Quit()"
        assert await asyncio.wait_for(child.wait(), WAIT_S) == 0
