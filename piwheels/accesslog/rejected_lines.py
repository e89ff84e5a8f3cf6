"""A small file with a sample of the lines that could not be parsed, for diagnosis."""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

_MAX_FILE_BYTES = 64 * 1024
_MAX_LINE_BYTES = 1000
MAX_PER_BLOCK = 20  # lines of one block
#: IPv4 addresses, and anything with colons that may be an IPv6 address.
_ADDRESS = re.compile(rb"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)")


class RejectedLineSample:
    """The file; it is overwritten when it is full. Addresses are removed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, lines: Sequence[bytes]) -> None:
        """Write some of these lines; errors of the file are ignored."""
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
