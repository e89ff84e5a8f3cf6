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

from piwheels.db import events
from piwheels.db.database import Database
from piwheels.errors import NotNowError, PiwheelsError
from piwheels.farm.bulletin import Bulletin
from piwheels.master.askers import Asker
from piwheels.master.database_watch import because
from piwheels.master.wording import asked, came_of
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    Accepted,
    Body,
    Change,
    Command,
    Happened,
    Import,
    Problem,
    ReplyBody,
)
from piwheels.protocol.transfer import LARGEST_WINDOW_BYTES

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_REMEMBERED = 4096
#: An answer does not wait longer for a database in trouble; the event is written when it is back.
_RECORD_S = 3.0
#: Who asks waits for little longer, and would then take the master for dead.
_QUESTION_S = 45.0

#: A window's pieces, the last of which may be a short one.
_MOST_PARTS = LARGEST_WINDOW_BYTES // CHUNK_BYTES + 1

Send = Callable[[ReplyBody], Awaitable[object]]


class Inbox:
    """Further parts of a command that is being carried out: the pieces of an Import.

    What nobody asked for is dropped; else whoever may look could fill the master's memory.
    """

    def __init__(self, command: Body) -> None:
        self._expects = isinstance(command, Import)
        self._parts: asyncio.Queue[Body] = asyncio.Queue(_MOST_PARTS)

    def take(self, part: Body) -> None:
        """Keep a part until it is asked for."""
        if self._expects:
            with contextlib.suppress(asyncio.QueueFull):
                self._parts.put_nowait(part)

    async def next(self) -> Body:
        """The next part, as soon as there is one."""
        return await self._parts.get()


#: Carries out one command for an operator and returns its answer.
Handler = Callable[[Body, str, Send, Inbox], Awaitable[ReplyBody]]


async def attempted(body: Body, asker: Asker, work: Awaitable[ReplyBody]) -> ReplyBody:
    """What the work gives, or in a Problem why it gave nothing: no command goes unanswered."""
    try:
        return await work
    except PiwheelsError as error:
        return Problem(reason=str(error), passing=isinstance(error, NotNowError))
    except OSError as error:
        log.exception("%s of %s failed", type(body).__name__, asker.who)
        return Problem(reason=f"the master could not: {error}")
    except Exception as error:
        log.exception("%s of %s failed", type(body).__name__, asker.who)
        return Problem(reason=f"the master went wrong: {type(error).__name__}; see its log")


async def in_time(
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
            + because(database_problem())
        ) from None


@dataclass(slots=True)
class Fates:
    """Sees commands through."""

    handler: Handler
    db: Database
    bulletin: Bulletin
    changed: Callable[[], None]  # called when a command was carried out
    database_problem: Callable[[], str] = str
    _answers: OrderedDict[str, asyncio.Task[ReplyBody]] = field(default_factory=OrderedDict)
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    async def answer(self, command: Command, asker: Asker, send: Send, inbox: Inbox) -> ReplyBody:
        """Answer a question, or see a command through."""
        body = command.body
        if not isinstance(body, Change):
            work = self.handler(body, asker.who, send, inbox)
            return await in_time(work, _QUESTION_S, self.database_problem)
        if asker.bar:
            refused = Problem(reason=asker.bar)
            await self._record(body, asker, refused)
            return refused
        await send(Accepted())
        # Its asker may go away meanwhile: what was begun is finished all the same.
        return await asyncio.shield(self._once(command, asker, send, inbox))

    def close(self) -> None:
        """Give up what is being carried out."""
        for task in self._running:
            task.cancel()

    def _once(
        self, command: Command, asker: Asker, send: Send, inbox: Inbox
    ) -> asyncio.Task[ReplyBody]:
        known = self._answers.get(command.identity)
        if known is not None:
            return known
        task = self._keep(self._see_through(command.body, asker, send, inbox))
        if command.identity:
            self._answers[command.identity] = task
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return task

    async def _see_through(self, body: Body, asker: Asker, send: Send, inbox: Inbox) -> ReplyBody:
        answer = await attempted(body, asker, self.handler(body, asker.who, send, inbox))
        self.changed()
        await self._record(body, asker, answer)
        return answer

    async def _record(self, body: Body, asker: Asker, answer: ReplyBody) -> None:
        what, outcome = asked(body), came_of(answer)
        log.info("%s: %s: %s", asker.who, what, outcome)
        writing = self._keep(self._write(asker.who, what, outcome))
        await asyncio.wait({writing}, timeout=_RECORD_S)

    async def _write(self, who: str, what: str, outcome: str) -> None:
        at = datetime.now(UTC)
        event = await self.db.retrying(
            lambda: events.record_event(self.db, who, what, outcome=outcome)
        )
        self.bulletin.publish(Happened(event=event, at=at, who=who, what=what, outcome=outcome))

    def _keep(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
