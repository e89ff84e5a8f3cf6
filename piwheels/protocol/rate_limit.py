"""Limits how often something happens, and how many log lines peers can cause."""

import logging
import time
from dataclasses import dataclass

_PER_MINUTE = 10
_MINUTE_S = 60.0


@dataclass(slots=True)
class Allowance:
    """Allows something `limit` times in each period; a period begins with its first use."""

    limit: int
    period_s: float
    _period_started_at: float = float("-inf")
    _used: int = 0

    def allows(self, now: float) -> bool:
        """Whether it is allowed again; `now` is monotonic, in seconds."""
        if now - self._period_started_at >= self.period_s:
            self._period_started_at, self._used = now, 0
        self._used += 1
        return self._used <= self.limit


@dataclass(slots=True)
class RateLimitedLog:
    """Logs the first lines of each minute, and counts the others.

    The number of suppressed lines is logged with the first line of a later minute.
    """

    log: logging.Logger
    per_minute: int = _PER_MINUTE
    _minute_started_at: float = float("-inf")
    _written: int = 0
    _suppressed: int = 0

    def warning(self, text: str, *values: object, with_traceback: bool = False) -> None:
        """Log a warning; with `with_traceback`, an error with the current exception's traceback."""
        now = time.monotonic()
        if now - self._minute_started_at >= _MINUTE_S:
            self._start_minute(now)
        if self._written >= self.per_minute:
            self._suppressed += 1
            return
        self._written += 1
        self.log.log(
            logging.ERROR if with_traceback else logging.WARNING,
            text,
            *values,
            exc_info=with_traceback or None,
        )

    def _start_minute(self, now: float) -> None:
        left_out, self._suppressed = self._suppressed, 0
        self._minute_started_at, self._written = now, 0
        if left_out:
            self.log.warning("%d more lines like the next were suppressed", left_out)
