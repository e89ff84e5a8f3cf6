"""Streams of answers: the farm watched, and logs followed, for as long as somebody reads them.

What is sent to one who does not read waits in its socket's queue, which is short. So a log goes
on when there is room again, and a watch ends: who missed something has to ask for all anew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from piwheels.control.command_executor import with_timeout
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    CommandFailed,
    EventBatch,
    FollowLog,
    LogPiece,
    Reply,
    ReplyBody,
    Request,
    Snapshot,
)
from piwheels.protocol.sockets import Peer, Router, SendResult
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.event_bus import EventBus

#: Consoles wait a little longer, and then look for another master.
SNAPSHOT_TIMEOUT_S = 15.0
_LOG_POLL_S = 0.25
_SEND_RETRY_S = 0.1
_BATCH_INTERVAL_S = 0.1
_MAX_BATCH_EVENTS = 1000  # far below the largest message

SLOW_CONSUMER = CommandFailed(reason="this watcher fell too far behind; watch anew")
CLIENT_GONE = CommandFailed(reason="its asker is gone")


@dataclass(frozen=True, slots=True)
class ReplyChannel:
    """The way back to the asker of one command."""

    router: Router[Request, Reply]
    peer: Peer
    request_id: int

    async def try_send(self, body: ReplyBody) -> SendResult:
        """Send an answer if there is room for it."""
        return await self.router.send(self.peer, Reply(request_id=self.request_id, body=body))

    async def send(self, body: ReplyBody) -> bool:
        """Send an answer as soon as there is room for it; False when the asker is gone."""
        while (sent := await self.try_send(body)) is SendResult.FULL:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(_SEND_RETRY_S)
        return sent is SendResult.SENT


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Serves them; each returns the answer that ends it."""

    snapshot: Callable[[], Awaitable[Snapshot]]
    logs: LogSpool
    event_bus: EventBus
    database_wait: Callable[[], str] = str

    async def watch(self, line: ReplyChannel) -> ReplyBody:
        """A Snapshot, and Batches of Events from then on.

        Raises:
            RefusedError: the farm cannot be looked at now.
        """
        with self.event_bus.subscribe() as events:
            snapshot = await with_timeout(self.snapshot(), SNAPSHOT_TIMEOUT_S, self.database_wait)
            if not await line.send(snapshot):
                return CLIENT_GONE
            while True:
                batch = [await events.get()]
                await asyncio.sleep(_BATCH_INTERVAL_S)
                while not events.empty() and len(batch) < _MAX_BATCH_EVENTS:
                    batch.append(events.get_nowait())
                told = tuple(event for event in batch if event is not None)
                sent = await line.try_send(EventBatch(events=told))
                if sent is SendResult.GONE:
                    return CLIENT_GONE
                if sent is SendResult.FULL or len(told) < len(batch):
                    return SLOW_CONSUMER

    async def follow_log(self, request: FollowLog, line: ReplyChannel) -> ReplyBody:
        """The pieces of a log, those that are still to come too if that is asked for."""
        build, offset = request.build, max(request.offset, 0)
        while (data := self.logs.read(build, offset, CHUNK_BYTES)) is not None:
            if data:
                if not await line.send(LogPiece(build=build, offset=offset, data=data)):
                    return CLIENT_GONE
                offset += len(data)
            elif not request.follow:
                return LogPiece(build=build, offset=offset, data=b"", finished=True)
            else:
                await asyncio.sleep(_LOG_POLL_S)
        rest = await asyncio.to_thread(self.logs.read_archived, build)
        if rest is None:
            return CommandFailed(reason=f"there is no log of build {build}")
        for start in range(offset, len(rest), CHUNK_BYTES):
            data = rest[start : start + CHUNK_BYTES]
            if not await line.send(LogPiece(build=build, offset=start, data=data)):
                return CLIENT_GONE
        return LogPiece(build=build, offset=len(rest), data=b"", finished=True)
