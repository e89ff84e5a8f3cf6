"""The current time by the upstream's clock."""

import time
from datetime import UTC, datetime, timedelta


class UpstreamClock:
    """The time from the upstream's responses; this machine's time if they have none."""

    def __init__(self) -> None:
        self._reading: tuple[datetime, float] | None = None

    @property
    def is_known(self) -> bool:
        """Whether a response contained the time."""
        return self._reading is not None

    def update(self, moment: datetime | None, age_s: float = 0.0) -> None:
        """Set the clock from a response that was received just now.

        Args:
            moment: its Date.
            age_s: its Age. Caches send it with the origin's Date or their own, so the time is
                between Date and Date + Age; this machine's time is used if it is between them.
        """
        if moment is not None:
            latest = moment + timedelta(seconds=age_s)
            self._reading = min(max(datetime.now(UTC), moment), latest), time.monotonic()

    def now(self) -> datetime:
        """The current time."""
        if self._reading is None:
            return datetime.now(UTC)
        moment, at = self._reading
        return moment + timedelta(seconds=time.monotonic() - at)

    def ahead_s(self) -> float:
        """How far this machine's clock is ahead of the upstream's; negative if it is behind."""
        return (datetime.now(UTC) - self.now()).total_seconds()
