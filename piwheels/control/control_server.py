"""The control socket: commands of operators in, answers and events out.

Every command is carried out in a task of its own, so that a slow one (asking the upstream)
never holds up another. Streams (Watch, FollowLog) end when their asker stops renewing them.
"""

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from piwheels.control.authorization import Caller, authorize
from piwheels.control.command_executor import ChunkQueue, CommandExecutor, run_catching
from piwheels.control.subscriptions import ReplyChannel, Subscriptions
from piwheels.errors import PiwheelsError
from piwheels.protocol.keys import KeyStore
from piwheels.protocol.messages import (
    PROTOCOL,
    CommandFailed,
    CommandSucceeded,
    FollowLog,
    KeepAlive,
    KeepAliveAck,
    Reply,
    ReplyBody,
    Request,
    RequestBody,
    StopMaster,
    Subscribe,
    protocol_mismatch_message,
)
from piwheels.protocol.rate_limit import RateLimitedLog
from piwheels.protocol.sockets import Envelope, Router

_fault_log = RateLimitedLog(logging.getLogger(__name__))

#: A stream that was not renewed for so long has lost its reader.
LEASE_S = 60.0
#: So many streams of one asker at once, all consoles together that hold one key over TCP.
MAX_STREAMS = 64
#: So many other commands of one asker at once.
_MAX_COMMANDS = 1000

#: A socket, a peer's route on it, and the number of its command.
StreamKey = tuple[int, bytes, int]


@dataclass(frozen=True, slots=True)
class _QuotaKey:
    """What is counted of one asker, and of which it may have so much at once."""

    owner: str | tuple[int, bytes]  # its key, or on a Unix socket its connection
    is_stream: bool


@dataclass(slots=True)
class _Lease:
    task: asyncio.Task[None]
    chunks: ChunkQueue
    quota: _QuotaKey
    renewed_at: float


@dataclass(slots=True)
class ControlServer:
    """The duty on the control sockets: one Unix socket, and perhaps one for TCP."""

    routers: list[Router[Request, Reply]]
    keys: KeyStore
    executor: CommandExecutor
    subscriptions: Subscriptions
    request_shutdown: Callable[[], None]
    _leases: dict[StreamKey, _Lease] = field(default_factory=dict)
    _quota_use: Counter[_QuotaKey] = field(default_factory=Counter)

    async def run(self) -> None:
        """Serve operators until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, router in enumerate(self.routers):
                    group.create_task(self._listen(number, router))
                group.create_task(self._expire_leases())
        finally:
            for lease in self._leases.values():
                lease.task.cancel()
            self.executor.close()

    async def _listen(self, number: int, router: Router[Request, Reply]) -> None:
        while True:
            envelope = await router.receive()
            line = ReplyChannel(router, envelope.peer, envelope.message.request_id)
            try:
                await self._handle(number, line, envelope)
            except PiwheelsError:
                raise
            except Exception as error:  # noqa: BLE001 - it is logged, not so often
                # A console may say what nobody thought of: that ends no master.
                _fault_log.warning("a command could not be handled", with_traceback=True)
                reason = f"the master failed: {type(error).__name__}; see its log"
                await line.try_send(CommandFailed(reason=reason))

    async def _handle(self, number: int, line: ReplyChannel, envelope: Envelope[Request]) -> None:
        peer, command = envelope.peer, envelope.message
        stream = (number, peer.route, command.request_id)
        lease = self._leases.get(stream)
        who = authorize(self.keys, peer, command)
        if who is None:
            await self._reject(line, lease)
        elif lease is not None:
            await self._continue(line, lease, command.body)
        else:
            quota = _QuotaKey(peer.key or (number, peer.route), _is_stream(command.body))
            await self._start(stream, line, envelope, who, quota)

    async def _reject(self, line: ReplyChannel, lease: _Lease | None) -> None:
        if lease is not None:
            lease.task.cancel()
        await line.try_send(CommandFailed(reason="this console's key is not on the master's list"))

    async def _continue(self, line: ReplyChannel, lease: _Lease, body: RequestBody) -> None:
        lease.renewed_at = time.monotonic()
        if isinstance(body, KeepAlive):
            await line.try_send(KeepAliveAck())
        else:
            lease.chunks.put(body)

    async def _start(
        self,
        stream: StreamKey,
        line: ReplyChannel,
        envelope: Envelope[Request],
        who: Caller,
        load: _QuotaKey,
    ) -> None:
        if too_many := _quota_exceeded(load, self._quota_use[load]):
            await line.try_send(CommandFailed(reason=too_many))
            return
        chunks = ChunkQueue(envelope.message.body)
        task = asyncio.create_task(self._serve(line, envelope.message, who, chunks))
        self._leases[stream] = _Lease(task, chunks, load, time.monotonic())
        self._quota_use[load] += 1
        task.add_done_callback(functools.partial(self._on_finished, stream))

    def _on_finished(self, stream: StreamKey, _: asyncio.Task[None]) -> None:
        quota = self._leases.pop(stream).quota
        self._quota_use[quota] -= 1
        if not self._quota_use[quota]:
            del self._quota_use[quota]

    async def _expire_leases(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 4)
            now = time.monotonic()
            for lease in list(self._leases.values()):
                if now - lease.renewed_at > LEASE_S:
                    lease.task.cancel()

    async def _serve(
        self, line: ReplyChannel, command: Request, who: Caller, chunks: ChunkQueue
    ) -> None:
        work = self._dispatch(command, who, line, chunks)
        answer = await run_catching(command.body, who, work)
        if isinstance(command.body, StopMaster) and isinstance(answer, CommandSucceeded):
            await line.try_send(answer)  # nobody who reads nothing keeps the master from ending
            self.request_shutdown()
        else:
            await line.send(answer)

    async def _dispatch(
        self, command: Request, who: Caller, line: ReplyChannel, chunks: ChunkQueue
    ) -> ReplyBody:
        if command.protocol != PROTOCOL:
            return CommandFailed(reason=protocol_mismatch_message(command.protocol))
        match command.body:
            case KeepAlive():
                return CommandFailed(reason="the master was restarted in between; ask again")
            case Subscribe():
                return await self.subscriptions.watch(line)
            case FollowLog() as request:
                return await self.subscriptions.follow_log(request, line)
            case _:
                return await self.executor.execute(command, who, line.send, chunks)


def _is_stream(body: RequestBody) -> bool:
    return isinstance(body, Subscribe | FollowLog)


def _quota_exceeded(quota: _QuotaKey, in_use: int) -> str:
    """Why no more of this is begun for its asker; "" when it is."""
    if quota.is_stream and in_use >= MAX_STREAMS:
        return f"this console has {in_use} watches and logs open, and may have no more; close some"
    if not quota.is_stream and in_use >= _MAX_COMMANDS:
        return f"{in_use} commands of this console are being carried out; wait for some of them"
    return ""
