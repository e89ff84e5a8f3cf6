"""Streams of answers: the farm watched, and logs followed, for as long as somebody reads them.

What is sent to one who does not read waits in its socket's queue, which is short. So a log goes
on when there is room again, and a watch ends: who missed something has to ask for all anew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from piwheels.farm.bulletin import Bulletin
from piwheels.farm.logs import LogSpool
from piwheels.master.fates import in_time
from piwheels.protocol.channels import Peer, Router, Sent
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    Batch,
    Command,
    FollowLog,
    LogPiece,
    Problem,
    Reply,
    ReplyBody,
    Snapshot,
)

#: Consoles wait a little longer, and then look for another master.
_SNAPSHOT_S = 15.0
_LOG_POLL_S = 0.25
_FULL_POLL_S = 0.1
_BATCH_S = 0.1
_BATCH_EVENTS = 1000  # far below the largest message

_BEHIND = Problem(reason="this watcher fell too far behind; watch anew")
_GONE = Problem(reason="its asker is gone")


@dataclass(frozen=True, slots=True)
class Line:
    """The way back to the asker of one command."""

    router: Router[Command, Reply]
    peer: Peer
    number: int

    async def offer(self, body: ReplyBody) -> Sent:
        """Send an answer if there is room for it."""
        return await self.router.send(self.peer, Reply(number=self.number, body=body))

    async def send(self, body: ReplyBody) -> bool:
        """Send an answer as soon as there is room for it; False when the asker is gone."""
        while (sent := await self.offer(body)) is Sent.FULL:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(_FULL_POLL_S)
        return sent is Sent.ON_ITS_WAY


@dataclass(frozen=True, slots=True)
class Streams:
    """Serves them; each returns the answer that ends it."""

    snapshot: Callable[[], Awaitable[Snapshot]]
    logs: LogSpool
    bulletin: Bulletin
    database_problem: Callable[[], str] = str

    async def watch(self, line: Line) -> ReplyBody:
        """A Snapshot, and Batches of Events from then on.

        Raises:
            RefusedError: the farm cannot be looked at now.
        """
        with self.bulletin.subscribe() as events:
            snapshot = await in_time(self.snapshot(), _SNAPSHOT_S, self.database_problem)
            if not await line.send(snapshot):
                return _GONE
            while True:
                batch = [await events.get()]
                await asyncio.sleep(_BATCH_S)
                while not events.empty() and len(batch) < _BATCH_EVENTS:
                    batch.append(events.get_nowait())
                told = tuple(event for event in batch if event is not None)
                sent = await line.offer(Batch(events=told))
                if sent is Sent.GONE:
                    return _GONE
                if sent is Sent.FULL or len(told) < len(batch):
                    return _BEHIND

    async def follow(self, request: FollowLog, line: Line) -> ReplyBody:
        """The pieces of a log, those that are still to come too if that is asked for."""
        build, offset = request.build, max(request.offset, 0)
        while (data := self.logs.read(build, offset, CHUNK_BYTES)) is not None:
            if data:
                if not await line.send(LogPiece(build=build, offset=offset, data=data)):
                    return _GONE
                offset += len(data)
            elif not request.follow:
                return LogPiece(build=build, offset=offset, data=b"", finished=True)
            else:
                await asyncio.sleep(_LOG_POLL_S)
        rest = await asyncio.to_thread(self.logs.read_finished, build)
        if rest is None:
            return Problem(reason=f"there is no log of build {build}")
        for start in range(offset, len(rest), CHUNK_BYTES):
            data = rest[start : start + CHUNK_BYTES]
            if not await line.send(LogPiece(build=build, offset=start, data=data)):
                return _GONE
        return LogPiece(build=build, offset=len(rest), data=b"", finished=True)
