"""One log read on: known again by its content, parsed in blocks, committed with its position.

A log is recognised as a whole by its chain (chain), and parts of one by their lines (fingerprints);
what that skips, and what cannot be compared, is reported with the name of the file.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import compress

from piwheels.accesslog import fingerprints
from piwheels.accesslog.batch import Addresses, Gathering
from piwheels.accesslog.behind import Behind
from piwheels.accesslog.chain import Chain, Checkpoint, first_line_digest
from piwheels.accesslog.fingerprints import Lines
from piwheels.accesslog.logfile import Stream
from piwheels.accesslog.parse import Format, Parsed, Parser
from piwheels.accesslog.paths import Kind, Wheel
from piwheels.accesslog.sample import SAMPLED, Sample
from piwheels.db import accesslogs
from piwheels.db.accesses import Batch, LogMovedError, Step, Writer
from piwheels.db.accesslogs import KnownLog
from piwheels.db.database import Database
from piwheels.errors import RefusedError

log = logging.getLogger(__name__)

BLOCK_BYTES = 16 * 1024 * 1024  # committed at once
PIECE_BYTES = 256 * 1024  # parsed at once: a millisecond or two
LONGEST_LINE_BYTES = 1024 * 1024
_VERIFY_BYTES = 1024 * 1024
_LONGEST_FIRST_LINE = 64 * 1024
_DAYS_KEPT = 4
_SIZES_KEPT = 100_000
#: A clock may be ahead of ours by this much; what is later is a broken line.
_AHEAD_S = 86_400


@dataclass(slots=True)
class Tally:
    """What a run has read."""

    lines: int = 0
    downloads: int = 0
    broken: int = 0
    known_bytes: int = 0  # that had been read before
    known_lines: int = 0  # that had been counted before, as a part of another log


class Sizes:
    """The sizes of published wheels, as far as downloads were seen."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.known: dict[int, int] = {}  # bytes by the keys of wheels

    async def learn(self, fewest: Mapping[Wheel, int]) -> bool:
        """Look the sizes of wheels up that are not known; those not published here stay so.

        Args:
            fewest: the fewest bytes that a download of each of them took.

        Returns:
            Whether one of the downloads was broken off.
        """
        if not fewest:
            return False
        filenames = [wheel.filename for wheel in fewest]
        sizes = await self._db.retrying(lambda: accesslogs.wheel_sizes(self._db, filenames))
        if len(self.known) > _SIZES_KEPT:
            self.known.clear()
        found = {wheel: sizes[wheel.filename] for wheel in fewest if wheel.filename in sizes}
        self.known.update((wheel.key, size) for wheel, size in found.items())
        return any(fewest[wheel] < size for wheel, size in found.items())


class Keys:
    """The hashes of addresses of the days at hand."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._days: dict[date, tuple[bytes | None, Addresses]] = {}

    async def of(self, days: set[date]) -> dict[date, Addresses]:
        """The hashes of these days."""
        keys = await self._db.retrying(lambda: accesslogs.day_keys(self._db, sorted(days)))
        for day in sorted(days):
            if day not in self._days or self._days[day][0] != keys[day]:
                self._days[day] = (keys[day], Addresses(keys[day]))
        addresses = {day: self._days[day][1] for day in days}
        while len(self._days) > _DAYS_KEPT:
            del self._days[min(self._days)]
        return addresses


@dataclass(slots=True)
class Desk:
    """What all logs of a run are read with."""

    db: Database
    writer: Writer
    parser: Parser
    keys: Keys
    sizes: Sizes
    sample: Sample
    rows_since: Callable[[], date]  # days before it leave no raw rows
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def of(
        cls,
        db: Database,
        line_format: Format,
        sample: Sample,
        rows_since: Callable[[], date],
        prefix: str = "",
    ) -> "Desk":
        """A desk with everything new."""
        return cls(
            db=db,
            writer=Writer(db),
            parser=Parser(line_format, prefix),
            keys=Keys(db),
            sizes=Sizes(db),
            sample=sample,
            rows_since=rows_since,
        )


class _Block:
    """Lines that are committed together."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size_bytes = 0
        self.ends = False  # nothing comes after it
        self.gathering = Gathering()
        self.parts: list[tuple[bytes, int]] = []  # what was parsed, and how many accesses it gave
        self.lines = 0
        self.broken = 0
        self.sample: list[bytes] = []

    def add(self, lines: bytes, parsed: Parsed, text: bytes, sizes: Mapping[int, int]) -> None:
        """Take further lines, and what was parsed of them."""
        self.pieces.append(lines)
        self.size_bytes += len(lines)
        self.gathering.add(parsed.accesses, sizes)
        self.parts.append((text, len(parsed.accesses)))
        self.lines += len(parsed.accesses) + len(parsed.broken)
        self.broken += len(parsed.broken)
        self.sample += parsed.broken[: SAMPLED - len(self.sample)]


class LogReader:
    """Reads one stream, from where its content was read to before."""

    def __init__(self, desk: Desk, stream: Stream) -> None:
        self._desk = desk
        self._stream = stream
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._chain: Chain | None = None  # None: not known yet which log this is
        self._log: int | None = None
        self._first_line = b""
        self._ordinal = 0
        self._rest = b""  # a line that has not ended
        self._in_long_line = False
        self._in_known = False  # the last line was counted before
        self._last_mark = 0  # of the last line, as Gathering has it
        self._skipped = self._alike = 0  # lines that were counted before, and that may have been
        self._is_new = False  # no log that was read before begins as this one does
        self._days: set[date] = set()  # of a new log, of which it is known whether they are marked
        self._unmarked: set[date] = set()  # days of which lines could not be compared
        #: A log that begins as this one does and was read further, and how far they agree.
        self._longer: tuple[KnownLog, Chain] | None = None

    async def read_on(self, *, last: bool = False) -> bool:
        """Read all that there is now, each block while the one before it is being committed.

        Args:
            last: no more will come: a line without its end is read if it is a whole one.

        Returns:
            Whether there was anything new. It is committed.

        Raises:
            LogMovedError: another process reads the same log.
            RefusedError: a packed file is damaged; what came before that is committed.
        """
        if self._chain is None and not await self._recognise(last=last):
            return False
        news = False
        async with Behind() as behind:
            while (block := await self._next_block(last=last)).size_bytes:
                await behind.do(self._commit, block)
                news = True
        self._report()
        return news

    def _report(self) -> None:
        """Say what of the lines read now was not counted, or may have been counted twice."""
        name = self._stream.name
        if self._skipped:
            log.warning(
                "%s: %s lines were counted before, as part of another log; they are not counted "
                "again",
                name,
                f"{self._skipped:,}",
            )
        if self._alike:
            log.info(
                "%s: %s lines are like a few of another log; they are counted",
                name,
                f"{self._alike:,}",
            )
        if self._unmarked:
            log.warning(
                "%s: accesses of %s were counted by an earlier version or over %d days before "
                "the newest ones, and nothing is kept to compare their lines with: if this is a "
                "part of a log that was read then, its lines count twice; read logs as a whole, "
                "which are recognized",
                name,
                ", ".join(map(str, sorted(self._unmarked)[:3]))
                + (" and later days" if len(self._unmarked) > 3 else ""),
                fingerprints.KEPT_DAYS,
            )
        self._skipped = self._alike = 0
        self._unmarked = set()

    async def read_all(self) -> None:
        """Read a file to its end, also while another process reads it."""
        while True:
            try:
                await self.read_on(last=True)
            except LogMovedError:
                self.rewind()
            else:
                return

    def rewind(self) -> None:
        """The stream begins anew, with a content of its own."""
        self._stream.rewind()
        self._begin_anew()

    def resume(self, number: int, first_line: bytes, chain: Chain) -> None:
        """Go on with a log that is known, from where a chain got to."""
        self._log, self._first_line, self._chain = number, first_line, chain

    # --- which log it is ---

    async def _recognise(self, *, last: bool) -> bool:
        """Find out which log this is, and go to where it was read to."""
        if self._longer is not None:
            found = await self._compare(*self._longer)
            if found is not None:
                return found
        self._stream.rewind()
        start = self._first_line_of()
        if not start or (not last and b"\n" not in start and len(start) < _LONGEST_FIRST_LINE):
            return False
        self._first_line = first_line_digest(start)
        db = self._desk.db
        known = await db.retrying(lambda: accesslogs.known_logs(db, self._first_line))
        for candidate in known:
            self._stream.rewind()
            found = await self._compare(candidate, Chain())
            if found is not None:
                return found
        self._stream.rewind()
        self._ordinal, self._chain, self._is_new = len(known), Chain(), True
        return True

    async def _compare(self, known: KnownLog, chain: Chain) -> bool | None:
        """Whether this is a log that is known; False if it may be, but ends before it did."""
        before = chain.position
        chain, agrees = verify(self._stream, known, chain)
        self._longer = None
        if not agrees:
            return None
        self._desk.tally.known_bytes += chain.position - before
        if chain.position < known.position:
            self._longer = known, chain
            self._stream.done_until(chain.position)
            return False
        self._log, self._chain = known.log, chain
        db = self._desk.db
        await db.retrying(lambda: accesslogs.rename_log(db, known.log, self._stream.name))
        return True

    def _first_line_of(self) -> bytes:
        """The stream's first bytes: a whole line, or all that there is."""
        start = b""
        while b"\n" not in start and len(start) < _LONGEST_FIRST_LINE:
            data = self._stream.read(_LONGEST_FIRST_LINE)
            if not data:
                break
            start += data
        return start

    # --- what it says ---

    async def _next_block(self, *, last: bool) -> _Block:
        """Lines for the next commit: as many as there are, up to a number of bytes."""
        block = _Block()
        while block.size_bytes < BLOCK_BYTES:
            try:
                lines = self._next_lines()
            except RefusedError:
                if block.size_bytes:
                    return block  # what came before is good; it is raised again
                raise
            if not lines:
                break
            self._add(block, lines)
            await asyncio.sleep(0)  # the block before is being committed
        else:
            return block
        block.ends = last
        if last and self._rest and not self._in_long_line:
            self._add_last_line(block)
        return block

    def _next_lines(self) -> bytes:
        """Whole lines; b"" when there are none now."""
        while data := self._stream.read(PIECE_BYTES):
            piece = self._rest + data
            end = piece.rfind(b"\n") + 1
            if not end and len(piece) >= LONGEST_LINE_BYTES:
                end = len(piece)
            lines, self._rest = piece[:end], piece[end:]
            if lines:
                return lines
        return b""

    def _add_last_line(self, block: _Block) -> None:
        """The last line, if it is whole but for its newline; half a line may yet grow."""
        if self._parse(self._rest).accesses:
            self._add(block, self._rest)
            self._rest = b""

    def _add(self, block: _Block, lines: bytes) -> None:
        """Parse lines into a block; of a line that is too long, only its beginning counts."""
        text = lines
        if self._in_long_line:  # which was counted when it began
            self._in_long_line = b"\n" not in lines
            text = lines.partition(b"\n")[2]
        elif not lines.endswith(b"\n") and len(lines) >= LONGEST_LINE_BYTES:
            self._in_long_line = True
            block.add(lines, Parsed([], [lines]), b"", self._desk.sizes.known)
            return
        block.add(lines, self._parse(text), text, self._desk.sizes.known)

    def _parse(self, text: bytes) -> Parsed:
        return self._desk.parser.parse(text, int(time.time()) + _AHEAD_S)

    # --- what becomes of it ---

    async def _commit(self, block: _Block) -> None:
        desk, chain = self._desk, self._chain
        if chain is None:
            raise RuntimeError("a log is recognised before it is read")
        lines = self._linked(block.gathering)
        known = await self._known_lines(lines, whole=block.ends and self._log is None)
        batch = await self._batch(block, known)
        batch.lines = fingerprints.by_minute(lines, known)
        began, known_lines = chain.position, sum(known)
        # Hashing lets other threads work, so it is done while the next block is parsed.
        checkpoints = await asyncio.to_thread(_fed, chain, block.pieces)
        step = Step(
            log=self._log,
            first_line=self._first_line,
            ordinal=self._ordinal,
            began=began,
            position=chain.position,
            digest=chain.digest,
            lines=block.lines - known_lines,
            broken=block.broken,
            name=self._stream.name,
            checkpoints=checkpoints,
        )
        self._log = await desk.db.retrying(lambda: desk.writer.commit(step, batch))
        desk.sample.add(block.sample)
        self._skipped += known_lines
        desk.tally.known_lines += known_lines
        desk.tally.lines += step.lines
        desk.tally.broken += step.broken
        desk.tally.downloads += sum(day.kinds[Kind.DOWNLOAD] for day in batch.days)
        self._stream.done_until(chain.position)

    def _linked(self, found: Gathering) -> Lines:
        """The fingerprints of a block, which goes on where the one before it ended."""
        before = self._last_mark
        if found.marks:
            self._last_mark = found.marks[-1]
        return Lines(found.minutes, fingerprints.linked(found.marks, before))

    async def _known_lines(self, lines: Lines, *, whole: bool) -> list[bool]:
        """For each line of a block whether it was counted before; empty if none was."""
        few = len(lines.marks) < fingerprints.RUN
        if not lines.marks or (few and not whole and not self._in_known):
            return []
        db, minutes = self._desk.db, {minute for minute, _ in lines.minutes}
        found = await db.retrying(lambda: accesslogs.line_marks(db, minutes))
        seen = {minute: fingerprints.unpacked(b"".join(marks)) for minute, marks in found.items()}
        if self._is_new:
            await self._look_for_unmarked({_day(minute) for minute in minutes})
        known, alike = fingerprints.compare(lines, seen, whole=whole, goes_on=self._in_known)
        self._in_known = bool(known) and known[-1]
        self._alike += alike
        return known

    async def _look_for_unmarked(self, days: set[date]) -> None:
        """Note which of these days have accesses whose fingerprints are not kept."""
        db, new = self._desk.db, days - self._days
        if new:
            self._unmarked.update(await db.retrying(lambda: accesslogs.days_without_marks(db, new)))
            self._days |= new

    async def _batch(self, block: _Block, known: Sequence[bool]) -> Batch:
        """What is written of a block, without the lines that were counted before."""
        desk, found = self._desk, block.gathering
        if await desk.sizes.learn(found.fewest) or known:
            found = await self._gather_again(block, known)
        return found.batch(await desk.keys.of(found.days), desk.rows_since())

    async def _gather_again(self, block: _Block, known: Sequence[bool]) -> Gathering:
        """Gather a block once more, without what was counted before and was broken off."""
        found, start = Gathering(), 0
        for text, count in block.parts:
            accesses = self._parse(text).accesses
            flags = known[start : start + count]
            start += count
            if flags and len(accesses) == count:
                accesses = [*compress(accesses, [not is_known for is_known in flags])]
            found.add(accesses, self._desk.sizes.known)
            await asyncio.sleep(0)  # the next block is being parsed
        return found


def _day(minute: int) -> date:
    return date(1970, 1, 1) + timedelta(days=minute // (24 * 60))


def _fed(chain: Chain, pieces: Sequence[bytes]) -> list[Checkpoint]:
    return [checkpoint for piece in pieces for checkpoint in chain.feed(piece)]


def verify(stream: Stream, known: KnownLog, chain: Chain | None = None) -> tuple[Chain, bool]:
    """Read a stream to where a log was read to, and say whether it has the same content.

    A stream that ends before that agrees as far as its checkpoints do.
    """
    chain = chain or Chain()
    while chain.position < known.position:
        data = stream.read(min(_VERIFY_BYTES, known.position - chain.position))
        if not data:
            return chain, True
        for checkpoint in chain.feed(data):
            if known.checkpoints.get(checkpoint.position) != checkpoint.digest:
                return chain, False
    return chain, chain.digest == known.digest


def today() -> date:
    """The day that it is in UTC."""
    return datetime.now(UTC).date()
