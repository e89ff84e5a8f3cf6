"""The time by the upstream's clock."""

import time
from datetime import UTC, datetime, timedelta


class UpstreamClock:
    """The time as the upstream's answers tell it; this machine's where they tell none."""

    def __init__(self) -> None:
        self._heard: tuple[datetime, float] | None = None

    @property
    def heard(self) -> bool:
        """Whether an answer carried the time."""
        return self._heard is not None

    def hear(self, moment: datetime | None, age_s: float = 0.0) -> None:
        """Take note of the time in an answer that came just now.

        Args:
            moment: its Date.
            age_s: its Age. Caches send the origin's Date or their own with it, so that the time is
                somewhere between the two; where this machine's is as well, that is taken.
        """
        if moment is not None:
            latest = moment + timedelta(seconds=age_s)
            self._heard = min(max(datetime.now(UTC), moment), latest), time.monotonic()

    def now(self) -> datetime:
        """The time."""
        if self._heard is None:
            return datetime.now(UTC)
        moment, at = self._heard
        return moment + timedelta(seconds=time.monotonic() - at)

    def ahead_s(self) -> float:
        """How far this machine's clock is ahead of the upstream's; below 0 it is behind."""
        return (datetime.now(UTC) - self.now()).total_seconds()
