"""The time by the upstream's clock."""

import time
from datetime import UTC, datetime, timedelta


class UpstreamClock:
    """The time as the upstream's answers tell it; this machine's where they tell none."""

    def __init__(self) -> None:
        self._reading: tuple[datetime, float] | None = None

    @property
    def is_known(self) -> bool:
        """Whether an answer carried the time."""
        return self._reading is not None

    def update(self, moment: datetime | None, age_s: float = 0.0) -> None:
        """Take note of the time in an answer that came just now.

        Args:
            moment: its Date.
            age_s: its Age. Caches send the origin's Date or their own with it, so that the time is
                somewhere between the two; where this machine's is as well, that is taken.
        """
        if moment is not None:
            latest = moment + timedelta(seconds=age_s)
            self._reading = min(max(datetime.now(UTC), moment), latest), time.monotonic()

    def now(self) -> datetime:
        """The time."""
        if self._reading is None:
            return datetime.now(UTC)
        moment, at = self._reading
        return moment + timedelta(seconds=time.monotonic() - at)

    def ahead_s(self) -> float:
        """How far this machine's clock is ahead of the upstream's; below 0 it is behind."""
        return (datetime.now(UTC) - self.now()).total_seconds()
