"""The control socket: requests of clients in, replies and events out.

Every request is executed in a task of its own, so that a slow one (which asks the upstream)
delays no other. Streams (Subscribe, FollowLog) end when their client says so, or stops sending
KeepAlive.
"""

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from piwheels.control.audit_messages import describe_command
from piwheels.control.authorization import Caller, KeyNames, authorize
from piwheels.control.command_executor import Call, ChunkQueue, CommandExecutor, run_catching
from piwheels.control.connected_operators import ConnectedOperators
from piwheels.control.subscriptions import ReplyChannel, Subscriptions
from piwheels.errors import PiwheelsError
from piwheels.protocol.commands import needed_role
from piwheels.protocol.control_roles import ControlRole
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
    Unsubscribe,
    protocol_mismatch_message,
)
from piwheels.protocol.rate_limit import RateLimitedLog
from piwheels.protocol.sockets import Envelope, Router
from piwheels.scheduler import reasons

_fault_log = RateLimitedLog(logging.getLogger(__name__))

#: A stream without a KeepAlive for this long has lost its client.
LEASE_S = 60.0
#: Concurrent streams of one client; over TCP, all clients with the same key count together.
MAX_STREAMS = 64
#: Concurrent other requests of one client.
_MAX_COMMANDS = 1000
_NOT_AUTHORIZED = "this console's key is not authorized on the master"

#: A socket, a peer's route on it, and the id of its request.
StreamKey = tuple[int, bytes, int]


@dataclass(frozen=True, slots=True)
class _QuotaKey:
    """What the quotas are counted by."""

    owner: str | tuple[int, bytes]  # its key, or on a Unix socket its connection
    is_stream: bool


@dataclass(slots=True)
class _Lease:
    task: asyncio.Task[None]
    chunks: ChunkQueue
    quota: _QuotaKey
    role: ControlRole  # the client's when it began
    renewed_at: float


@dataclass(slots=True)
class ControlServer:
    """Serves the control sockets: one Unix socket, and perhaps one for TCP."""

    routers: list[Router[Request, Reply]]
    keys: KeyNames
    executor: CommandExecutor
    subscriptions: Subscriptions
    request_shutdown: Callable[[], None]
    operators: ConnectedOperators = field(default_factory=ConnectedOperators)
    group_role: ControlRole = ControlRole.ADMINISTER  # of the Unix socket's group
    _leases: dict[StreamKey, _Lease] = field(default_factory=dict)
    _quota_use: Counter[_QuotaKey] = field(default_factory=Counter)

    async def run(self) -> None:
        """Serve operators until canceled."""
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
            channel = ReplyChannel(router, envelope.peer, envelope.message.request_id)
            try:
                await self._handle(number, channel, envelope)
            except PiwheelsError:
                raise
            except Exception as error:  # noqa: BLE001 - it is logged, at a limited rate
                # No message of a client may end the master.
                _fault_log.warning("a request could not be handled", with_traceback=True)
                await channel.try_send(CommandFailed(reason=reasons.internal_error(error)))

    async def _handle(
        self, number: int, channel: ReplyChannel, envelope: Envelope[Request]
    ) -> None:
        peer, request = envelope.peer, envelope.message
        stream = (number, peer.route, request.request_id)
        lease = self._leases.get(stream)
        caller = authorize(self.keys, peer, request, self.group_role)
        if caller is None:
            await self._reject(channel, lease, _NOT_AUTHORIZED)
        elif lease is not None and lease.role is not caller.role:
            await self._reject(channel, lease, f"the role is {caller.role} now; connect again")
        elif lease is not None:
            await self._continue(channel, lease, request.body)
        elif not isinstance(request.body, Unsubscribe):  # of a stream that has ended
            quota = _QuotaKey(
                peer.key or (number, peer.route), isinstance(request.body, Subscribe | FollowLog)
            )
            await self._start(stream, channel, envelope, caller, quota)

    async def _reject(self, channel: ReplyChannel, lease: _Lease | None, reason: str) -> None:
        if lease is not None:
            lease.task.cancel()
        await channel.try_send(CommandFailed(reason=reason))

    async def _continue(self, channel: ReplyChannel, lease: _Lease, body: RequestBody) -> None:
        lease.renewed_at = time.monotonic()
        if isinstance(body, KeepAlive):
            await channel.try_send(KeepAliveAck())
        elif isinstance(body, Unsubscribe):
            lease.task.cancel()
        else:
            lease.chunks.put(body)

    async def _start(
        self,
        stream: StreamKey,
        channel: ReplyChannel,
        envelope: Envelope[Request],
        caller: Caller,
        quota: _QuotaKey,
    ) -> None:
        if too_many := _quota_exceeded(quota, self._quota_use[quota]):
            await channel.try_send(CommandFailed(reason=too_many))
            return
        chunks = ChunkQueue(envelope.message.body)
        call = Call(caller, channel.send, chunks)
        task = asyncio.create_task(self._serve(channel, envelope.message, call))
        self._leases[stream] = _Lease(task, chunks, quota, caller.role, time.monotonic())
        self._quota_use[quota] += 1
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

    async def _serve(self, channel: ReplyChannel, request: Request, call: Call) -> None:
        needed = needed_role(request.body)
        if needed is not ControlRole.WATCH and not call.caller.refusal(needed):
            self.operators.record(call.caller.name, describe_command(request.body))
        work = self._dispatch(channel, request, call)
        reply = await run_catching(request.body, call.caller, work)
        if isinstance(request.body, StopMaster) and isinstance(reply, CommandSucceeded):
            await channel.try_send(reply)  # a client that reads nothing does not delay it
            self.request_shutdown()
        else:
            await channel.send(reply)

    async def _dispatch(self, channel: ReplyChannel, request: Request, call: Call) -> ReplyBody:
        if request.protocol != PROTOCOL:
            return CommandFailed(reason=protocol_mismatch_message(request.protocol))
        match request.body:
            case KeepAlive():
                return CommandFailed(reason="the master was restarted; send the request again")
            case Subscribe():
                with self.operators.connected(call.caller, channel.peer.address) as session:
                    return await self.subscriptions.watch(channel, session, call.caller.role)
            case FollowLog() as query:
                return await self.subscriptions.follow_log(query, channel)
            case _:
                return await self.executor.execute(request, call)


def _quota_exceeded(quota: _QuotaKey, in_use: int) -> str:
    """Why no further request of this kind is accepted; "" when it is."""
    if quota.is_stream and in_use >= MAX_STREAMS:
        return f"too many open subscriptions ({in_use}); close some"
    if not quota.is_stream and in_use >= _MAX_COMMANDS:
        return f"too many unfinished commands ({in_use}); wait until some finish"
    return ""
