"""A recording played back as if it came from a master: pause, step, seek, speed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import LogChunk, RequestBody, Snapshot
from piwheels.tui.client.recording import BlockContents, Entry, Reader
from piwheels.tui.model.command_status import CommandState, CommandStatus, new_command
from piwheels.tui.model.source_events import Connected, Disconnected, MessageReceived, SourceEvent

MIN_SPEED, MAX_SPEED = 1 / 16, 256.0
#: While the recording has nothing to tell, its clock goes on in steps of this, in real seconds.
_MAX_WAIT_S = 1.0

_NO_MASTER_MESSAGE = "this is a recording; there is no master to ask"

_Reply = TypeVar("_Reply")


class ReplayError(PiwheelsError):
    """Something was asked for that a recording does not hold."""


class _ReplayEntry(NamedTuple):
    """An entry of a recording that tells something of the farm."""

    received_at: float
    event: Connected | Disconnected | MessageReceived


class Replay:
    """A source that plays a recording. At its end it waits, and can be sought back."""

    read_only = True

    def __init__(self, file: Path) -> None:
        """Raises ConfigError when the file cannot be played."""
        self._reader = Reader(file)
        self.address = f"recording {file.name}"
        self.begin, self.end = self._reader.begin, self._reader.end
        self.paused = False
        self.speed = 1.0
        self._position = self.begin  # the recording's time when `_since` was
        self._position_set_at = time.monotonic()
        self._block = 0  # where the next entry is
        self._entry_index = 0
        self._entries: Sequence[_ReplayEntry] = ()
        self._last_link_event: SourceEvent | None = None  # the last loss or return that was told
        self._seek_target: float | None = self.begin
        self._pending_steps = 0
        self._controls_changed = asyncio.Event()

    # --- how it goes ---

    @property
    def problem(self) -> str:
        """One line when the recording is broken somewhere, else ""."""
        return self._reader.problem

    @property
    def at_end(self) -> bool:
        """Whether all of it was played."""
        return self._seek_target is None and self._next_entry() is None

    def now(self) -> float:
        """The time in the recording."""
        if self.paused:
            return self._position
        return min(
            self.end, self._position + (time.monotonic() - self._position_set_at) * self.speed
        )

    def pause(self) -> None:
        """Stay where it is."""
        self._set_clock(self.now(), paused=True)

    def play(self) -> None:
        """Go on; from the beginning when it was at the end."""
        if self.now() >= self.end:
            self._seek_target = self.begin
            self._set_clock(self.begin, paused=False)
        else:
            self._set_clock(self.now(), paused=False)

    def toggle(self) -> None:
        """Pause, or go on."""
        if self.paused or self.now() >= self.end:
            self.play()
        else:
            self.pause()

    def step(self) -> None:
        """Pause, and tell the next thing that was heard."""
        self._pending_steps += 1
        self._set_clock(self.now(), paused=True)

    def seek(self, at: float) -> None:
        """Go to a time (UNIX seconds), cut to what the recording has."""
        at = max(self.begin, min(self.end, at))
        self._seek_target = at
        self._pending_steps = 0
        self._set_clock(at, paused=self.paused)

    def seek_by(self, seconds: float) -> None:
        """Go so far back or on."""
        self.seek((self._seek_target if self._seek_target is not None else self.now()) + seconds)

    def set_speed(self, speed: float) -> None:
        """Play so many times as fast as it was."""
        at = self.now()
        self.speed = max(MIN_SPEED, min(MAX_SPEED, speed))
        self._set_clock(at, paused=self.paused)

    def _set_clock(self, at: float, *, paused: bool) -> None:
        self._position, self._position_set_at, self.paused = at, time.monotonic(), paused
        self._controls_changed.set()

    # --- what it tells ---

    async def events(self) -> AsyncGenerator[SourceEvent]:
        """All that the recording tells, for ever: at its end it waits to be sought back."""
        while True:
            if self._seek_target is not None:
                at, self._seek_target = self._seek_target, None
                for event in self._seek_events(at):
                    yield event
                continue
            entry = self._next_entry()
            if entry is not None and (self._pending_steps or self._is_due(entry)):
                self._entry_index += 1
                if not isinstance(entry.event, MessageReceived):
                    self._last_link_event = entry.event
                if self._pending_steps:
                    self._pending_steps -= 1
                    self._set_clock(entry.received_at, paused=True)
                yield entry.event
            else:
                self._pending_steps = 0
                await self._wait_for(entry)

    def _is_due(self, entry: _ReplayEntry) -> bool:
        return not self.paused and entry.received_at <= self.now()

    async def _wait_for(self, entry: _ReplayEntry | None) -> None:
        delay_s = None
        if entry is not None and not self.paused:
            delay_s = min(_MAX_WAIT_S, max(0.0, entry.received_at - self.now()) / self.speed)
        self._controls_changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._controls_changed.wait()

    def _next_entry(self) -> _ReplayEntry | None:
        """What comes next; a new block is read when the last one is used up."""
        while self._entry_index >= len(self._entries):
            if self._block >= len(self._reader.blocks):
                return None
            self._read_block()
        return self._entries[self._entry_index]

    def _read_block(self) -> Sequence[SourceEvent]:
        """Read the next block; returns what was known before it, if it says so."""
        contents = self._reader.read_block(self._block) or BlockContents((), ())
        self._entries, self._entry_index = tuple(_farm_entries(contents.entries)), 0
        self._block += 1
        return contents.preamble

    def _seek_events(self, at: float) -> list[SourceEvent]:
        """Events that bring a state to this time, from wherever it was."""
        if not self._reader.blocks:  # the first of them is damaged, as has turned out
            return []
        starts = [0, *(n for n, block in enumerate(self._reader.blocks) if block.is_seek_point)]
        self._block = [n for n in starts if self._reader.blocks[n].begins_at <= at or n == 0][-1]
        events = list(self._read_block())
        known = bool(events)  # without a snapshot the state of another time would stay
        while (entry := self._next_entry()) is not None and (entry.received_at <= at or not known):
            events.append(entry.event)
            known = known or _is_snapshot(entry.event)
            self._entry_index += 1
        return self._collapse(events)

    def _collapse(self, events: list[SourceEvent]) -> list[SourceEvent]:
        """Only the last of all losses and returns, and not even that if nothing changed by it."""
        heard = [event for event in events if isinstance(event, MessageReceived)]
        turn = next(
            (event for event in reversed(events) if not isinstance(event, MessageReceived)), None
        )
        if turn is None or turn == self._last_link_event:
            return [*heard]
        self._last_link_event = turn
        return [turn, *heard]

    # --- what it cannot do ---

    async def command(
        self,
        body: RequestBody,  # noqa: ARG002
        *,
        description: str,
        on_update: Callable[[CommandStatus], None] | None = None,
    ) -> CommandStatus:
        """Nothing is sent: there is no master."""
        fate = new_command("", description, self.now()).advance(
            CommandState.NOT_SENT, self.now(), _NO_MASTER_MESSAGE
        )
        if on_update:
            on_update(fate)
        return fate

    async def request(self, body: RequestBody, reply_type: type[_Reply]) -> _Reply:  # noqa: ARG002
        """Nobody answers; raises ReplayError."""
        raise ReplayError(_NO_MASTER_MESSAGE)

    async def follow_log(
        self,
        build: int,
        *,
        offset: int = 0,
        follow: bool = True,  # noqa: ARG002
    ) -> AsyncGenerator[LogChunk]:
        """What was read of a log while it was recorded, at whatever time that was.

        Raises ReplayError where there is no more of it.
        """
        found = False
        for number in [n for n, block in enumerate(self._reader.blocks) if block.has_logs]:
            contents = self._reader.read_block(number) or BlockContents((), ())
            for piece in (entry.event for entry in contents.entries):
                if not isinstance(piece, LogChunk) or piece.build != build:
                    continue
                found = True
                if piece.finished or piece.offset + len(piece.data) > offset:
                    yield piece
                if piece.finished:
                    return
            await asyncio.sleep(0)  # between two blocks of a long recording others have a turn
        if found:
            raise ReplayError("no more of this log was read while it was recorded")
        raise ReplayError(
            f"the log of build {build} is not in the recording, which has only logs that were "
            "read while it was made"
        )


def _farm_entries(entries: Iterable[Entry]) -> Iterator[_ReplayEntry]:
    """The entries without pieces of logs, which are had when they are asked for."""
    for entry in entries:
        if not isinstance(entry.event, LogChunk):
            yield _ReplayEntry(entry.received_at, entry.event)


def _is_snapshot(event: SourceEvent) -> bool:
    return isinstance(event, MessageReceived) and isinstance(event.body, Snapshot)
