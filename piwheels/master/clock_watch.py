"""Whether the database's clock jumps, and what was kept while it was wrong.

All moments that the farm waits for are the database's. Its clock is compared with the time that
has passed since this machine started, which no setting of a clock changes.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from piwheels.db.clock import database_time, reset_future_times
from piwheels.db.database import Database

log = logging.getLogger(__name__)

_INTERVAL_S = 10.0
#: What a clock is corrected by without anybody noticing; and how exactly it is read.
_JUMP_THRESHOLD_S = 10.0


@dataclass(slots=True)
class JumpDetector:
    """Compares a wall clock with a steady one. No I/O: it is given both times."""

    _offset_s: float | None = None

    def clock_jump_s(self, wall_clock_s: float, monotonic_s: float) -> float:
        """By how much the wall clock was set since the last reading; 0.0 for less than a jump."""
        offset_s = wall_clock_s - monotonic_s
        before_s, self._offset_s = self._offset_s, offset_s
        jump_s = 0.0 if before_s is None else offset_s - before_s
        return jump_s if abs(jump_s) > _JUMP_THRESHOLD_S else 0.0


@dataclass(slots=True)
class ClockWatch:
    """The duty; `note` records an event."""

    db: Database
    record_event: Callable[[str], Awaitable[None]]
    _detector: JumpDetector = field(default_factory=JumpDetector)

    async def run(self) -> None:
        """Set moments back that are too far ahead: now, and when the clock jumped back."""
        await self._clamp_future_times()
        while True:
            await self.check()
            await asyncio.sleep(_INTERVAL_S)

    async def check(self) -> None:
        """Compare the clocks once."""
        started_s = _boot_time_s()
        moment = await database_time(self.db)
        monotonic_s = _boot_time_s()
        if monotonic_s - started_s > _JUMP_THRESHOLD_S / 2:
            return  # the database was slow to answer: when it read its clock is not known
        jump_s = self._detector.clock_jump_s(moment.timestamp(), monotonic_s)
        if jump_s:
            way = "ahead" if jump_s > 0 else "back"
            await self.record_event(f"the database's clock was set {way} by {abs(jump_s):.0f} s")
        if jump_s < 0:
            await self._clamp_future_times()

    async def _clamp_future_times(self) -> None:
        if count := await reset_future_times(self.db):
            await self.record_event(
                f"times ahead of the database's clock were set to now, in {count} of its rows"
            )


def _boot_time_s() -> float:
    """Seconds since this machine started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
