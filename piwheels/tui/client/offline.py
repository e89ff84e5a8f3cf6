"""A source without a master: nothing is sent, and every request says why."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from piwheels.errors import PiwheelsError
from piwheels.protocol.messages import LogChunk, RequestBody
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.command_status import CommandState, CommandStatus, new_command
from piwheels.tui.model.source_events import SourceEvent

_Reply = TypeVar("_Reply")


class OfflineError(PiwheelsError):
    """A request that a recording or a past moment cannot answer."""


class OfflineSource:
    """The requests of a source that has no master."""

    read_only = True

    def __init__(self, address: str, reason: str) -> None:
        """reason: why nothing is sent, without a full stop."""
        self.address = address
        self._reason = reason

    def now(self) -> float:
        """The time of what is shown, in UNIX seconds."""
        raise NotImplementedError

    async def command(
        self,
        body: RequestBody,  # noqa: ARG002
        *,
        description: str,
        on_update: Callable[[CommandStatus], None] | None = None,
    ) -> CommandStatus:
        """Nothing is sent."""
        status = new_command("", description, self.now()).advance(
            CommandState.NOT_SENT, self.now(), self._reason
        )
        if on_update:
            on_update(status)
        return status

    async def request(self, body: RequestBody, reply_type: type[_Reply]) -> _Reply:  # noqa: ARG002
        """Raises OfflineError."""
        raise OfflineError(self._reason)


class PastSource(OfflineSource):
    """The source of a past moment of a farm whose connection goes on. Logs are those of now."""

    def __init__(self, live: EventSource, at: float) -> None:
        super().__init__(live.address, "a past moment is shown; Esc returns to now")
        self._live = live
        self._at = at

    def now(self) -> float:
        """The time of the moment."""
        return self._at

    def events(self) -> AsyncGenerator[SourceEvent]:
        """Those of the connection, which nobody asks for here."""
        return self._live.events()

    def follow_log(
        self, build: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogChunk]:
        """The log, from the connection: nothing of it changes later."""
        return self._live.follow_log(build, offset=offset, follow=follow)
