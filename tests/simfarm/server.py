"""The control socket of the simulated farm: watchers, logs, commands, and going away."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from piwheels.protocol.channels import Envelope, KeyPair, Peer, Router
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    PROTOCOL,
    Accepted,
    Add,
    Applied,
    Batch,
    Body,
    BuildsReply,
    Command,
    Event,
    EventsReply,
    Explain,
    ExplainReply,
    Explanation,
    FollowLog,
    ListBuilds,
    ListEvents,
    LogPiece,
    Order,
    OrderBuilders,
    Pause,
    Prioritise,
    Problem,
    Quit,
    Rebuild,
    Remove,
    Renew,
    Renewed,
    Reply,
    ReplyBody,
    Resume,
    Retry,
    Skip,
    Status,
    Watch,
)
from tests.simfarm import logs
from tests.simfarm.world import World

_CHANGES = (
    Pause | Resume | OrderBuilders | Quit | Skip | Retry | Prioritise | Remove | Rebuild | Add
)
_LOG_EVERY_S = 0.1
#: A watch that was not renewed for so long has lost its reader.
LEASE_S = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that would change something, as it arrived."""

    body: Body
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
    world: World = field(default_factory=World)
    hz: float = 1.0
    log_lines: int = 2000
    lines_per_s: float = 50.0
    answer_after_s: float = 0.0
    refuses: str = ""
    mute: bool = False
    key: KeyPair | None = None
    domain: str = ""
    asked: list[Asked] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)  # all that arrived, Renews apart
    stopped: asyncio.Event = field(default_factory=asyncio.Event)  # an operator ended it
    answers: asyncio.Event = field(default_factory=_set)
    _router: Router[Command, Reply] | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _watchers: dict[tuple[bytes, int], Peer] = field(default_factory=dict)
    _leases: dict[tuple[bytes, int], float] = field(default_factory=dict)
    _answered: dict[str, ReplyBody] = field(default_factory=dict)
    _log_began: dict[int, float] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self.come()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.go()

    # --- coming and going ---

    @property
    def here(self) -> bool:
        """Whether it listens."""
        return self._router is not None

    def come(self, *, new: bool = False) -> None:
        """Listen; as another master than before if `new`."""
        if self._router is not None:
            return
        if new:
            self.world.restart()
        self._router = Router(Command, lambda text, _: Reply(number=0, body=Problem(reason=text)))
        self.address = self._router.bind(self.address, key=self.key, domain=self.domain)
        self.stopped.clear()
        self._begin(self._listen(self._router))
        if self.hz > 0:
            self._begin(self._live())

    async def go(self) -> None:
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

    async def tell(self, *events: Event) -> None:
        """Tell all watchers."""
        if not events or self.mute:
            return
        for stream, peer in list(self._watchers.items()):
            if time.monotonic() - self._leases.get(stream, 0.0) > LEASE_S:
                del self._watchers[stream]
            else:
                await self._send(peer, stream[1], Batch(events=events))

    async def step(self, by_s: float) -> None:
        """Let time pass in the farm, and tell what changed."""
        await self.tell(*self.world.step(by_s))

    async def _live(self) -> None:
        every_s = 1 / self.hz
        due = time.monotonic()
        while True:
            due = max(due + every_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            await self.step(every_s)

    async def _send(self, peer: Peer, number: int, body: ReplyBody) -> None:
        if self._router is not None and not self.mute:
            await self._router.send(peer, Reply(number=number, body=body))

    # --- being asked ---

    async def _listen(self, router: Router[Command, Reply]) -> None:
        while True:
            envelope = await router.receive()
            command, peer = envelope.message, envelope.peer
            if isinstance(command.body, Renew):
                await self._renew(peer, command.number)
                continue
            self.commands.append(command)
            if not self.mute:
                # Before its task runs, a Renew of it may have been read already.
                self._leases[peer.route, command.number] = time.monotonic()
                self._begin(self._serve(envelope))

    async def _renew(self, peer: Peer, number: int) -> None:
        stream = (peer.route, number)
        if stream in self._leases:
            self._leases[stream] = time.monotonic()
            await self._send(peer, number, Renewed())
        else:
            reason = "the master was restarted in between; ask again"
            await self._send(peer, number, Problem(reason=reason))

    async def _serve(self, envelope: Envelope[Command]) -> None:
        command, peer = envelope.message, envelope.peer
        stream = (peer.route, command.number)
        answer = await self._answer(command, peer)
        if answer is not None:
            await self._send(peer, command.number, answer)
        if stream not in self._watchers:
            self._leases.pop(stream, None)

    async def _answer(self, command: Command, peer: Peer) -> ReplyBody | None:
        match command.body:
            case _ if command.protocol != PROTOCOL:
                reason = f"this master speaks protocol {PROTOCOL}, not {command.protocol}"
                return Problem(reason=reason)
            case Watch():
                # What is told before the snapshot may be in it too, as with a real master.
                self._watchers[peer.route, command.number] = peer
                return self.world.snapshot()
            case FollowLog() as request:
                return await self._log(peer, command.number, request)
            case body if isinstance(body, _CHANGES):
                return await self._change(command, peer)
            case body:
                return self._question(body)

    def _question(self, body: Body) -> ReplyBody:
        match body:
            case Status():
                return self.world.status()
            case Explain():
                return self._explain(body)
            case ListBuilds():
                kept = [
                    build
                    for build in reversed(self.world.builds)
                    if body.project in {None, build.project}
                    and not (body.failed and build.outcome == "built")
                    and build.duration_s >= body.slower_than_s
                ]
                return BuildsReply(builds=tuple(kept[: body.limit]))
            case ListEvents():
                kept_events = [
                    event
                    for event in reversed(self.world.events)
                    if body.before is None or event.event < body.before
                ]
                return EventsReply(events=tuple(kept_events[: body.limit]))
            case _:
                return Problem(reason=f"the simulated farm knows no {type(body).__name__}")

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

    async def _change(self, command: Command, peer: Peer) -> ReplyBody:
        before = self._answered.get(command.identity) if command.identity else None
        if before is not None:
            return before
        self.asked.append(
            Asked(command.body, command.operator, command.identity, command.read_only)
        )
        answer: ReplyBody | None = self._refusal(command)
        if answer is None:
            await self._send(peer, command.number, Accepted())
            await asyncio.sleep(self.answer_after_s)
            await self.answers.wait()
            answer = await self._carry_out(command.body)
        if command.identity:
            self._answered[command.identity] = answer
        said = "applied" if isinstance(answer, Applied) else f"refused: {_reason(answer)}"
        await self.tell(self.world.note(command.operator, _in_words(command.body), said))
        if isinstance(command.body, Quit) and isinstance(answer, Applied):
            asyncio.get_running_loop().call_later(0.1, self.stopped.set)
        return answer

    def _refusal(self, command: Command) -> Problem | None:
        if command.read_only:
            return Problem(reason="this console is read-only")
        if self.refuses:
            return Problem(reason=self.refuses)
        if isinstance(command.body, OrderBuilders):
            missing = self.world.missing(command.body.builders)
            if missing:
                return Problem(reason=f"there is no builder {', '.join(missing)}")
        return None

    async def _carry_out(self, body: Body) -> ReplyBody:
        match body:
            case Pause() | Resume():
                held = isinstance(body, Pause)
                await self.tell(*self.world.pause(paused=held))
                return Applied(text="no jobs are handed out" if held else "jobs are handed out")
            case OrderBuilders() if body.order is Order.DRAIN and body.rolling:
                return await self._drain_in_turn(body)
            case OrderBuilders():
                await self.tell(*self._order(body))
                count = len(body.builders)
                return Applied(text=f"{body.order} for {count} builders", count=count)
            case Quit():
                return Applied(text="the master is stopping; builders wait for the next one")
            case _:
                return Applied(text=_in_words(body), count=1)

    def _order(self, body: OrderBuilders) -> list[Event]:
        world, labels = self.world, body.builders
        orders: dict[Order, Callable[[], list[Event]]] = {
            Order.SLEEP: lambda: world.sleep(labels, at_once=body.at_once),
            Order.WAKE: lambda: world.wake(labels),
            Order.SKIP: lambda: world.skip_build(labels),
            Order.DRAIN: lambda: world.drain(labels),
            Order.KILL: lambda: world.kill(labels),
        }
        return orders[body.order]()

    async def _drain_in_turn(self, body: OrderBuilders) -> Applied:
        waiting, out = list(body.builders), set[str]()
        while waiting or out:
            out = {label for label in out if self._drains(label)}
            while waiting and len(out) < body.rolling:
                label = waiting.pop(0)
                await self.tell(*self.world.drain([label]))
                out.add(label)
            await asyncio.sleep(_LOG_EVERY_S)
        count = len(body.builders)
        return Applied(text=f"drained {count} builders, {body.rolling} at a time", count=count)

    def _drains(self, label: str) -> bool:
        machine = self.world.machines[label]
        return machine.draining or machine.away_s is not None

    # --- logs ---

    async def _log(self, peer: Peer, number: int, request: FollowLog) -> ReplyBody | None:
        build, offset = request.build, request.offset
        if not self._is_known(build):
            return Problem(reason=f"there is no log of build {build}")
        while True:
            data, finished = self.log(build)
            for start in range(offset, len(data), CHUNK_BYTES):
                piece = data[start : start + CHUNK_BYTES]
                await self._send(peer, number, LogPiece(build=build, offset=start, data=piece))
            offset = max(offset, len(data))
            if finished or not request.follow:
                return LogPiece(build=build, offset=offset, data=b"", finished=True)
            await asyncio.sleep(_LOG_EVERY_S)

    def log(self, build: int) -> tuple[bytes, bool]:
        """What a build's log holds by now, and whether that is all."""
        running = self._runs(build)
        failed = self.world.failed_builds.get(build, False)
        if not running:
            return logs.whole(build, self.log_lines, failed=failed), True
        began = self._log_began.setdefault(build, time.monotonic())
        so_far = int((time.monotonic() - began) * self.lines_per_s) + 1
        return logs.written(build, self.log_lines, so_far, failed=failed), False

    def _is_known(self, build: int) -> bool:
        return build in self.world.failed_builds or self._runs(build)

    def _runs(self, build: int) -> bool:
        tasks = (machine.task for machine in self.world.machines.values())
        return any(task is not None and task.build == build for task in tasks)


def _reason(answer: ReplyBody) -> str:
    return answer.reason if isinstance(answer, Problem) else type(answer).__name__


def _in_words(body: Body) -> str:
    match body:
        case OrderBuilders():
            return f"{body.order} {', '.join(body.builders)}"
        case Retry() | Prioritise() | Remove():
            return f"{type(body).__name__.lower()} {body.project} {body.version or ''}".strip()
        case Skip():
            what = body.project or body.target or "nothing"
            return f"skip {what}: {body.reason}" if body.reason else f"unskip {what}"
        case _:
            return type(body).__name__.lower()


def socket_in(folder: Path) -> str:
    """A control address in a folder."""
    return f"ipc://{folder / 'control.sock'}"
