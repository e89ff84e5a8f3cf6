"""Recordings of a console's events: written as they arrive, readable after any kind of end.

A recording is a line that names its format, then blocks of at most a second each:

    4 bytes "PWRB", size of the rest (u32), CRC-32 of the rest (u32), flags (u8),
    time of its first entry (f64, UNIX seconds), BlockContents (MessagePack, zlib)

Flag 1 marks a block that also has the state before it, so that a reader can start there; there is
one every SNAPSHOT_INTERVAL_S. Flag 2 marks a block with log chunks: those that were read while
recording. A truncated or damaged block ends the recording for its readers.
"""

import asyncio
import struct
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec

from piwheels.errors import MALFORMED, ConfigError
from piwheels.formatting import format_count
from piwheels.protocol.messages import PROTOCOL, LogChunk, RequestBody
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.command_status import CommandStatus
from piwheels.tui.model.source_events import (
    MAX_UNIX_S,
    Connected,
    Disconnected,
    Heartbeat,
    MessageReceived,
    SourceEvent,
    UnixSeconds,
    Update,
)
from piwheels.tui.model.state import FarmState, to_snapshot

#: Entries are written to the file within this time.
MAX_BLOCK_AGE_S = 1.0
SNAPSHOT_INTERVAL_S = 30.0

_FILE_HEADER = b"piwheels recording 1, protocol %d\n" % PROTOCOL
_BLOCK_MAGIC = b"PWRB"
_BLOCK_FRAME = struct.Struct("<4sII")  # magic, then size and CRC-32 of the rest
_BLOCK_HEADER = struct.Struct("<Bd")  # flags, time of the first entry
_STARTS, _LOGS = 1, 2
#: A whole log arrives at once; its block is written before a second is over.
_MAX_BLOCK_LOG_BYTES = 1024 * 1024
#: A second of a farm has far less; a larger block is damage.
_MAX_BLOCK_BYTES = 256 * 1024 * 1024

_Reply = TypeVar("_Reply")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An event or a log chunk, and when it was received."""

    received_at: UnixSeconds
    event: Connected | Disconnected | MessageReceived | LogChunk


class BlockContents(msgspec.Struct, frozen=True, array_like=True):
    """A block: optionally the events that lead to the state before it, and its entries."""

    preamble: tuple[Connected | Disconnected | MessageReceived, ...]
    entries: tuple[Entry, ...]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(BlockContents)


class Block(NamedTuple):
    """Where a block is in its file, when it begins, and what it has."""

    offset: int
    size: int
    crc: int
    begins_at: float
    is_seek_point: bool  # a reader can start here
    has_logs: bool  # it has log chunks


class Recorder:
    """Writes a recording. A full disk ends it, with one line in `problem`."""

    def __init__(self, file: Path, *, now: Callable[[], float]) -> None:
        """Raises ConfigError when the file exists, or cannot be written."""
        self.file = file
        self.problem = ""
        self.on_failure: Callable[[str], None] = lambda _: None  # called with the problem
        self._now = now
        self._farm = FarmState()
        self._entries: list[Entry] = []
        self._log_bytes = 0  # of the entries
        self._recorded_log_bytes: dict[int, int] = {}  # by build: how much of its log is recorded
        self._preamble: tuple[Connected | Disconnected | MessageReceived, ...] = ()
        self._snapshot_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stream: BinaryIO | None = None
        try:
            self._stream = file.open("xb")
            self._stream.write(_FILE_HEADER)
            self._stream.flush()
        except FileExistsError:
            raise ConfigError(f"{file} exists; record to a new file") from None
        except OSError as error:
            self._close_stream()
            raise ConfigError(f"{file}: {error.strerror}") from None

    def record(self, event: SourceEvent) -> None:
        """Write an event, within a second."""
        if self._stream is None or isinstance(event, Heartbeat):
            return
        now = event.received_at if isinstance(event, MessageReceived) else self._now()
        self._start_block_if_due(now)
        self._farm.apply(event)
        self._entries.append(Entry(now, event))

    def record_log(self, piece: LogChunk) -> None:
        """Write a chunk of a log, each part of it once."""
        known = self._recorded_log_bytes.get(piece.build, 0)
        data = piece.data[max(0, known - piece.offset) :]
        if self._stream is None or not (data or piece.finished):
            return
        now, offset = self._now(), max(known, piece.offset)
        self._start_block_if_due(now)
        kept = LogChunk(build=piece.build, offset=offset, data=data, finished=piece.finished)
        self._entries.append(Entry(now, kept))
        self._recorded_log_bytes[piece.build] = offset + len(data)
        self._log_bytes += len(data)
        if self._log_bytes >= _MAX_BLOCK_LOG_BYTES:
            self.flush()

    def _start_block_if_due(self, now: float) -> None:
        if self._entries and now - self._entries[0].received_at >= MAX_BLOCK_AGE_S:
            self.flush()
        if not self._entries:
            self._start_block(now)

    def _start_block(self, now: float) -> None:
        due = self._snapshot_at is None or now - self._snapshot_at >= SNAPSHOT_INTERVAL_S
        if due and self._farm.has_snapshot:
            self._preamble, self._snapshot_at = tuple(state_events(self._farm, now)), now
        self._timer = asyncio.get_running_loop().call_later(MAX_BLOCK_AGE_S, self.flush)

    def flush(self) -> None:
        """Write the block to the file; it then survives this process."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        contents = BlockContents(self._preamble, tuple(self._entries))
        self._preamble, self._entries, self._log_bytes = (), [], 0
        if not contents.entries or self._stream is None:
            return
        head = _BLOCK_HEADER.pack(_flags(contents), contents.entries[0].received_at)
        block = head + pack_contents(contents)
        try:
            self._stream.write(
                _BLOCK_FRAME.pack(_BLOCK_MAGIC, len(block), zlib.crc32(block)) + block
            )
            self._stream.flush()
        except OSError as error:
            self.problem = f"{self.file}: {error.strerror}; the recording ends here"
            self._close_stream()
            self.on_failure(self.problem)

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                stream.close()
        except OSError:
            return

    def close(self) -> None:
        """Write the rest, and close the file."""
        self.flush()
        self._close_stream()


def _flags(contents: BlockContents) -> int:
    logs = any(isinstance(entry.event, LogChunk) for entry in contents.entries)
    return (_STARTS if contents.preamble else 0) | (_LOGS if logs else 0)


def state_events(
    farm: FarmState, now: float, make_body: Callable[[FarmState, float], Update] = to_snapshot
) -> Iterator[Connected | Disconnected | MessageReceived]:
    """Events that lead to this state: from any other, or from those that `make_body` is for."""
    yield Connected(farm.instance, farm.same_master)
    if farm.has_snapshot:
        time = now if farm.connected or farm.last_heard_at is None else farm.last_heard_at
        yield MessageReceived(make_body(farm, time), time)
    if not farm.connected:
        yield Disconnected(farm.lost_reason, farm.retry_at)


class RecordingSource:
    """A source that records the events of another one."""

    def __init__(self, source: EventSource, recorder: Recorder) -> None:
        self.recorder = recorder
        self._source = source
        self.address = source.address
        self.read_only = source.read_only

    async def events(self) -> AsyncGenerator[SourceEvent]:
        """The events of the other source."""
        try:
            async with aclosing(self._source.events()) as events:
                async for event in events:
                    self.recorder.record(event)
                    yield event
        finally:
            self.recorder.close()

    def now(self) -> float:
        """The time of the other source."""
        return self._source.now()

    async def command(
        self,
        body: RequestBody,
        *,
        description: str,
        on_update: Callable[[CommandStatus], None] | None = None,
    ) -> CommandStatus:
        """Send a command through the other source."""
        return await self._source.command(body, description=description, on_update=on_update)

    async def request(self, body: RequestBody, reply_type: type[_Reply]) -> _Reply:
        """Send a query through the other source."""
        return await self._source.request(body, reply_type)

    async def follow_log(
        self, build: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogChunk]:
        """The chunks of a log from the other source."""
        async with aclosing(self._source.follow_log(build, offset=offset, follow=follow)) as pieces:
            async for piece in pieces:
                self.recorder.record_log(piece)
                yield piece


class Reader:
    """Reads a recording: the positions of its blocks at once, their entries on demand."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError when it cannot be read, or is not a recording of this version."""
        self.file = file
        self.problem = ""  # one line when it is damaged
        try:
            with file.open("rb") as stream:
                self._check_file_header(stream.readline(200))
                self.blocks = list(self._scan_blocks(stream))
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from None
        last = None
        while self.blocks and not last:
            last = self.read_block(len(self.blocks) - 1)
        if not last or not last.entries:
            raise ConfigError(f"{file} has nothing to play")
        self.begin, self.end = self.blocks[0].begins_at, last.entries[-1].received_at

    def _check_file_header(self, title: bytes) -> None:
        if not title.startswith(b"piwheels recording "):
            raise ConfigError(f"{self.file} is not a recording of `piw tui --record`")
        if title != _FILE_HEADER:
            found, ours = (text.decode(errors="replace").strip() for text in (title, _FILE_HEADER))
            raise ConfigError(f"{self.file} is a {found!r}; this piwheels plays {ours!r}")

    def _scan_blocks(self, stream: BinaryIO) -> Iterator[Block]:
        offset = len(_FILE_HEADER)
        while start := stream.read(_BLOCK_FRAME.size + _BLOCK_HEADER.size):
            mark, size, crc = _BLOCK_FRAME.unpack(
                start[: _BLOCK_FRAME.size].ljust(_BLOCK_FRAME.size, b"\0")
            )
            whole = len(start) == _BLOCK_FRAME.size + _BLOCK_HEADER.size
            if (
                not whole
                or mark != _BLOCK_MAGIC
                or not _BLOCK_HEADER.size <= size <= _MAX_BLOCK_BYTES
            ):
                self._report_damage(offset)
                return
            flags, at = _BLOCK_HEADER.unpack(start[_BLOCK_FRAME.size :])
            if not 0 <= at <= MAX_UNIX_S:  # nor is NaN
                self._report_damage(offset)
                return
            offset += _BLOCK_FRAME.size
            yield Block(offset, size, crc, at, bool(flags & _STARTS), bool(flags & _LOGS))
            offset += size
            stream.seek(offset)

    def _report_damage(self, offset: int) -> None:
        if not self.problem:
            self.problem = (
                f"{self.file} is damaged at byte {format_count(offset)}; it plays up to there"
            )

    def read_block(self, number: int) -> BlockContents | None:
        """The contents of a block; None for a damaged one, where the recording ends."""
        if number >= len(self.blocks):
            return None
        place = self.blocks[number]
        try:
            with self.file.open("rb") as stream:
                stream.seek(place.offset)
                block = stream.read(place.size)
            if len(block) < place.size or zlib.crc32(block) != place.crc:
                raise ValueError
            return unpack_contents(block[_BLOCK_HEADER.size :])
        except (OSError, ValueError, zlib.error, *MALFORMED):
            self._report_damage(place.offset)
            del self.blocks[number:]
            return None


def pack_contents(contents: BlockContents) -> bytes:
    """A block as it is stored."""
    return zlib.compress(_ENCODER.encode(contents), 1)


def unpack_contents(packed: bytes) -> BlockContents:
    """The contents of a stored block.

    Raises:
        ValueError: it is damaged; zlib.error and what MALFORMED lists are raised, too.
    """
    return _DECODER.decode(_decompress(packed))


def _decompress(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, _MAX_BLOCK_BYTES)
    if not unpacker.eof:
        raise ValueError("truncated block")
    return content
