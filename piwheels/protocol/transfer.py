"""Which pieces of a file to ask for next: credit-based fetching with a window that grows.

The receiver drives: each piece asked for is one credit, so a sender never has more under
way than the receiver can take. The window doubles while that makes the file come faster,
as it does until the link's delay is filled, and then stays; one slow round does not end
it. A window of W bytes on a link with a round trip of R seconds cannot carry more than W/R
bytes a second.
"""

import msgspec

from piwheels.protocol.messages import CHUNK_BYTES

FIRST_WINDOW_BYTES = 8 * CHUNK_BYTES
LARGEST_WINDOW_BYTES = 128 * CHUNK_BYTES

#: A window that is twice as large has to bring this much more to be worth its memory.
_WORTHWHILE = 1.2
#: After so many rounds without a gain the window stays.
_PATIENCE = 3


class Piece(msgspec.Struct, frozen=True):
    """A range of the file, in bytes."""

    offset: int
    length: int


class Transfer:
    """The receiver's side of one file: no I/O, times in seconds of any one clock."""

    def __init__(self, size_bytes: int, *, start: int = 0, chunk_bytes: int = CHUNK_BYTES) -> None:
        """start: how much of the file is there already, from an earlier connection."""
        self.size_bytes = size_bytes
        self.received = start
        self.window_bytes = FIRST_WINDOW_BYTES
        self._chunk = chunk_bytes
        self._asked = start
        self._round_began: float | None = None
        self._round_bytes = 0
        self._best_rate = 0.0
        self._vain_rounds = 0

    @property
    def complete(self) -> bool:
        """Whether every byte has arrived."""
        return self.received >= self.size_bytes

    def next_pieces(self, now: float) -> list[Piece]:
        """What to ask for now; each piece is asked for once."""
        if self._round_began is None:
            self._round_began = now
        pieces = []
        while self._asked < self.size_bytes and self._asked - self.received < self.window_bytes:
            length = min(self._chunk, self.size_bytes - self._asked)
            pieces.append(Piece(self._asked, length))
            self._asked += length
        return pieces

    def accept(self, offset: int, length: int, now: float) -> bool:
        """Note that a piece arrived; pieces come in the order asked for.

        Returns:
            Whether it is the one that was due; another one has to be refused.
        """
        due = min(self._chunk, self.size_bytes - self.received)
        if offset != self.received or length != due or offset >= self._asked:
            return False
        self.received += length
        self._round_bytes += length
        if self._round_bytes >= self.window_bytes:
            self._end_round(now)
        return True

    def _end_round(self, now: float) -> None:
        elapsed = max(now - (self._round_began if self._round_began is not None else now), 1e-6)
        rate = self._round_bytes / elapsed
        gained = rate > self._best_rate * _WORTHWHILE
        self._best_rate = max(self._best_rate, rate)
        if gained and self._vain_rounds < _PATIENCE:
            self.window_bytes = min(self.window_bytes * 2, LARGEST_WINDOW_BYTES)
            self._vain_rounds = 0
        elif not gained:
            self._vain_rounds += 1
        self._round_began = now
        self._round_bytes = 0
