"""Streams of replies: events of the farm, and logs, for as long as the client reads them.

Messages to a client that does not read wait in its socket's queue, which is short. A log continues
when there is room again; a subscription ends, since a client that missed events has to subscribe
again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from piwheels.control.command_executor import with_timeout
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    CommandFailed,
    EventBatch,
    FollowLog,
    LogChunk,
    Reply,
    ReplyBody,
    Request,
    Snapshot,
)
from piwheels.protocol.sockets import Peer, Router, SendResult
from piwheels.scheduler.build_logs import no_log_text
from piwheels.scheduler.event_bus import EventBus

#: Consoles wait for a little longer, and then reconnect.
SNAPSHOT_TIMEOUT_S = 15.0
_LOG_POLL_S = 0.25
_SEND_RETRY_S = 0.1
_BATCH_INTERVAL_S = 0.1
_MAX_BATCH_EVENTS = 1000  # far below the largest message

SLOW_CONSUMER = CommandFailed(reason="client too slow, events were dropped; resubscribe")
CLIENT_GONE = CommandFailed(reason="the client disconnected")


class Arrivals(Protocol):
    """When the parts of a log arrived; LogArrivals."""

    def between(self, start: int, end: int, /) -> tuple[tuple[int, float], ...]:
        """Where what arrived began, and after how many seconds."""


class LogReader(Protocol):
    """Where logs are read; a LogSpool."""

    def arrivals(self, build: int, /) -> Arrivals | None:
        """When the parts of a log arrived; None: unknown."""

    def read(self, build: int, offset: int, length: int, /) -> bytes | None:
        """A part of the log of a running build; None when it does not run."""

    def read_archived(self, build: int, /) -> bytes | None:
        """The whole log of a build that has ended; None when there is none."""


@dataclass(frozen=True, slots=True)
class ReplyChannel:
    """Sends replies to the client of one request."""

    router: Router[Request, Reply]
    peer: Peer
    request_id: int

    async def try_send(self, body: ReplyBody) -> SendResult:
        """Send a reply if there is room for it."""
        return await self.router.send(self.peer, Reply(request_id=self.request_id, body=body))

    async def send(self, body: ReplyBody) -> bool:
        """Send a reply as soon as there is room for it; False when the client disconnected."""
        while (sent := await self.try_send(body)) is SendResult.FULL:  # noqa: ASYNC110 - nothing notifies of it
            await asyncio.sleep(_SEND_RETRY_S)
        return sent is SendResult.SENT


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Serves streams; each method returns the reply that ends its stream."""

    snapshot: Callable[[], Awaitable[Snapshot]]
    logs: LogReader
    event_bus: EventBus
    database_wait: Callable[[], str] = str

    async def watch(self, channel: ReplyChannel, session: int, role: ControlRole) -> ReplyBody:
        """Send a Snapshot, and EventBatches from then on; session and role are the client's own.

        Raises:
            NotNowError: the database does not answer.
        """
        with self.event_bus.subscribe() as events:
            snapshot = await with_timeout(self.snapshot(), SNAPSHOT_TIMEOUT_S, self.database_wait)
            if not await channel.send(replace(snapshot, session=session, role=role)):
                return CLIENT_GONE
            while True:
                batch = [await events.get()]
                await asyncio.sleep(_BATCH_INTERVAL_S)
                while not events.empty() and len(batch) < _MAX_BATCH_EVENTS:
                    batch.append(events.get_nowait())
                events_of_batch = tuple(event for event in batch if event is not None)
                sent = await channel.try_send(EventBatch(events=events_of_batch))
                if sent is SendResult.GONE:
                    return CLIENT_GONE
                if sent is SendResult.FULL or len(events_of_batch) < len(batch):
                    return SLOW_CONSUMER

    async def follow_log(self, request: FollowLog, channel: ReplyChannel) -> ReplyBody:
        """Send the chunks of a log; with `follow`, also what is added until the build ends."""
        build, offset = request.build, request.offset
        while (data := self.logs.read(build, offset, CHUNK_BYTES)) is not None:
            if data:
                if not await channel.send(self._chunk(build, offset, data)):
                    return CLIENT_GONE
                offset += len(data)
            elif not request.follow:
                return LogChunk(build=build, offset=offset, data=b"", finished=True)
            else:
                await asyncio.sleep(_LOG_POLL_S)
        remaining = await asyncio.to_thread(self.logs.read_archived, build)
        if remaining is None:
            return CommandFailed(reason=no_log_text(build))
        size = len(remaining)
        arrivals = self.logs.arrivals(build)
        for start in range(offset, size, CHUNK_BYTES):
            data = remaining[start : start + CHUNK_BYTES]
            if not await channel.send(_log_chunk(build, start, data, arrivals, size)):
                return CLIENT_GONE
        return LogChunk(build=build, offset=size, data=b"", finished=True, total_bytes=size)

    def _chunk(self, build: int, offset: int, data: bytes) -> LogChunk:
        return _log_chunk(build, offset, data, self.logs.arrivals(build))


def _log_chunk(
    build: int, offset: int, data: bytes, arrivals: Arrivals | None, total_bytes: int = 0
) -> LogChunk:
    return LogChunk(
        build=build,
        offset=offset,
        data=data,
        arrivals=arrivals.between(offset, offset + len(data)) if arrivals else (),
        total_bytes=total_bytes,
    )
