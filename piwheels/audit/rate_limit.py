"""Limits how fast an audit reads, in files or bytes a second."""

import asyncio
import re
import time

from piwheels.errors import UsageError

_RATE = re.compile(r"(\d+(?:\.\d+)?) ?(|[kMG]B)(?:/s)?")
_UNITS = {"": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
#: So long may an audit read ahead of its rate.
_MAX_AHEAD_S = 0.05


class RateLimit:
    """A limit on files or on bytes a second; without either, none."""

    def __init__(self, *, files_per_s: float = 0.0, bytes_per_s: float = 0.0) -> None:
        self._file_s = 1 / files_per_s if files_per_s else 0.0
        self._byte_s = 1 / bytes_per_s if bytes_per_s else 0.0
        self._free_at = time.monotonic()

    async def spend(self, *, files: int = 0, size_bytes: int = 0) -> None:
        """Account for what was read, and wait if that was faster than the rate."""
        now = time.monotonic()
        cost_s = files * self._file_s + size_bytes * self._byte_s
        self._free_at = max(self._free_at, now) + cost_s
        ahead_s = self._free_at - now
        await asyncio.sleep(ahead_s if ahead_s > _MAX_AHEAD_S else 0)


def parse_rate(text: str) -> RateLimit:
    """A rate as the command line has it: `500/s` files, `20MB/s`.

    Raises:
        UsageError: it is neither.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is not a rate; write 500/s (files) or 20MB/s")
    rate = float(match[1]) * _UNITS[match[2]]
    return RateLimit(bytes_per_s=rate) if match[2] else RateLimit(files_per_s=rate)
