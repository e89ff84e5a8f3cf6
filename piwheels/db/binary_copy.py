"""Rows of the table access_records in the binary format of COPY, from fields that are packed once.

Most values of a log line have occurred before, so their packed fields are reused. A row is five
fields: time, client, user agent, content, response. Within a field each value follows its size.
"""

import struct
from collections.abc import Iterable

COLUMNS = "at, client_hash, agent_id, wheel_id, request_kind, bytes, status"
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = struct.pack(">i", -1)
_KEY_SIZE = struct.pack(">i", 8)

_POSTGRES_EPOCH_S = 946_684_800  # 2000-01-01
_pack_time_struct = struct.Struct(">hiq").pack
_pack_key_struct = struct.Struct(">iq").pack
_iterate_clients = struct.Struct(">4xq").iter_unpack
_pack_kind_struct = struct.Struct(">ih").pack
_pack_response_struct = struct.Struct(">iqih").pack


def pack_time(at_s: int) -> bytes:
    """The start of a row: its number of values, and the time in seconds since 1970."""
    return _pack_time_struct(len(COLUMNS.split()), 8, (at_s - _POSTGRES_EPOCH_S) * 1_000_000)


def pack_key(value: int) -> bytes:
    """A client or a user agent: the first eight bytes of a hash."""
    return _pack_key_struct(8, value)


def pack_content(wheel: int | None, kind: int) -> bytes:
    """What was served: the wheel, if any, and the kind of request."""
    return (NULL if wheel is None else pack_key(wheel)) + _pack_kind_struct(2, kind)


def pack_response(size_bytes: int, status: int) -> bytes:
    """Size and status of the response; the end of a row."""
    return _pack_response_struct(8, size_bytes, 2, status)


def pack_digest(digest: bytes) -> bytes:
    """A client, from the eight bytes of its hash."""
    return _KEY_SIZE + digest


def unpack_clients(fields: Iterable[bytes]) -> list[int]:
    """The clients that were packed into these fields, in their order."""
    return [client for (client,) in _iterate_clients(b"".join(fields))]
