"""A source that tells what a test puts into it, and keeps what was asked of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from piwheels.errors import RefusedError
from piwheels.protocol.messages import Body, LogPiece, Snapshot
from piwheels.tui.fates import Fate, Turn, sent
from piwheels.tui.source import Connected, Heard, Lost, News, SourceEvent

_Wanted = TypeVar("_Wanted")
NOON = 1_790_000_000.0


class StillSource:
    """Implements Source in memory; time stands still until a test moves it."""

    def __init__(self, snapshot: Snapshot | None = None, *, read_only: bool = False) -> None:
        self.address = "ipc:///run/piwheels/control"
        self.read_only = read_only
        self.time = NOON
        self.asked: list[Body] = []
        self.answers: dict[type, object] = {}
        self.log = b""
        self._events: asyncio.Queue[SourceEvent] = asyncio.Queue()
        if snapshot is not None:
            self.tell(Connected("one", None))
            self.say(snapshot)

    def tell(self, event: SourceEvent) -> None:
        self._events.put_nowait(event)

    def say(self, body: News) -> None:
        self.tell(Heard(body, self.time))

    def lose(self, reason: str = "the connection ended") -> None:
        self.tell(Lost(reason, self.time + 5))

    async def events(self) -> AsyncGenerator[SourceEvent]:
        while True:
            yield await self._events.get()

    def now(self) -> float:
        return self.time

    async def command(
        self, body: Body, *, what: str, told: Callable[[Fate], None] | None = None
    ) -> Fate:
        self.asked.append(body)
        fate = sent(str(len(self.asked)), what, self.time)
        for turn, text in ((Turn.SENT, ""), (Turn.APPLIED, "done")):
            fate = fate.turned(turn, self.time, text)
            if told:
                told(fate)
        return fate

    async def ask(self, body: Body, wanted: type[_Wanted]) -> _Wanted:
        self.asked.append(body)
        answer = self.answers.get(wanted)
        if not isinstance(answer, wanted):
            raise RefusedError("nothing is known of that")
        return answer

    async def follow_log(
        self, build: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogPiece]:
        yield LogPiece(build=build, offset=offset, data=self.log[offset:], finished=True)
