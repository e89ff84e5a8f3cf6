"""The control socket: commands of operators in, answers and events out.

Every command is carried out in a task of its own, so that a slow one (asking the upstream)
never holds up another. Streams (Watch, FollowLog) end when their asker stops renewing them.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from piwheels.farm.bulletin import Bulletin
from piwheels.farm.logs import LogSpool
from piwheels.master.askers import Asker, asker
from piwheels.master.fates import Fates, Inbox, Send, attempted
from piwheels.protocol.channels import Envelope, Router
from piwheels.protocol.keys import KeyStore
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    PROTOCOL,
    Applied,
    Batch,
    Command,
    FollowLog,
    LogPiece,
    Problem,
    Quit,
    Renew,
    Renewed,
    Reply,
    ReplyBody,
    Snapshot,
    Watch,
)

log = logging.getLogger(__name__)

#: A stream that was not renewed for so long has lost its reader.
LEASE_S = 60.0
_LOG_POLL_S = 0.25
_BATCH_S = 0.1
_BATCH_EVENTS = 1000  # far below the largest message

Stream = tuple[bytes, int]  # a peer's route, and the number of its command


@dataclass(slots=True)
class _Lease:
    task: asyncio.Task[None]
    inbox: Inbox
    renewed: float


@dataclass(slots=True)
class Control:
    """The duty on the control sockets: one Unix socket, and perhaps one for TCP."""

    routers: list[Router[Command, Reply]]
    keys: KeyStore
    fates: Fates
    snapshot: Callable[[], Awaitable[Snapshot]]
    logs: LogSpool
    bulletin: Bulletin
    stop: Callable[[], None]
    _leases: dict[Stream, _Lease] = field(default_factory=dict)

    async def run(self) -> None:
        """Serve operators until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for router in self.routers:
                    group.create_task(self._listen(router))
                group.create_task(self._expire())
        finally:
            for lease in self._leases.values():
                lease.task.cancel()
            self.fates.close()

    async def _listen(self, router: Router[Command, Reply]) -> None:
        while True:
            envelope = await router.receive()
            stream = (envelope.peer.route, envelope.message.number)
            lease = self._leases.get(stream)
            who = asker(self.keys, envelope.peer, envelope.message)
            if who is None:
                await self._turn_away(router, envelope, lease)
                continue
            if lease is not None:
                lease.renewed = time.monotonic()
                if isinstance(envelope.message.body, Renew):
                    await router.send(envelope.peer, Reply(number=stream[1], body=Renewed()))
                else:
                    lease.inbox.take(envelope.message.body)
                continue
            inbox = Inbox(envelope.message.body)
            task = asyncio.create_task(self._serve(router, envelope, who, inbox))
            self._leases[stream] = _Lease(task, inbox, time.monotonic())
            task.add_done_callback(functools.partial(self._ended, stream))

    async def _turn_away(
        self, router: Router[Command, Reply], envelope: Envelope[Command], lease: _Lease | None
    ) -> None:
        if lease is not None:
            lease.task.cancel()
        problem = Problem(reason="this console's key is not on the master's list")
        await router.send(envelope.peer, Reply(number=envelope.message.number, body=problem))

    def _ended(self, stream: Stream, _: asyncio.Task[None]) -> None:
        self._leases.pop(stream, None)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 4)
            now = time.monotonic()
            for lease in list(self._leases.values()):
                if now - lease.renewed > LEASE_S:
                    lease.task.cancel()

    async def _serve(
        self, router: Router[Command, Reply], envelope: Envelope[Command], who: Asker, inbox: Inbox
    ) -> None:
        command, peer = envelope.message, envelope.peer

        async def send(body: ReplyBody) -> None:
            await router.send(peer, Reply(number=command.number, body=body))

        work = self._answer(command, who, send, inbox)
        answer = await attempted(command.body, who, work)
        await send(answer)
        if isinstance(command.body, Quit) and isinstance(answer, Applied):
            self.stop()

    async def _answer(self, command: Command, who: Asker, send: Send, inbox: Inbox) -> ReplyBody:
        if command.protocol != PROTOCOL:
            return Problem(
                reason=f"this master speaks protocol {PROTOCOL}, not {command.protocol}; "
                "install the same piwheels on both"
            )
        match command.body:
            case Renew():
                return Problem(reason="the master was restarted in between; ask again")
            case Watch():
                return await self._watch(send)
            case FollowLog() as request:
                return await self._follow(request, send)
            case _:
                return await self.fates.answer(command, who, send, inbox)

    async def _watch(self, send: Send) -> ReplyBody:
        with self.bulletin.subscribe() as events:
            await send(await self.snapshot())
            while True:
                batch = [await events.get()]
                await asyncio.sleep(_BATCH_S)
                while not events.empty() and len(batch) < _BATCH_EVENTS:
                    batch.append(events.get_nowait())
                told = tuple(event for event in batch if event is not None)
                await send(Batch(events=told))
                if len(told) < len(batch):
                    return Problem(reason="this watcher fell too far behind")

    async def _follow(self, request: FollowLog, send: Send) -> ReplyBody:
        build, offset = request.build, max(request.offset, 0)
        while (data := self.logs.read(build, offset, CHUNK_BYTES)) is not None:
            if data:
                await send(LogPiece(build=build, offset=offset, data=data))
                offset += len(data)
            elif not request.follow:
                return LogPiece(build=build, offset=offset, data=b"", finished=True)
            else:
                await asyncio.sleep(_LOG_POLL_S)
        rest = await asyncio.to_thread(self.logs.read_finished, build)
        if rest is None:
            return Problem(reason=f"there is no log of build {build}")
        for start in range(offset, len(rest), CHUNK_BYTES):
            await send(LogPiece(build=build, offset=start, data=rest[start : start + CHUNK_BYTES]))
        return LogPiece(build=build, offset=len(rest), data=b"", finished=True)
