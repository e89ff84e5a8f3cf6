"""When the lines of a log arrived."""

from bisect import bisect_right
from collections.abc import Sequence

#: So many times are kept; with more, every second one is dropped.
_MAX_TIMES = 10_000
_HOUR_S = 3600.0
#: From then on minutes are shown, and no tenths.
_MINUTES_FROM_S = 600.0


class LineTimes:
    """The seconds after a build's start at which its lines began to arrive, as far as known."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """For another log."""
        self._numbers: list[int] = []
        self._seconds: list[float] = []

    def add(self, number: int, seconds: float) -> None:
        """The lines from this number on arrived then, until more is known."""
        if self._numbers and number <= self._numbers[-1]:
            return
        self._numbers.append(number)
        self._seconds.append(seconds)
        if len(self._numbers) > _MAX_TIMES:
            del self._numbers[1::2], self._seconds[1::2]

    def at(self, number: int) -> float | None:
        """When a line arrived; None: unknown."""
        place = bisect_right(self._numbers, number) - 1
        return self._seconds[place] if place >= 0 else None


def split_at_arrivals(
    data: bytes, arrivals: Sequence[tuple[int, float]]
) -> list[tuple[bytes, float | None]]:
    """A chunk of a log in pieces, each with when it arrived; None: unknown.

    `arrivals` are places in the chunk, in bytes, the first of which can be before it.
    """
    if not arrivals:
        return [(data, None)]
    places = [max(0, at) for at, _ in arrivals]
    first = places[0]
    pieces: list[tuple[bytes, float | None]] = [(data[:first], None)] if first else []
    for (_, seconds), start, end in zip(arrivals, places, [*places[1:], len(data)], strict=True):
        if start < end:
            pieces.append((data[start:end], seconds))
    return pieces


def format_elapsed(seconds: float) -> str:
    """Seconds since a build's start: `40.2`, `12:31`, `1:02:31`."""
    if seconds < _MINUTES_FROM_S:
        return f"{seconds:.1f}"
    minutes, rest = divmod(int(seconds), 60)
    if seconds < _HOUR_S:
        return f"{minutes}:{rest:02}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
