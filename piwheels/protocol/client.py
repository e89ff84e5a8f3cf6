"""The client of the control socket: sends requests, receives replies and events.

A request is never queued for a master that is not there: it fails at once, with one line.
"""

import asyncio
import getpass
import itertools
import os
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from piwheels.errors import NotNowError, PiwheelsError, RejectedError
from piwheels.protocol.messages import (
    Accepted,
    CommandFailed,
    FollowLog,
    KeepAlive,
    KeepAliveAck,
    Reply,
    ReplyBody,
    Request,
    RequestBody,
    Subscribe,
    Unsubscribe,
)
from piwheels.protocol.sockets import Dealer, KeyPair, NotConnectedError

_ReplyType = TypeVar("_ReplyType")

CONNECT_TIMEOUT_S = 3.0
#: How much longer a console waits for a master that it has reached over TCP: the handshake takes
#: four round trips, each of them seconds on a link that loses packets.
HANDSHAKE_TIMEOUT_S = 20.0
REPLY_TIMEOUT_S = 60.0
#: How many messages wait here unread; the others wait at the master, which limits them.
_HWM = 32
#: The master ends a stream without a KeepAlive for several times this.
KEEPALIVE_INTERVAL_S = 15.0
#: So long the end of a stream may take to be sent after its client was closed.
_GOODBYE_S = 0.2


#: Merges an earlier and a later reply into one; None when both are needed.
Coalesce = Callable[[ReplyBody, ReplyBody], ReplyBody | None]


def _never_coalesce(_before: ReplyBody, _after: ReplyBody) -> None:
    return None


class MasterUnreachableError(PiwheelsError):
    """No master answers on the control socket."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"no master answers at {address}; is `piw master` or `piw up` running, "
            "and is this the right piwheels.toml (--config)?"
        )


def current_user() -> str:
    """Who sends the requests: login and host."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = "unknown"
    return f"{login}@{socket.gethostname()}"


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they do.

    Awaiting them instead, with their CancelledError suppressed, would swallow a cancellation of
    the waiting task too.
    """
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # marks it as seen


class UnknownOutcomeError(MasterUnreachableError):
    """An accepted command was not finished in time."""

    def __init__(self, message: str) -> None:
        PiwheelsError.__init__(self, message)


class SlowLinkError(MasterUnreachableError):
    """A connection was made, and the handshake on it did not end in time."""

    def __init__(self, address: str) -> None:
        PiwheelsError.__init__(
            self,
            f"{address} was reached, but no handshake with a master ended within "
            f"{HANDSHAKE_TIMEOUT_S:.0f} s: the link is very slow, or something else listens there",
        )


class SocketPermissionError(PiwheelsError):
    """The control socket exists, and this account may not use it."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{getpass.getuser()} may not use {path}: only its owner and group may write to it; "
            f"join the group {_group(path)}, or use sudo"
        )


def _group(path: Path) -> str:
    for place in (path, path.parent):  # a socket in a closed folder shows nothing
        with suppress(KeyError, OSError):
            return place.group()
    return "of the master"


def check_socket(address: str) -> bool:
    """Whether the socket of an `ipc://` address exists; True for other addresses.

    Raises:
        SocketPermissionError: this account may not use it, or not its folder.
    """
    if not address.startswith("ipc://"):
        return True
    path = Path(address.removeprefix("ipc://"))
    try:
        there = path.exists()
    except PermissionError:
        raise SocketPermissionError(path) from None
    if there and not os.access(path, os.W_OK):
        raise SocketPermissionError(path)
    return there


def unexpected_reply(reply: object) -> RejectedError:
    """The error for a reply of another type than the request asks for."""
    name = type(reply).__name__
    return RejectedError(f"unexpected reply from the master: {name} (version mismatch?)")


class ReplyStream:
    """A request and the replies to it."""

    def __init__(self, client: "ControlClient", request_id: int, coalesce: Coalesce) -> None:
        self._client = client
        self._request_id = request_id
        self._coalesce = coalesce
        self._replies: deque[ReplyBody] = deque()
        self._has_reply = asyncio.Event()
        self.is_sent = False

    def on_reply(self, body: ReplyBody) -> None:
        """Add a reply; one that was not read yet may be merged with it."""
        together = self._coalesce(self._replies[-1], body) if self._replies else None
        if together is None:
            self._replies.append(body)
        else:
            self._replies[-1] = together
        self._has_reply.set()

    async def next(self, timeout_s: float | None = REPLY_TIMEOUT_S) -> ReplyBody:
        """The next reply; with None it waits forever.

        Raises:
            MasterUnreachableError: none came within the time.
            RejectedError: the master rejected the request; its reason.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._replies:
                    self._has_reply.clear()
                    await self._has_reply.wait()
        except TimeoutError:
            raise MasterUnreachableError(self._client.address) from None
        answer = self._replies.popleft()
        if isinstance(answer, CommandFailed):
            raise (NotNowError if answer.retryable else RejectedError)(answer.reason)
        return answer

    async def send_part(self, body: RequestBody) -> None:
        """Send a further part of the request.

        Raises:
            MasterUnreachableError: there is no master.
        """
        await self._client.send(self._request_id, body)


class ControlClient:
    """A connection to a master's control socket."""

    def __init__(
        self,
        address: str,
        *,
        key: KeyPair | None = None,
        server_key: str = "",
        user: str = "",
        read_only: bool = False,
        keepalive_interval_s: float = KEEPALIVE_INTERVAL_S,
    ) -> None:
        """read_only: the master has to reject what would change something."""
        self.address = address
        self.last_reply_at = time.monotonic()  # when the master last sent anything
        self._read_only = read_only
        self._keepalive_interval_s = keepalive_interval_s
        self._user = user or current_user()
        self._request_ids = itertools.count(1)
        self._streams: dict[int, ReplyStream] = {}
        self._dealer: Dealer[Reply, Request] = Dealer(
            Reply,
            address,
            key=key,
            server_key=server_key,
            hwm=_HWM,
            monitored=True,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._receive_replies()),
            asyncio.create_task(self._send_keepalives()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await end_tasks(*self._tasks)
        finally:
            self._dealer.close(linger_s=_GOODBYE_S)

    async def request(
        self, body: RequestBody, reply_type: type[_ReplyType], *, timeout_s: float = REPLY_TIMEOUT_S
    ) -> _ReplyType:
        """Send a request and return its one reply.

        Raises:
            MasterUnreachableError: no master answers.
            UnknownOutcomeError: the command was accepted, and is not finished.
            SocketPermissionError: this account may not use the socket.
            RejectedError: the master rejected the request; its reason.
        """
        async with self.stream(body) as talk:
            answer = await talk.next(timeout_s)
            if isinstance(answer, Accepted):
                answer = await self._outcome(talk, timeout_s)
        if not isinstance(answer, reply_type):
            raise unexpected_reply(answer)
        return answer

    async def _outcome(self, talk: ReplyStream, timeout_s: float) -> ReplyBody:
        """The result of a command that the master has accepted."""
        try:
            return await talk.next(timeout_s)
        except MasterUnreachableError:
            raise UnknownOutcomeError(
                f"the master accepted the command and has not finished it after {timeout_s:.0f} s; "
                "`piw status` shows what its database waits for, `piw events` its result"
            ) from None

    @asynccontextmanager
    async def stream(
        self,
        body: RequestBody,
        *,
        idempotency_key: str = "",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        coalesce: Coalesce = _never_coalesce,
    ) -> AsyncIterator[ReplyStream]:
        """Send a request that has several replies.

        Args:
            body: the request.
            idempotency_key: identifies a command: sent again with it, it is not executed again.
            connect_timeout_s: how long to wait for a connection; 0: it has to be there.
            coalesce: merges two replies that were not read yet.

        Raises:
            MasterUnreachableError: there is no master.
        """
        number = next(self._request_ids)
        talk = ReplyStream(self, number, coalesce)
        self._streams[number] = talk
        try:
            await self.send(
                number, body, idempotency_key=idempotency_key, connect_timeout_s=connect_timeout_s
            )
            talk.is_sent = True
            yield talk
        finally:
            self._streams.pop(number, None)
            if isinstance(body, Subscribe | FollowLog):
                with suppress(MasterUnreachableError, SocketPermissionError):
                    await self.send(number, Unsubscribe(), connect_timeout_s=0)

    async def send(
        self,
        request_id: int,
        body: RequestBody,
        *,
        idempotency_key: str = "",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        """Send a part of a request.

        Raises:
            MasterUnreachableError: there is no master.
        """
        command = Request(
            request_id=request_id,
            user=self._user,
            idempotency_key=idempotency_key,
            read_only=self._read_only,
            body=body,
        )
        self._check_socket()
        try:
            await self._dealer.send(command, timeout_s=connect_timeout_s)
        except NotConnectedError:
            if not connect_timeout_s or not self._dealer.is_reached:
                raise MasterUnreachableError(self.address) from None
            await self._send_after_handshake(command)

    async def _send_after_handshake(self, command: Request) -> None:
        try:
            await self._dealer.send(command, timeout_s=HANDSHAKE_TIMEOUT_S)
        except NotConnectedError:
            raise SlowLinkError(self.address) from None

    async def disconnected(self) -> str:
        """Wait until the connection to the master ends; returns how."""
        return await self._dealer.disconnected()

    def _check_socket(self) -> None:
        """Fail at once where waiting would not help."""
        if not check_socket(self.address):
            raise MasterUnreachableError(self.address)

    async def _send_keepalives(self) -> None:
        while True:
            await asyncio.sleep(self._keepalive_interval_s)
            # A master that gets one before its request takes it for a request to an earlier master.
            for number in [number for number, talk in self._streams.items() if talk.is_sent]:
                with suppress(MasterUnreachableError, SocketPermissionError):
                    await self.send(number, KeepAlive())

    async def _receive_replies(self) -> None:
        while True:
            reply = await self._dealer.receive()
            self.last_reply_at = time.monotonic()
            if isinstance(reply.body, KeepAliveAck):
                continue
            talk = self._streams.get(reply.request_id)
            if talk is not None:
                talk.on_reply(reply.body)
