"""What a source of news (the link to a master, or a recording) tells, and what it can be asked.

Times are UNIX seconds: of this machine for a link, of the recording for a replay.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta

from piwheels.protocol.messages import Event, EventBatch, LogPiece, RequestBody, Snapshot
from piwheels.tui.model.command_status import CommandStatus

#: A moment that a clock can show. A recording may come from anybody.
MAX_UNIX_S = 1e11
UnixSeconds = Annotated[float, Meta(ge=0, le=MAX_UNIX_S)]

Update = Snapshot | EventBatch | Event

_Reply = TypeVar("_Reply")


class Connected(msgspec.Struct, frozen=True, tag=True):
    """A master answers; a Snapshot follows."""

    instance: str
    same_master: bool | None  # as the one before; None for the first, or where it cannot be told


class Disconnected(msgspec.Struct, frozen=True, tag=True):
    """Nobody answers, for this reason (one line); the next try is at `retry_at`."""

    reason: str
    retry_at: UnixSeconds


class MessageReceived(msgspec.Struct, frozen=True, tag=True):
    """The master said this; `at` is when it was heard."""

    body: Update
    received_at: UnixSeconds


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The master has nothing to tell, and is there."""

    received_at: UnixSeconds


SourceEvent = Connected | Disconnected | MessageReceived | Heartbeat


class EventSource(Protocol):
    """A link to a master, or a recording that is played back."""

    address: str
    read_only: bool

    def events(self) -> AsyncGenerator[SourceEvent]:
        """All that is heard, for ever (a recording: until it is closed)."""
        ...

    def now(self) -> float:
        """The time, in UNIX seconds, by which the events' times are to be read."""
        ...

    async def command(
        self,
        body: RequestBody,
        *,
        description: str,
        on_update: Callable[[CommandStatus], None] | None = None,
    ) -> CommandStatus:
        """Send a command that changes something; `on_update` hears of each turn of its fate.

        Returns the last turn, when nothing more can come: a command that timed out is told to be
        so, and an answer is still waited for while the link lasts. It never raises for a master
        that is away: that is a fate too.
        """
        ...

    async def request(self, body: RequestBody, reply_type: type[_Reply]) -> _Reply:
        """Send a question and return its one answer.

        Raises:
            PiwheelsError: nobody answers, or the master would not; one line says why.
        """
        ...

    def follow_log(
        self, build: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogPiece]:
        """The pieces of a build's log from an offset on, until it is finished.

        Raises:
            PiwheelsError: there is no such log, or this source has none; one line says why.
        """
        ...
