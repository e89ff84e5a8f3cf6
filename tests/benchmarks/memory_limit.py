"""One limit for the memory of this process and all that it starts: of their sum, not of each.

A control group that limits them already (`systemd-run --scope -p MemoryMax=4G`) is named. Without one
the run is ended when the sum, which is sampled in any case, exceeds the limit.
"""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from piwheels.errors import PiwheelsError

_SAMPLE_INTERVAL_S = 1.0
_CGROUP_ROOT = Path("/sys/fs/cgroup")


class MemoryExceededError(PiwheelsError):
    """The processes together used more memory than they may."""


class MemoryLimit:
    """A context manager, within which the processes together use at most so much memory.

    What is shared counts once (PSS); the page cache does not count, because the system takes it back.
    """

    def __init__(self, limit_bytes: int, on_exceeded: Callable[[], None] | None = None) -> None:
        """on_exceeded: called once in another thread; None interrupts this process (SIGINT)."""
        self.limit_bytes = limit_bytes
        self.peak_bytes = 0
        self._on_exceeded = on_exceeded or _interrupt
        self._group = _limiting_group(limit_bytes)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    @property
    def text(self) -> str:
        """How the memory is limited, for people."""
        limit = f"{self.limit_bytes / 2**30:.0f} GiB for all processes together"
        if self._group is not None:
            return f"memory: {limit}, by the control group {self._group}"
        return (
            f"memory: {limit}, sampled each second (no control group of version 2 limits this "
            "process): the run is ended when they use more"
        )

    @property
    def is_exceeded(self) -> bool:
        """Whether the sum was once larger."""
        return self.peak_bytes > self.limit_bytes

    def check(self) -> None:
        """After the run was ended.

        Raises:
            MemoryExceededError: it was, because the processes used too much.
        """
        if self.is_exceeded:
            raise MemoryExceededError(
                f"the processes used {self.peak_bytes / 2**30:.1f} GiB together, more than "
                f"{self.limit_bytes / 2**30:.0f} GiB: choose a smaller --scale"
            )

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_INTERVAL_S):
            self.peak_bytes = max(self.peak_bytes, used_bytes(os.getpid()))
            if self.is_exceeded and self._group is None:
                self._on_exceeded()
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()


def used_bytes(pid: int) -> int:
    """The memory of a process and its descendants; pages that several share count once."""
    return sum(_pss_bytes(one) for one in [pid, *_descendants(pid)])


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # it ended
            continue
        children.setdefault(int(parent), []).append(int(folder.name))
    found, open_pids = [], [pid]
    while open_pids:
        new = children.get(open_pids.pop(), [])
        found += new
        open_pids += new
    return found


def _pss_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended, or has no memory any more
        return 0
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


def _limiting_group(limit_bytes: int) -> str | None:
    """The control group (version 2) of this process, if it limits the memory to that."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            path = line.removeprefix("0::")
            try:
                limit = (_CGROUP_ROOT / path.lstrip("/") / "memory.max").read_text().strip()
            except OSError:
                return None
            return path if limit.isdecimal() and int(limit) <= limit_bytes else None
    return None


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
