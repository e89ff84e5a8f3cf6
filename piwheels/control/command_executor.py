"""Executes requests of the control socket: a query at once, a command exactly once.

Every command that changes something is written into the audit log with its operator and its
outcome, and published to all subscribers. One that arrives again with the same idempotency key
gets the first one's reply.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from piwheels.control.audit_messages import describe_command, describe_outcome
from piwheels.control.authorization import Caller
from piwheels.control.database_watch import in_parentheses
from piwheels.errors import NotNowError, PiwheelsError
from piwheels.protocol.commands import needed_role
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    Accepted,
    CommandFailed,
    ImportWheel,
    ReplyBody,
    Request,
    RequestBody,
)
from piwheels.protocol.rate_limit import Allowance
from piwheels.protocol.upload_window import MAX_WINDOW_BYTES
from piwheels.scheduler import reasons

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MAX_CACHED_ANSWERS = 4096
#: A reply waits no longer for a slow database; the event is written when it answers again.
_RECORD_TIMEOUT_S = 3.0
#: Clients wait for a little longer, and would then assume that the master is down.
_QUERY_TIMEOUT_S = 45.0

#: Refused commands of one key or account that are recorded one by one, in a period.
MAX_REFUSALS = 10

#: The chunks of one window, the last of which may be short.
_MAX_CHUNKS = MAX_WINDOW_BYTES // CHUNK_BYTES + 1

SendReply = Callable[[ReplyBody], Awaitable[object]]


class ChunkQueue:
    """The chunks of an ImportWheel that is being executed.

    Chunks of other requests are dropped: otherwise a read-only client could fill the memory.
    """

    def __init__(self, request: RequestBody) -> None:
        self._accepts_chunks = isinstance(request, ImportWheel)
        self._chunks: asyncio.Queue[RequestBody] = asyncio.Queue(_MAX_CHUNKS)

    def put(self, chunk: RequestBody) -> None:
        """Keep a chunk until next() returns it."""
        if self._accepts_chunks:
            with contextlib.suppress(asyncio.QueueFull):
                self._chunks.put_nowait(chunk)

    async def next(self) -> RequestBody:
        """The next chunk, as soon as there is one."""
        return await self._chunks.get()


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is being executed: who sent it, and how to reach the client meanwhile."""

    caller: Caller
    send: SendReply
    chunks: ChunkQueue


class EventRecorder(Protocol):
    """The audit log; an EventPublisher."""

    def record(self, text: str, /, *, who: str, outcome: str) -> Coroutine[Any, Any, None]:
        """Record and publish what somebody did."""


#: Executes a command or query and returns the reply.
Handler = Callable[[RequestBody, Call], Awaitable[ReplyBody]]


async def run_catching(body: RequestBody, caller: Caller, work: Awaitable[ReplyBody]) -> ReplyBody:
    """What the work returns, or why it failed as a CommandFailed: every request gets a reply."""
    try:
        return await work
    except PiwheelsError as error:
        return CommandFailed(reason=str(error), retryable=isinstance(error, NotNowError))
    except OSError as error:
        log.exception("%s from %s failed", type(body).__name__, caller.name)
        return CommandFailed(reason=f"command failed: {error}")
    except Exception as error:
        log.exception("%s from %s failed", type(body).__name__, caller.name)
        return CommandFailed(reason=reasons.internal_error(error))


async def with_timeout(
    work: Awaitable[_T], timeout_s: float, database_wait: Callable[[], str] = str
) -> _T:
    """What the work returns.

    Args:
        work: reads the database.
        timeout_s: how long it may take.
        database_wait: what the database waits for, "" when nothing is known.

    Raises:
        NotNowError: it takes longer.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await work
    except TimeoutError:
        raise NotNowError(
            f"the database has not answered for {timeout_s:.0f} s; still retrying"
            + in_parentheses(database_wait())
        ) from None


class _Refusals:
    """Refused commands of a key or account: so many are recorded, and the others counted."""

    def __init__(self, period_s: float) -> None:
        self.allowance = Allowance(MAX_REFUSALS, period_s)
        self.left_out = 0


@dataclass(slots=True)
class CommandExecutor:
    """Executes requests; `on_executed` is called after each command."""

    handler: Handler
    events: EventRecorder
    on_executed: Callable[[], None]
    database_wait: Callable[[], str] = str
    refusal_period_s: float = 60.0
    _refusals: dict[str, _Refusals] = field(default_factory=dict)  # by what has the role
    _results: OrderedDict[str, asyncio.Task[ReplyBody]] = field(default_factory=OrderedDict)
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    async def execute(self, request: Request, call: Call) -> ReplyBody:
        """Answer a query, or execute a command."""
        body = request.body
        needed = needed_role(body)
        if needed is ControlRole.WATCH:
            return await with_timeout(
                self.handler(body, call), _QUERY_TIMEOUT_S, self.database_wait
            )
        if refusal := call.caller.refusal(needed):
            refused = CommandFailed(reason=refusal)
            await self._record_refusal(body, call.caller, refused)
            return refused
        await call.send(Accepted())
        # The client may disconnect meanwhile: a command that has begun is finished all the same.
        return await asyncio.shield(self._run_once(request, call))

    def close(self) -> None:
        """Cancel all that is being executed."""
        for task in self._running:
            task.cancel()

    def _run_once(self, request: Request, call: Call) -> asyncio.Task[ReplyBody]:
        known = self._results.get(request.idempotency_key)
        if known is not None:
            return known
        task = self._track(self._execute(request.body, call))
        if request.idempotency_key:
            self._results[request.idempotency_key] = task
            while len(self._results) > _MAX_CACHED_ANSWERS:
                self._results.popitem(last=False)
        return task

    async def _execute(self, body: RequestBody, call: Call) -> ReplyBody:
        reply = await run_catching(body, call.caller, self.handler(body, call))
        self.on_executed()
        await self._record(body, call.caller, reply)
        return reply

    async def _record_refusal(self, body: RequestBody, caller: Caller, reply: ReplyBody) -> None:
        refusals = self._refusals.setdefault(caller.owner, _Refusals(self.refusal_period_s))
        if refusals.allowance.allows(time.monotonic()):
            await self._record(body, caller, reply)
            return
        refusals.left_out += 1
        if refusals.left_out == 1:
            self._track(self._count_refusals(refusals, caller))

    async def _count_refusals(self, refusals: _Refusals, caller: Caller) -> None:
        await asyncio.sleep(self.refusal_period_s)
        left_out, refusals.left_out = refusals.left_out, 0
        await self._write(f"{left_out} more commands", caller, "rejected: like those before")

    async def _record(self, body: RequestBody, caller: Caller, reply: ReplyBody) -> None:
        await self._write(describe_command(body), caller, describe_outcome(body, reply))

    async def _write(self, command: str, caller: Caller, outcome: str) -> None:
        log.info("%s: %s: %s", caller.name, command, outcome)
        recording = self._track(self.events.record(command, who=caller.name, outcome=outcome))
        await asyncio.wait({recording}, timeout=_RECORD_TIMEOUT_S)

    def _track(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
