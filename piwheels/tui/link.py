"""The live link to a master: watches for ever, tells of losses, and carries commands.

The link is lost when the connection ends, when the master says nothing (not even to a
renewal) for SILENT_S, or when it ends the watch. It is tried again with growing delay.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Self, TypeVar

from piwheels.errors import PiwheelsError, RefusedError, UsageError
from piwheels.protocol.channels import KeyPair
from piwheels.protocol.client import (
    ANSWER_S,
    ControlClient,
    Conversation,
    NoMasterError,
    end_tasks,
    operator,
)
from piwheels.protocol.messages import (
    Accepted,
    Applied,
    Batch,
    Body,
    Event,
    FollowLog,
    LogPiece,
    OrderBuilders,
    ReplyBody,
    Snapshot,
    Watch,
)
from piwheels.tui.backlog import melted
from piwheels.tui.fates import Fate, Turn, sent
from piwheels.tui.source import Alive, Connected, Heard, Lost, SourceEvent
from piwheels.tui.tunnel import TunnelError, route_to

RENEW_S = 2.0
SILENT_S = 7.0
#: A master that has just started may be long in counting its files.
SNAPSHOT_S = 20.0
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 10.0

_Wanted = TypeVar("_Wanted")


class LinkLostError(PiwheelsError):
    """No master is connected, or it went away in the middle."""


class _Session:
    """One connection to a master, from its opening to its end."""

    def __init__(self, client: ControlClient) -> None:
        self.client = client
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        self._watcher = asyncio.create_task(self._notice_end())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(str(error) if isinstance(error, PiwheelsError) else "the link was closed")
        try:
            if self._watcher:
                await end_tasks(self._watcher)
        finally:
            await self.client.__aexit__(kind, error, trace)

    def end(self, reason: str) -> None:
        """Let all that wait for an answer know that none will come."""
        if not self.gone.done():
            self.gone.set_result(reason)

    async def _notice_end(self) -> None:
        self.end(await self.client.disconnected())

    async def next(self, talk: Conversation, timeout_s: float | None) -> ReplyBody:
        """The next answer.

        Raises:
            LinkLostError: the link was lost before.
            NoMasterError: none came within the time.
            RefusedError: the master would not, and its reason.
        """
        answer = asyncio.create_task(talk.next(timeout_s))
        try:
            waited: set[asyncio.Future[Any]] = {answer, self.gone}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise LinkLostError(self.gone.result())
        finally:
            await end_tasks(answer)


class Link:
    """A link to the master at an address; one run of `events()` at a time keeps it up."""

    def __init__(
        self,
        address: str,
        *,
        key: KeyPair | None = None,
        server_key: str = "",
        read_only: bool = False,
        who: str = "",
    ) -> None:
        """key, server_key: for tcp:// addresses; who: the operator's login and host.

        Raises:
            UsageError: the address is none, or one of TCP without keys.
        """
        if address.startswith("tcp://") and (key is None or not server_key):
            raise UsageError(f"{address}: over TCP an operator's key and the master's are needed")
        self.address = address
        self._route = route_to(address)
        self.read_only = read_only
        self._key = key
        self._server_key = server_key
        self._who = who or operator()
        self._session: _Session | None = None  # once its Snapshot has come
        self._up = asyncio.Event()
        self._instance = ""
        self._delay_s = FIRST_DELAY_S
        self._retry_at = 0.0  # by the event loop's clock

    def now(self) -> float:
        """UNIX seconds of this machine."""
        return time.time()

    # --- watching ---

    async def events(self) -> AsyncGenerator[SourceEvent]:
        """All that is heard, for ever."""
        try:
            while True:
                async with aclosing(self._once()) as heard:
                    async for event in heard:
                        yield event
                # A consumer may have been slow with the news of the loss.
                await asyncio.sleep(self._retry_at - asyncio.get_running_loop().time())
        finally:
            await self._route.close()

    async def _once(self) -> AsyncGenerator[SourceEvent]:
        """All that is heard over one connection, and at last how it was lost."""
        reason = near_end = ""
        try:
            near_end = await self._route.open()
            async with (
                _Session(self._client(near_end)) as session,
                aclosing(self._watch(session)) as heard,
            ):
                async for event in heard:
                    yield event
        except TunnelError as error:
            reason = str(error)
        except PiwheelsError as error:
            reason = self._route.explain(str(error).replace(near_end or "\0", self.address))
        finally:
            self._session = None
            self._up.clear()
        yield Lost(reason, self.now() + self._next_delay())

    def _client(self, address: str) -> ControlClient:
        return ControlClient(
            address,
            key=self._key,
            server_key=self._server_key,
            who=self._who,
            read_only=self.read_only,
            renew_s=RENEW_S,
        )

    async def _watch(self, session: _Session) -> AsyncGenerator[SourceEvent]:
        async with AsyncExitStack() as stack:
            try:
                talk = await stack.enter_async_context(session.client.stream(Watch(), melt=melted))
            except NoMasterError:
                if session.gone.done():  # there is somebody, who would not
                    raise LinkLostError(session.gone.result()) from None
                raise
            snapshot = await session.next(talk, SNAPSHOT_S)
            if not isinstance(snapshot, Snapshot):
                raise RefusedError(f"the master answered with {type(snapshot).__name__}; odd")
            yield self._connected(session, snapshot)
            yield Heard(snapshot, self.now())
            while True:
                try:
                    body = await session.next(talk, RENEW_S)
                except NoMasterError:
                    yield self._alive(session)
                    continue
                if isinstance(body, Batch | Event | Snapshot):
                    yield Heard(body, self.now())

    def _connected(self, session: _Session, snapshot: Snapshot) -> Connected:
        instance = snapshot.status.instance
        same = (instance == self._instance) if self._instance and instance else None
        self._instance = instance
        self._delay_s = FIRST_DELAY_S
        self._session = session
        self._up.set()
        return Connected(instance, same)

    def _alive(self, session: _Session) -> Alive:
        silent_s = time.monotonic() - session.client.heard_at
        if silent_s > SILENT_S:
            raise LinkLostError(f"the master has been silent for {silent_s:.0f} s")
        return Alive(self.now() - silent_s)

    def _next_delay(self) -> float:
        # Many consoles must not come back to a master that was restarted all at once.
        delay_s = self._delay_s * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        self._delay_s = min(LONGEST_DELAY_S, self._delay_s * 2)
        self._retry_at = asyncio.get_running_loop().time() + delay_s
        return delay_s

    # --- asking ---

    async def command(
        self, body: Body, *, what: str, told: Callable[[Fate], None] | None = None
    ) -> Fate:
        """Send a command that changes something, and see it through; see Source.command."""
        course = _Course(sent(uuid.uuid4().hex, what, self.now()), self.now, told)
        session = self._session
        if session is None:
            return course.turn(Turn.NOT_SENT, "no master is connected")
        async with AsyncExitStack() as stack:
            # Waiting for a connection would be queueing it for the next master.
            stream = session.client.stream(body, identity=course.fate.identity, patience_s=0)
            try:
                talk = await stack.enter_async_context(stream)
            except PiwheelsError as error:
                return course.turn(Turn.NOT_SENT, str(error))
            try:
                return await _see_through(session, talk, body, course)
            except LinkLostError as error:
                return course.turn(Turn.UNKNOWN, f"{error} while it was under way")
            except PiwheelsError as error:
                return course.turn(Turn.REFUSED, str(error))

    async def ask(self, body: Body, wanted: type[_Wanted]) -> _Wanted:
        """Send a question and return its one answer; see Source.ask."""
        session = self._session
        if session is None:
            raise LinkLostError("no master is connected")
        async with session.client.stream(body) as talk:
            answer = await session.next(talk, ANSWER_S)
        if not isinstance(answer, wanted):
            raise RefusedError(f"the master answered with {type(answer).__name__}; odd")
        return answer

    async def follow_log(
        self, build: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogPiece]:
        """The pieces of a log; a lost link is waited for, and the log goes on where it was."""
        while True:
            await self._up.wait()
            request = FollowLog(build=build, offset=offset, follow=follow)
            begun = False
            try:
                async with aclosing(self._pieces(request)) as pieces:
                    async for piece in pieces:
                        if piece.offset > offset:
                            break  # what was in between got lost on a link that was too slow
                        begun = True
                        yield piece
                        offset = max(offset, piece.offset + len(piece.data))
                        if piece.finished:
                            return
            except RefusedError:
                # A stream that had begun is ended by the master when nobody renewed it: this
                # process was stopped for a while.
                if not begun:
                    raise
            except (LinkLostError, NoMasterError):
                pass
            await asyncio.sleep(FIRST_DELAY_S)

    async def _pieces(self, request: FollowLog) -> AsyncGenerator[LogPiece]:
        session = self._session
        if session is None:
            raise LinkLostError("no master is connected")
        async with session.client.stream(request) as talk:
            while True:
                piece = await session.next(talk, None)
                if isinstance(piece, LogPiece):
                    yield piece


class _Course:
    """A command under way: its fate, and who is told of each turn."""

    def __init__(
        self, fate: Fate, now: Callable[[], float], told: Callable[[Fate], None] | None
    ) -> None:
        self.fate = fate
        self._now = now
        self._told = told
        self._tell()

    def turn(self, turn: Turn, text: str = "") -> Fate:
        """Take a turn, and tell."""
        self.fate = self.fate.turned(turn, self._now(), text)
        self._tell()
        return self.fate

    def _tell(self) -> None:
        if self._told:
            self._told(self.fate)


async def _see_through(session: _Session, talk: Conversation, body: Body, course: _Course) -> Fate:
    # A rolling drain goes on for as long as the builds in hand.
    rolling = isinstance(body, OrderBuilders) and bool(body.rolling)
    patience_s = None if rolling else ANSWER_S
    while True:
        try:
            answer = await session.next(talk, patience_s)
        except NoMasterError:
            course.turn(Turn.TIMED_OUT, f"no answer within {ANSWER_S:.0f} s; it may still come")
            patience_s = None
            continue
        match answer:
            case Accepted():
                course.turn(Turn.ACCEPTED)
            case Applied(text=text):
                return course.turn(Turn.APPLIED, text)
            case other:
                return course.turn(Turn.APPLIED, f"answered with {type(other).__name__}")
