"""Finds lines that were already counted, by their fingerprints.

A log that was read, completely or up to a position, is identified by its hash chain. A part of a
log is not: the output of `tail`, logs concatenated in another order, converted line ends. So each
counted line leaves a fingerprint with its minute: 32 bits of the time, request, size and client of
the line and of the previous line, and of whether its status is counted; the address is not included
and not stored. Lines are recognized if at least MIN_RUN consecutive lines match, or if a log has no
other lines. Fewer prove nothing: two servers may log the same request in the same second. The
reader reports what is skipped, and what matches but is counted.

Four bytes per line are stored for RETENTION_DAYS. The minutes of one block, 16 MiB of a log, are
compared at a time. A run that starts with the last lines of a block can be missed; these are at
most MIN_RUN - 1 lines. There is no loop over lines unless some of them match.
"""

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress
from typing import NamedTuple

#: Fewer consecutive lines may match by chance.
MIN_RUN = 8
#: Fingerprints are kept for this many days before the newest access. Debian's nginx and Apache keep
#: rotated logs for 14 days, Fedora's for 4 weeks.
RETENTION_DAYS = 60
_TYPECODE = "I"
_LOW_HALF = 0 if sys.byteorder == "little" else 1
_EMPTY: frozenset[int] = frozenset()


class MinuteRun(NamedTuple):
    """Consecutive lines of one minute."""

    minute: int  # since 1970
    start: int  # the index of the first line
    end: int  # the index after the last line


class Lines(NamedTuple):
    """Consecutive lines of a log."""

    minutes: Sequence[tuple[int, int]]  # each minute, with the index of its first line
    fingerprints: "array[int]"  # the fingerprint of each line

    def minute_runs(self) -> Iterator[MinuteRun]:
        """The lines of each minute; a minute may occur several times."""
        ends = [start for _, start in self.minutes[1:]] + [len(self.fingerprints)]
        for (minute, start), end in zip(self.minutes, ends, strict=False):
            yield MinuteRun(minute, start, end)


class Comparison(NamedTuple):
    """Which lines of a block were already counted."""

    counted: list[bool]  # for each line; empty if none was
    similar_count: int  # lines that match counted ones, but in runs that are too short


def hash_array(hashes: Iterable[int] = ()) -> "array[int]":
    """The lowest 32 bits of signed 64-bit numbers."""
    return array(_TYPECODE, array("q", hashes).tobytes())[_LOW_HALF::2]


def chain_fingerprints(hashes: "array[int]", before: int) -> "array[int]":
    """The fingerprints of lines: the hash of each line combined with that of the previous line.

    Args:
        hashes: of each line.
        before: the hash of the line before the first one.

    Returns:
        For each line its hash, exclusive-or the previous hash rotated by one bit; all of them are
        computed as one large integer.
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
    """The fingerprints of a minute, from their stored form."""
    found = array(_TYPECODE)
    found.frombytes(packed)
    return set(found)


def by_minute(lines: Lines, counted: Sequence[bool]) -> dict[int, bytes]:
    """The fingerprints of lines that were not counted yet, in their stored form, by minute.

    Args:
        lines: the lines of a block.
        counted: for each line, whether it was counted; empty if none was.
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
    """Find the lines that were already counted.

    Args:
        lines: the lines of a block.
        seen: fingerprints of counted lines, by minute.
        is_whole_log: the block has all lines of a log.
        continues: the previous line of the same log was already counted.
    """
    agrees = _matching_lines(lines, seen)
    if is_whole_log and len(lines.fingerprints) == 1:  # a single line has no predecessor
        return Comparison([], int(lines.minutes[0][0] in seen))
    if not agrees:
        return Comparison([], 0)
    known, alike = [False] * len(agrees), 0
    for start, end in _true_runs(agrees):
        first = max(start - 1, 0)  # the previous line matches as well
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
    """Whether each line matches one of its minute, in another log or earlier in these lines.

    Empty if none does. Time does not go back within a log; where it does, the lines before may be
    repeated.
    """
    agrees: list[bool] = []
    earlier: dict[int, set[int]] = {}
    passed: list[MinuteRun] = []  # not added to `earlier` yet
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
    """The start and end of each run of true flags."""
    runs, start = [], None
    for at, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = at
        elif not flag and start is not None:
            runs.append((start, at))
            start = None
    return runs
