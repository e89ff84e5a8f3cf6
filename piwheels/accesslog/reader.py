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
from piwheels.accesslog.aggregate import AddressHasher, Aggregator
from piwheels.accesslog.classify import RequestKind, Wheel
from piwheels.accesslog.commit_pipeline import CommitPipeline
from piwheels.accesslog.fingerprints import Lines
from piwheels.accesslog.hash_chain import Checkpoint, HashChain, first_line_digest
from piwheels.accesslog.logfile import LogStream
from piwheels.accesslog.parse import LogFormat, Parsed, Parser
from piwheels.accesslog.rejected_lines import MAX_PER_BLOCK, RejectedLineSample
from piwheels.db import access_log_positions
from piwheels.db.access_log_positions import IngestedLog
from piwheels.db.access_log_writer import (
    AccessBatch,
    AccessLogWriter,
    ConcurrentReadError,
    LogAdvance,
)
from piwheels.db.database import Database
from piwheels.errors import RejectedError

log = logging.getLogger(__name__)

BLOCK_BYTES = 16 * 1024 * 1024  # committed at once
PIECE_BYTES = 256 * 1024  # parsed at once: a millisecond or two
MAX_LINE_BYTES = 1024 * 1024
_VERIFY_BYTES = 1024 * 1024
_MAX_FIRST_LINE_BYTES = 64 * 1024
_MAX_DAYS = 4
_MAX_SIZES = 100_000
#: A clock may be ahead of ours by this much; what is later is a broken line.
_MAX_CLOCK_SKEW_S = 86_400


@dataclass(slots=True)
class Counters:
    """What a run has read."""

    lines: int = 0
    downloads: int = 0
    broken: int = 0
    known_bytes: int = 0  # that had been read before
    known_lines: int = 0  # that had been counted before, as a part of another log


class WheelSizes:
    """The sizes of published wheels, as far as downloads were seen."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.by_key: dict[int, int] = {}  # bytes by the keys of wheels

    async def look_up(self, smallest: Mapping[Wheel, int]) -> bool:
        """Look the sizes of wheels up that are not known; those not published here stay so.

        Args:
            smallest: the fewest bytes that a download of each of them took.

        Returns:
            Whether one of the downloads was broken off.
        """
        if not smallest:
            return False
        filenames = [wheel.filename for wheel in smallest]
        sizes = await access_log_positions.wheel_sizes(self._db, filenames)
        if len(self.by_key) > _MAX_SIZES:
            self.by_key.clear()
        found = {wheel: sizes[wheel.filename] for wheel in smallest if wheel.filename in sizes}
        self.by_key.update((wheel.key, size) for wheel, size in found.items())
        return any(smallest[wheel] < size for wheel, size in found.items())


class AddressKeys:
    """The hashes of addresses of the days at hand."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._days: dict[date, tuple[bytes | None, AddressHasher]] = {}

    async def for_days(self, days: set[date]) -> dict[date, AddressHasher]:
        """The hashes of these days."""
        keys = await access_log_positions.address_keys(self._db, sorted(days))
        for day in sorted(days):
            if day not in self._days or self._days[day][0] != keys[day]:
                self._days[day] = (keys[day], AddressHasher(keys[day]))
        addresses = {day: self._days[day][1] for day in days}
        while len(self._days) > _MAX_DAYS:
            del self._days[min(self._days)]
        return addresses


@dataclass(slots=True)
class IngestContext:
    """What all logs of a run are read with."""

    db: Database
    writer: AccessLogWriter
    parser: Parser
    address_keys: AddressKeys
    wheel_sizes: WheelSizes
    rejected_sample: RejectedLineSample
    rows_since: Callable[[], date]  # days before it leave no raw rows
    counters: Counters = field(default_factory=Counters)

    @classmethod
    def create(
        cls,
        db: Database,
        line_format: LogFormat,
        sample: RejectedLineSample,
        rows_since: Callable[[], date],
        prefix: str = "",
    ) -> "IngestContext":
        """A context of its own database rows, parser and counters."""
        return cls(
            db=db,
            writer=AccessLogWriter(db),
            parser=Parser(line_format, prefix),
            address_keys=AddressKeys(db),
            wheel_sizes=WheelSizes(db),
            rejected_sample=sample,
            rows_since=rows_since,
        )


class _Block:
    """Lines that are committed together."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size_bytes = 0
        self.ends = False  # nothing comes after it
        self.aggregator = Aggregator()
        self.parts: list[tuple[bytes, int]] = []  # what was parsed, and how many accesses it gave
        self.lines = 0
        self.rejected_count = 0
        self.rejected: list[bytes] = []

    def add(self, lines: bytes, parsed: Parsed, text: bytes, sizes: Mapping[int, int]) -> None:
        """Take further lines, and what was parsed of them."""
        self.pieces.append(lines)
        self.size_bytes += len(lines)
        self.aggregator.add(parsed.accesses, sizes)
        self.parts.append((text, len(parsed.accesses)))
        self.lines += len(parsed.accesses) + len(parsed.rejected)
        self.rejected_count += len(parsed.rejected)
        self.rejected += parsed.rejected[: MAX_PER_BLOCK - len(self.rejected)]


class LogReader:
    """Reads one stream, from where its content was read to before."""

    def __init__(self, context: IngestContext, stream: LogStream) -> None:
        self._context = context
        self._stream = stream
        self._reset()

    def _reset(self) -> None:
        self._chain: HashChain | None = None  # None: not known yet which log this is
        self._log_id: int | None = None
        self._first_line = b""
        self._ordinal = 0
        self._partial_line = b""  # a line that has not ended
        self._in_long_line = False
        self._last_was_counted = False  # the last line was counted before
        self._last_hash = 0  # of the last line, as Gathering has it
        self._skipped_count = self._similar_count = (
            0  # lines that were counted before, and that may have been
        )
        self._is_new = False  # no log that was read before begins as this one does
        self._checked_days: set[date] = (
            set()
        )  # of a new log, of which it is known whether they are marked
        self._uncomparable_days: set[date] = set()  # days of which lines could not be compared
        #: A log that begins as this one does and was read further, and how far they agree.
        self._pending_match: tuple[IngestedLog, HashChain] | None = None

    async def read_new(self, *, last: bool = False) -> bool:
        """Read all that there is now, each block while the one before it is being committed.

        Args:
            last: no more will come: a line without its end is read if it is a whole one.

        Returns:
            Whether there was anything new. It is committed.

        Raises:
            LogMovedError: another process reads the same log.
            RefusedError: a packed file is damaged; what came before that is committed.
        """
        if self._chain is None and not await self._identify(last=last):
            return False
        news = False
        async with CommitPipeline() as behind:
            while (block := await self._next_block(last=last)).size_bytes:
                await behind.submit(self._commit, block)
                news = True
        self._report()
        return news

    def _report(self) -> None:
        """Say what of the lines read now was not counted, or may have been counted twice."""
        name = self._stream.name
        if self._skipped_count:
            log.warning(
                "%s: %s lines were counted before, as part of another log; they are not counted "
                "again",
                name,
                f"{self._skipped_count:,}",
            )
        if self._similar_count:
            log.info(
                "%s: %s lines are like a few of another log; they are counted",
                name,
                f"{self._similar_count:,}",
            )
        if self._uncomparable_days:
            log.warning(
                "%s: accesses of %s were counted by an earlier version or over %d days before "
                "the newest ones, and nothing is kept to compare their lines with: if this is a "
                "part of a log that was read then, its lines count twice; read logs as a whole, "
                "which are recognized",
                name,
                ", ".join(map(str, sorted(self._uncomparable_days)[:3]))
                + (" and later days" if len(self._uncomparable_days) > 3 else ""),
                fingerprints.RETENTION_DAYS,
            )
        self._skipped_count = self._similar_count = 0
        self._uncomparable_days = set()

    async def read_to_end(self) -> None:
        """Read a file to its end, also while another process reads it."""
        while True:
            try:
                await self.read_new(last=True)
            except ConcurrentReadError:
                self.rewind()
            else:
                return

    def rewind(self) -> None:
        """The stream begins anew, with a content of its own."""
        self._stream.rewind()
        self._reset()

    def resume_at(self, log_id: int, first_line: bytes, chain: HashChain) -> None:
        """Go on with a log that is known, from where a chain got to."""
        self._log_id, self._first_line, self._chain = log_id, first_line, chain

    # --- which log it is ---

    async def _identify(self, *, last: bool) -> bool:
        """Find out which log this is, and go to where it was read to."""
        if self._pending_match is not None:
            found = await self._matches(*self._pending_match)
            if found is not None:
                return found
        self._stream.rewind()
        start = self._read_first_line()
        if not start or (not last and b"\n" not in start and len(start) < _MAX_FIRST_LINE_BYTES):
            return False
        self._first_line = first_line_digest(start)
        db = self._context.db
        known = await access_log_positions.find_logs(db, self._first_line)
        for candidate in known:
            self._stream.rewind()
            found = await self._matches(candidate, HashChain())
            if found is not None:
                return found
        self._stream.rewind()
        self._ordinal, self._chain, self._is_new = len(known), HashChain(), True
        return True

    async def _matches(self, known: IngestedLog, chain: HashChain) -> bool | None:
        """Whether this is a log that is known; False if it may be, but ends before it did."""
        before = chain.position
        chain, agrees = verify(self._stream, known, chain)
        self._pending_match = None
        if not agrees:
            return None
        self._context.counters.known_bytes += chain.position - before
        if chain.position < known.position:
            self._pending_match = known, chain
            self._stream.acknowledge(chain.position)
            return False
        self._log_id, self._chain = known.log_id, chain
        db = self._context.db
        await access_log_positions.rename_log(db, known.log_id, self._stream.name)
        return True

    def _read_first_line(self) -> bytes:
        """The stream's first bytes: a whole line, or all that there is."""
        start = b""
        while b"\n" not in start and len(start) < _MAX_FIRST_LINE_BYTES:
            data = self._stream.read(_MAX_FIRST_LINE_BYTES)
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
            except RejectedError:
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
        if last and self._partial_line and not self._in_long_line:
            self._add_last_line(block)
        return block

    def _next_lines(self) -> bytes:
        """Whole lines; b"" when there are none now."""
        while data := self._stream.read(PIECE_BYTES):
            piece = self._partial_line + data
            end = piece.rfind(b"\n") + 1
            if not end and len(piece) >= MAX_LINE_BYTES:
                end = len(piece)
            lines, self._partial_line = piece[:end], piece[end:]
            if lines:
                return lines
        return b""

    def _add_last_line(self, block: _Block) -> None:
        """The last line, if it is whole but for its newline; half a line may yet grow."""
        if self._parse(self._partial_line).accesses:
            self._add(block, self._partial_line)
            self._partial_line = b""

    def _add(self, block: _Block, lines: bytes) -> None:
        """Parse lines into a block; of a line that is too long, only its beginning counts."""
        text = lines
        if self._in_long_line:  # which was counted when it began
            self._in_long_line = b"\n" not in lines
            text = lines.partition(b"\n")[2]
        elif not lines.endswith(b"\n") and len(lines) >= MAX_LINE_BYTES:
            self._in_long_line = True
            block.add(lines, Parsed([], [lines]), b"", self._context.wheel_sizes.by_key)
            return
        block.add(lines, self._parse(text), text, self._context.wheel_sizes.by_key)

    def _parse(self, text: bytes) -> Parsed:
        return self._context.parser.parse(text, int(time.time()) + _MAX_CLOCK_SKEW_S)

    # --- what becomes of it ---

    async def _commit(self, block: _Block) -> None:
        desk, chain = self._context, self._chain
        if chain is None:
            raise RuntimeError("a log is recognised before it is read")
        lines = self._fingerprints(block.aggregator)
        known = await self._counted_lines(lines, whole=block.ends and self._log_id is None)
        batch = await self._batch(block, known)
        batch.lines = fingerprints.by_minute(lines, known)
        began, known_lines = chain.position, sum(known)
        # Hashing lets other threads work, so it is done while the next block is parsed.
        checkpoints = await asyncio.to_thread(_hash_pieces, chain, block.pieces)
        step = LogAdvance(
            log_id=self._log_id,
            first_line=self._first_line,
            ordinal=self._ordinal,
            start_position=began,
            position=chain.position,
            digest=chain.digest,
            lines=block.lines - known_lines,
            rejected_lines=block.rejected_count,
            name=self._stream.name,
            checkpoints=checkpoints,
        )
        self._log_id = await desk.writer.commit(step, batch)
        desk.rejected_sample.add(block.rejected)
        self._skipped_count += known_lines
        desk.counters.known_lines += known_lines
        desk.counters.lines += step.lines
        desk.counters.broken += step.rejected_lines
        desk.counters.downloads += sum(day.by_kind[RequestKind.DOWNLOAD] for day in batch.days)
        self._stream.acknowledge(chain.position)

    def _fingerprints(self, found: Aggregator) -> Lines:
        """The fingerprints of a block, which goes on where the one before it ended."""
        before = self._last_hash
        if found.hashes:
            self._last_hash = found.hashes[-1]
        return Lines(found.minutes, fingerprints.chain_fingerprints(found.hashes, before))

    async def _counted_lines(self, lines: Lines, *, whole: bool) -> list[bool]:
        """For each line of a block whether it was counted before; empty if none was."""
        few = len(lines.fingerprints) < fingerprints.MIN_RUN
        if not lines.fingerprints or (few and not whole and not self._last_was_counted):
            return []
        db, minutes = self._context.db, {minute for minute, _ in lines.minutes}
        found = await access_log_positions.line_fingerprints(db, minutes)
        seen = {minute: fingerprints.unpack(b"".join(marks)) for minute, marks in found.items()}
        if self._is_new:
            await self._find_uncomparable_days({_day(minute) for minute in minutes})
        known, alike = fingerprints.find_counted(
            lines, seen, is_whole_log=whole, continues=self._last_was_counted
        )
        self._last_was_counted = bool(known) and known[-1]
        self._similar_count += alike
        return known

    async def _find_uncomparable_days(self, days: set[date]) -> None:
        """Note which of these days have accesses whose fingerprints are not kept."""
        db, new = self._context.db, days - self._checked_days
        if new:
            self._uncomparable_days.update(
                await access_log_positions.days_without_fingerprints(db, new)
            )
            self._checked_days |= new

    async def _batch(self, block: _Block, counted: Sequence[bool]) -> AccessBatch:
        """What is written of a block, without the lines that were counted before."""
        desk, found = self._context, block.aggregator
        if await desk.wheel_sizes.look_up(found.smallest_downloads) or counted:
            found = await self._aggregate_again(block, counted)
        return found.to_batch(await desk.address_keys.for_days(found.days), desk.rows_since())

    async def _aggregate_again(self, block: _Block, counted: Sequence[bool]) -> Aggregator:
        """Gather a block once more, without what was counted before and was broken off."""
        found, start = Aggregator(), 0
        for text, count in block.parts:
            accesses = self._parse(text).accesses
            flags = counted[start : start + count]
            start += count
            if flags and len(accesses) == count:
                accesses = [*compress(accesses, [not is_known for is_known in flags])]
            found.add(accesses, self._context.wheel_sizes.by_key)
            await asyncio.sleep(0)  # the next block is being parsed
        return found


def _day(minute: int) -> date:
    return date(1970, 1, 1) + timedelta(days=minute // (24 * 60))


def _hash_pieces(chain: HashChain, pieces: Sequence[bytes]) -> list[Checkpoint]:
    return [checkpoint for piece in pieces for checkpoint in chain.update(piece)]


def verify(
    stream: LogStream, known: IngestedLog, chain: HashChain | None = None
) -> tuple[HashChain, bool]:
    """Read a stream to where a log was read to, and say whether it has the same content.

    A stream that ends before that agrees as far as its checkpoints do.
    """
    chain = chain or HashChain()
    while chain.position < known.position:
        data = stream.read(min(_VERIFY_BYTES, known.position - chain.position))
        if not data:
            return chain, True
        for checkpoint in chain.update(data):
            if known.checkpoints.get(checkpoint.position) != checkpoint.digest:
                return chain, False
    return chain, chain.digest == known.digest


def today() -> date:
    """The day that it is in UTC."""
    return datetime.now(UTC).date()
