"""The content of a log as a chain of hashes, by which it is known again wherever it lies.

Each checkpoint's hash covers the one before it and the bytes between, so that a reader can go on
from any of them. They are at the ends of the first lines, where short logs differ, and then at
the first line's end after each mebibyte: where they are depends on the content alone.
"""

from hashlib import sha256
from typing import NamedTuple

_FIRST_LINES = 256
CHECKPOINT_SPACING_BYTES = 1024 * 1024
_DIGEST_BYTES = 16
_MAX_FIRST_LINE_BYTES = 64 * 1024


class Checkpoint(NamedTuple):
    """A place in a log, and the hash of all before it."""

    position: int  # bytes from the beginning
    digest: bytes


class HashChain:
    """Takes a log's bytes in any pieces; `position` and `digest` say how far it got."""

    def __init__(self, at: Checkpoint | None = None) -> None:
        """Begin at a log's beginning, or at a checkpoint beyond its first lines."""
        self.position = at.position if at else 0
        self._newlines = _FIRST_LINES if at else 0
        self._start_hash(at.digest if at else b"")

    @property
    def digest(self) -> bytes:
        """The hash of all bytes so far."""
        return self._hash.digest()[:_DIGEST_BYTES]

    def update(self, data: bytes) -> list[Checkpoint]:
        """Take further bytes; gives the checkpoints that lie in them."""
        found: list[Checkpoint] = []
        start = 0
        while (end := self._next_end(data, start)) > 0:
            self._hash.update(memoryview(data)[start:end])
            self.position += end - start
            self._newlines += 1
            checkpoint = Checkpoint(self.position, self.digest)
            self._start_hash(checkpoint.digest)
            found.append(checkpoint)
            start = end
        self._hash.update(memoryview(data)[start:])
        self.position += len(data) - start
        return found

    def _next_end(self, data: bytes, start: int) -> int:
        """Where the next checkpoint is in `data`, or 0."""
        if self._newlines >= _FIRST_LINES:
            start += max(self._boundary - self.position - 1, 0)
        return data.find(b"\n", start) + 1 if start < len(data) else 0

    def _start_hash(self, digest: bytes) -> None:
        self._hash = sha256(digest)
        self._boundary = (self.position // CHECKPOINT_SPACING_BYTES + 1) * CHECKPOINT_SPACING_BYTES


def first_line_digest(start: bytes) -> bytes:
    """What logs are looked up by: the hash of the first line in a log's first bytes."""
    line = start.partition(b"\n")[0][:_MAX_FIRST_LINE_BYTES]
    return sha256(line).digest()[:_DIGEST_BYTES]
