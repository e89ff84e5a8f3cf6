"""Measures how long the master's event loop lets a task wait that is due."""

import asyncio

from piwheels.model import SeriesValue

_INTERVAL_S = 1.0


class LoopDelay:
    """Sleeps again and again, and notes how late it wakes up. Times are in seconds."""

    def __init__(self) -> None:
        self._delays_s: list[float] = []

    async def run(self) -> None:
        """Measure until canceled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _INTERVAL_S
            await asyncio.sleep(_INTERVAL_S)
            self._delays_s.append(max(0.0, clock() - due))

    def take(self) -> SeriesValue | None:
        """The delays since the last call; None without any."""
        delays_s, self._delays_s = self._delays_s, []
        if not delays_s:
            return None
        return SeriesValue(sum(delays_s) / len(delays_s), max(delays_s))
