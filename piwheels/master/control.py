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

from piwheels.errors import PiwheelsError
from piwheels.master.askers import Asker, asker
from piwheels.master.fates import Fates, Inbox, attempted
from piwheels.master.streams import Line, Streams
from piwheels.protocol.channels import Envelope, Router
from piwheels.protocol.keys import KeyStore
from piwheels.protocol.limited_log import LimitedLog
from piwheels.protocol.messages import (
    PROTOCOL,
    Applied,
    Body,
    Command,
    FollowLog,
    Problem,
    Quit,
    Renew,
    Renewed,
    Reply,
    ReplyBody,
    Watch,
    mismatch,
)

_faults = LimitedLog(logging.getLogger(__name__))

#: A stream that was not renewed for so long has lost its reader.
LEASE_S = 60.0
#: So many streams of one asker at once, all consoles together that hold one key over TCP.
MOST_STREAMS = 64
#: So many other commands of one asker at once.
_MOST_COMMANDS = 1000

#: A socket, a peer's route on it, and the number of its command.
Stream = tuple[int, bytes, int]


@dataclass(frozen=True, slots=True)
class _Load:
    """What is counted of one asker, and of which it may have so much at once."""

    owner: str | tuple[int, bytes]  # its key, or on a Unix socket its connection
    streams: bool


@dataclass(slots=True)
class _Lease:
    task: asyncio.Task[None]
    inbox: Inbox
    load: _Load
    renewed: float


@dataclass(slots=True)
class Control:
    """The duty on the control sockets: one Unix socket, and perhaps one for TCP."""

    routers: list[Router[Command, Reply]]
    keys: KeyStore
    fates: Fates
    streams: Streams
    stop: Callable[[], None]
    _leases: dict[Stream, _Lease] = field(default_factory=dict)
    _loads: Counter[_Load] = field(default_factory=Counter)

    async def run(self) -> None:
        """Serve operators until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, router in enumerate(self.routers):
                    group.create_task(self._listen(number, router))
                group.create_task(self._expire())
        finally:
            for lease in self._leases.values():
                lease.task.cancel()
            self.fates.close()

    async def _listen(self, number: int, router: Router[Command, Reply]) -> None:
        while True:
            envelope = await router.receive()
            line = Line(router, envelope.peer, envelope.message.number)
            try:
                await self._hear(number, line, envelope)
            except PiwheelsError:
                raise
            except Exception as error:  # noqa: BLE001 - it is logged, not so often
                # A console may say what nobody thought of: that ends no master.
                _faults.warning("a command could not be handled", fault=True)
                reason = f"the master failed: {type(error).__name__}; see its log"
                await line.offer(Problem(reason=reason))

    async def _hear(self, number: int, line: Line, envelope: Envelope[Command]) -> None:
        peer, command = envelope.peer, envelope.message
        stream = (number, peer.route, command.number)
        lease = self._leases.get(stream)
        who = asker(self.keys, peer, command)
        if who is None:
            await self._turn_away(line, lease)
        elif lease is not None:
            await self._go_on(line, lease, command.body)
        else:
            load = _Load(peer.key or (number, peer.route), _is_stream(command.body))
            await self._begin(stream, line, envelope, who, load)

    async def _turn_away(self, line: Line, lease: _Lease | None) -> None:
        if lease is not None:
            lease.task.cancel()
        await line.offer(Problem(reason="this console's key is not on the master's list"))

    async def _go_on(self, line: Line, lease: _Lease, body: Body) -> None:
        lease.renewed = time.monotonic()
        if isinstance(body, Renew):
            await line.offer(Renewed())
        else:
            lease.inbox.take(body)

    async def _begin(
        self, stream: Stream, line: Line, envelope: Envelope[Command], who: Asker, load: _Load
    ) -> None:
        if too_many := _too_many(load, self._loads[load]):
            await line.offer(Problem(reason=too_many))
            return
        inbox = Inbox(envelope.message.body)
        task = asyncio.create_task(self._serve(line, envelope.message, who, inbox))
        self._leases[stream] = _Lease(task, inbox, load, time.monotonic())
        self._loads[load] += 1
        task.add_done_callback(functools.partial(self._ended, stream))

    def _ended(self, stream: Stream, _: asyncio.Task[None]) -> None:
        load = self._leases.pop(stream).load
        self._loads[load] -= 1
        if not self._loads[load]:
            del self._loads[load]

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 4)
            now = time.monotonic()
            for lease in list(self._leases.values()):
                if now - lease.renewed > LEASE_S:
                    lease.task.cancel()

    async def _serve(self, line: Line, command: Command, who: Asker, inbox: Inbox) -> None:
        work = self._answer(command, who, line, inbox)
        answer = await attempted(command.body, who, work)
        if isinstance(command.body, Quit) and isinstance(answer, Applied):
            await line.offer(answer)  # nobody who reads nothing keeps the master from ending
            self.stop()
        else:
            await line.send(answer)

    async def _answer(self, command: Command, who: Asker, line: Line, inbox: Inbox) -> ReplyBody:
        if command.protocol != PROTOCOL:
            return Problem(reason=mismatch(command.protocol))
        match command.body:
            case Renew():
                return Problem(reason="the master was restarted in between; ask again")
            case Watch():
                return await self.streams.watch(line)
            case FollowLog() as request:
                return await self.streams.follow(request, line)
            case _:
                return await self.fates.answer(command, who, line.send, inbox)


def _is_stream(body: Body) -> bool:
    return isinstance(body, Watch | FollowLog)


def _too_many(load: _Load, there: int) -> str:
    """Why no more of this is begun for its asker; "" when it is."""
    if load.streams and there >= MOST_STREAMS:
        return f"this console has {there} watches and logs open, and may have no more; close some"
    if not load.streams and there >= _MOST_COMMANDS:
        return f"{there} commands of this console are being carried out; wait for some of them"
    return ""
