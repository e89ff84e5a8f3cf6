"""Runs a program with limits on its process tree; streams its output, and kills the tree.

Limits of single processes are set as rlimits (see `sandbox`). The limits here are those that
rlimits cannot express: wall clock, memory and number of processes of the tree, free disk space.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from piwheels.builder.disk_usage import folder_bytes
from piwheels.builder.memory_usage import used_bytes
from piwheels.model import Struct

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 0.5
_DISK_INTERVAL_S = 1.0
#: Nothing is measured for so many times as long as measuring took.
_DISK_INTERVAL_FACTOR = 30.0
_KILL_TIMEOUT_S = 7.0
_DRAIN_TIMEOUT_S = 1.0
_READ_BYTES = 64 * 1024

OnOutput = Callable[[bytes], None]


class Limits(Struct, frozen=True, kw_only=True):
    """The resources that a build may use; sizes are bytes."""

    timeout_s: float = 3 * 3600.0  # wall clock
    memory_bytes: int = 1 << 30  # of each process's data, and of the tree's private pages
    file_bytes: int = 4 << 30  # of each file
    disk_reserve_bytes: int = 256 << 20  # disk space that must stay free
    inode_reserve: int = 5000  # inodes that must stay free
    processes: int = 1024
    open_files: int = 4096


class LimitExceeded(StrEnum):
    """The limit for which a program was killed."""

    TIME = "time"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"


class ProcessResult(Struct, frozen=True, kw_only=True):
    """How a program ended; `status` is 128 + N if signal N ended it."""

    status: int
    limit_exceeded: LimitExceeded | None
    duration_s: float
    cpu_s: float = 0.0  # processor time of the tree, as last measured
    peak_memory_bytes: int = 0
    peak_disk_bytes: int = 0


@dataclass(slots=True)
class _Usage:
    """The resources that a process tree has used so far."""

    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    peak_disk_bytes: int = 0


async def run_process(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    limits: Limits,
    folder: Path,
    on_output: OnOutput,
    cwd: Path = Path("/"),
) -> ProcessResult:
    """Run a program until it ends, exceeds a limit, or this task is canceled.

    None of its processes is left when this returns or raises, provided that they all stay
    descendants of the command, as a PID namespace or `process_reaper` ensures.

    Args:
        command: the program and its arguments.
        environment: its complete environment.
        limits: `file_bytes` and `open_files` are not enforced here.
        folder: where it writes; free disk space is measured there.
        on_output: receives its stdout and stderr as they are written.
        cwd: its working directory.

    Raises:
        OSError: the program could not be started.
        Exception: whatever on_output raises; the program is killed first.
    """
    began, usage = time.monotonic(), _Usage()
    async with _pipe() as (output, end):
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=end,
                stderr=end,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
        finally:
            os.close(end)
        watching = asyncio.create_task(_wait_for_limit(process.pid, limits, folder, began, usage))
        measuring = asyncio.create_task(_measure_disk(folder, usage))
        reading = asyncio.create_task(_read(process, output, on_output))
        try:
            await asyncio.wait({watching, reading}, return_when=asyncio.FIRST_COMPLETED)
            stop = watching.result() if watching.done() else None
        finally:
            watching.cancel()
            measuring.cancel()
            await _kill_tree(process)
            await asyncio.wait({reading}, timeout=_DRAIN_TIMEOUT_S)
            reading.cancel()
    if reading.done() and not reading.cancelled():
        reading.result()  # raises what on_output raised
    status = -signal.SIGKILL if process.returncode is None else process.returncode
    return ProcessResult(
        status=status if status >= 0 else 128 - status,
        limit_exceeded=stop,
        duration_s=time.monotonic() - began,
        cpu_s=usage.cpu_s,
        peak_memory_bytes=usage.peak_memory_bytes,
        peak_disk_bytes=usage.peak_disk_bytes,
    )


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A pipe: its reader, and the descriptor to write to, which the caller closes.

    asyncio's own pipe to a process stays open as long as any process has the other end open.
    """
    leaving, end = os.pipe()
    output = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(leaving, "rb", buffering=0)
    )
    try:
        yield output, end
    finally:
        transport.close()


async def _read(
    process: asyncio.subprocess.Process, output: asyncio.StreamReader, on_output: OnOutput
) -> None:
    while data := await output.read(_READ_BYTES):
        on_output(data)
    await process.wait()


async def _wait_for_limit(
    pid: int, limits: Limits, folder: Path, began: float, usage: _Usage
) -> LimitExceeded:
    """Wait until the tree exceeds a limit; returns which."""
    while True:
        left_s = limits.timeout_s - (time.monotonic() - began)
        if left_s <= 0:
            return LimitExceeded.TIME
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < limits.disk_reserve_bytes:
            return LimitExceeded.DISK
        # Some file systems (btrfs) allocate inodes on demand and report none.
        if disk.f_files and disk.f_favail < limits.inode_reserve:
            return LimitExceeded.DISK
        tree = descendants(pid)
        if len(tree) > limits.processes:
            return LimitExceeded.PROCESSES
        memory = await asyncio.to_thread(used_bytes, tree, limits.memory_bytes)
        usage.peak_memory_bytes = max(usage.peak_memory_bytes, memory)
        usage.cpu_s = max(usage.cpu_s, sum(map(_cpu_s, tree)))
        if memory > limits.memory_bytes:
            return LimitExceeded.MEMORY
        await asyncio.sleep(min(left_s, _CHECK_INTERVAL_S))


async def _measure_disk(folder: Path, usage: _Usage) -> None:
    """Measure what a folder's files use, every few seconds; of many files less often."""
    while True:
        began = time.monotonic()
        used = await asyncio.to_thread(folder_bytes, folder)
        usage.peak_disk_bytes = max(usage.peak_disk_bytes, used)
        took_s = time.monotonic() - began
        await asyncio.sleep(max(_DISK_INTERVAL_S, took_s * _DISK_INTERVAL_FACTOR))


async def _kill_tree(process: asyncio.subprocess.Process) -> None:
    """Kill a process and all its descendants; the first signals are sent without awaiting."""
    until = time.monotonic() + _KILL_TIMEOUT_S
    while process.returncode is None:
        tree = descendants(process.pid)
        for pid in tree:
            _kill(pid)
        if not tree:
            _kill(process.pid)
        if time.monotonic() > until:
            # Only a process in uninterruptible sleep, on a broken disk or device, survives this.
            log.error("process %d and %d descendants cannot be killed", process.pid, len(tree))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await process.wait()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The live descendants of a process."""
    children: dict[int, list[int]] = {}
    for child, parent in _live_processes():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _live_processes() -> Iterator[tuple[int, int]]:
    """Each process that is not a zombie, with its parent (proc(5), /proc/PID/stat)."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - only names are needed
        if not name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            state, parent = _state_and_parent(int(name))
            if state not in b"ZX":
                yield int(name), parent


def _state_and_parent(pid: int) -> tuple[bytes, int]:
    fields = _stat_fields(pid)
    return fields[0], int(fields[1])


def _stat_fields(pid: int) -> list[bytes]:
    # The name in parentheses may contain spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def _cpu_s(pid: int) -> float:
    """Processor time of a process and of its ended children (proc(5), fields 14 to 17)."""
    try:
        return sum(map(int, _stat_fields(pid)[11:15])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0
