"""The part of a build's log that its page shows: all of a short log, else the parts that matter.

A log is read line by line, and only the lines that are shown are in memory.
"""

from collections import deque
from collections.abc import Iterator
from io import BufferedIOBase

from piwheels.model import Struct
from piwheels.sanitize import strip_terminal_codes
from piwheels.website.filters import mark_invisible, truncate

#: A log with at most this many lines is shown whole.
MAX_WHOLE_LINES = 2000
#: Of a longer log: its start, the lines around the one that tells the cause, and its end.
FIRST_LINES, LINES_BEFORE, LINES_AFTER, LAST_LINES = 200, 1000, 300, 300
#: The length of lines, and their length if the log would be longer than `_MAX_CHARS` with it.
_MAX_LINE_CHARS, _MAX_CROWDED_LINE_CHARS = 1000, 200
_MAX_CHARS = 500_000
_MAX_LINE_BYTES = 8192

_Lines = dict[int, bytes]


class LogExcerpt(Struct, frozen=True, kw_only=True):
    """Lines of a log by number, from 1, in order; all others are left out."""

    lines: dict[int, str]
    total: int  # lines of the log

    @property
    def parts(self) -> list[list[tuple[int, str]]]:
        """The lines in parts without gaps."""
        found: list[list[tuple[int, str]]] = []
        before = 0
        for number, text in self.lines.items():
            if number != before + 1 or not found:
                found.append([])
            found[-1].append((number, text))
            before = number
        return found


def read_excerpt(log: BufferedIOBase, deciding_line: int) -> LogExcerpt:
    """What is shown of a log.

    Args:
        log: its bytes.
        deciding_line: the number of the line that tells why the build failed; 0 if unknown.

    Raises:
        OSError, EOFError, zlib.error: it cannot be read.
    """
    whole: _Lines = {}
    chosen: _Lines = {}
    last: deque[tuple[int, bytes]] = deque(maxlen=LAST_LINES)
    total = 0
    around = range(deciding_line - LINES_BEFORE, deciding_line + LINES_AFTER + 1)
    for total, line in enumerate(_lines(log), start=1):
        if total <= MAX_WHOLE_LINES:
            whole[total] = line
        if total <= FIRST_LINES or (deciding_line and total in around):
            chosen[total] = line
        last.append((total, line))
    shown = whole if total <= MAX_WHOLE_LINES else chosen | dict(last)
    return LogExcerpt(lines=_texts(dict(sorted(shown.items()))), total=total)


def _lines(log: BufferedIOBase) -> Iterator[bytes]:
    """The lines of a log, each truncated, as failures number them: by line feeds only."""
    while line := log.readline(_MAX_LINE_BYTES):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = log.readline(_MAX_LINE_BYTES)
        yield line


def _texts(lines: _Lines) -> dict[int, str]:
    length = _MAX_LINE_CHARS
    if sum(min(len(line), length) for line in lines.values()) > _MAX_CHARS:
        length = _MAX_CROWDED_LINE_CHARS
    return {number: _text(line, length) for number, line in lines.items()}


def _text(line: bytes, length: int) -> str:
    text = line.decode(errors="replace").removesuffix("\n")
    return truncate(mark_invisible(strip_terminal_codes(text).rstrip()), length)
