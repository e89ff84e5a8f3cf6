"""The window of an upload grows with the link's delay, and requests every byte once."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.protocol.messages import CHUNK_BYTES
from piwheels.protocol.upload_window import (
    INITIAL_WINDOW_BYTES,
    MAX_ROUND_S,
    MAX_WINDOW_BYTES,
    MIN_WINDOW_BYTES,
    ByteRange,
    Transfer,
)


def simulate(size: int, *, delay_s: float, bytes_per_s: float, start: int = 0) -> tuple[float, int]:
    """Fetch a file over a link; gives how long it took and the window at the end."""
    transfer = Transfer(size, start=start)
    now, line_free = 0.0, 0.0
    coming: deque[tuple[float, ByteRange]] = deque()
    while not transfer.complete:
        for piece in transfer.next_requests(now):
            line_free = max(line_free, now + delay_s / 2) + piece.length / bytes_per_s
            coming.append((line_free + delay_s / 2, piece))
        now, piece = coming.popleft()
        assert transfer.on_chunk(piece.offset, piece.length, now)
    return now, transfer.window_bytes


@given(
    size=st.integers(1, 40 * CHUNK_BYTES),
    start=st.integers(0, 40 * CHUNK_BYTES),
    chunk=st.integers(1000, CHUNK_BYTES),
)
def test_every_byte_is_requested_once_and_in_order(size: int, start: int, chunk: int) -> None:
    start = min(start, size)
    transfer = Transfer(size, start=start, chunk_bytes=chunk)
    expected = start
    while not transfer.complete:
        for piece in transfer.next_requests(0.0):
            assert piece.offset == expected
            expected += piece.length
            assert transfer.on_chunk(piece.offset, piece.length, 0.0)
    assert expected == size
    assert transfer.next_requests(1.0) == []


def test_a_long_link_is_used_completely() -> None:
    size = 256 * 1024 * 1024
    took, window = simulate(size, delay_s=0.1, bytes_per_s=100e6)
    assert took < 1.5 * size / 100e6
    assert window > INITIAL_WINDOW_BYTES


def test_a_short_link_needs_no_large_window() -> None:
    _, window = simulate(64 * 1024 * 1024, delay_s=0.0001, bytes_per_s=12e6)
    assert window <= 4 * INITIAL_WINDOW_BYTES


def test_the_window_is_limited() -> None:
    _, window = simulate(512 * 1024 * 1024, delay_s=1.0, bytes_per_s=1e9)
    assert window == MAX_WINDOW_BYTES


@pytest.mark.parametrize(("offset", "length"), [(1, CHUNK_BYTES), (0, 5), (CHUNK_BYTES, 5)])
def test_a_chunk_that_is_not_the_next_one_is_rejected(offset: int, length: int) -> None:
    transfer = Transfer(CHUNK_BYTES + 5)
    transfer.next_requests(0.0)
    assert not transfer.on_chunk(offset, length, 0.0)


def test_an_unrequested_chunk_is_rejected() -> None:
    assert not Transfer(10).on_chunk(0, 10, 0.0)


@pytest.mark.parametrize("bytes_per_s", [2_000.0, 10_000.0, 50_000.0])
def test_a_slow_link_has_no_more_under_way_than_arrives_soon(bytes_per_s: float) -> None:
    _, window = simulate(4 * 1024 * 1024, delay_s=0.6, bytes_per_s=bytes_per_s)
    assert window <= max(MAX_ROUND_S * bytes_per_s, MIN_WINDOW_BYTES)
    smallest = Transfer(CHUNK_BYTES)
    smallest.window_bytes = MIN_WINDOW_BYTES
    assert smallest.next_requests(0.0)[0].length <= MAX_ROUND_S * 2_000.0


def test_a_window_shrinks_when_a_link_becomes_slow() -> None:
    transfer, now = Transfer(64 * CHUNK_BYTES), 0.0
    transfer.window_bytes = MAX_WINDOW_BYTES
    while not transfer.complete:
        for piece in transfer.next_requests(now):
            now += piece.length / 50_000.0
            assert transfer.on_chunk(piece.offset, piece.length, now)
    assert transfer.window_bytes <= MAX_ROUND_S * 50_000.0
