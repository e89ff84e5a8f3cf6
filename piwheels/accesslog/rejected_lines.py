"""A few of the lines that could not be read, in a small file for whoever wants to know why."""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

_MAX_FILE_BYTES = 64 * 1024
_MAX_LINE_BYTES = 1000
MAX_PER_BLOCK = 20  # lines of a block
#: IPv4 addresses, and whatever has colons and might be an IPv6 one.
_ADDRESS = re.compile(rb"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)")


class RejectedLineSample:
    """The file; it begins anew when it is full. Addresses are left out of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, lines: Sequence[bytes]) -> None:
        """Note some of these lines; a file that cannot be written stops nobody."""
        if not lines:
            return
        text = b"".join(
            _ADDRESS.sub(b"ADDRESS", line[:_MAX_LINE_BYTES].replace(b"\n", b" ")) + b"\n"
            for line in lines[:MAX_PER_BLOCK]
        )
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            full = self._path.exists() and self._path.stat().st_size > _MAX_FILE_BYTES
            with self._path.open("wb" if full else "ab") as file:
                file.write(text)
