"""When the parts of a log arrived, and how that is kept with the compressed log (pure).

A log's file is gzip data whose header has the times in an extra field (RFC 1952, 2.3.1.1), so that
they live as long as the log, and every other reader passes over them.
"""

import gzip
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import msgspec

from piwheels.errors import MALFORMED

#: So many times are kept of a log. With more, every second one is dropped and from then on times
#: are twice as far apart.
MAX_ARRIVALS = 4000
_FIRST_INTERVAL_S = 0.1
_LEVEL = 5  # logs are kept forever, and compressed once

_HEADER_SIZE = 10
_FLAGS_AT, _EXTRA_FLAG = 3, 4
_SUBFIELD = b"pw"

Arrival = tuple[int, float]


class LogArrivals(msgspec.Struct):
    """Where in a log what arrived began, in bytes, and after how many seconds of its build."""

    started_at: float  # of the build, in UNIX seconds
    interval_s: float = _FIRST_INTERVAL_S  # times are at least so far apart
    offsets: list[int] = msgspec.field(default_factory=list)
    seconds: list[float] = msgspec.field(default_factory=list)

    def add(self, offset: int, now: float) -> bool:
        """Something that begins at `offset` arrives at `now`; whether that is kept."""
        elapsed_s = round(max(0.0, now - self.started_at), 1)
        if self.seconds and elapsed_s < self.seconds[-1] + self.interval_s:
            return False
        self.offsets.append(offset)
        self.seconds.append(elapsed_s)
        if len(self.offsets) > MAX_ARRIVALS:
            del self.offsets[1::2], self.seconds[1::2]
            self.interval_s *= 2
        return True

    def between(self, start: int, end: int) -> tuple[Arrival, ...]:
        """The times of what is from `start` to before `end`, the first from where it began."""
        first = max(0, bisect_right(self.offsets, start) - 1)
        last = bisect_left(self.offsets, end)
        return tuple(zip(self.offsets[first:last], self.seconds[first:last], strict=True))


def encode_arrivals(arrivals: LogArrivals) -> bytes:
    """As they are stored; below 64 KiB."""
    return msgspec.msgpack.encode(
        (arrivals.offsets, [round(seconds * 10) for seconds in arrivals.seconds])
    )


def decode_arrivals(data: bytes) -> LogArrivals | None:
    """From what was stored; None if it is nothing of the kind."""
    try:
        offsets, tenths = msgspec.msgpack.decode(data, type=tuple[list[int], list[int]])
    except MALFORMED:
        return None
    if len(offsets) != len(tenths) or offsets != sorted(offsets):
        return None
    return LogArrivals(0.0, offsets=offsets, seconds=[tenth / 10 for tenth in tenths])


def compress_log(text: bytes, arrivals: LogArrivals | None) -> bytes:
    """A log as gzip data, with its times if they are known."""
    packed = gzip.compress(text, _LEVEL, mtime=0)
    data = encode_arrivals(arrivals) if arrivals and arrivals.offsets else b""
    field = _SUBFIELD + struct.pack("<H", len(data)) + data if data else b""
    if not field or len(field) > 0xFFFF:
        return packed
    flags = packed[_FLAGS_AT] | _EXTRA_FLAG
    header = packed[:_FLAGS_AT] + bytes([flags]) + packed[_FLAGS_AT + 1 : _HEADER_SIZE]
    return header + struct.pack("<H", len(field)) + field + packed[_HEADER_SIZE:]


def read_arrivals(packed: bytes) -> LogArrivals | None:
    """The times in gzip data, or in its first 64 KiB; None if it has none."""
    if len(packed) < _HEADER_SIZE + 2 or not packed[_FLAGS_AT] & _EXTRA_FLAG:
        return None
    (size,) = struct.unpack_from("<H", packed, _HEADER_SIZE)
    fields = _subfields(packed[_HEADER_SIZE + 2 : _HEADER_SIZE + 2 + size])
    return next((decode_arrivals(data) for name, data in fields if name == _SUBFIELD), None)


def _subfields(extra: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        (size,) = struct.unpack_from("<H", extra, at + 2)
        yield extra[at : at + 2], extra[at + 4 : at + 4 + size]
        at += 4 + size
