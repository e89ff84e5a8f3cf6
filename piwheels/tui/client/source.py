"""What a source (the connection to a master, or a recording) provides.

Times are UNIX seconds: of this machine for a connection, of the recording for a replay.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeVar

from piwheels.protocol.messages import LogChunk, RequestBody
from piwheels.tui.model.command_status import CommandStatus
from piwheels.tui.model.source_events import SourceEvent

_Reply = TypeVar("_Reply")


class EventSource(Protocol):
    """A connection to a master, or a recording that is played back."""

    address: str
    read_only: bool

    def events(self) -> AsyncGenerator[SourceEvent]:
        """All events, without end."""
        ...

    def now(self) -> float:
        """The current time on the clock of the events, in UNIX seconds."""
        ...

    async def command(
        self,
        body: RequestBody,
        *,
        description: str,
        on_update: Callable[[CommandStatus], None] | None = None,
    ) -> CommandStatus:
        """Send a command that changes something; `on_update` gets each change of its state.

        Returns the final state. A command that timed out is reported so, and its answer is
        awaited while the connection lasts. It does not raise when no master is connected: that
        is a state too.
        """
        ...

    async def request(self, body: RequestBody, reply_type: type[_Reply]) -> _Reply:
        """Send a query and return its one reply.

        Raises:
            PiwheelsError: no reply came, or the master rejected it; one line says why.
        """
        ...

    def follow_log(
        self, build: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogChunk]:
        """The chunks of a build's log from an offset on, until it is finished.

        Raises:
            PiwheelsError: there is no such log, or this source has none; one line says why.
        """
        ...
