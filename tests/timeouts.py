"""How long tests wait for what has to come: longer than a busy machine needs.

It costs nothing when it comes. That nothing comes is shown by what comes next, not by a wait.
"""

import time
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from piwheels.protocol.client import CONNECT_TIMEOUT_S, ControlClient
from piwheels.protocol.messages import RequestBody
from piwheels.protocol.sockets import Dealer

_In = TypeVar("_In")
_Out = TypeVar("_Out", bound=Struct)

WAIT_S = 180.0


class Stopwatch:
    """Seconds, less those in which anything on this machine waited for a processor or a disk.

    On a machine that is ours alone these are the clock's, and a promise of seconds can be held.
    """

    def __init__(self) -> None:
        self._began, self._stalled = time.monotonic(), _stall_time_s()

    @property
    def wall_s(self) -> float:
        """Since it was made, by the clock."""
        return time.monotonic() - self._began

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began - (_stall_time_s() - self._stalled)


def _stall_time_s() -> float:
    """Pressure stall information (proc_pressure(5)): `some ... total=` is in microseconds."""
    total_us = 0
    for resource in ("cpu", "io"):
        path = Path("/proc/pressure") / resource
        if path.exists():
            total_us += int(path.read_text().splitlines()[0].rpartition("=")[2])
    return total_us / 1e6


class LongTimeoutDealer(Dealer[_In, _Out]):
    """A client's end that waits for its connection as long as a test does."""

    async def send(self, message: _Out, *frames: bytes, timeout_s: float = WAIT_S) -> None:
        """Send a message and raw frames behind it."""
        await super().send(message, *frames, timeout_s=timeout_s)


class LongTimeoutClient(ControlClient):
    """An operator who waits for a connection as long as a test does."""

    async def send(
        self,
        request_id: int,
        body: RequestBody,
        *,
        idempotency_key: str = "",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        """Send a command under a number."""
        connect_timeout_s = WAIT_S if connect_timeout_s == CONNECT_TIMEOUT_S else connect_timeout_s
        await super().send(
            request_id, body, idempotency_key=idempotency_key, connect_timeout_s=connect_timeout_s
        )
