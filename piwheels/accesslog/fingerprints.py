"""Lines that were counted before, found by fingerprints of what they say.

A log as a whole, or as far as it was read, is known by its hash chain (chain). A part of one is
not: the end that `tail` cut off, logs put together in another order, a log whose line ends were
converted. So each line that is counted leaves a fingerprint with its minute: 32 bits of what it and
the line before it say of moment, request, status, size and client, without the address, which is
kept nowhere. Lines are known where at least RUN of them follow one another as they were counted
before, or where a log has no other lines. Fewer prove nothing: two servers may log the same request
in the same second. What is skipped, and what agrees but is counted, is reported by the reader.

Four bytes a line are kept; what is compared at once are the minutes of one block, 16 MiB of a log.
A run that begins with the last lines of a block can be taken for new ones; that is at most RUN - 1.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

#: Fewer lines one after the other may agree by chance.
RUN = 8
_TYPECODE = "I"
_MASK = 0xFFFFFFFF
_NONE: frozenset[int] = frozenset()


class Compared(NamedTuple):
    """What became of the lines of a block."""

    known: list[bool]  # for each line: it was counted before
    alike: int  # lines that agree with some counted before, and are counted


def linked(marks: Sequence[int], before: int) -> list[int]:
    """The fingerprints of lines, from what each says, and the one before them."""
    return [
        (earlier * 3 ^ mark) & _MASK for earlier, mark in zip([before, *marks], marks, strict=False)
    ]


def unpacked(marks: bytes) -> set[int]:
    """The fingerprints of a minute, as they are kept."""
    found = array(_TYPECODE)
    found.frombytes(marks)
    return set(found)


def by_minute(minutes: Sequence[int], marks: Sequence[int]) -> dict[int, bytes]:
    """Fingerprints as they are kept, by their minutes, which may be in any order."""
    if not _is_sorted(minutes):
        order = sorted(range(len(minutes)), key=minutes.__getitem__)
        minutes, marks = [minutes[at] for at in order], [marks[at] for at in order]
    found: dict[int, bytes] = {}
    start = 0
    while start < len(minutes):
        end = bisect_right(minutes, minutes[start])
        found[minutes[start]] = array(_TYPECODE, marks[start:end]).tobytes()
        start = end
    return found


def compare(
    minutes: Sequence[int],
    marks: Sequence[int],
    seen: Mapping[int, Container[int]],
    *,
    whole: bool,
    goes_on: bool,
) -> Compared:
    """Find the lines that were counted before.

    Args:
        minutes: of each line, since 1970.
        marks: the fingerprint of each line.
        seen: fingerprints of lines that were counted before, by their minutes.
        whole: these are all lines of a log.
        goes_on: the line before them, of the same log, was known.
    """
    agrees = _agreeing(minutes, marks, seen)
    if whole and len(agrees) == 1:  # a line alone follows none
        return Compared([False], int(minutes[0] in seen))
    known, alike = [False] * len(agrees), 0
    for start, end in _runs(agrees) if any(agrees) else ():
        first = max(start - 1, 0)  # the line before agrees as well
        if (
            (start == 0 and goes_on)
            or len(set(marks[first:end])) >= RUN
            or (whole and end - first == len(agrees))
        ):
            known[first:end] = [True] * (end - first)
        else:
            alike += end - first
    return Compared(known, alike)


def _agreeing(
    minutes: Sequence[int], marks: Sequence[int], seen: Mapping[int, Container[int]]
) -> list[bool]:
    """Whether each line was seen in its minute, in an earlier log or earlier in these lines."""
    if _is_sorted(minutes):
        return _agreeing_sorted(minutes, marks, seen)
    # Within one log time goes on; where it goes back, what came before is what may come again.
    agrees: list[bool] = []
    earlier: dict[int, set[int]] = {}
    start, latest = 0, minutes[0] if minutes else 0
    for at, minute in enumerate(minutes):
        if minute < latest:
            for passed in range(start, at):
                earlier.setdefault(minutes[passed], set()).add(marks[passed])
            start = at
        latest = minute
        mark = marks[at]
        agrees.append(mark in seen.get(minute, _NONE) or mark in earlier.get(minute, _NONE))
    return agrees


def _agreeing_sorted(
    minutes: Sequence[int], marks: Sequence[int], seen: Mapping[int, Container[int]]
) -> list[bool]:
    agrees = [False] * len(minutes)
    for minute, found in seen.items():
        start, end = bisect_left(minutes, minute), bisect_right(minutes, minute)
        agrees[start:end] = [mark in found for mark in marks[start:end]]
    return agrees


def _is_sorted(minutes: Sequence[int]) -> bool:
    return list(minutes) == sorted(minutes)


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
