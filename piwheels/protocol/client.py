"""The asking end of the control socket: commands out, answers and events in.

A command is never queued for a master that is away: it fails at once, with one line.
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
from types import TracebackType
from typing import Any, Self, TypeVar

from piwheels.errors import NotNowError, PiwheelsError, RefusedError
from piwheels.protocol.channels import Dealer, KeyPair, NotConnectedError
from piwheels.protocol.messages import (
    Accepted,
    Body,
    Command,
    Problem,
    Renew,
    Renewed,
    Reply,
    ReplyBody,
)

_Wanted = TypeVar("_Wanted")

CONNECT_S = 3.0
ANSWER_S = 60.0
#: So many messages wait unread; what is more waits at the master, which knows what to do then.
_HIGH_WATER = 32
#: The master ends a stream that was not renewed for several times this.
RENEW_S = 15.0


#: Makes one answer of an earlier and a later one; None when both have to be taken in.
Melt = Callable[[ReplyBody, ReplyBody], ReplyBody | None]


def _apart(_before: ReplyBody, _after: ReplyBody) -> None:
    return None


class NoMasterError(PiwheelsError):
    """Nobody answers on the control socket."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"no master answers at {address}; is `piw master` or `piw up` running, "
            "and is this the right piwheels.toml (--config)?"
        )


def operator() -> str:
    """Who is asking: login and host."""
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


class UnknownOutcomeError(NoMasterError):
    """An accepted command was not finished in time."""

    def __init__(self, message: str) -> None:
        PiwheelsError.__init__(self, message)


class NotAllowedError(PiwheelsError):
    """The control socket is there, and is not for this account."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is not for {getpass.getuser()}: its owner and group may write to it; "
            f"join the group {_group(path)}, or use sudo"
        )


def _group(path: Path) -> str:
    for place in (path, path.parent):  # a socket in a closed folder shows nothing
        with suppress(KeyError, OSError):
            return place.group()
    return "of the master"


def socket_is_there(address: str) -> bool:
    """Whether the socket of an `ipc://` address exists; of other addresses, True.

    Raises:
        NotAllowedError: it is not for this account, or lies in a folder that is not.
    """
    if not address.startswith("ipc://"):
        return True
    path = Path(address.removeprefix("ipc://"))
    try:
        there = path.exists()
    except PermissionError:
        raise NotAllowedError(path) from None
    if there and not os.access(path, os.W_OK):
        raise NotAllowedError(path)
    return there


class Conversation:
    """A command and the answers that keep coming to it."""

    def __init__(self, client: "ControlClient", number: int, melt: Melt) -> None:
        self._client = client
        self._number = number
        self._melt = melt
        self._answers: deque[ReplyBody] = deque()
        self._there = asyncio.Event()

    def heard(self, body: ReplyBody) -> None:
        """Take in an answer; one that nobody took yet may melt with it."""
        together = self._melt(self._answers[-1], body) if self._answers else None
        if together is None:
            self._answers.append(body)
        else:
            self._answers[-1] = together
        self._there.set()

    async def next(self, timeout_s: float | None = ANSWER_S) -> ReplyBody:
        """The next answer; None waits for ever.

        Raises:
            NoMasterError: none came within the time.
            RefusedError: the master would not, and its reason.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._answers:
                    self._there.clear()
                    await self._there.wait()
        except TimeoutError:
            raise NoMasterError(self._client.address) from None
        answer = self._answers.popleft()
        if isinstance(answer, Problem):
            raise (NotNowError if answer.passing else RefusedError)(answer.reason)
        return answer

    async def tell(self, body: Body) -> None:
        """Send a further part of the command.

        Raises:
            NoMasterError: nobody is there.
        """
        await self._client.send(self._number, body)


class ControlClient:
    """A connection to a master's control socket."""

    def __init__(
        self,
        address: str,
        *,
        key: KeyPair | None = None,
        server_key: str = "",
        who: str = "",
        read_only: bool = False,
        renew_s: float = RENEW_S,
    ) -> None:
        """read_only: the master is to refuse what changes something; renew_s: a stream's pulse."""
        self.address = address
        self.heard_at = time.monotonic()  # when the master last said anything
        self._read_only = read_only
        self._renew_s = renew_s
        self._who = who or operator()
        self._numbers = itertools.count(1)
        self._talks: dict[int, Conversation] = {}
        self._dealer: Dealer[Reply, Command] = Dealer(
            Reply,
            address,
            key=key,
            server_key=server_key,
            high_water=_HIGH_WATER,
            monitored=True,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._renew())]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await end_tasks(*self._tasks)
        finally:
            self._dealer.close()

    async def ask(
        self, body: Body, wanted: type[_Wanted], *, timeout_s: float = ANSWER_S
    ) -> _Wanted:
        """Send a command and return its one answer.

        Raises:
            NoMasterError: nobody answers.
            UnknownOutcomeError: the command was accepted, and is not finished.
            NotAllowedError: the socket is not for this account.
            RefusedError: the master would not, and its reason.
        """
        async with self.stream(body) as talk:
            answer = await talk.next(timeout_s)
            if isinstance(answer, Accepted):
                answer = await self._outcome(talk, timeout_s)
        if not isinstance(answer, wanted):
            raise RefusedError(f"the master answered with {type(answer).__name__}; odd")
        return answer

    async def _outcome(self, talk: Conversation, timeout_s: float) -> ReplyBody:
        """The result of a command that the master has accepted."""
        try:
            return await talk.next(timeout_s)
        except NoMasterError:
            raise UnknownOutcomeError(
                f"the master accepted the command and has not finished it after {timeout_s:.0f} s; "
                "`piw status` shows what its database waits for, `piw events` its result"
            ) from None

    @asynccontextmanager
    async def stream(
        self,
        body: Body,
        *,
        identity: str = "",
        patience_s: float = CONNECT_S,
        melt: Melt = _apart,
    ) -> AsyncIterator[Conversation]:
        """Send a command whose answers keep coming.

        identity: names a command that changes something; patience_s: so long a connection is
        waited for, 0 for one that has to be there; melt: makes one answer of two that wait.

        Raises:
            NoMasterError: nobody is there.
        """
        number = next(self._numbers)
        talk = Conversation(self, number, melt)
        self._talks[number] = talk
        try:
            await self.send(number, body, identity=identity, patience_s=patience_s)
            yield talk
        finally:
            self._talks.pop(number, None)

    async def send(
        self, number: int, body: Body, *, identity: str = "", patience_s: float = CONNECT_S
    ) -> None:
        """Send a command under a number.

        Raises:
            NoMasterError: nobody is there.
        """
        command = Command(
            number=number,
            operator=self._who,
            identity=identity,
            read_only=self._read_only,
            body=body,
        )
        self._check_socket()
        try:
            await self._dealer.send(command, timeout_s=patience_s)
        except NotConnectedError:
            raise NoMasterError(self.address) from None

    async def disconnected(self) -> str:
        """Wait until the connection to the master ends, and say how."""
        return await self._dealer.disconnected()

    def _check_socket(self) -> None:
        """Say at once what waiting for the socket would not change."""
        if not socket_is_there(self.address):
            raise NoMasterError(self.address)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renew_s)
            for number in list(self._talks):
                with suppress(NoMasterError, NotAllowedError):
                    await self.send(number, Renew())

    async def _read(self) -> None:
        while True:
            reply = await self._dealer.receive()
            self.heard_at = time.monotonic()
            if isinstance(reply.body, Renewed):
                continue
            talk = self._talks.get(reply.number)
            if talk is not None:
                talk.heard(reply.body)
