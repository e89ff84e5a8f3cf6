"""Runs functions that read untrusted files in a child process with limits.

A hostile file can make any parser slow or use much memory. So such functions are called through
`run_isolated`: a child process runs them, the kernel limits its processor time and memory, and the
size of the result is limited. Errors that the file causes are RejectedErrors; failures of the
machine (no disk space, no memory, a killed process) are OSErrors, and say nothing about the file.
"""

import asyncio
import contextlib
import errno
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, get_type_hints

import msgspec

from piwheels.child_process import kill_process_group
from piwheels.errors import MALFORMED, RejectedError

#: Signals that a process causes by its own code.
_CRASH_SIGNALS = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGBUS, signal.SIGSYS}
)
#: System errors that a file causes: an impossible offset or name, or its size. All others are
#: failures of the machine, its disks or its network file systems.
FILE_CAUSED_ERRNOS = frozenset({errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP, errno.EFBIG})
_READ_BYTES = 256 * 1024
_NICENESS = 5
_MAX_MEMORY_BYTES = 768 << 20
_MIN_MEMORY_BYTES = 256 << 20
_MAX_REASON_LENGTH = 500

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _default_memory_limit() -> int:
    """The memory limit of a parser: at most half of a small board's memory.

    Otherwise the kernel could kill it for lack of memory, which says nothing about the file. A
    wheel of 60,000 files takes 180 MB.
    """
    physical_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(_MAX_MEMORY_BYTES, max(_MIN_MEMORY_BYTES, physical_bytes // 2))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a call may use.

    Processor time limits hostile files; elapsed time only ends a call that waits for a disk that
    does not respond.
    """

    cpu_s: int = 120
    wall_s: float = 3600.0
    memory_bytes: int = msgspec.field(default_factory=_default_memory_limit)  # of address space
    max_result_bytes: int = 32 << 20


class _ResultReply(msgspec.Struct, tag=True):
    value: msgspec.Raw


class _RejectedReply(msgspec.Struct, tag=True):
    reason: str


class _OSErrorReply(msgspec.Struct, tag=True):
    """The machine failed: an OSError."""

    number: int
    text: str


_Reply = _ResultReply | _RejectedReply | _OSErrorReply


async def run_isolated(
    limits: Limits,
    function: Callable[Parameters, Result],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Result:
    """Call a function of a module in a child process.

    Args:
        limits: what the call may use.
        function: found by its name; its return annotation is a type that msgspec decodes.
        arguments: its arguments.
        options: its keyword arguments.

    Raises:
        RejectedError: the function raised it, failed in another way, or exceeded a limit.
        OSError: the function raised it, or the child was killed from outside.
    """
    request = pickle.dumps((function, arguments, options))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__, str(limits.cpu_s), str(limits.memory_bytes)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.wall_s):
            content = await _exchange(process, request, limits.max_result_bytes)
            await process.wait()
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, f"no answer after {limits.wall_s:.0f} s") from None
    finally:
        await kill_process_group(process)
    value = _result_of(content, process.returncode or 0, limits)
    # The reply is decoded by the expected type; nothing from the child is unpickled.
    return msgspec.msgpack.decode(value, type=get_type_hints(function)["return"])  # type: ignore[no-any-return]


async def _exchange(process: asyncio.subprocess.Process, request: bytes, max_bytes: int) -> bytes:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(request)
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while data := await process.stdout.read(_READ_BYTES):
        answer += data
        if len(answer) > max_bytes:
            raise RejectedError(f"its metadata is longer than {max_bytes >> 20} MiB")
    return bytes(answer)


def _result_of(reply_bytes: bytes, status: int, limits: Limits) -> msgspec.Raw:
    """What the function returned; raises what it raised, or why the child ended."""
    if status == -signal.SIGXCPU:
        raise RejectedError(f"reading it took more than {limits.cpu_s} s of processor time")
    if status < 0:
        name = signal.Signals(-status).name
        if -status in _CRASH_SIGNALS:
            raise RejectedError(f"reading it crashed the process that read it ({name})")
        raise OSError(errno.ECANCELED, f"the process that read it was ended ({name})")
    try:
        answer = msgspec.msgpack.decode(reply_bytes, type=_Reply)
    except MALFORMED:
        raise OSError(errno.EPROTO, f"the process that read it failed ({status})") from None
    match answer:
        case _RejectedReply(reason=reason):
            raise RejectedError(reason)
        case _OSErrorReply(number=number, text=text):
            raise OSError(number, text)
        case _ResultReply(value=value):
            return value


# --- in the child ---


def _apply_limits(cpu_s: int, memory_bytes: int) -> None:
    _lower_limit(resource.RLIMIT_CORE, 0)
    _lower_limit(resource.RLIMIT_CPU, cpu_s)
    _lower_limit(resource.RLIMIT_AS, memory_bytes)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    # If the machine runs out of memory, this is the process to end, and not the daemon.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _lower_limit(resource_id: int, limit: int) -> None:
    """Set a limit, or keep an inherited one that is lower.

    The hard limit of processor time is slightly higher: at the soft one SIGXCPU gives the reason.
    """
    _, hard = resource.getrlimit(resource_id)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    grace = 5 if resource_id == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else 0
    resource.setrlimit(resource_id, (limit, limit + grace))


def _run_request(request: bytes) -> _Reply:
    try:
        function, arguments, options = pickle.loads(request)  # noqa: S301 - our parent's
        value: Any = function(*arguments, **options)
        return _ResultReply(msgspec.Raw(msgspec.msgpack.encode(value)))
    except RejectedError as error:
        return _RejectedReply(str(error)[:_MAX_REASON_LENGTH])
    except MemoryError:
        return _RejectedReply("reading it takes more memory than allowed")
    except OSError as error:
        if error.errno in FILE_CAUSED_ERRNOS:
            return _unreadable(str(error.strerror))
        return _OSErrorReply(
            error.errno or errno.EIO, error.strerror or str(error)[:_MAX_REASON_LENGTH]
        )
    except Exception as error:  # noqa: BLE001 - a library's parser raises anything
        message = f"{type(error).__name__}: {error}"
        return _unreadable(message[:_MAX_REASON_LENGTH])


def _unreadable(reason: str) -> _RejectedReply:
    return _RejectedReply(f"it cannot be read: {reason}")


def _main(cpu_s: int, memory_bytes: int) -> None:
    _apply_limits(cpu_s, memory_bytes)
    # The reply uses a descriptor that print() does not. A killed daemon reads none.
    with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        output.write(msgspec.msgpack.encode(_run_request(sys.stdin.buffer.read())))


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
