"""A log as lines that are safe to draw: decoded, without escape sequences, limited in size."""

import codecs
import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from piwheels.sanitize import UNSAFE_CHARACTERS, strip_terminal_codes

#: The limits; the oldest lines are dropped first.
MAX_LINES = 200_000
MAX_CHARACTERS = 24_000_000
#: A longer line is split, so that no line is slow to draw.
MAX_LINE_CHARACTERS = 8_192


def _drop_overwritten(raw: str) -> str:
    """An unfinished line without the states that a progress bar has overwritten."""
    *states, unended = raw.split("\r")
    for place in range(len(states) - 1, 0, -1):
        if strip_terminal_codes(states[place]).strip():
            return "\r".join([*states[place:], unended])
    return raw


class LogBuffer:
    """The lines of a log, numbered from 0; the oldest may have been dropped.

    Bytes arrive in chunks that may end anywhere: in a line, a character or an escape sequence.
    """

    def __init__(self, *, max_lines: int = MAX_LINES, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_lines = max_lines
        self._max_characters = max_characters
        self.clear()

    def clear(self) -> None:
        """Remove all lines."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lines: list[str] = []
        self._characters = 0
        self._raw = ""  # of the last line, while it is unfinished
        self._open = False
        #: The number of the oldest line that is kept.
        self.first_line_number = 0

    def __len__(self) -> int:
        """How many lines there are, with an unfinished one."""
        return len(self._lines)

    @property
    def next_line_number(self) -> int:
        """The number of the next line."""
        return self.first_line_number + len(self._lines)

    def __getitem__(self, number: int) -> str:
        """The line of this number, from `first` to before `end`."""
        return self._lines[number - self.first_line_number]

    def lines_from(self, number: int) -> Sequence[str]:
        """The lines from this number on."""
        return self._lines[max(0, number - self.first_line_number) :]

    def append(self, data: bytes) -> int:
        """Append a chunk; returns the number of the first line that is new or changed."""
        text = self._decoder.decode(data)
        if not text:
            return self.next_line_number
        if self._open:
            text = self._raw + text
            self._characters -= len(self._lines.pop())
        changed = self.next_line_number
        *whole, raw = text.split("\n")
        if UNSAFE_CHARACTERS.search(text):
            whole = [
                strip_terminal_codes(line) if UNSAFE_CHARACTERS.search(line) else line
                for line in whole
            ]
        self._add_lines(whole)
        self._set_unfinished(raw)
        self._enforce_limits()
        return max(changed, self.first_line_number)

    def find(self, pattern: re.Pattern[str], from_line: int = 0) -> list[int]:
        """The numbers of the lines that match, from a number on."""
        start = max(from_line, self.first_line_number)
        search = pattern.search
        return [n for n, line in enumerate(self.lines_from(start), start) if search(line)]

    def _add_lines(self, lines: list[str]) -> None:
        if lines and max(map(len, lines)) > MAX_LINE_CHARACTERS:
            lines = [piece for line in lines for piece in _split_long_line(line)]
        self._lines += lines
        self._characters += sum(map(len, lines))

    def _set_unfinished(self, raw: str) -> None:
        raw = _drop_overwritten(raw)
        while len(raw) > MAX_LINE_CHARACTERS:
            self._add_lines([strip_terminal_codes(raw[:MAX_LINE_CHARACTERS])])
            raw = raw[MAX_LINE_CHARACTERS:]
        self._raw = raw
        self._open = bool(raw)
        if raw:
            self._add_lines([strip_terminal_codes(raw)])

    def _enforce_limits(self) -> None:
        if len(self) <= self._max_lines and self._characters <= self._max_characters:
            return
        # An eighth more than needed, so that not every chunk moves the whole list.
        drop = max(0, len(self) - self._max_lines * 7 // 8)
        kept = self._characters - sum(map(len, self._lines[:drop]))
        while kept > self._max_characters * 7 // 8 and drop < len(self) - 1:
            kept -= len(self._lines[drop])
            drop += 1
        del self._lines[:drop]
        self.first_line_number += drop
        self._characters = kept


def _split_long_line(line: str) -> Iterator[str]:
    for start in range(0, max(1, len(line)), MAX_LINE_CHARACTERS):
        yield line[start : start + MAX_LINE_CHARACTERS]


def max_width(lines: Sequence[str]) -> int:
    """How many terminal cells the widest line takes."""
    return max((len(line) if line.isascii() else cell_len(line) for line in lines), default=0)
