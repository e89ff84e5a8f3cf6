"""What the master reports to systemd, and how it handles its signals."""

import asyncio
import signal

from tests.control.conftest import Master
from tests.fake_systemd import Notifications, systemd
from tests.fake_systemd import wait_for_notification as heard_until
from tests.timeouts import WAIT_S

__all__ = ["systemd"]


async def wait_for_notification(systemd: Notifications, wanted: str) -> list[str]:
    """All notifications up to a given one."""
    return await asyncio.to_thread(heard_until, systemd, wanted)


async def test_systemd_is_notified_of_the_status_of_the_master(
    systemd: Notifications, idle_master: Master
) -> None:
    await idle_master.start()
    before = await wait_for_notification(systemd, "READY=1")
    assert before[:-1] == ["WATCHDOG=1\nEXTEND_TIMEOUT_USEC=90000000"] * (len(before) - 1)
    assert len(before) > 1, "a start that takes long is not ended"
    await wait_for_notification(systemd, "WATCHDOG=1\nSTATUS=0 builders, 0 building")
    await idle_master.release("demo")
    async with idle_master.builder() as builder:
        await builder.take_job()
        await wait_for_notification(systemd, "WATCHDOG=1\nSTATUS=1 builder, 1 building")


async def test_a_master_stopped_by_systemd_exits_cleanly(
    systemd: Notifications, idle_master: Master
) -> None:
    await idle_master.start()
    await wait_for_notification(systemd, "READY=1")
    await idle_master.release("demo")
    async with idle_master.builder() as builder:
        job = await builder.take_job()
        assert idle_master.process is not None
        idle_master.process.send_signal(signal.SIGTERM)
        await wait_for_notification(systemd, "STOPPING=1")
        assert await asyncio.to_thread(idle_master.process.wait, WAIT_S) == 0
    assert "Traceback" not in idle_master.log
    queue = await idle_master.jobs()
    assert queue["demo"]["build_id"] == job.build_id, "the running build is still its builder's"
    assert await idle_master.builds() == []
