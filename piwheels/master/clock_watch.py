"""Detects jumps of the database's clock, and corrects times that were stored while it was wrong.

All times that the farm waits for are read from the database's clock. It is compared with the time
since this machine booted, which setting a clock does not change.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from piwheels.db.database import Database
from piwheels.db.database_clock import database_time, reset_future_times
from piwheels.formatting import format_duration, pluralize
from piwheels.system.boot_time import boot_time_s

log = logging.getLogger(__name__)

_INTERVAL_S = 10.0
#: Smaller corrections are normal, and within the precision of the reading.
_JUMP_THRESHOLD_S = 10.0
#: A clock that was set ahead by so much is not believed for so long.
_MIN_DISTRUSTED_S, _DISTRUST_S = 3600.0, 86_400.0


@dataclass(slots=True)
class JumpDetector:
    """Compares a wall clock with a monotonic one. No I/O: it is given both times."""

    _offset_s: float | None = None

    def clock_jump_s(self, wall_clock_s: float, monotonic_s: float) -> float:
        """By how much the wall clock was set since the last reading; 0.0 for less than a jump."""
        offset_s = wall_clock_s - monotonic_s
        previous_s, self._offset_s = self._offset_s, offset_s
        jump_s = 0.0 if previous_s is None else offset_s - previous_s
        return jump_s if abs(jump_s) > _JUMP_THRESHOLD_S else 0.0


@dataclass(slots=True)
class SettledClock:
    """Whether the database's clock may be believed where data are deleted by their age.

    One that was set ahead by an hour or more is believed after a day: until then somebody can set
    it right, and nothing is lost. No I/O, as in JumpDetector.
    """

    _detector: JumpDetector = field(default_factory=JumpDetector)
    _ahead_s: float = 0.0  # by how much it was set ahead and not back, while it is not believed
    _set_at_s: float = 0.0

    def distrusted_s(self, wall_clock_s: float, monotonic_s: float) -> float:
        """By how much it was set ahead lately; 0.0 if it may be believed."""
        jump_s = self._detector.clock_jump_s(wall_clock_s, monotonic_s)
        if jump_s > 0:
            self._set_at_s = monotonic_s
        if jump_s or self._ahead_s:
            self._ahead_s += jump_s
        if self._ahead_s < _MIN_DISTRUSTED_S or monotonic_s - self._set_at_s > _DISTRUST_S:
            self._ahead_s = 0.0
        return self._ahead_s

    async def may_delete(self, db: Database) -> bool:
        """Read the clock; it is logged when nothing should be deleted by its time."""
        ahead_s = self.distrusted_s((await database_time(db)).timestamp(), boot_time_s())
        if ahead_s:
            log.warning(
                "nothing is deleted by its age for a day: the database's clock was set ahead by %s",
                format_duration(round(ahead_s, -1)),
            )
        return not ahead_s


@dataclass(slots=True)
class ClockWatch:
    """Checks periodically; `record_event` writes into the audit log."""

    db: Database
    record_event: Callable[[str], Awaitable[None]]
    _detector: JumpDetector = field(default_factory=JumpDetector)

    async def run(self) -> None:
        """Correct times in the future: at the start, and when the clock jumped back."""
        await self._clamp_future_times()
        while True:
            await self.check()
            await asyncio.sleep(_INTERVAL_S)

    async def check(self) -> None:
        """Compare the clocks once."""
        started_s = boot_time_s()
        wall_clock = await database_time(self.db)
        monotonic_s = boot_time_s()
        if monotonic_s - started_s > _JUMP_THRESHOLD_S / 2:
            return  # a slow reply: it is unknown when the database read its clock
        jump_s = self._detector.clock_jump_s(wall_clock.timestamp(), monotonic_s)
        if jump_s:
            way = "ahead" if jump_s > 0 else "back"
            size = format_duration(round(abs(jump_s), -1))  # as precise as the reading
            await self.record_event(f"the database's clock was set {way} by {size}")
        if jump_s < 0:
            await self._clamp_future_times()

    async def _clamp_future_times(self) -> None:
        if count := await reset_future_times(self.db):
            await self.record_event(
                f"times ahead of the database's clock were set to now, in {pluralize(count, 'row')}"
            )
