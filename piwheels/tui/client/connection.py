"""The connection to a master: subscribes to its events, reconnects, and sends commands.

The connection is lost when the socket closes, when the master is silent (even to a renewal) for
SILENCE_LIMIT_S, or when it ends the subscription. Reconnecting is tried with growing delay.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Self, TypeVar

from piwheels.backoff import Backoff
from piwheels.errors import PiwheelsError, RejectedError, UsageError
from piwheels.protocol.client import (
    REPLY_TIMEOUT_S,
    ControlClient,
    MasterUnreachableError,
    ReplyStream,
    current_user,
    end_tasks,
    unexpected_reply,
)
from piwheels.protocol.messages import (
    Accepted,
    CommandBuilders,
    CommandSucceeded,
    Event,
    EventBatch,
    FollowLog,
    LogChunk,
    ReplyBody,
    RequestBody,
    Snapshot,
    Subscribe,
)
from piwheels.protocol.sockets import KeyPair
from piwheels.tui.client.coalesce import coalesce
from piwheels.tui.client.ssh_tunnel import TunnelError, route_to
from piwheels.tui.model.command_status import CommandState, CommandStatus, new_command
from piwheels.tui.model.source_events import (
    Connected,
    Disconnected,
    Heartbeat,
    MessageReceived,
    SourceEvent,
)

_NOT_CONNECTED = "no master is connected"
RENEWAL_INTERVAL_S = 2.0
#: On a link that loses a fifth of the packets, answers are often ten seconds late.
SILENCE_LIMIT_S = 15.0
#: A master that has just started may need long to count its files.
SNAPSHOT_TIMEOUT_S = 20.0
MIN_RETRY_DELAY_S = 0.25
MAX_RETRY_DELAY_S = 10.0

_Reply = TypeVar("_Reply")


class ConnectionLostError(PiwheelsError):
    """No master is connected, or the connection was lost meanwhile."""


class _Session:
    """One connection to a master, from its opening to its end."""

    def __init__(self, client: ControlClient) -> None:
        self.client = client
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._close_watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        self._close_watcher = asyncio.create_task(self._watch_for_close())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(str(error) if isinstance(error, PiwheelsError) else "the connection was closed")
        try:
            if self._close_watcher:
                await end_tasks(self._close_watcher)
        finally:
            await self.client.__aexit__(kind, error, trace)

    def end(self, reason: str) -> None:
        """Tell everything that waits for a reply that none will come."""
        if not self.closed.done():
            self.closed.set_result(reason)

    async def _watch_for_close(self) -> None:
        self.end(await self.client.disconnected())

    async def next(self, stream: ReplyStream, timeout_s: float | None) -> ReplyBody:
        """The next reply.

        Raises:
            ConnectionLostError: the connection was lost before.
            MasterUnreachableError: none came in time.
            RejectedError: the master rejected the request, and why.
        """
        reply = asyncio.create_task(stream.next(timeout_s))
        try:
            waited: set[asyncio.Future[Any]] = {reply, self.closed}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if reply.done():
                return reply.result()
            raise ConnectionLostError(self.closed.result())
        finally:
            await end_tasks(reply)


class MasterConnection:
    """A connection to the master at an address; one run of `events()` at a time maintains it."""

    def __init__(
        self,
        address: str,
        *,
        key: KeyPair | None = None,
        server_key: str = "",
        read_only: bool = False,
        operator_name: str = "",
    ) -> None:
        """address: several, separated by commas, are a master and its standbys.

        key, server_key: for tcp:// addresses; a server key for each, or one for all.
        operator_name: login and host.

        Raises:
            UsageError: an address is not valid, or one of TCP without keys.
        """
        addresses = address.split(",")
        for one in addresses:
            if one.startswith("tcp://") and (key is None or not server_key):
                raise UsageError(f"{one}: TCP requires the operator's key and the master's")
        self.address = addresses[0]
        self._routes = deque(route_to(one) for one in addresses)
        self._addresses = deque(addresses)
        server_keys = server_key.split(",")
        self._server_keys = deque(
            server_keys if len(server_keys) == len(addresses) else server_keys[:1] * len(addresses)
        )
        self.read_only = read_only
        self._key = key
        self._operator_name = operator_name or current_user()
        self._session: _Session | None = None  # set when its Snapshot has arrived
        self._connected_event = asyncio.Event()
        self._instance = ""
        # Many consoles must not reconnect to a restarted master all at the same time.
        self._backoff = Backoff(MIN_RETRY_DELAY_S, MAX_RETRY_DELAY_S, jitter=(0.8, 1.2))
        self._retry_at = 0.0  # by the event loop's clock

    def now(self) -> float:
        """The time of this machine, in UNIX seconds."""
        return time.time()

    # --- events ---

    async def events(self) -> AsyncGenerator[SourceEvent]:
        """All events, without end."""
        try:
            while True:
                async with aclosing(self._run_connection()) as events:
                    async for event in events:
                        yield event
                # The consumer may have been slow to take the Disconnected.
                await asyncio.sleep(self._retry_at - asyncio.get_running_loop().time())
        finally:
            for route in self._routes:
                await route.close()

    def _try_next(self) -> None:
        """Take the next master for the next connection."""
        for ring in (self._routes, self._addresses, self._server_keys):
            ring.rotate(-1)
        self.address = self._addresses[0]

    async def _run_connection(self) -> AsyncGenerator[SourceEvent]:
        """The events of one connection; the last says why it ended."""
        reason = local_socket = ""
        try:
            local_socket = await self._routes[0].open()
            async with (
                _Session(self._make_client(local_socket)) as session,
                aclosing(self._watch(session)) as events,
            ):
                async for event in events:
                    yield event
        except TunnelError as error:
            reason = str(error)
        except PiwheelsError as error:
            reason = self._routes[0].describe_failure(
                str(error).replace(local_socket or "\0", self.address)
            )
        finally:
            self._session = None
            self._connected_event.clear()
            self._try_next()
        yield Disconnected(reason, self.now() + self._next_delay())

    def _make_client(self, address: str) -> ControlClient:
        return ControlClient(
            address,
            key=self._key,
            server_key=self._server_keys[0],
            user=self._operator_name,
            read_only=self.read_only,
            keepalive_interval_s=RENEWAL_INTERVAL_S,
        )

    async def _watch(self, session: _Session) -> AsyncGenerator[SourceEvent]:
        async with AsyncExitStack() as stack:
            try:
                talk = await stack.enter_async_context(
                    session.client.stream(Subscribe(), coalesce=coalesce)
                )
            except MasterUnreachableError:
                if session.closed.done():  # a master answered and rejected us
                    raise ConnectionLostError(session.closed.result()) from None
                raise
            snapshot = await session.next(talk, SNAPSHOT_TIMEOUT_S)
            if not isinstance(snapshot, Snapshot):
                raise unexpected_reply(snapshot)
            yield self._on_connected(session, snapshot)
            yield MessageReceived(snapshot, self.now())
            while True:
                try:
                    body = await session.next(talk, RENEWAL_INTERVAL_S)
                except MasterUnreachableError:
                    yield self._check_heartbeat(session)
                    continue
                if isinstance(body, EventBatch | Event | Snapshot):
                    yield MessageReceived(body, self.now())

    def _on_connected(self, session: _Session, snapshot: Snapshot) -> Connected:
        instance = snapshot.status.instance
        same = (instance == self._instance) if self._instance and instance else None
        self._instance = instance
        self._backoff.reset()
        self._session = session
        self._connected_event.set()
        return Connected(instance, same)

    def _check_heartbeat(self, session: _Session) -> Heartbeat:
        silent_s = time.monotonic() - session.client.last_reply_at
        if silent_s > SILENCE_LIMIT_S:
            raise ConnectionLostError(f"the master has been silent for {silent_s:.0f} s")
        return Heartbeat(self.now() - silent_s)

    def _next_delay(self) -> float:
        delay_s = self._backoff.next_s()
        self._retry_at = asyncio.get_running_loop().time() + delay_s
        return delay_s

    # --- requests ---

    async def command(
        self,
        body: RequestBody,
        *,
        description: str,
        on_update: Callable[[CommandStatus], None] | None = None,
    ) -> CommandStatus:
        """Send a command and report its states; see EventSource.command."""
        course = CommandTracker(
            new_command(uuid.uuid4().hex, description, self.now()), self.now, on_update
        )
        session = self._session
        if session is None:
            return course.advance(CommandState.NOT_SENT, _NOT_CONNECTED)
        async with AsyncExitStack() as stack:
            # A timeout above 0 would queue it for the next master.
            stream = session.client.stream(
                body, idempotency_key=course.status.command_id, connect_timeout_s=0
            )
            try:
                talk = await stack.enter_async_context(stream)
            except PiwheelsError as error:
                return course.advance(CommandState.NOT_SENT, str(error))
            try:
                return await _await_replies(session, talk, body, course)
            except ConnectionLostError as error:
                return course.advance(CommandState.UNKNOWN, f"{error} before the result arrived")
            except PiwheelsError as error:
                return course.advance(CommandState.REJECTED, str(error))

    async def request(self, body: RequestBody, reply_type: type[_Reply]) -> _Reply:
        """Send a query and return its one reply; see EventSource.request."""
        session = self._session
        if session is None:
            raise ConnectionLostError(_NOT_CONNECTED)
        async with session.client.stream(body) as talk:
            answer = await session.next(talk, REPLY_TIMEOUT_S)
        if not isinstance(answer, reply_type):
            raise unexpected_reply(answer)
        return answer

    async def follow_log(
        self, build_number: int, *, offset: int = 0, follow: bool = True
    ) -> AsyncGenerator[LogChunk]:
        """The chunks of a log; after a reconnect, it continues where it was."""
        while True:
            await self._connected_event.wait()
            request = FollowLog(build=build_number, offset=offset, follow=follow)
            begun = False
            try:
                async with aclosing(self._stream_log(request)) as pieces:
                    async for piece in pieces:
                        if 0 <= offset < piece.offset:
                            break  # chunks were dropped because the client was too slow
                        begun = True
                        yield piece
                        offset = max(offset, piece.offset + len(piece.data))
                        if piece.finished:
                            return
            except RejectedError:
                # The master ends a stream that is not renewed, as after this process was stopped
                # for a while.
                if not begun:
                    raise
            except (ConnectionLostError, MasterUnreachableError):
                pass
            await asyncio.sleep(MIN_RETRY_DELAY_S)

    async def _stream_log(self, request: FollowLog) -> AsyncGenerator[LogChunk]:
        session = self._session
        if session is None:
            raise ConnectionLostError(_NOT_CONNECTED)
        async with session.client.stream(request) as talk:
            while True:
                piece = await session.next(talk, None)
                if isinstance(piece, LogChunk):
                    yield piece


class CommandTracker:
    """A pending command: its status, and the callback for each change."""

    def __init__(
        self,
        status: CommandStatus,
        now: Callable[[], float],
        on_update: Callable[[CommandStatus], None] | None,
    ) -> None:
        self.status = status
        self._now = now
        self._on_update = on_update
        self._notify()

    def advance(self, turn: CommandState, text: str = "") -> CommandStatus:
        """Set the next state, and report it."""
        self.status = self.status.advance(turn, self._now(), text)
        self._notify()
        return self.status

    def _notify(self) -> None:
        if self._on_update:
            self._on_update(self.status)


async def _await_replies(
    session: _Session, stream: ReplyStream, body: RequestBody, tracker: CommandTracker
) -> CommandStatus:
    # A rolling restart takes as long as the running builds.
    rolling = isinstance(body, CommandBuilders) and bool(body.max_parallel)
    patience_s = None if rolling else REPLY_TIMEOUT_S
    while True:
        try:
            answer = await session.next(stream, patience_s)
        except MasterUnreachableError:
            tracker.advance(
                CommandState.TIMED_OUT,
                f"no reply within {REPLY_TIMEOUT_S:.0f} s; it may still come",
            )
            patience_s = None
            continue
        match answer:
            case Accepted():
                tracker.advance(CommandState.ACCEPTED)
            case CommandSucceeded(text=text):
                return tracker.advance(CommandState.APPLIED, text)
            case other:
                return tracker.advance(
                    CommandState.APPLIED, f"answered with {type(other).__name__}"
                )
