"""Runs a command and leaves none of its processes behind: a script for builds without a sandbox.

Processes that outlive their parents (double-forked daemons) become ours, because we are
their subreaper; when the command ends, or we are told to, all of them are killed. It also
ends with the builder that started it.

    reaper.py COMMAND...
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

# From <sys/prctl.h>.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def _children() -> list[int]:
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - a script of few imports
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
    return found


def _kill_all() -> None:
    """Kill our children until there are none: each death makes its own children ours."""
    while True:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    # The kernel tells of a parent's death once for each of its threads.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + signal.SIGTERM)


def main(command: list[str]) -> int:
    """Run the command; its exit status, 128 and the signal's number if one ended it."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    signal.signal(signal.SIGTERM, _on_sigterm)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    try:
        status = subprocess.Popen(command).wait()
        return status if status >= 0 else 128 - status
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _kill_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
