"""The real control server over a simulated farm, on a socket that can go away and come back."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from piwheels.control.command_executor import Call, CommandExecutor
from piwheels.control.connected_operators import ConnectedOperators
from piwheels.control.control_server import ControlServer
from piwheels.control.subscriptions import Subscriptions
from piwheels.errors import RejectedError
from piwheels.protocol.commands import needed_role
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.keys import Role
from piwheels.protocol.messages import (
    MAX_TAIL_BYTES,
    CommandFailed,
    Event,
    KeepAlive,
    LogTail,
    OperatorsChanged,
    OperatorSession,
    Reply,
    ReplyBody,
    Request,
    RequestBody,
    Snapshot,
    TailLog,
    Unsubscribe,
)
from piwheels.protocol.sockets import Envelope, KeyPair, Peer, Router, SendResult
from piwheels.scheduler.event_bus import EventBus
from tests.simfarm import logs
from tests.simfarm.handlers import SimHandlers
from tests.simfarm.model import FarmModel


@dataclass(frozen=True, slots=True)
class ReceivedCommand:
    """A command that would change something, as it arrived first."""

    body: RequestBody
    operator: str
    identity: str
    read_only: bool


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class SimFarm:
    """A simulated master, which serves while it is entered; `received_commands` has every command.

    Attributes:
        hz: how often a second every builder changes and subscribers get that; 0 is never.
        log_lines, lines_per_s: how long logs are, and how fast those of running builds grow.
        reply_delay_s: how long each command takes after it was accepted.
        replies_allowed: while it is not set, replies to commands are held back.
        rejection: the reason why every command is rejected; "" executes them.
        mute: it sends nothing, and keeps its socket (a hung master).
    """

    address: str
    model: FarmModel = field(default_factory=FarmModel)
    hz: float = 1.0
    log_lines: int = 2000
    lines_per_s: float = 50.0
    reply_delay_s: float = 0.0
    rejection: str = ""
    mute: bool = False
    key: KeyPair | None = None
    domain: str = ""
    received_commands: list[ReceivedCommand] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)  # all but KeepAlive and Unsubscribe
    stopped: asyncio.Event = field(default_factory=asyncio.Event)  # by an operator
    replies_allowed: asyncio.Event = field(default_factory=_set)
    operators: ConnectedOperators = field(default_factory=ConnectedOperators)
    _bus: EventBus = field(default_factory=EventBus)
    _told_operators: tuple[OperatorSession, ...] = ()
    _router: "_SimRouter | None" = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _log_started_at: dict[int, float] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- starting and stopping ---

    @property
    def is_listening(self) -> bool:
        """Whether its socket is there."""
        return self._router is not None

    def start(self, *, new: bool = False) -> None:
        """Listen; as another master than before if `new`."""
        if self._router is not None:
            return
        if new:
            self.model.restart()
        self._router = _SimRouter(self)
        self.address = self._router.bind(self.address, key=self.key, domain=self.domain)
        self.stopped.clear()
        server = ControlServer(
            routers=[self._router],
            keys=_AllAdministrators(),
            executor=CommandExecutor(self._handle, self, on_executed=lambda: None),
            subscriptions=Subscriptions(self._snapshot, self, self._bus),
            request_shutdown=self._request_shutdown,
            operators=self.operators,
        )
        self._begin(server.run())
        if self.hz > 0:
            self._begin(self._live())

    async def stop(self) -> None:
        """Close the socket immediately, with everything in transit."""
        router, self._router = self._router, None
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        if router is not None:
            router.close()

    def _request_shutdown(self) -> None:
        asyncio.get_running_loop().call_later(0.1, self.stopped.set)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- events ---

    def publish(self, *events: Event) -> None:
        """Send events to all subscribers."""
        for event in events:
            self._bus.publish(event)

    async def step(self, by_s: float) -> None:
        """Let time pass in the farm, and publish what changed."""
        self.publish(*self.model.step(by_s))
        self.tell_operators()

    def tell_operators(self) -> None:
        """Publish who is connected, if that has changed."""
        if (operators := self.operators.sessions) != self._told_operators:
            self._told_operators = operators
            self.publish(OperatorsChanged(operators=operators))

    async def record(self, text: str, *, who: str, outcome: str) -> None:
        """Add an event to the list, for the control server."""
        self.publish(self.model.note(who, text, outcome))

    async def _snapshot(self) -> Snapshot:
        snapshot = self.model.snapshot()
        return replace(snapshot, status=replace(snapshot.status, operators=self.operators.sessions))

    async def _live(self) -> None:
        interval_s = 1 / self.hz
        due = time.monotonic()
        while True:
            due = max(due + interval_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            await self.step(interval_s)

    # --- requests ---

    def on_request(self, request: Request) -> None:
        """Remember a request; a command that is sent again counts once."""
        if isinstance(request.body, KeepAlive | Unsubscribe):
            return
        self.requests.append(request)
        key = request.idempotency_key
        known = key and any(received.identity == key for received in self.received_commands)
        if needed_role(request.body) is not ControlRole.WATCH and not known:
            self.received_commands.append(
                ReceivedCommand(request.body, request.user, key, request.read_only)
            )

    def intercept(self, body: ReplyBody) -> ReplyBody | None:
        """What is sent in place of a reply; None loses it."""
        return None if self.mute else body

    async def _handle(self, body: RequestBody, call: Call) -> ReplyBody:
        if needed_role(body) is not ControlRole.WATCH:
            await asyncio.sleep(self.reply_delay_s)
            if self.rejection:
                raise RejectedError(self.rejection)
            await self.replies_allowed.wait()
            self.model.operator = call.caller.name
        if isinstance(body, TailLog):
            return self._tail(body)
        return await SimHandlers(self.model, self.publish).handle(body)

    # --- logs ---

    def _tail(self, query: TailLog) -> LogTail:
        """The end of the log of a build, after what is known."""
        data, finished = self.log(query.build)
        start = max(min(query.known, len(data)), len(data) - MAX_TAIL_BYTES)
        return LogTail(offset=start, data=data[start:], running=not finished)

    def read(self, build: int, offset: int, length: int) -> bytes | None:
        """A part of the log of a running build; None when it does not run."""
        data, finished = self.log(build)
        return None if finished else data[offset : offset + length]

    def read_archived(self, build: int) -> bytes | None:
        """The whole log of a build that has ended; None when there is none."""
        return self.log(build)[0] if build in self.model.failed_builds else None

    def _reason(self, build: int) -> str:
        """The line that says why a build failed that is not among the last ones."""
        return next((it.reason for it in self.model.standing if it.build_id == build), "")

    def arrivals(self, build: int) -> logs.SimArrivals:
        """When the parts of a log arrived: its lines at a steady rate."""
        return logs.SimArrivals(self.log_lines, self.lines_per_s)

    def log(self, build: int) -> tuple[bytes, bool]:
        """The current content of a build's log, and whether it is complete."""
        failed = self.model.failed_builds.get(build, False)
        if not self.model.is_running(build):
            return logs.full_log(build, self.log_lines, self._reason(build), failed=failed), True
        started_at = self._log_started_at.setdefault(build, time.monotonic())
        lines = int((time.monotonic() - started_at) * self.lines_per_s) + 1
        return logs.partial_log(build, self.log_lines, lines, failed=failed), False


class _SimRouter(Router[Request, Reply]):
    """Lets the farm see what arrives, and what is sent."""

    def __init__(self, farm: SimFarm) -> None:
        super().__init__(Request, lambda text, _: Reply(request_id=0, body=_failed(text)))
        self._farm = farm

    async def receive(self) -> Envelope[Request]:
        """The next request; those to a mute master are lost."""
        while True:
            envelope = await super().receive()
            self._farm.on_request(envelope.message)
            if not self._farm.mute:
                return envelope

    async def send(self, peer: Peer, message: Reply) -> SendResult:
        """Send to a client what the farm does not hold back."""
        body = self._farm.intercept(message.body)
        if body is None:
            return SendResult.SENT
        return await super().send(peer, Reply(request_id=message.request_id, body=body))


class _AllAdministrators:
    """Every key that gets through to the socket is an administrator's."""

    def name_of_peer(self, role: Role, _: str) -> str | None:
        return "console" if role is Role.ADMINISTER else None


def _failed(text: str) -> CommandFailed:
    return CommandFailed(reason=text)


def control_address(folder: Path) -> str:
    """A control address in a folder."""
    return f"ipc://{folder / 'control.sock'}"
