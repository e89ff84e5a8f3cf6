"""Runs a command and kills all its processes at the end: a script for builds without a sandbox.

As their subreaper, this process becomes the parent of orphaned processes (double-forked daemons).
When the command ends, or on SIGTERM, all of them are killed. It ends when its builder does.

    process_reaper.py COMMAND...
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
    """Kill children until there are none: orphans of a killed child become children."""
    while True:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    # The kernel sends the parent-death signal once for each thread of the parent.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + signal.SIGTERM)


def main(command: list[str]) -> int:
    """Run the command; returns its exit status, 128 + N if signal N ended it."""
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
