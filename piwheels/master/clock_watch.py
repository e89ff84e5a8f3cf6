"""Whether the database's clock jumps, and what was kept while it was wrong.

All moments that the farm waits for are the database's. Its clock is compared with the time that
has passed since this machine started, which no setting of a clock changes.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from piwheels.db.clock import database_time, set_back
from piwheels.db.database import Database

log = logging.getLogger(__name__)

_EVERY_S = 10.0
#: What a clock is corrected by without anybody noticing; and how exactly it is read.
_JUMP_S = 10.0


@dataclass(slots=True)
class JumpDetector:
    """Compares a wall clock with a steady one. No I/O: it is given both times."""

    _offset_s: float | None = None

    def jumped_s(self, wall_s: float, steady_s: float) -> float:
        """By how much the wall clock was set since the last reading; 0.0 for less than a jump."""
        offset_s = wall_s - steady_s
        before_s, self._offset_s = self._offset_s, offset_s
        jump_s = 0.0 if before_s is None else offset_s - before_s
        return jump_s if abs(jump_s) > _JUMP_S else 0.0


@dataclass(slots=True)
class ClockWatch:
    """The duty; `note` records an event."""

    db: Database
    note: Callable[[str], Awaitable[None]]
    _detector: JumpDetector = field(default_factory=JumpDetector)

    async def run(self) -> None:
        """Set moments back that are too far ahead: now, and when the clock jumped back."""
        await self._set_back()
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Compare the clocks once."""
        began_s = _steady_s()
        moment = await self.db.retrying(lambda: database_time(self.db))
        steady_s = _steady_s()
        if steady_s - began_s > _JUMP_S / 2:
            return  # the database was slow to answer: when it read its clock is not known
        jump_s = self._detector.jumped_s(moment.timestamp(), steady_s)
        if jump_s:
            way = "ahead" if jump_s > 0 else "back"
            await self.note(f"the database's clock was set {way} by {abs(jump_s):.0f} s")
        if jump_s < 0:
            await self._set_back()

    async def _set_back(self) -> None:
        if count := await self.db.retrying(lambda: set_back(self.db)):
            await self.note(
                f"times ahead of the database's clock were set to now, in {count} of its rows"
            )


def _steady_s() -> float:
    """Seconds since this machine started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
