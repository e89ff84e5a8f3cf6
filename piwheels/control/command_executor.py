"""What becomes of a command that changes something: accepted, carried out once, and told.

Every one of them is written into the event list with its operator and its outcome, and all
who watch hear of it. One that comes again under the same identity gets the first one's answer.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from piwheels.control.audit_messages import describe_command, describe_outcome
from piwheels.control.authorization import Caller
from piwheels.control.database_watch import in_parentheses
from piwheels.db import events
from piwheels.db.database import Database
from piwheels.errors import NotNowError, PiwheelsError
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    Accepted,
    AuditEventRecorded,
    CommandFailed,
    ImportWheel,
    MutatingCommand,
    ReplyBody,
    Request,
    RequestBody,
)
from piwheels.protocol.transfer import MAX_WINDOW_BYTES
from piwheels.scheduler.event_bus import EventBus

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MAX_CACHED_ANSWERS = 4096
#: An answer does not wait longer for a database in trouble; the event is written when it is back.
_RECORD_TIMEOUT_S = 3.0
#: Who asks waits for little longer, and would then take the master for dead.
_QUERY_TIMEOUT_S = 45.0

#: A window's pieces, the last of which may be a short one.
_MAX_CHUNKS = MAX_WINDOW_BYTES // CHUNK_BYTES + 1

SendReply = Callable[[ReplyBody], Awaitable[object]]


class ChunkQueue:
    """Further parts of a command that is being carried out: the pieces of an Import.

    What nobody asked for is dropped; else whoever may look could fill the master's memory.
    """

    def __init__(self, command: RequestBody) -> None:
        self._accepts_chunks = isinstance(command, ImportWheel)
        self._chunks: asyncio.Queue[RequestBody] = asyncio.Queue(_MAX_CHUNKS)

    def put(self, part: RequestBody) -> None:
        """Keep a part until it is asked for."""
        if self._accepts_chunks:
            with contextlib.suppress(asyncio.QueueFull):
                self._chunks.put_nowait(part)

    async def next(self) -> RequestBody:
        """The next part, as soon as there is one."""
        return await self._chunks.get()


#: Carries out one command for an operator and returns its answer.
Handler = Callable[[RequestBody, str, SendReply, ChunkQueue], Awaitable[ReplyBody]]


async def run_catching(body: RequestBody, asker: Caller, work: Awaitable[ReplyBody]) -> ReplyBody:
    """What the work gives, or in a Problem why it gave nothing: no command goes unanswered."""
    try:
        return await work
    except PiwheelsError as error:
        return CommandFailed(reason=str(error), retryable=isinstance(error, NotNowError))
    except OSError as error:
        log.exception("%s of %s failed", type(body).__name__, asker.name)
        return CommandFailed(reason=f"the master could not: {error}")
    except Exception as error:
        log.exception("%s of %s failed", type(body).__name__, asker.name)
        return CommandFailed(reason=f"the master went wrong: {type(error).__name__}; see its log")


async def with_timeout(
    work: Awaitable[_T], seconds: float, database_problem: Callable[[], str] = str
) -> _T:
    """What the work gives, if it does so in time.

    Args:
        work: it.
        seconds: how long that may take.
        database_problem: what the database keeps waiting for, "" when nothing is known.

    Raises:
        NotNowError: it does not.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise NotNowError(
            f"the master has had no answer of its database for {seconds:.0f} s; it goes on trying"
            + in_parentheses(database_problem())
        ) from None


@dataclass(slots=True)
class CommandExecutor:
    """Sees commands through."""

    handler: Handler
    db: Database
    bulletin: EventBus
    on_executed: Callable[[], None]  # called when a command was carried out
    database_wait: Callable[[], str] = str
    _results: OrderedDict[str, asyncio.Task[ReplyBody]] = field(default_factory=OrderedDict)
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    async def execute(
        self, command: Request, asker: Caller, send: SendReply, inbox: ChunkQueue
    ) -> ReplyBody:
        """Answer a question, or see a command through."""
        body = command.body
        if not isinstance(body, MutatingCommand):
            work = self.handler(body, asker.name, send, inbox)
            return await with_timeout(work, _QUERY_TIMEOUT_S, self.database_wait)
        if asker.denial:
            refused = CommandFailed(reason=asker.denial)
            await self._record(body, asker, refused)
            return refused
        await send(Accepted())
        # Its asker may go away meanwhile: what was begun is finished all the same.
        return await asyncio.shield(self._run_once(command, asker, send, inbox))

    def close(self) -> None:
        """Give up what is being carried out."""
        for task in self._running:
            task.cancel()

    def _run_once(
        self, command: Request, asker: Caller, send: SendReply, inbox: ChunkQueue
    ) -> asyncio.Task[ReplyBody]:
        known = self._results.get(command.idempotency_key)
        if known is not None:
            return known
        task = self._track(self._execute(command.body, asker, send, inbox))
        if command.idempotency_key:
            self._results[command.idempotency_key] = task
            while len(self._results) > _MAX_CACHED_ANSWERS:
                self._results.popitem(last=False)
        return task

    async def _execute(
        self, body: RequestBody, asker: Caller, send: SendReply, inbox: ChunkQueue
    ) -> ReplyBody:
        answer = await run_catching(body, asker, self.handler(body, asker.name, send, inbox))
        self.on_executed()
        await self._record(body, asker, answer)
        return answer

    async def _record(self, body: RequestBody, asker: Caller, answer: ReplyBody) -> None:
        what, outcome = describe_command(body), describe_outcome(answer)
        log.info("%s: %s: %s", asker.name, what, outcome)
        writing = self._track(self._write_event(asker.name, what, outcome))
        await asyncio.wait({writing}, timeout=_RECORD_TIMEOUT_S)

    async def _write_event(self, who: str, what: str, outcome: str) -> None:
        at = datetime.now(UTC)
        event = await self.db.retrying(
            lambda: events.record_event(self.db, who, what, outcome=outcome)
        )
        self.bulletin.publish(
            AuditEventRecorded(event=event, at=at, who=who, what=what, outcome=outcome)
        )

    def _track(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
