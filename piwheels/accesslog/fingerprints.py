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
MIN_RUN = 8
#: Days before the newest accesses of which fingerprints are kept. Debian's nginx and Apache keep
#: rotated logs for 14 days, Fedora's for 4 weeks.
RETENTION_DAYS = 60
_TYPECODE = "I"
_LOW_HALF = 0 if sys.byteorder == "little" else 1
_EMPTY: frozenset[int] = frozenset()


class MinuteRun(NamedTuple):
    """Lines of one minute that follow one another."""

    minute: int  # since 1970
    start: int  # the number of the first line
    end: int  # and of the line after the last one


class Lines(NamedTuple):
    """Lines that follow one another in a log."""

    minutes: Sequence[tuple[int, int]]  # each minute, and the number of its first line
    fingerprints: "array[int]"  # the fingerprint of each line

    def minute_runs(self) -> Iterator[MinuteRun]:
        """The lines of each minute; a minute may come again."""
        ends = [start for _, start in self.minutes[1:]] + [len(self.fingerprints)]
        for (minute, start), end in zip(self.minutes, ends, strict=False):
            yield MinuteRun(minute, start, end)


class Comparison(NamedTuple):
    """Which lines of a block were counted before."""

    counted: list[bool]  # for each line: it was counted before; empty if none was
    similar_count: int  # lines that agree with some counted before, and are counted


def hash_array(hashes: Iterable[int] = ()) -> "array[int]":
    """The lowest 32 bits of numbers for what lines say, which are 64-bit ones with a sign."""
    return array(_TYPECODE, array("q", hashes).tobytes())[_LOW_HALF::2]


def chain_fingerprints(hashes: "array[int]", before: int) -> "array[int]":
    """The fingerprints of lines: what a line says, with what the line before it says.

    Args:
        hashes: the marks of what each line says.
        before: the mark of the line before the first one.

    Returns:
        Of each line its mark, exclusive-or the mark before it rotated by one bit; all of them are
        computed as one long number.
    """
    if not hashes:
        return hashes
    size = len(hashes)
    earlier = _as_int(array(_TYPECODE, [before]) + hashes[:-1])
    lowest = _as_int(array(_TYPECODE, [1]) * size)
    rotated = (earlier & lowest * 0x7FFFFFFF) << 1 | earlier >> 31 & lowest
    found = array(_TYPECODE)
    found.frombytes((_as_int(hashes) ^ rotated).to_bytes(size * hashes.itemsize, sys.byteorder))
    return found


def _as_int(values: "array[int]") -> int:
    return int.from_bytes(values.tobytes(), sys.byteorder)


def unpack(packed: bytes) -> set[int]:
    """The fingerprints of a minute, as they are kept."""
    found = array(_TYPECODE)
    found.frombytes(packed)
    return set(found)


def by_minute(lines: Lines, counted: Sequence[bool]) -> dict[int, bytes]:
    """The fingerprints of lines that were not counted before, as they are kept, by minutes.

    Args:
        lines: the lines of a block.
        counted: of each line, whether it was counted before; empty if none was.
    """
    found: dict[int, bytes] = {}
    for minute, start, end in lines.minute_runs():
        marks = lines.fingerprints[start:end]
        if counted:
            new = [not is_known for is_known in counted[start:end]]
            marks = array(_TYPECODE, compress(marks, new))
        if marks:
            found[minute] = found.get(minute, b"") + marks.tobytes()
    return found


def find_counted(
    lines: Lines, seen: Mapping[int, AbstractSet[int]], *, is_whole_log: bool, continues: bool
) -> Comparison:
    """Find the lines that were counted before.

    Args:
        lines: the lines of a block.
        seen: fingerprints of lines that were counted before, by their minutes.
        is_whole_log: these are all lines of a log.
        continues: the line before them, of the same log, was known.
    """
    agrees = _matching_lines(lines, seen)
    if is_whole_log and len(lines.fingerprints) == 1:  # a line alone follows none
        return Comparison([], int(lines.minutes[0][0] in seen))
    if not agrees:
        return Comparison([], 0)
    known, alike = [False] * len(agrees), 0
    for start, end in _true_runs(agrees):
        first = max(start - 1, 0)  # the line before agrees as well
        if (
            (start == 0 and continues)
            or len(set(lines.fingerprints[first:end])) >= MIN_RUN
            or (is_whole_log and end - first == len(agrees))
        ):
            known[first:end] = [True] * (end - first)
        else:
            alike += end - first
    return Comparison(known if any(known) else [], alike)


def _matching_lines(lines: Lines, seen: Mapping[int, AbstractSet[int]]) -> list[bool]:
    """Whether each line was seen in its minute, in an earlier log or earlier in these lines.

    Empty if none was. Within one log time goes on; where it goes back, what came before is what may
    come again.
    """
    agrees: list[bool] = []
    earlier: dict[int, set[int]] = {}
    passed: list[MinuteRun] = []  # that are not in `earlier` yet
    for part in lines.minute_runs():
        if passed and part.minute < passed[-1].minute:
            for minute, start, end in passed:
                earlier.setdefault(minute, set()).update(lines.fingerprints[start:end])
            passed.clear()
        passed.append(part)
        marks = lines.fingerprints[part.start : part.end]
        for before in (seen.get(part.minute, _EMPTY), earlier.get(part.minute, _EMPTY)):
            if before and not before.isdisjoint(marks):
                agrees = agrees or [False] * len(lines.fingerprints)
                for number, mark in enumerate(marks, part.start):
                    agrees[number] |= mark in before
    return agrees


def _true_runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Where runs of true flags begin and end."""
    runs, start = [], None
    for at, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = at
        elif not flag and start is not None:
            runs.append((start, at))
            start = None
    return runs
