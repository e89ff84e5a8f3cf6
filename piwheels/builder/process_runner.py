"""Running a program to its end or ours: its output streamed, its limits watched, its tree killed.

Limits on one process are the kernel's (see `sandbox`); here are those on the whole tree and
on its surroundings, which rlimits cannot express: wall clock, memory, processes, free disk.
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

from piwheels.builder.memory_usage import used_bytes
from piwheels.model import Struct

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 0.5
_KILL_TIMEOUT_S = 7.0
_DRAIN_TIMEOUT_S = 1.0
_READ_BYTES = 64 * 1024

OnOutput = Callable[[bytes], None]


class Limits(Struct, frozen=True, kw_only=True):
    """What a build may use; the sizes are bytes."""

    timeout_s: float = 3 * 3600.0  # wall clock
    memory_bytes: int = 1 << 30  # of each process's data, and of the whole tree's own pages
    file_bytes: int = 4 << 30  # of each file
    disk_reserve_bytes: int = 256 << 20  # must stay free where the build writes
    inode_reserve: int = 5000  # room for so many files, too
    processes: int = 1024
    open_files: int = 4096


class LimitExceeded(StrEnum):
    """Why a program was ended before its own end."""

    TIME = "time"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"


class ProcessResult(Struct, frozen=True, kw_only=True):
    """How a program ended; `status` is 128 and the signal's number if one ended it."""

    status: int
    limit_exceeded: LimitExceeded | None
    duration_s: float
    cpu_s: float = 0.0  # processor time of the tree, as far as it was seen
    peak_memory_bytes: int = 0


@dataclass(slots=True)
class _Usage:
    """What a tree of processes has used so far."""

    cpu_s: float = 0.0
    peak_memory_bytes: int = 0


async def run_process(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    limits: Limits,
    folder: Path,
    on_output: OnOutput,
    cwd: Path = Path("/"),
) -> ProcessResult:
    """Run a program until it ends, breaks a limit, or this task is cancelled.

    None of its processes is left when this returns or raises, provided that what lies
    between keeps them below the command: a process namespace, or `reaper`.

    Args:
        command: the program and its arguments.
        environment: all of its environment.
        limits: `file_bytes` and `open_files` are not looked at here.
        folder: where it writes: free space is measured there.
        on_output: gets what it writes to stdout and stderr, as it comes.
        cwd: where it starts.

    Raises:
        OSError: the program could not be started.
        Exception: whatever on_output raises; the program is killed then.
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
        reading = asyncio.create_task(_read(process, output, on_output))
        try:
            await asyncio.wait({watching, reading}, return_when=asyncio.FIRST_COMPLETED)
            stop = watching.result() if watching.done() else None
        finally:
            watching.cancel()
            await _kill_tree(process)
            await asyncio.wait({reading}, timeout=_DRAIN_TIMEOUT_S)
            reading.cancel()
    if reading.done() and not reading.cancelled():
        reading.result()  # what on_output raised is the caller's
    status = -signal.SIGKILL if process.returncode is None else process.returncode
    return ProcessResult(
        status=status if status >= 0 else 128 - status,
        limit_exceeded=stop,
        duration_s=time.monotonic() - began,
        cpu_s=usage.cpu_s,
        peak_memory_bytes=usage.peak_memory_bytes,
    )


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A pipe: what comes out of it, and the descriptor to write to, which the caller closes.

    Asyncio's own pipe of a process stays open for as long as anybody holds the other end.
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
    """Return the first limit that the tree breaks."""
    while True:
        left_s = limits.timeout_s - (time.monotonic() - began)
        if left_s <= 0:
            return LimitExceeded.TIME
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < limits.disk_reserve_bytes:
            return LimitExceeded.DISK
        # Some file systems (btrfs) make inodes as they are needed, and tell of none.
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


async def _kill_tree(process: asyncio.subprocess.Process) -> None:
    """Kill a process and all below it, the lowest too; the first strike does not yield."""
    until = time.monotonic() + _KILL_TIMEOUT_S
    while process.returncode is None:
        tree = descendants(process.pid)
        for pid in tree:
            _kill(pid)
        if not tree:
            _kill(process.pid)
        if time.monotonic() > until:
            # Only a process that waits for a broken disk or a device outlives this.
            log.error("process %d and %d below it will not die", process.pid, len(tree))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await process.wait()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The living processes below one, without itself."""
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
    """Each process that is no zombie, with its parent (proc(5), /proc/pid/stat)."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
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
    # The name in parentheses may hold spaces and parentheses of its own.
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def _cpu_s(pid: int) -> float:
    """Processor time of a process and of its children that have ended (proc(5): 14 to 17)."""
    try:
        return sum(map(int, _stat_fields(pid)[11:15])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0
