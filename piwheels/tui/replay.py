"""A recording played back as if it came from a master: pause, step, seek, speed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import Body, LogPiece, Snapshot
from piwheels.tui.fates import Fate, Turn, sent
from piwheels.tui.recording import Contents, Entry, Reader
from piwheels.tui.source import Connected, Heard, Lost, SourceEvent

SLOWEST, FASTEST = 1 / 16, 256.0
#: While the recording has nothing to tell, its clock goes on in steps of this, in real seconds.
_TICK_S = 1.0

_NO_MASTER = "this is a recording; there is no master to ask"

_Wanted = TypeVar("_Wanted")


class ReplayError(PiwheelsError):
    """Something was asked for that a recording does not hold."""


class _Told(NamedTuple):
    """An entry of a recording that tells something of the farm."""

    at: float
    event: Connected | Lost | Heard


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
        self._at = self.begin  # the recording's time when `_since` was
        self._since = time.monotonic()
        self._block = 0  # where the next entry is
        self._place = 0
        self._entries: Sequence[_Told] = ()
        self._turn: SourceEvent | None = None  # the last loss or return that was told
        self._jump: float | None = self.begin
        self._steps = 0
        self._turned = asyncio.Event()

    # --- how it goes ---

    @property
    def problem(self) -> str:
        """One line when the recording is broken somewhere, else ""."""
        return self._reader.problem

    @property
    def at_end(self) -> bool:
        """Whether all of it was played."""
        return self._jump is None and self._next() is None

    def now(self) -> float:
        """The time in the recording."""
        if self.paused:
            return self._at
        return min(self.end, self._at + (time.monotonic() - self._since) * self.speed)

    def pause(self) -> None:
        """Stay where it is."""
        self._set_clock(self.now(), paused=True)

    def play(self) -> None:
        """Go on; from the beginning when it was at the end."""
        if self.now() >= self.end:
            self._jump = self.begin
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
        self._steps += 1
        self._set_clock(self.now(), paused=True)

    def seek(self, at: float) -> None:
        """Go to a time (UNIX seconds), cut to what the recording has."""
        at = max(self.begin, min(self.end, at))
        self._jump = at
        self._steps = 0
        self._set_clock(at, paused=self.paused)

    def seek_by(self, seconds: float) -> None:
        """Go so far back or on."""
        self.seek((self._jump if self._jump is not None else self.now()) + seconds)

    def set_speed(self, speed: float) -> None:
        """Play so many times as fast as it was."""
        at = self.now()
        self.speed = max(SLOWEST, min(FASTEST, speed))
        self._set_clock(at, paused=self.paused)

    def _set_clock(self, at: float, *, paused: bool) -> None:
        self._at, self._since, self.paused = at, time.monotonic(), paused
        self._turned.set()

    # --- what it tells ---

    async def events(self) -> AsyncGenerator[SourceEvent]:
        """All that the recording tells, for ever: at its end it waits to be sought back."""
        while True:
            if self._jump is not None:
                at, self._jump = self._jump, None
                for event in self._leap(at):
                    yield event
                continue
            entry = self._next()
            if entry is not None and (self._steps or self._is_due(entry)):
                self._place += 1
                if not isinstance(entry.event, Heard):
                    self._turn = entry.event
                if self._steps:
                    self._steps -= 1
                    self._set_clock(entry.at, paused=True)
                yield entry.event
            else:
                self._steps = 0
                await self._wait_for(entry)

    def _is_due(self, entry: _Told) -> bool:
        return not self.paused and entry.at <= self.now()

    async def _wait_for(self, entry: _Told | None) -> None:
        delay_s = None
        if entry is not None and not self.paused:
            delay_s = min(_TICK_S, max(0.0, entry.at - self.now()) / self.speed)
        self._turned.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._turned.wait()

    def _next(self) -> _Told | None:
        """What comes next; a new block is read when the last one is used up."""
        while self._place >= len(self._entries):
            if self._block >= len(self._reader.blocks):
                return None
            self._read()
        return self._entries[self._place]

    def _read(self) -> Sequence[SourceEvent]:
        """Read the next block; returns what was known before it, if it says so."""
        contents = self._reader.contents(self._block) or Contents((), ())
        self._entries, self._place = tuple(_news(contents.entries)), 0
        self._block += 1
        return contents.known

    def _leap(self, at: float) -> list[SourceEvent]:
        """Events that bring a state to this time, from wherever it was."""
        if not self._reader.blocks:  # the first of them is damaged, as has turned out
            return []
        starts = [0, *(n for n, block in enumerate(self._reader.blocks) if block.starts)]
        self._block = [n for n in starts if self._reader.blocks[n].at <= at or n == 0][-1]
        events = list(self._read())
        known = bool(events)  # without a snapshot the state of another time would stay
        while (entry := self._next()) is not None and (entry.at <= at or not known):
            events.append(entry.event)
            known = known or _is_snapshot(entry.event)
            self._place += 1
        return self._without_detours(events)

    def _without_detours(self, events: list[SourceEvent]) -> list[SourceEvent]:
        """Only the last of all losses and returns, and not even that if nothing changed by it."""
        heard = [event for event in events if isinstance(event, Heard)]
        turn = next((event for event in reversed(events) if not isinstance(event, Heard)), None)
        if turn is None or turn == self._turn:
            return [*heard]
        self._turn = turn
        return [turn, *heard]

    # --- what it cannot do ---

    async def command(
        self,
        body: Body,  # noqa: ARG002
        *,
        what: str,
        told: Callable[[Fate], None] | None = None,
    ) -> Fate:
        """Nothing is sent: there is no master."""
        fate = sent("", what, self.now()).turned(Turn.NOT_SENT, self.now(), _NO_MASTER)
        if told:
            told(fate)
        return fate

    async def ask(self, body: Body, wanted: type[_Wanted]) -> _Wanted:  # noqa: ARG002
        """Nobody answers; raises ReplayError."""
        raise ReplayError(_NO_MASTER)

    async def follow_log(
        self,
        build: int,
        *,
        offset: int = 0,
        follow: bool = True,  # noqa: ARG002
    ) -> AsyncGenerator[LogPiece]:
        """What was read of a log while it was recorded, at whatever time that was.

        Raises ReplayError where there is no more of it.
        """
        found = False
        for number in [n for n, block in enumerate(self._reader.blocks) if block.logs]:
            contents = self._reader.contents(number) or Contents((), ())
            for piece in (entry.event for entry in contents.entries):
                if not isinstance(piece, LogPiece) or piece.build != build:
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


def _news(entries: Iterable[Entry]) -> Iterator[_Told]:
    """The entries without pieces of logs, which are had when they are asked for."""
    for entry in entries:
        if not isinstance(entry.event, LogPiece):
            yield _Told(entry.at, entry.event)


def _is_snapshot(event: SourceEvent) -> bool:
    return isinstance(event, Heard) and isinstance(event.body, Snapshot)
