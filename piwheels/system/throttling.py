"""Whether this machine throttles its processor: the firmware of a Raspberry Pi tells."""

import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_PLATFORM = Path("/sys/devices/platform")
_VCGENCMD = "vcgencmd"
_VCGENCMD_TIMEOUT_S = 2.0
#: A command is run at most this often; a file is read each time.
_VCGENCMD_INTERVAL_S = 10.0
#: Bits of get_throttled: the frequency is capped, it is throttled, the soft temperature limit.
_THROTTLED_BITS = 0b1110
_HOUR_S, _MINUTE_S = 3600.0, 60.0


class Throttled(NamedTuple):
    """Throttling as a builder reports it; None where it is unknown."""

    now: bool | None = None  # within the last minute: the firmware turns it on and off quickly
    last_hour_s: float | None = None


@dataclass(slots=True)
class ThrottleHistory:
    """For how long a machine was throttled in the last hour, from samples. Times are seconds.

    The time between two samples counts if either is throttled, and they are at most a minute apart.
    """

    _periods: deque[tuple[float, float]] = field(default_factory=deque)
    _last: tuple[float, bool] | None = None

    def observe(self, now_s: float, throttled: bool | None) -> Throttled:
        """Take a sample; returns what is known with it."""
        if throttled is None:
            self._last = None
            return Throttled()
        if self._last is not None and now_s - self._last[0] <= _MINUTE_S:
            self._add(self._last[0], now_s, throttled or self._last[1])
        self._last = now_s, throttled
        while self._periods and self._periods[0][1] <= now_s - _HOUR_S:
            self._periods.popleft()
        within = [end_s - max(start_s, now_s - _HOUR_S) for start_s, end_s in self._periods]
        recent = bool(self._periods) and self._periods[-1][1] > now_s - _MINUTE_S
        return Throttled(throttled or recent, sum(within))

    def _add(self, start_s: float, end_s: float, throttled: bool) -> None:
        if not throttled:
            return
        if self._periods and self._periods[-1][1] == start_s:
            start_s = self._periods.pop()[0]
        self._periods.append((start_s, end_s))


@dataclass(slots=True)
class ThrottleMonitor:
    """Samples this machine with each call of `read`, which a builder does every few seconds."""

    clock: Callable[[], float] = time.monotonic
    _history: ThrottleHistory = field(default_factory=ThrottleHistory)
    _command: str | None = field(default_factory=lambda: shutil.which(_VCGENCMD))
    _command_at: float | None = None  # when it was run last
    _command_result: bool | None = None

    def read(self) -> Throttled:
        """Whether it is throttled now, and for how long it was in the last hour."""
        now_s = self.clock()
        from_file = _from_sysfs()
        sample = from_file if from_file is not None else self._from_command(now_s)
        return self._history.observe(now_s, sample)

    def _from_command(self, now_s: float) -> bool | None:
        """What vcgencmd prints; it is not run again after it failed, as without its device."""
        if self._command is None:
            return None
        if self._command_at is None or now_s - self._command_at >= _VCGENCMD_INTERVAL_S:
            self._command_at, self._command_result = now_s, _run_vcgencmd(self._command)
            if self._command_result is None:
                self._command = None
        return self._command_result


def _from_sysfs() -> bool | None:
    for file in sorted(_PLATFORM.glob("soc*/soc*firmware/get_throttled")):
        try:
            return _is_throttled(file.read_text())
        except OSError:
            continue
    return None


def _run_vcgencmd(command: str) -> bool | None:
    try:
        done = subprocess.run(
            [command, "get_throttled"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_VCGENCMD_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return _is_throttled(done.stdout.decode(errors="replace"))


def _is_throttled(text: str) -> bool | None:
    """From `50005` as in sysfs, or `throttled=0x50005` as vcgencmd prints it."""
    try:
        return bool(int(text.strip().removeprefix("throttled="), 16) & _THROTTLED_BITS)
    except ValueError:
        return None
