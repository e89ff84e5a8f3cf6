"""The text of a build's log: its lines without escape sequences, found by their literal text.

pip indents the output of a build, so nothing here relies on the start of a line. The cost is
linear in the length of the log: lines are only looked at if they contain a rule's literal text.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

#: The number of characters of a line that are examined.
_EXAMINED_CHARS = 1000
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,300}(?:\x07|\x1b\\))?"
)
_CONTROLS = dict.fromkeys((*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0x85, 0x2028, 0x2029))
_LINE_ENDS = re.compile(r"\r+\n")
#: Times that CI systems and docker put before each line.
_LOG_PREFIX = re.compile(r"(?:\d{4}-\d\d-\d\dT[\d:.]{8,20}Z|#\d+ \d+\.\d+)[ \t]")

#: Quoted source: gcc and rustc print it after a bar.
_QUOTED_WITH_BAR = re.compile(r"\d*\s*\|(?:\s|$)")
_FRAME = re.compile(r'File "[^"]*", line \d')
_POINTER = re.compile(r"[\s~^]+$")


#: Starts of lines that are never examined: most of a long log.
_COMPILERS = ("gcc", "g++", "cc", "c++", "clang", "clang++")
_TRIPLETS = ("", "/usr/bin/", "x86_64-linux-gnu-", "aarch64-linux-gnu-", "arm-linux-gnueabihf-",
             "riscv64-linux-gnu-")  # fmt: skip
_NOISE_STARTS = (
    "copying ", "creating ", "adding '", "writing ", "byte-compiling ", "hard linking ",
    "reading manifest", "|", "~", "^",
    *(f"{triplet}{name} " for triplet in _TRIPLETS for name in _COMPILERS),
)  # fmt: skip
_NOISE_WORDS = (": warning: ", ": note: ")
_QUOTE_COLUMNS = 14


class Line(NamedTuple):
    """A line without surrounding space; `start` and `end` are its offsets in the text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class PlainLog:
    """A log as plain text with the same number of lines."""

    text: str
    _lines: dict[int, Line] = field(default_factory=dict)
    _condensed: list["_Condensed"] = field(default_factory=list)

    def line_number(self, line: Line) -> int:
        """The number of a line, from 1."""
        return self.text.count("\n", 0, line.start) + 1

    def line_at(self, start: int) -> Line:
        """The line that starts at an offset."""
        line = self._lines.get(start)
        if line is None:
            end = self.text.find("\n", start)
            end = len(self.text) if end < 0 else end
            shown = self.text[start : min(end, start + _EXAMINED_CHARS)].strip()
            # A terminal shows what follows the last carriage return.
            line = Line(start, end, _LOG_PREFIX.sub("", shown.rpartition("\r")[2], count=1).strip())
            self._lines[start] = line
        return line

    def indent(self, line: Line) -> int:
        """The number of characters before the text of a line."""
        return max(self.text.find(line.text[:1], line.start) - line.start, 0)

    def after(self, line: Line, count: int) -> Iterator[Line]:
        """The next `count` lines."""
        for _ in range(count):
            if line.end >= len(self.text):
                return
            line = self.line_at(line.end + 1)
            yield line

    def before(self, line: Line, count: int) -> Iterator[Line]:
        """The `count` lines before a line, the nearest first."""
        for _ in range(count):
            if line.start == 0:
                return
            line = self.line_at(self.text.rfind("\n", 0, line.start - 1) + 1)
            yield line

    def telling_before(self, line: Line, count: int) -> Iterator[Line]:
        """As `before`, without the lines that never tell anything."""
        starts = self._condensed_text().starts
        place = bisect_left(starts, line.start)
        for start in reversed(starts[max(place - count, 0) : place]):
            yield self.line_at(start)

    def telling_after(self, line: Line, count: int) -> Iterator[Line]:
        """As `after`, without the lines that never tell anything."""
        starts = self._condensed_text().starts
        place = bisect_right(starts, line.start)
        for start in starts[place : place + count]:
            yield self.line_at(start)

    def starts(self, words: Sequence[str], most: int) -> list[int]:
        """The offsets of the lines with any of the words, in order.

        Of more than `most` lines with the same word only the first and the last ones count.
        """
        found: set[int] = set()
        for word in words:
            found.update(self._condensed_text().line_starts(word, most // 2))
        return sorted(found)

    def _condensed_text(self) -> "_Condensed":
        if not self._condensed:
            self._condensed.append(_condense(self.text))
        return self._condensed[0]

    def is_quoted(self, line: Line) -> bool:
        """Whether a line is source that a compiler or a traceback quotes."""
        if _QUOTED_WITH_BAR.match(line.text) or _POINTER.match(line.text):
            return True
        before = next(self.before(line, 1), None)
        return (
            before is not None
            and bool(_FRAME.match(before.text))
            and self.indent(line) > self.indent(before)
        )

    def last_lines(self, count: int) -> Iterator[Line]:
        """At most `count` lines from the last one that is not blank, backwards."""
        line = self.line_at(self.text.rfind("\n", 0, len(self.text.rstrip())) + 1)
        yield line
        yield from self.before(line, count - 1)


def read_log(log: str) -> PlainLog:
    """The text of a log without escape sequences and control characters."""
    text = _LINE_ENDS.sub("\n", log) if "\r\n" in log else log
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return PlainLog(text.translate(_CONTROLS))


@dataclass(frozen=True, slots=True)
class _Condensed:
    """The lines of a log that can tell something, with the offset of each in the log."""

    text: str
    offsets: list[int]  # of the lines in this text
    starts: list[int]  # of the same lines in the log

    def line_starts(self, word: str, most: int) -> Iterator[int]:
        """The offsets in the log of the first and the last `most` lines with a word."""
        end = -1
        for place in islice(self._places(word), most):
            yield self._start(place)
            end = self.text.find("\n", place)
        if end < 0:
            return
        before = len(self.text)
        for _ in range(most):
            place = self.text.rfind(word, end, before)
            if place < 0:
                return
            yield self._start(place)
            before = max(self.text.rfind("\n", 0, place) + 1, end)

    def _places(self, word: str) -> Iterator[int]:
        place = self.text.find(word)
        while place >= 0:
            yield place
            end = self.text.find("\n", place)
            place = self.text.find(word, end) if end >= 0 else -1

    def _start(self, place: int) -> int:
        return self.starts[bisect_right(self.offsets, place) - 1]


def _condense(text: str) -> _Condensed:
    """Leave out the commands of compilers, their warnings, quoted source and lists of files."""
    kept: list[str] = []
    offsets: list[int] = []
    starts: list[int] = []
    start = offset = 0
    for line in text.split("\n"):
        if not _is_noise(line):
            kept.append(line[:_EXAMINED_CHARS])
            offsets.append(offset)
            starts.append(start)
            offset += len(kept[-1]) + 1
        start += len(line) + 1
    return _Condensed("\n".join(kept), offsets, starts)


def _is_noise(line: str) -> bool:
    return (
        not line
        or line.lstrip().startswith(_NOISE_STARTS)
        or " | " in line[:_QUOTE_COLUMNS]
        or any(word in line for word in _NOISE_WORDS)
    )
