"""The limit of the memory of all processes of the benchmarks."""

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection

import pytest

from tests.benchmarks.memory_limit import MemoryExceededError, MemoryLimit, used_bytes
from tests.timeouts import WAIT_S

_HELD_BYTES = 60 << 20


def _hold(ready: Connection) -> None:
    held = bytearray(os.urandom(1 << 20)) * (_HELD_BYTES >> 20)
    ready.send(len(held))
    ready.recv()


def test_memory_of_other_processes_counts() -> None:
    ours, theirs = multiprocessing.Pipe()
    before = used_bytes(os.getpid())
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(theirs,))
    holder.start()
    try:
        assert ours.recv() == _HELD_BYTES
        assert used_bytes(os.getpid()) > before + _HELD_BYTES * 0.9
        _check_limit_below(before + _HELD_BYTES // 2)
    finally:
        ours.send(None)
        holder.join(WAIT_S)


def _check_limit_below(limit_bytes: int) -> None:
    exceeded = threading.Event()
    with MemoryLimit(limit_bytes, exceeded.set) as limit:
        assert exceeded.wait(WAIT_S)
    with pytest.raises(MemoryExceededError, match="choose a smaller --scale"):
        limit.check()


def test_a_run_within_the_limit_is_not_ended() -> None:
    with MemoryLimit(1 << 50) as limit:
        assert limit.text.startswith("memory: 1048576 GiB for all processes together, ")
    limit.check()
