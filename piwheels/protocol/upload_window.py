"""Which chunks of a file to request next: credit-based flow control with a growing window.

The receiver drives: each requested chunk is one credit, so a sender never has more in flight than
the receiver can take. The window doubles while that makes the transfer faster, which it does until
it exceeds the bandwidth-delay product, and then stays; one slow round does not end the growth. A
window of W bytes on a link with a round trip of R seconds carries at most W/R bytes a second.

A sender hears nothing while its last chunks are under way, and takes a connection for dead on which
it hears nothing for long. So a window that takes long shrinks, and chunks are small where windows
are.
"""

from collections import deque

import msgspec

from piwheels.protocol.messages import CHUNK_BYTES

INITIAL_WINDOW_BYTES = CHUNK_BYTES
MAX_WINDOW_BYTES = 128 * CHUNK_BYTES
MIN_WINDOW_BYTES = CHUNK_BYTES // 4
#: A window that takes longer than this shrinks; senders wait three times as long.
MAX_ROUND_S = 10.0
#: A chunk is this part of the window, within limits: it is what a cut connection loses.
_CHUNKS_PER_WINDOW = 8
_MIN_CHUNK_BYTES = CHUNK_BYTES // 16

#: A doubled window has to be faster by this factor to be worth its memory.
_MIN_SPEEDUP = 1.2
#: After this many rounds without a speedup the window keeps its size.
_GROWTH_ATTEMPTS = 3


class ByteRange(msgspec.Struct, frozen=True):
    """A range of the file, in bytes."""

    offset: int
    length: int


class Transfer:
    """The receiver's side of one file: no I/O, times in seconds of any one clock."""

    def __init__(self, size_bytes: int, *, start: int = 0, chunk_bytes: int = CHUNK_BYTES) -> None:
        """start: how many bytes of the file arrived over an earlier connection."""
        self.size_bytes = size_bytes
        self.received_bytes = start
        self.window_bytes = INITIAL_WINDOW_BYTES
        self._max_chunk_bytes = chunk_bytes
        self._requested: deque[ByteRange] = deque()
        self._requested_bytes = start
        self._round_started_at: float | None = None
        self._round_bytes = 0
        self._best_rate = 0.0
        self._rounds_without_gain = 0

    @property
    def complete(self) -> bool:
        """Whether every byte has arrived."""
        return self.received_bytes >= self.size_bytes

    def next_requests(self, now: float) -> list[ByteRange]:
        """The chunks to request now; each is requested once."""
        if self._round_started_at is None:
            self._round_started_at = now
        pieces = []
        while (
            self._requested_bytes < self.size_bytes
            and self._requested_bytes - self.received_bytes < self.window_bytes
        ):
            length = min(self._chunk_bytes, self.size_bytes - self._requested_bytes)
            pieces.append(ByteRange(self._requested_bytes, length))
            self._requested_bytes += length
        self._requested.extend(pieces)
        return pieces

    @property
    def _chunk_bytes(self) -> int:
        share = max(self.window_bytes // _CHUNKS_PER_WINDOW, _MIN_CHUNK_BYTES)
        return min(share, self._max_chunk_bytes)

    def on_chunk(self, offset: int, length: int, now: float) -> bool:
        """Note that a chunk arrived; chunks arrive in the order of the requests.

        Returns:
            Whether it is the expected one; another one has to be rejected.
        """
        if not self._requested or self._requested[0] != ByteRange(offset, length):
            return False
        self._requested.popleft()
        self.received_bytes += length
        self._round_bytes += length
        began = now if self._round_started_at is None else self._round_started_at
        if self._round_bytes >= self.window_bytes or now - began > MAX_ROUND_S:
            self._end_round(now)
        return True

    def _end_round(self, now: float) -> None:
        elapsed = max(
            now - (self._round_started_at if self._round_started_at is not None else now), 1e-6
        )
        rate = self._round_bytes / elapsed
        gained = rate > self._best_rate * _MIN_SPEEDUP
        self._best_rate = max(self._best_rate, rate)
        if elapsed > MAX_ROUND_S:
            fitting = int(self._round_bytes * MAX_ROUND_S / elapsed)
            self.window_bytes = max(min(fitting, self.window_bytes), MIN_WINDOW_BYTES)
        elif gained and self._rounds_without_gain < _GROWTH_ATTEMPTS:
            self.window_bytes = min(self.window_bytes * 2, MAX_WINDOW_BYTES)
            self._rounds_without_gain = 0
        elif not gained:
            self._rounds_without_gain += 1
        self._round_started_at = now
        self._round_bytes = 0
