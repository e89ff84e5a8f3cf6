"""Status messages to systemd, as sd_notify(3) and sd_watchdog_enabled(3) define them."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_NOTIFY_TIMEOUT_S = 1.0
#: A start that goes on says so this often; systemd ends one that was silent for longer.
_START_INTERVAL_S = 10.0
_START_SILENCE_S = 90
#: No step of a start takes longer; from then on the limits of the unit count.
_START_LIMIT_S = 3600.0


def sd_notify(state: str) -> bool:
    """Send systemd the service's state: `READY=1`, `STATUS=...`.

    Returns:
        Whether it was sent; without systemd, or when it does not receive, nothing happens.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_NOTIFY_TIMEOUT_S)
        try:
            # The kernel reports that the receiver can take more only for a connected socket.
            channel.connect(address)
            channel.send(state.encode())
        except OSError:
            return False
    return True


def watchdog_interval_s() -> float | None:
    """How often to send WATCHDOG=1: half of systemd's limit; None without a watchdog."""
    limit, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not limit.isdigit() or int(limit) == 0 or (process and process != str(os.getpid())):
        return None
    return int(limit) / 2_000_000


@asynccontextmanager
async def slow_start(limit_s: float = _START_LIMIT_S) -> AsyncIterator[None]:
    """Meanwhile systemd is told that the start goes on, so that no limit of the unit ends it.

    A start may last longer than TimeoutStartSec: the database is waited for, or pages are
    repaired. One whose event loop stands still is ended as before, and one that takes longer than
    `limit_s`, because a thread may hang. The watchdog is told, too: a standby has reported that it
    is ready before it starts as the master.
    """
    telling = asyncio.create_task(_tell_of_start(limit_s))
    try:
        yield
    finally:
        telling.cancel()


async def _tell_of_start(limit_s: float) -> None:
    every_s = min(watchdog_interval_s() or _START_INTERVAL_S, _START_INTERVAL_S)
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        sd_notify(f"WATCHDOG=1\nEXTEND_TIMEOUT_USEC={_START_SILENCE_S * 1_000_000}")
        await asyncio.sleep(every_s)
