"""Ends a child process of asyncio whose output arrives through pipes."""

import asyncio
import contextlib
import os
import signal

_READ_BYTES = 64 * 1024
_PIPE_TIMEOUT_S = 10.0


async def kill_process_group(process: asyncio.subprocess.Process) -> None:
    """Kill a process that leads a group, with its group, and wait until it has ended.

    `Process.wait()` returns when the process has ended *and* its pipes are closed. Alone it would
    wait forever for a pipe that nobody reads any more: asyncio stops reading at 128 KiB and then
    does not see its end. So the rest of the output is read and discarded. A process that left the
    group can keep a pipe open; it is waited for no longer than 10 seconds.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PIPE_TIMEOUT_S):
            for stream in (process.stdout, process.stderr):
                while stream is not None and await stream.read(_READ_BYTES):
                    pass
            await process.wait()
