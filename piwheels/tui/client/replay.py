"""Playback of a recording: pause, step, seek, speed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from piwheels.protocol.messages import LogChunk, Snapshot
from piwheels.tui.client.offline import OfflineError, OfflineSource
from piwheels.tui.client.recording import BlockContents, Entry, Reader
from piwheels.tui.model.source_events import Connected, Disconnected, MessageReceived, SourceEvent

MIN_SPEED, MAX_SPEED = 1 / 16, 256.0
#: The longest wait for the next entry, in real seconds.
_MAX_WAIT_S = 1.0


class _ReplayEntry(NamedTuple):
    """An entry of a recording that changes the state of the farm."""

    received_at: float
    event: Connected | Disconnected | MessageReceived


class Replay(OfflineSource):
    """A source that plays a recording. At the end it waits for a seek."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError when the file cannot be played."""
        super().__init__(f"recording {file.name}", "this is a recording, without a master")
        self._reader = Reader(file)
        self.begin, self.end = self._reader.begin, self._reader.end
        self.paused = False
        self.speed = 1.0
        self._position = self.begin  # the recording's time at `_position_set_at`
        self._position_set_at = time.monotonic()
        self._block = 0  # the block of the next entry
        self._entry_index = 0
        self._entries: Sequence[_ReplayEntry] = ()
        self._last_link_event: SourceEvent | None = None  # the last Connected or Disconnected
        self._seek_target: float | None = self.begin
        self._pending_steps = 0
        self._controls_changed = asyncio.Event()

    # --- controls ---

    @property
    def problem(self) -> str:
        """One line when the recording is damaged, else ""."""
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
        """Pause playback."""
        self._set_clock(self.now(), paused=True)

    def play(self) -> None:
        """Resume playback, at the end from the beginning."""
        if self.now() >= self.end:
            self._seek_target = self.begin
            self._set_clock(self.begin, paused=False)
        else:
            self._set_clock(self.now(), paused=False)

    def toggle(self) -> None:
        """Pause or resume playback."""
        if self.paused or self.now() >= self.end:
            self.play()
        else:
            self.pause()

    def step(self) -> None:
        """Play the next entry, and pause."""
        self._pending_steps += 1
        self._set_clock(self.now(), paused=True)

    def seek(self, at: float) -> None:
        """Go to a time (UNIX seconds) within the recording."""
        at = max(self.begin, min(self.end, at))
        self._seek_target = at
        self._pending_steps = 0
        self._set_clock(at, paused=self.paused)

    def seek_by(self, seconds: float) -> None:
        """Go back (negative) or forward."""
        self.seek((self._seek_target if self._seek_target is not None else self.now()) + seconds)

    def set_speed(self, speed: float) -> None:
        """Set the speed, relative to the recording."""
        at = self.now()
        self.speed = max(MIN_SPEED, min(MAX_SPEED, speed))
        self._set_clock(at, paused=self.paused)

    def _set_clock(self, at: float, *, paused: bool) -> None:
        self._position, self._position_set_at, self.paused = at, time.monotonic(), paused
        self._controls_changed.set()

    # --- events ---

    async def events(self) -> AsyncGenerator[SourceEvent]:
        """All events of the recording; at the end it waits for a seek."""
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
        """The next entry; reads the next block when needed."""
        while self._entry_index >= len(self._entries):
            if self._block >= len(self._reader.blocks):
                return None
            self._read_block()
        return self._entries[self._entry_index]

    def _read_block(self) -> Sequence[SourceEvent]:
        """Read the next block; returns its preamble."""
        contents = self._reader.read_block(self._block) or BlockContents((), ())
        self._entries, self._entry_index = tuple(_farm_entries(contents.entries)), 0
        self._block += 1
        return contents.preamble

    def _seek_events(self, at: float) -> list[SourceEvent]:
        """Events that lead from any state to the one at this time."""
        if not self._reader.blocks:  # the first block is damaged
            return []
        starts = [0, *(n for n, block in enumerate(self._reader.blocks) if block.is_seek_point)]
        self._block = [n for n in starts if self._reader.blocks[n].begins_at <= at or n == 0][-1]
        events = list(self._read_block())
        has_snapshot = bool(events)  # without one, the state of another time would stay
        while (entry := self._next_entry()) is not None and (
            entry.received_at <= at or not has_snapshot
        ):
            events.append(entry.event)
            has_snapshot = has_snapshot or _is_snapshot(entry.event)
            self._entry_index += 1
        return self._collapse(events)

    def _collapse(self, events: list[SourceEvent]) -> list[SourceEvent]:
        """Keep only the last Connected or Disconnected, if it changes anything."""
        messages = [event for event in events if isinstance(event, MessageReceived)]
        link_event = next(
            (event for event in reversed(events) if not isinstance(event, MessageReceived)), None
        )
        if link_event is None or link_event == self._last_link_event:
            return [*messages]
        self._last_link_event = link_event
        return [link_event, *messages]

    # --- logs ---

    async def follow_log(
        self,
        build: int,
        *,
        offset: int = 0,
        follow: bool = True,  # noqa: ARG002
    ) -> AsyncGenerator[LogChunk]:
        """The chunks of a log that were read while recording, at whatever time.

        Raises OfflineError where the recording has no more of it.
        """
        found = False
        for number in [n for n, block in enumerate(self._reader.blocks) if block.has_logs]:
            contents = self._reader.read_block(number) or BlockContents((), ())
            for chunk in (entry.event for entry in contents.entries):
                if not isinstance(chunk, LogChunk) or chunk.build != build:
                    continue
                found = True
                if chunk.finished or chunk.offset + len(chunk.data) > offset:
                    yield chunk
                if chunk.finished:
                    return
            await asyncio.sleep(0)  # let other tasks run between the blocks of a long recording
        if found:
            raise OfflineError("the recording has only this part of the log")
        raise OfflineError(
            f"the log of build {build} is not in the recording, which has only logs that were "
            "read while recording"
        )


def _farm_entries(entries: Iterable[Entry]) -> Iterator[_ReplayEntry]:
    """The entries without log chunks, which follow_log reads."""
    for entry in entries:
        if not isinstance(entry.event, LogChunk):
            yield _ReplayEntry(entry.received_at, entry.event)


def _is_snapshot(event: SourceEvent) -> bool:
    return isinstance(event, MessageReceived) and isinstance(event.body, Snapshot)
