"""Reads a log: identifies its content, parses it in blocks, and commits each with the position.

A log is identified by its hash chain, and parts of a log by their lines (fingerprints). What is
skipped, and what cannot be compared, is reported with the name of the file.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import compress

from piwheels.accesslog import line_fingerprints
from piwheels.accesslog.aggregate import Aggregator
from piwheels.accesslog.classify import RequestKind
from piwheels.accesslog.commit_pipeline import CommitPipeline
from piwheels.accesslog.context import IngestContext
from piwheels.accesslog.hash_chain import Checkpoint, HashChain, first_line_digest
from piwheels.accesslog.line_fingerprints import Lines
from piwheels.accesslog.log_formats import Parsed
from piwheels.accesslog.logfile import LogStream
from piwheels.accesslog.rejected_lines import MAX_PER_BLOCK
from piwheels.db import access_log_positions
from piwheels.db.access_log_positions import IngestedLog
from piwheels.db.access_log_writer import (
    AccessBatch,
    ConcurrentReadError,
    LogAdvance,
)
from piwheels.errors import RejectedError

log = logging.getLogger(__name__)

BLOCK_BYTES = 16 * 1024 * 1024  # per commit
PIECE_BYTES = 64 * 1024  # parsed at a time: it stays in the processor's caches
_PIECES_PER_TURN = 4  # one or two milliseconds
MAX_LINE_BYTES = 1024 * 1024
_VERIFY_BYTES = 1024 * 1024
_MAX_FIRST_LINE_BYTES = 64 * 1024


class _Block:
    """Lines that are committed together."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size_bytes = 0
        self.ends = False  # it is the end of the log
        self.aggregator = Aggregator()
        self.parts: list[tuple[bytes, int]] = []  # parsed text, and the number of its accesses
        self.lines = 0
        self.rejected_count = 0
        self.rejected: list[bytes] = []

    def add(self, lines: bytes, parsed: Parsed, text: bytes, sizes: Mapping[int, int]) -> None:
        """Add lines and their parsed accesses."""
        self.pieces.append(lines)
        self.size_bytes += len(lines)
        self.aggregator.add(parsed.accesses, sizes)
        self.parts.append((text, len(parsed.accesses)))
        self.lines += len(parsed.accesses) + len(parsed.rejected)
        self.rejected_count += len(parsed.rejected)
        self.rejected += parsed.rejected[: MAX_PER_BLOCK - len(self.rejected)]


class LogReader:
    """Reads one stream, from the position up to which its content was already read."""

    def __init__(self, context: IngestContext, stream: LogStream) -> None:
        self._context = context
        self._stream = stream
        self._reset()

    def _reset(self) -> None:
        self._chain: HashChain | None = None  # None: the log is not identified yet
        self._log_id: int | None = None
        self._first_line = b""
        self._ordinal = 0
        self._partial_line = b""  # the start of an incomplete line
        self._in_long_line = False
        self._last_was_counted = False  # the previous line was already counted
        self._last_hash = 0  # of the previous line
        self._skipped_count = self._similar_count = 0  # lines already counted, and maybe counted
        self._is_new = False  # no log that was read starts with the same line
        self._checked_days: set[date] = set()  # days of a new log whose fingerprints were checked
        self._uncomparable_days: set[date] = set()  # days without fingerprints to compare
        #: A longer log that starts with the same content, and the chain up to which they match.
        self._pending_match: tuple[IngestedLog, HashChain] | None = None

    async def read_new(self, *, last: bool = False) -> bool:
        """Read all available content; parse each block while the previous one is committed.

        Args:
            last: there is no further content: parse the last line even without a newline.

        Returns:
            Whether there was new content; it is committed.

        Raises:
            ConcurrentReadError: another process reads the same log.
            RejectedError: a compressed file is damaged; what came before is committed.
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
        """Report lines that were not counted, and lines that may be counted twice."""
        name = self._stream.name
        if self._skipped_count:
            log.warning(
                "%s: %s lines were already counted as part of another log; they are skipped",
                name,
                f"{self._skipped_count:,}",
            )
        if self._similar_count:
            log.info(
                "%s: %s lines resemble a few lines of another log; they are counted",
                name,
                f"{self._similar_count:,}",
            )
        if self._uncomparable_days:
            log.warning(
                "%s: accesses of %s were counted by an earlier version, or over %d days before the "
                "newest ones, and their fingerprints were not kept: if this is a part of such "
                "a log, its lines are counted twice; read complete logs, which are recognized",
                name,
                ", ".join(map(str, sorted(self._uncomparable_days)[:3]))
                + (" and later days" if len(self._uncomparable_days) > 3 else ""),
                line_fingerprints.RETENTION_DAYS,
            )
        self._skipped_count = self._similar_count = 0
        self._uncomparable_days = set()

    async def read_to_end(self) -> None:
        """Read a file to its end, even while another process reads it."""
        while True:
            try:
                await self.read_new(last=True)
            except ConcurrentReadError:
                self.rewind()
            else:
                return

    def rewind(self) -> None:
        """Restart at the beginning of the stream, and identify its content again."""
        self._stream.rewind()
        self._reset()

    def resume_at(self, log_id: int, first_line: bytes, chain: HashChain) -> None:
        """Resume an identified log at the position of a chain."""
        self._log_id, self._first_line, self._chain = log_id, first_line, chain

    # --- identification ---

    async def _identify(self, *, last: bool) -> bool:
        """Identify the log, and skip what was already read."""
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
        """Whether this is an ingested log; False if it matches so far, but is shorter."""
        before = chain.position
        chain, agrees = verify(self._stream, known, chain)
        self._pending_match = None
        if not agrees:
            return None
        self._context.counters.already_read_bytes += chain.position - before
        if chain.position < known.position:
            self._pending_match = known, chain
            self._stream.acknowledge(chain.position)
            return False
        self._log_id, self._chain = known.log_id, chain
        db = self._context.db
        await access_log_positions.rename_log(db, known.log_id, self._stream.name)
        return True

    def _read_first_line(self) -> bytes:
        """The first bytes of the stream: a complete line, or all that is available."""
        start = b""
        while b"\n" not in start and len(start) < _MAX_FIRST_LINE_BYTES:
            data = self._stream.read(_MAX_FIRST_LINE_BYTES)
            if not data:
                break
            start += data
        return start

    # --- reading and parsing ---

    async def _next_block(self, *, last: bool) -> _Block:
        """The available lines for the next commit, up to BLOCK_BYTES."""
        block = _Block()
        while block.size_bytes < BLOCK_BYTES:
            try:
                lines = self._next_lines()
            except RejectedError:
                if block.size_bytes:
                    return block  # what came before is valid; the error is raised again
                raise
            if not lines:
                break
            self._add(block, lines)
            if len(block.pieces) % _PIECES_PER_TURN == 0:
                await asyncio.sleep(0)  # the previous block is being committed
        else:
            return block
        block.ends = last
        if last and self._partial_line and not self._in_long_line:
            self._add_last_line(block)
        return block

    def _next_lines(self) -> bytes:
        """Complete lines; b"" if there are none now."""
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
        """Add the last line if it can be parsed; an incomplete line may still grow."""
        if self._parse(self._partial_line).accesses:
            self._add(block, self._partial_line)
            self._partial_line = b""

    def _add(self, block: _Block, lines: bytes) -> None:
        """Parse lines into a block; of an overlong line only the start is counted."""
        text = lines
        if self._in_long_line:  # it was counted at its start
            self._in_long_line = b"\n" not in lines
            text = lines.partition(b"\n")[2]
        elif not lines.endswith(b"\n") and len(lines) >= MAX_LINE_BYTES:
            self._in_long_line = True
            block.add(lines, Parsed([], [lines]), b"", self._context.wheel_sizes.by_key)
            return
        block.add(lines, self._parse(text), text, self._context.wheel_sizes.by_key)

    def _parse(self, text: bytes) -> Parsed:
        return self._context.parser.parse(text, self._context.latest_s())

    # --- committing ---

    async def _commit(self, block: _Block) -> None:
        context, chain = self._context, self._chain
        if chain is None:
            raise RuntimeError("a log must be identified before it is read")
        lines = self._fingerprints(block.aggregator)
        known = await self._counted_lines(lines, whole=block.ends and self._log_id is None)
        batch = await self._batch(block, known)
        batch.lines = line_fingerprints.by_minute(lines, known)
        began, known_lines = chain.position, sum(known)
        # Hashing releases the GIL, so the next block can be parsed meanwhile.
        checkpoints = await asyncio.to_thread(_hash_pieces, chain, block.pieces)
        advance = LogAdvance(
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
        self._log_id = await context.writer.commit(advance, batch)
        context.rejected_sample.add(block.rejected)
        self._skipped_count += known_lines
        context.counters.already_counted_lines += known_lines
        context.counters.lines += advance.lines
        context.counters.rejected_lines += advance.rejected_lines
        context.counters.downloads += sum(day.by_kind[RequestKind.DOWNLOAD] for day in batch.days)
        self._stream.acknowledge(chain.position)

    def _fingerprints(self, found: Aggregator) -> Lines:
        """The fingerprints of a block, which continues the previous one."""
        before = self._last_hash
        if found.hashes:
            self._last_hash = found.hashes[-1]
        return Lines(found.minutes, line_fingerprints.chain_fingerprints(found.hashes, before))

    async def _counted_lines(self, lines: Lines, *, whole: bool) -> list[bool]:
        """Whether each line of a block was already counted; empty if none was."""
        few = len(lines.fingerprints) < line_fingerprints.MIN_RUN
        if not lines.fingerprints or (few and not whole and not self._last_was_counted):
            return []
        db, minutes = self._context.db, {minute for minute, _ in lines.minutes}
        found = await access_log_positions.line_fingerprints(db, minutes)
        seen = {
            minute: line_fingerprints.unpack(b"".join(marks)) for minute, marks in found.items()
        }
        if self._is_new:
            await self._find_uncomparable_days({_day(minute) for minute in minutes})
        known, alike = line_fingerprints.find_counted(
            lines, seen, is_whole_log=whole, continues=self._last_was_counted
        )
        self._last_was_counted = bool(known) and known[-1]
        self._similar_count += alike
        return known

    async def _find_uncomparable_days(self, days: set[date]) -> None:
        """Note the days that have accesses without fingerprints."""
        db, new = self._context.db, days - self._checked_days
        if new:
            self._uncomparable_days.update(
                await access_log_positions.days_without_fingerprints(db, new)
            )
            self._checked_days |= new

    async def _batch(self, block: _Block, counted: Sequence[bool]) -> AccessBatch:
        """The batch of a block, without lines that were already counted."""
        context, found = self._context, block.aggregator
        if await context.wheel_sizes.look_up(found.smallest_downloads) or counted:
            found = await self._aggregate_again(block, counted)
        return found.to_batch(await context.address_keys.for_days(found.days), context.rows_since())

    async def _aggregate_again(self, block: _Block, counted: Sequence[bool]) -> Aggregator:
        """Aggregate a block again, without counted lines and interrupted downloads."""
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
    """Read a stream up to the position of an ingested log, and compare their content.

    A stream that ends earlier is compared by its checkpoints.
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
    """The current day in UTC."""
    return datetime.now(UTC).date()
