"""What a source of news (the link to a master, or a recording) tells, and what it can be asked.

Times are UNIX seconds: of this machine for a link, of the recording for a replay.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta

from piwheels.protocol.messages import Batch, Body, Event, LogPiece, Snapshot
from piwheels.tui.fates import Fate

#: A moment that a clock can show. A recording may come from anybody.
LATEST_S = 1e11
UnixSeconds = Annotated[float, Meta(ge=0, le=LATEST_S)]

News = Snapshot | Batch | Event

_Wanted = TypeVar("_Wanted")


class Connected(msgspec.Struct, frozen=True, tag=True):
    """A master answers; a Snapshot follows."""

    instance: str
    same_master: bool | None  # as the one before; None for the first, or where it cannot be told


class Lost(msgspec.Struct, frozen=True, tag=True):
    """Nobody answers, for this reason (one line); the next try is at `retry_at`."""

    reason: str
    retry_at: UnixSeconds


class Heard(msgspec.Struct, frozen=True, tag=True):
    """The master said this; `at` is when it was heard."""

    body: News
    at: UnixSeconds


class Alive(msgspec.Struct, frozen=True, tag=True):
    """The master has nothing to tell, and is there."""

    at: UnixSeconds


SourceEvent = Connected | Lost | Heard | Alive


class Source(Protocol):
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
        self, body: Body, *, what: str, told: Callable[[Fate], None] | None = None
    ) -> Fate:
        """Send a command that changes something; `told` hears of each turn of its fate.

        Returns the last turn, when nothing more can come: a command that timed out is told to be
        so, and an answer is still waited for while the link lasts. It never raises for a master
        that is away: that is a fate too.
        """
        ...

    async def ask(self, body: Body, wanted: type[_Wanted]) -> _Wanted:
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
