"""Growing delays between attempts to reach something that does not answer.

Not a retry library: those retry one call until it succeeds, while the loops here serve a
connection for as long as it lasts, reset the delay when it works again, and are ended by their
callers.
"""

import random


class Backoff:
    """Delays in seconds: each is twice the one before, up to a maximum.

    `jitter` is the range of a random factor, so that many clients of one restarted server do
    not return at the same moment.
    """

    def __init__(
        self, first_s: float, max_s: float, *, jitter: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self._delay_s = first_s

    def next_s(self) -> float:
        """The delay before the next attempt; the one after it is longer."""
        delay_s, self._delay_s = self._delay_s, min(self._delay_s * 2, self._max_s)
        return delay_s * random.uniform(*self._jitter)  # noqa: S311 - no secret

    def reset(self) -> None:
        """Begin with the first delay again, because an attempt succeeded."""
        self._delay_s = self._first_s
