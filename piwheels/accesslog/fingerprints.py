"""Lines that were counted before, found by fingerprints of what they say.

A log as a whole, or as far as it was read, is known by its hash chain (chain). A part of one is
not: the end that `tail` cut off, logs put together in another order, a log whose line ends were
converted. So each line that is counted leaves a fingerprint with its minute: 32 bits of what it and
the line before it say of moment, request, size and client, and whether its status lets it count,
without the address, which is kept nowhere. Lines are known where at least RUN of them follow one
another as they were counted before, or where a log has no other lines. Fewer prove nothing: two
servers may log the same request in the same second. What is skipped, and what agrees but is
counted, is reported by the reader.

Four bytes a line are kept, for KEPT_DAYS; what is compared at once are the minutes of one block,
16 MiB of a log. A run that begins with the last lines of a block can be taken for new ones; that is
at most RUN - 1. Nothing here is done line by line unless lines agree with some counted before.
"""

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress
from typing import NamedTuple

#: Fewer lines one after the other may agree by chance.
RUN = 8
#: Days before the newest accesses of which fingerprints are kept. Debian's nginx and Apache keep
#: rotated logs for 14 days, Fedora's for 4 weeks.
KEPT_DAYS = 60
_TYPECODE = "I"
_LOW_HALF = 0 if sys.byteorder == "little" else 1
_NONE: frozenset[int] = frozenset()


class Part(NamedTuple):
    """Lines of one minute that follow one another."""

    minute: int  # since 1970
    start: int  # the number of the first line
    end: int  # and of the line after the last one


class Lines(NamedTuple):
    """Lines that follow one another in a log."""

    minutes: Sequence[tuple[int, int]]  # each minute, and the number of its first line
    marks: "array[int]"  # the fingerprint of each line

    def parts(self) -> Iterator[Part]:
        """The lines of each minute; a minute may come again."""
        ends = [start for _, start in self.minutes[1:]] + [len(self.marks)]
        for (minute, start), end in zip(self.minutes, ends, strict=False):
            yield Part(minute, start, end)


class Compared(NamedTuple):
    """Which lines of a block were counted before."""

    known: list[bool]  # for each line: it was counted before; empty if none was
    alike: int  # lines that agree with some counted before, and are counted


def marks(said: Iterable[int] = ()) -> "array[int]":
    """The lowest 32 bits of numbers for what lines say, which are 64-bit ones with a sign."""
    return array(_TYPECODE, array("q", said).tobytes())[_LOW_HALF::2]


def linked(own: "array[int]", before: int) -> "array[int]":
    """The fingerprints of lines: what a line says, with what the line before it says.

    Args:
        own: the marks of what each line says.
        before: the mark of the line before the first one.

    Returns:
        Of each line its mark, exclusive-or the mark before it rotated by one bit; all of them are
        computed as one long number.
    """
    if not own:
        return own
    size = len(own)
    earlier = _number(array(_TYPECODE, [before]) + own[:-1])
    lowest = _number(array(_TYPECODE, [1]) * size)
    rotated = (earlier & lowest * 0x7FFFFFFF) << 1 | earlier >> 31 & lowest
    found = array(_TYPECODE)
    found.frombytes((_number(own) ^ rotated).to_bytes(size * own.itemsize, sys.byteorder))
    return found


def _number(marks: "array[int]") -> int:
    return int.from_bytes(marks.tobytes(), sys.byteorder)


def unpacked(marks: bytes) -> set[int]:
    """The fingerprints of a minute, as they are kept."""
    found = array(_TYPECODE)
    found.frombytes(marks)
    return set(found)


def by_minute(lines: Lines, known: Sequence[bool]) -> dict[int, bytes]:
    """The fingerprints of lines that were not counted before, as they are kept, by minutes.

    Args:
        lines: the lines of a block.
        known: of each line, whether it was counted before; empty if none was.
    """
    found: dict[int, bytes] = {}
    for minute, start, end in lines.parts():
        marks = lines.marks[start:end]
        if known:
            new = [not is_known for is_known in known[start:end]]
            marks = array(_TYPECODE, compress(marks, new))
        if marks:
            found[minute] = found.get(minute, b"") + marks.tobytes()
    return found


def compare(
    lines: Lines, seen: Mapping[int, AbstractSet[int]], *, whole: bool, goes_on: bool
) -> Compared:
    """Find the lines that were counted before.

    Args:
        lines: the lines of a block.
        seen: fingerprints of lines that were counted before, by their minutes.
        whole: these are all lines of a log.
        goes_on: the line before them, of the same log, was known.
    """
    agrees = _agreeing(lines, seen)
    if whole and len(lines.marks) == 1:  # a line alone follows none
        return Compared([], int(lines.minutes[0][0] in seen))
    if not agrees:
        return Compared([], 0)
    known, alike = [False] * len(agrees), 0
    for start, end in _runs(agrees):
        first = max(start - 1, 0)  # the line before agrees as well
        if (
            (start == 0 and goes_on)
            or len(set(lines.marks[first:end])) >= RUN
            or (whole and end - first == len(agrees))
        ):
            known[first:end] = [True] * (end - first)
        else:
            alike += end - first
    return Compared(known if any(known) else [], alike)


def _agreeing(lines: Lines, seen: Mapping[int, AbstractSet[int]]) -> list[bool]:
    """Whether each line was seen in its minute, in an earlier log or earlier in these lines.

    Empty if none was. Within one log time goes on; where it goes back, what came before is what may
    come again.
    """
    agrees: list[bool] = []
    earlier: dict[int, set[int]] = {}
    passed: list[Part] = []  # that are not in `earlier` yet
    for part in lines.parts():
        if passed and part.minute < passed[-1].minute:
            for minute, start, end in passed:
                earlier.setdefault(minute, set()).update(lines.marks[start:end])
            passed.clear()
        passed.append(part)
        marks = lines.marks[part.start : part.end]
        for before in (seen.get(part.minute, _NONE), earlier.get(part.minute, _NONE)):
            if before and not before.isdisjoint(marks):
                agrees = agrees or [False] * len(lines.marks)
                for number, mark in enumerate(marks, part.start):
                    agrees[number] |= mark in before
    return agrees


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Where runs of true flags begin and end."""
    runs, start = [], None
    for at, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = at
        elif not flag and start is not None:
            runs.append((start, at))
            start = None
    return runs
