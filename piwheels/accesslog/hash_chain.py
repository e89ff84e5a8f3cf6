"""A hash chain over the content of a log, which identifies it under any name.

The hash of a checkpoint covers the previous one and the bytes in between, so that reading can
resume at any checkpoint. Checkpoints are at the ends of the first lines, where short logs differ,
and at the first line end after each mebibyte: their positions depend on the content only.
"""

from hashlib import sha256
from typing import NamedTuple

_FIRST_LINES = 256
CHECKPOINT_SPACING_BYTES = 1024 * 1024
_DIGEST_BYTES = 16
_MAX_FIRST_LINE_BYTES = 64 * 1024


class Checkpoint(NamedTuple):
    """A position in a log, and the hash of everything before it."""

    position: int  # bytes from the start
    digest: bytes


class HashChain:
    """Updated with a log's bytes in pieces of any size; has the current `position` and `digest`."""

    def __init__(self, at: Checkpoint | None = None) -> None:
        """Start at the beginning of a log, or at a checkpoint after its first lines."""
        self.position = at.position if at else 0
        self._newlines = _FIRST_LINES if at else 0
        self._start_hash(at.digest if at else b"")

    @property
    def digest(self) -> bytes:
        """The hash of all bytes so far."""
        return self._hash.digest()[:_DIGEST_BYTES]

    def update(self, data: bytes) -> list[Checkpoint]:
        """Add bytes; returns the checkpoints in them."""
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
        """The offset of the next checkpoint in `data`, or 0."""
        if self._newlines >= _FIRST_LINES:
            start += max(self._boundary - self.position - 1, 0)
        return data.find(b"\n", start) + 1 if start < len(data) else 0

    def _start_hash(self, digest: bytes) -> None:
        self._hash = sha256(digest)
        self._boundary = (self.position // CHECKPOINT_SPACING_BYTES + 1) * CHECKPOINT_SPACING_BYTES


def first_line_digest(start: bytes) -> bytes:
    """The hash of a log's first line, by which logs are looked up."""
    line = start.partition(b"\n")[0][:_MAX_FIRST_LINE_BYTES]
    return sha256(line).digest()[:_DIGEST_BYTES]
