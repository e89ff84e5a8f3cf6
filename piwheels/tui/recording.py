"""Recordings of what a console heard: written as it comes, readable after any kind of end.

A recording is one line that names its format, then blocks of at most a second each:

    4 bytes "PWRB", size of the rest (u32), CRC-32 of the rest (u32), flags (u8),
    time of its first entry (f64, UNIX seconds), Contents (MessagePack, zlib)

Flag 1 marks a block that tells also what was known before it, so that a reader can start there;
there is one every SNAPSHOT_EVERY_S. Flag 2 marks a block with pieces of logs: what was read of them
while it was recorded. A block that is cut short or damaged ends the recording for its readers.
"""

import asyncio
import struct
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec

from piwheels.errors import ConfigError
from piwheels.protocol.messages import PROTOCOL, Body, LogPiece
from piwheels.tui.fates import Fate
from piwheels.tui.source import (
    LATEST_S,
    Alive,
    Connected,
    Heard,
    Lost,
    Source,
    SourceEvent,
    UnixSeconds,
)
from piwheels.tui.state import FarmState, snapshot_of

#: What is older than this is on its way to the disk.
BLOCK_S = 1.0
SNAPSHOT_EVERY_S = 30.0

_TITLE = b"piwheels recording 1, protocol %d\n" % PROTOCOL
_MARK = b"PWRB"
_FRAME = struct.Struct("<4sII")  # the mark, and size and CRC-32 of what follows
_HEAD = struct.Struct("<Bd")  # flags, and the time of the first entry
_STARTS, _LOGS = 1, 2
#: A whole log comes at once; a block of it is not left to grow for a second.
_LOG_BYTES = 1024 * 1024
#: A second of a farm has far less, packed or not; more is not a block but damage.
_LARGEST_BLOCK = 256 * 1024 * 1024

_Wanted = TypeVar("_Wanted")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What was heard, and when."""

    at: UnixSeconds
    event: Connected | Lost | Heard | LogPiece


class Contents(msgspec.Struct, frozen=True, array_like=True):
    """A block: events that bring any state to the one before it, or none, and what was heard."""

    known: tuple[Connected | Lost | Heard, ...]
    entries: tuple[Entry, ...]


class Block(NamedTuple):
    """Where a block lies in its file, when it begins, and what it is good for."""

    offset: int
    size: int
    crc: int
    at: float
    starts: bool  # a reader can start here
    logs: bool  # it has pieces of logs


class Recorder:
    """Writes a recording. A disk that is full ends it, with one line in `problem`."""

    def __init__(self, file: Path, *, now: Callable[[], float]) -> None:
        """Raises ConfigError when the file is there already, or cannot be written."""
        self.file = file
        self.problem = ""
        self.failed: Callable[[str], None] = lambda _: None  # told of the problem
        self._now = now
        self._farm = FarmState()
        self._entries: list[Entry] = []
        self._log_bytes = 0  # of the entries
        self._logged: dict[int, int] = {}  # how far each build's log is in the recording
        self._known: tuple[Connected | Lost | Heard, ...] = ()
        self._snapshot_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._encoder = msgspec.msgpack.Encoder()
        self._stream: BinaryIO | None = None
        try:
            self._stream = file.open("xb")
            self._stream.write(_TITLE)
            self._stream.flush()
        except FileExistsError:
            raise ConfigError(f"{file} exists; a recording wants a file of its own") from None
        except OSError as error:
            self._abandon()
            raise ConfigError(f"{file}: {error.strerror}") from None

    def take(self, event: SourceEvent) -> None:
        """Write what was heard, within a second."""
        if self._stream is None or isinstance(event, Alive):
            return
        now = event.at if isinstance(event, Heard) else self._now()
        self._make_room(now)
        self._farm.take(event)
        self._entries.append(Entry(now, event))

    def take_log(self, piece: LogPiece) -> None:
        """Write what was read of a log, each part of it once."""
        known = self._logged.get(piece.build, 0)
        data = piece.data[max(0, known - piece.offset) :]
        if self._stream is None or not (data or piece.finished):
            return
        now, offset = self._now(), max(known, piece.offset)
        self._make_room(now)
        kept = LogPiece(build=piece.build, offset=offset, data=data, finished=piece.finished)
        self._entries.append(Entry(now, kept))
        self._logged[piece.build] = offset + len(data)
        self._log_bytes += len(data)
        if self._log_bytes >= _LOG_BYTES:
            self.flush()

    def _make_room(self, now: float) -> None:
        if self._entries and now - self._entries[0].at >= BLOCK_S:
            self.flush()
        if not self._entries:
            self._begin(now)

    def _begin(self, now: float) -> None:
        due = self._snapshot_at is None or now - self._snapshot_at >= SNAPSHOT_EVERY_S
        if due and self._farm.known:
            self._known, self._snapshot_at = tuple(what_is_known(self._farm, now)), now
        self._timer = asyncio.get_running_loop().call_later(BLOCK_S, self.flush)

    def flush(self) -> None:
        """Hand what was heard to the system; from then on it survives this process."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        contents = Contents(self._known, tuple(self._entries))
        self._known, self._entries, self._log_bytes = (), [], 0
        if not contents.entries or self._stream is None:
            return
        head = _HEAD.pack(_flags(contents), contents.entries[0].at)
        block = head + zlib.compress(self._encoder.encode(contents), 1)
        try:
            self._stream.write(_FRAME.pack(_MARK, len(block), zlib.crc32(block)) + block)
            self._stream.flush()
        except OSError as error:
            self.problem = f"{self.file}: {error.strerror}; the recording ends here"
            self._abandon()
            self.failed(self.problem)

    def _abandon(self) -> None:
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                stream.close()
        except OSError:
            return

    def close(self) -> None:
        """Write the rest."""
        self.flush()
        self._abandon()


def _flags(contents: Contents) -> int:
    logs = any(isinstance(entry.event, LogPiece) for entry in contents.entries)
    return (_STARTS if contents.known else 0) | (_LOGS if logs else 0)


def what_is_known(farm: FarmState, now: float) -> Iterator[Connected | Lost | Heard]:
    """Events that bring another state to this one."""
    yield Connected(farm.instance, farm.same_master)
    if farm.known:
        heard = now if farm.connected or farm.heard is None else farm.heard
        yield Heard(snapshot_of(farm, heard), heard)
    if not farm.connected:
        yield Lost(farm.lost_reason, farm.retry_at)


class Recording:
    """A source that records what another one tells."""

    def __init__(self, source: Source, recorder: Recorder) -> None:
        self.recorder = recorder
        self._source = source
        self.address = source.address
        self.read_only = source.read_only

    async def events(self) -> AsyncGenerator[SourceEvent]:
        """All that the other source tells."""
        try:
            async with aclosing(self._source.events()) as events:
                async for event in events:
                    self.recorder.take(event)
                    yield event
        finally:
            self.recorder.close()

    def now(self) -> float:
        """As the other source has it."""
        return self._source.now()

    async def command(
        self, body: Body, *, what: str, told: Callable[[Fate], None] | None = None
    ) -> Fate:
        """Hand a command on."""
        return await self._source.command(body, what=what, told=told)

    async def ask(self, body: Body, wanted: type[_Wanted]) -> _Wanted:
        """Hand a question on."""
        return await self._source.ask(body, wanted)

    async def follow_log(
        self, build: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogPiece]:
        """What the other source tells of a log."""
        async with aclosing(self._source.follow_log(build, offset=offset, follow=follow)) as pieces:
            async for piece in pieces:
                self.recorder.take_log(piece)
                yield piece


class Reader:
    """Reads a recording: the places of its blocks at once, their entries when asked."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError when it cannot be read, or is no recording that can be used here."""
        self.file = file
        self.problem = ""  # one line when its tail is broken
        self._decoder = msgspec.msgpack.Decoder(Contents)
        try:
            with file.open("rb") as stream:
                self._check_title(stream.readline(200))
                self.blocks = list(self._find(stream))
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from None
        last = None
        while self.blocks and not last:
            last = self.contents(len(self.blocks) - 1)
        if not last or not last.entries:
            raise ConfigError(f"{file} holds nothing that could be played")
        self.begin, self.end = self.blocks[0].at, last.entries[-1].at

    def _check_title(self, title: bytes) -> None:
        if not title.startswith(b"piwheels recording "):
            raise ConfigError(f"{self.file} is no recording of `piw tui --record`")
        if title != _TITLE:
            found, ours = (text.decode(errors="replace").strip() for text in (title, _TITLE))
            raise ConfigError(f"{self.file} is a {found!r}; this piwheels plays {ours!r}")

    def _find(self, stream: BinaryIO) -> Iterator[Block]:
        offset = len(_TITLE)
        while start := stream.read(_FRAME.size + _HEAD.size):
            mark, size, crc = _FRAME.unpack(start[: _FRAME.size].ljust(_FRAME.size, b"\0"))
            whole = len(start) == _FRAME.size + _HEAD.size
            if not whole or mark != _MARK or not _HEAD.size <= size <= _LARGEST_BLOCK:
                self._broken(offset)
                return
            flags, at = _HEAD.unpack(start[_FRAME.size :])
            if not 0 <= at <= LATEST_S:  # nor is NaN
                self._broken(offset)
                return
            offset += _FRAME.size
            yield Block(offset, size, crc, at, bool(flags & _STARTS), bool(flags & _LOGS))
            offset += size
            stream.seek(offset)

    def _broken(self, offset: int) -> None:
        if not self.problem:
            self.problem = f"{self.file} is broken at byte {offset:,}; it is played up to there"

    def contents(self, number: int) -> Contents | None:
        """What a block holds; None for a damaged one, with which the recording ends."""
        if number >= len(self.blocks):
            return None
        place = self.blocks[number]
        try:
            with self.file.open("rb") as stream:
                stream.seek(place.offset)
                block = stream.read(place.size)
            if len(block) < place.size or zlib.crc32(block) != place.crc:
                raise ValueError
            return self._decoder.decode(_unpacked(block[_HEAD.size :]))
        except (OSError, ValueError, zlib.error, msgspec.DecodeError):
            self._broken(place.offset)
            del self.blocks[number:]
            return None


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, _LARGEST_BLOCK)
    if not unpacker.eof:
        raise ValueError("a block that is cut, or has no end")
    return content
