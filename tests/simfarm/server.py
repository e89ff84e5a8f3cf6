"""The control socket of the simulated farm: watchers, logs, commands, and going away."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from piwheels.protocol.messages import (
    CHUNK_BYTES,
    PROTOCOL,
    Accepted,
    Add,
    BuilderCommand,
    BuildsReply,
    CommandBuilders,
    CommandFailed,
    CommandSucceeded,
    Event,
    EventBatch,
    EventsReply,
    Explain,
    ExplainReply,
    Explanation,
    FollowLog,
    KeepAlive,
    KeepAliveAck,
    ListBuilds,
    ListEvents,
    LogChunk,
    Pause,
    Prioritize,
    RegeneratePages,
    Remove,
    Reply,
    ReplyBody,
    Request,
    RequestBody,
    Resume,
    Retry,
    Skip,
    Status,
    StopMaster,
    Subscribe,
)
from piwheels.protocol.sockets import Envelope, KeyPair, Peer, Router
from tests.simfarm import logs
from tests.simfarm.model import FarmModel

_CHANGES = (
    Pause
    | Resume
    | CommandBuilders
    | StopMaster
    | Skip
    | Retry
    | Prioritize
    | Remove
    | RegeneratePages
    | Add
)
_LOG_EVERY_S = 0.1
#: A watch that was not renewed for so long has lost its reader.
LEASE_S = 60.0


@dataclass(frozen=True, slots=True)
class ReceivedCommand:
    """A command that would change something, as it arrived."""

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
    """A simulated master. Enter it, and it serves; `asked` holds what it was asked to change.

    Attributes:
        hz: how often a second every builder changes and watchers are told; 0 is never.
        log_lines, lines_per_s: how long logs are and how fast those of builds in hand grow.
        answer_after_s: so long it takes over each command, after it accepted it.
        answers: when it is not set, answers to those commands are held back until it is.
        refuses: what it answers to every command that would change something; "" carries it out.
        mute: it neither answers nor tells anything, and holds its socket (a hung master).
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
    requests: list[Request] = field(default_factory=list)  # all that arrived, Renews apart
    stopped: asyncio.Event = field(default_factory=asyncio.Event)  # an operator ended it
    replies_allowed: asyncio.Event = field(default_factory=_set)
    _router: Router[Request, Reply] | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _watchers: dict[tuple[bytes, int], Peer] = field(default_factory=dict)
    _leases: dict[tuple[bytes, int], float] = field(default_factory=dict)
    _answered: dict[str, ReplyBody] = field(default_factory=dict)
    _log_began: dict[int, float] = field(default_factory=dict)

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

    # --- coming and going ---

    @property
    def is_listening(self) -> bool:
        """Whether it listens."""
        return self._router is not None

    def start(self, *, new: bool = False) -> None:
        """Listen; as another master than before if `new`."""
        if self._router is not None:
            return
        if new:
            self.model.restart()
        self._router = Router(
            Request, lambda text, _: Reply(request_id=0, body=CommandFailed(reason=text))
        )
        self.address = self._router.bind(self.address, key=self.key, domain=self.domain)
        self.stopped.clear()
        self._begin(self._listen(self._router))
        if self.hz > 0:
            self._begin(self._live())

    async def stop(self) -> None:
        """Close the socket at once, with all that is under way."""
        router, self._router = self._router, None
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        self._leases.clear()
        self._watchers.clear()
        if router is not None:
            router.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- telling ---

    async def publish(self, *events: Event) -> None:
        """Tell all watchers."""
        if not events or self.mute:
            return
        for stream, peer in list(self._watchers.items()):
            if time.monotonic() - self._leases.get(stream, 0.0) > LEASE_S:
                del self._watchers[stream]
            else:
                await self._send(peer, stream[1], EventBatch(events=events))

    async def step(self, by_s: float) -> None:
        """Let time pass in the farm, and tell what changed."""
        await self.publish(*self.model.step(by_s))

    async def _live(self) -> None:
        every_s = 1 / self.hz
        due = time.monotonic()
        while True:
            due = max(due + every_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            await self.step(every_s)

    async def _send(self, peer: Peer, number: int, body: ReplyBody) -> None:
        if self._router is not None and not self.mute:
            await self._router.send(peer, Reply(request_id=number, body=body))

    # --- being asked ---

    async def _listen(self, router: Router[Request, Reply]) -> None:
        while True:
            envelope = await router.receive()
            command, peer = envelope.message, envelope.peer
            if isinstance(command.body, KeepAlive):
                await self._renew(peer, command.request_id)
                continue
            self.requests.append(command)
            if not self.mute:
                # Before its task runs, a Renew of it may have been read already.
                self._leases[peer.route, command.request_id] = time.monotonic()
                self._begin(self._serve(envelope))

    async def _renew(self, peer: Peer, number: int) -> None:
        stream = (peer.route, number)
        if stream in self._leases:
            self._leases[stream] = time.monotonic()
            await self._send(peer, number, KeepAliveAck())
        else:
            reason = "the master was restarted in between; ask again"
            await self._send(peer, number, CommandFailed(reason=reason))

    async def _serve(self, envelope: Envelope[Request]) -> None:
        command, peer = envelope.message, envelope.peer
        stream = (peer.route, command.request_id)
        answer = await self._answer(command, peer)
        if answer is not None:
            await self._send(peer, command.request_id, answer)
        if stream not in self._watchers:
            self._leases.pop(stream, None)

    async def _answer(self, command: Request, peer: Peer) -> ReplyBody | None:
        match command.body:
            case _ if command.protocol != PROTOCOL:
                reason = f"this master speaks protocol {PROTOCOL}, not {command.protocol}"
                return CommandFailed(reason=reason)
            case Subscribe():
                # What is told before the snapshot may be in it too, as with a real master.
                self._watchers[peer.route, command.request_id] = peer
                return self.model.snapshot()
            case FollowLog() as request:
                return await self._log(peer, command.request_id, request)
            case body if isinstance(body, _CHANGES):
                return await self._change(command, peer)
            case body:
                return self._question(body)

    def _question(self, body: RequestBody) -> ReplyBody:
        match body:
            case Status():
                return self.model.status()
            case Explain():
                return self._explain(body)
            case ListBuilds():
                kept = [
                    build
                    for build in reversed(self.model.builds)
                    if body.project in {None, build.project}
                    and not (body.failed and build.outcome == "built")
                    and build.duration_s >= body.slower_than_s
                ]
                return BuildsReply(builds=tuple(kept[: body.limit]))
            case ListEvents():
                kept_events = [
                    event
                    for event in reversed(self.model.events)
                    if body.before is None or event.event < body.before
                ]
                return EventsReply(events=tuple(kept_events[: body.limit]))
            case _:
                return CommandFailed(reason=f"the simulated farm knows no {type(body).__name__}")

    @staticmethod
    def _explain(body: Explain) -> ReplyBody:
        answer = Explanation(
            project=body.project,
            version=body.version or "1.0",
            target=body.target or "cp313-trixie-aarch64",
            state="queued",
            text=f"{body.project} waits for a builder that serves this target, after 17 others.",
        )
        return ExplainReply(answers=(answer,))

    # --- commands ---

    async def _change(self, command: Request, peer: Peer) -> ReplyBody:
        before = self._answered.get(command.idempotency_key) if command.idempotency_key else None
        if before is not None:
            return before
        self.received_commands.append(
            ReceivedCommand(command.body, command.user, command.idempotency_key, command.read_only)
        )
        answer: ReplyBody | None = self._refusal(command)
        if answer is None:
            await self._send(peer, command.request_id, Accepted())
            await asyncio.sleep(self.reply_delay_s)
            await self.replies_allowed.wait()
            answer = await self._carry_out(command.body)
        if command.idempotency_key:
            self._answered[command.idempotency_key] = answer
        said = "applied" if isinstance(answer, CommandSucceeded) else f"refused: {_reason(answer)}"
        await self.publish(self.model.note(command.user, _in_words(command.body), said))
        if isinstance(command.body, StopMaster) and isinstance(answer, CommandSucceeded):
            asyncio.get_running_loop().call_later(0.1, self.stopped.set)
        return answer

    def _refusal(self, command: Request) -> CommandFailed | None:
        if command.read_only:
            return CommandFailed(reason="this console is read-only")
        if self.rejection:
            return CommandFailed(reason=self.rejection)
        if isinstance(command.body, CommandBuilders):
            missing = self.model.missing(command.body.builders)
            if missing:
                return CommandFailed(reason=f"there is no builder {', '.join(missing)}")
        return None

    async def _carry_out(self, body: RequestBody) -> ReplyBody:
        match body:
            case Pause() | Resume():
                held = isinstance(body, Pause)
                await self.publish(*self.model.pause(paused=held))
                return CommandSucceeded(
                    text="no jobs are handed out" if held else "jobs are handed out"
                )
            case CommandBuilders() if body.command is BuilderCommand.RESTART and body.max_parallel:
                return await self._drain_in_turn(body)
            case CommandBuilders():
                await self.publish(*self._order(body))
                count = len(body.builders)
                return CommandSucceeded(text=f"{body.command} for {count} builders", count=count)
            case StopMaster():
                return CommandSucceeded(
                    text="the master is stopping; builders wait for the next one"
                )
            case _:
                return CommandSucceeded(text=_in_words(body), count=1)

    def _order(self, body: CommandBuilders) -> list[Event]:
        world, labels = self.model, body.builders
        orders: dict[BuilderCommand, Callable[[], list[Event]]] = {
            BuilderCommand.SLEEP: lambda: world.sleep(labels, at_once=body.immediately),
            BuilderCommand.WAKE: lambda: world.wake(labels),
            BuilderCommand.CANCEL_BUILD: lambda: world.skip_build(labels),
            BuilderCommand.DRAIN: lambda: world.drain(labels),
            BuilderCommand.RESTART: lambda: world.drain(labels),
            BuilderCommand.KILL: lambda: world.kill(labels),
        }
        return orders[body.command]()

    async def _drain_in_turn(self, body: CommandBuilders) -> CommandSucceeded:
        waiting, out = list(body.builders), set[str]()
        while waiting or out:
            out = {label for label in out if self._drains(label)}
            while waiting and len(out) < body.max_parallel:
                label = waiting.pop(0)
                await self.publish(*self.model.drain([label]))
                out.add(label)
            await asyncio.sleep(_LOG_EVERY_S)
        count = len(body.builders)
        return CommandSucceeded(
            text=f"drained {count} builders, {body.max_parallel} at a time", count=count
        )

    def _drains(self, label: str) -> bool:
        machine = self.model.machines[label]
        return machine.draining or machine.away_s is not None

    # --- logs ---

    async def _log(self, peer: Peer, number: int, request: FollowLog) -> ReplyBody | None:
        build, offset = request.build, request.offset
        if not self._is_known(build):
            return CommandFailed(reason=f"there is no log of build {build}")
        while True:
            data, finished = self.log(build)
            for start in range(offset, len(data), CHUNK_BYTES):
                piece = data[start : start + CHUNK_BYTES]
                await self._send(peer, number, LogChunk(build=build, offset=start, data=piece))
            offset = max(offset, len(data))
            if finished or not request.follow:
                return LogChunk(build=build, offset=offset, data=b"", finished=True)
            await asyncio.sleep(_LOG_EVERY_S)

    def log(self, build: int) -> tuple[bytes, bool]:
        """What a build's log holds by now, and whether that is all."""
        running = self._runs(build)
        failed = self.model.failed_builds.get(build, False)
        if not running:
            return logs.full_log(build, self.log_lines, failed=failed), True
        began = self._log_began.setdefault(build, time.monotonic())
        so_far = int((time.monotonic() - began) * self.lines_per_s) + 1
        return logs.partial_log(build, self.log_lines, so_far, failed=failed), False

    def _is_known(self, build: int) -> bool:
        return build in self.model.failed_builds or self._runs(build)

    def _runs(self, build: int) -> bool:
        tasks = (machine.build for machine in self.model.machines.values())
        return any(task is not None and task.build == build for task in tasks)


def _reason(answer: ReplyBody) -> str:
    return answer.reason if isinstance(answer, CommandFailed) else type(answer).__name__


def _in_words(body: RequestBody) -> str:
    match body:
        case CommandBuilders():
            return f"{body.command} {', '.join(body.builders)}"
        case Retry() | Prioritize() | Remove():
            return f"{type(body).__name__.lower()} {body.project} {body.version or ''}".strip()
        case Skip():
            what = body.project or body.target or "nothing"
            return f"skip {what}: {body.reason}" if body.reason else f"unskip {what}"
        case _:
            return type(body).__name__.lower()


def control_address(folder: Path) -> str:
    """A control address in a folder."""
    return f"ipc://{folder / 'control.sock'}"
