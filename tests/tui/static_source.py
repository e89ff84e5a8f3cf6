"""A source that yields the events of a test, and records commands and queries."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from piwheels.errors import RejectedError
from piwheels.protocol.message_base import CommandMessage
from piwheels.protocol.messages import LogChunk, RequestBody, Snapshot
from piwheels.tui.model.command_status import CommandState, CommandStatus, new_command
from piwheels.tui.model.source_events import (
    Connected,
    Disconnected,
    MessageReceived,
    SourceEvent,
    Update,
)

_Reply = TypeVar("_Reply")
NOON = 1_790_000_000.0


class StaticSource:
    """Implements Source in memory; time stands still until a test moves it."""

    def __init__(self, snapshot: Snapshot | None = None, *, read_only: bool = False) -> None:
        self.address = "ipc:///run/piwheels/control"
        self.read_only = read_only
        self.time = NOON
        self.sent: list[RequestBody] = []
        self.replies: dict[type, object] = {}
        self.log = b""
        self._events: asyncio.Queue[SourceEvent] = asyncio.Queue()
        if snapshot is not None:
            self.emit(Connected("one", None))
            self.emit_update(snapshot)

    def emit(self, event: SourceEvent) -> None:
        self._events.put_nowait(event)

    def emit_update(self, body: Update) -> None:
        self.emit(MessageReceived(body, self.time))

    def disconnect(self, reason: str = "the connection ended") -> None:
        self.emit(Disconnected(reason, self.time + 5))

    @property
    def commands(self) -> list[RequestBody]:
        """What was sent and changes the farm."""
        return [body for body in self.sent if isinstance(body, CommandMessage)]

    async def events(self) -> AsyncGenerator[SourceEvent]:
        while True:
            yield await self._events.get()

    def now(self) -> float:
        return self.time

    async def command(
        self,
        body: RequestBody,
        *,
        description: str,
        on_update: Callable[[CommandStatus], None] | None = None,
    ) -> CommandStatus:
        self.sent.append(body)
        status = new_command(str(len(self.sent)), description, self.time)
        for turn, text in ((CommandState.SENT, ""), (CommandState.APPLIED, "done")):
            status = status.advance(turn, self.time, text)
            if on_update:
                on_update(status)
        return status

    async def request(self, body: RequestBody, reply_type: type[_Reply]) -> _Reply:
        self.sent.append(body)
        answer = self.replies.get(reply_type)
        if not isinstance(answer, reply_type):
            raise RejectedError("nothing is known of that")
        return answer

    async def follow_log(
        self, build: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogChunk]:
        yield LogChunk(build=build, offset=offset, data=self.log[offset:], finished=True)
