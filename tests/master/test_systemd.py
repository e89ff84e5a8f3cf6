"""What the master tells systemd, and how it heeds it."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.master.conftest import WAIT_S, Master


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end that systemd listens on; it wants to hear something every 0.2 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(WAIT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        yield listener


async def until_told(listener: socket.socket, wanted: str) -> list[str]:
    """Everything that is told until something is."""
    told = [""]
    async with asyncio.timeout(WAIT_S):
        while told[-1] != wanted:
            told.append((await asyncio.to_thread(listener.recv, 4096)).decode())
    return told[1:]


async def test_systemd_is_told_how_the_master_is(
    systemd: socket.socket, idle_master: Master
) -> None:
    await idle_master.start()
    before = await until_told(systemd, "READY=1")
    assert before == ["READY=1"], "nothing before it is ready"
    await until_told(systemd, "WATCHDOG=1\nSTATUS=0 builders, 0 building")
    await idle_master.release("demo")
    async with idle_master.builder() as builder:
        await builder.take()
        await until_told(systemd, "WATCHDOG=1\nSTATUS=1 builders, 1 building")


async def test_a_master_that_systemd_stops_finishes_cleanly(
    systemd: socket.socket, idle_master: Master
) -> None:
    await idle_master.start()
    await until_told(systemd, "READY=1")
    await idle_master.release("demo")
    async with idle_master.builder() as builder:
        job = await builder.take()
        assert idle_master.process is not None
        idle_master.process.send_signal(signal.SIGTERM)
        await until_told(systemd, "STOPPING=1")
        assert await asyncio.to_thread(idle_master.process.wait, WAIT_S) == 0
    assert "Traceback" not in idle_master.log
    queue = await idle_master.jobs()
    assert queue["demo"]["build"] == job.build, "the build in hand is still its builder's"
    assert await idle_master.builds() == []
