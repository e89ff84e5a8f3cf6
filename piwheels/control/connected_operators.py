"""Who is connected to the control socket with a console, and what each operator did last.

A console is connected for as long as its subscription lasts. What is kept is bounded, whatever
clients call themselves.
"""

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from piwheels.control.authorization import Caller
from piwheels.protocol.messages import OperatorSession

#: Of those that are connected, the first ones are told: many that come later displace none.
MAX_TOLD = 100
#: The operators whose last command is kept, connected or not.
MAX_REMEMBERED = 200
_LOCAL = "this machine"


class _LastCommand(NamedTuple):
    text: str
    at: datetime


class ConnectedOperators:
    """The consoles that are connected now."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._sessions: dict[int, OperatorSession] = {}
        self._last: OrderedDict[str, _LastCommand] = OrderedDict()

    @contextmanager
    def connected(self, caller: Caller, address: str) -> Iterator[int]:
        """A console is connected while the block runs; gives the number of its session."""
        number = next(self._numbers)
        self._sessions[number] = OperatorSession(
            session=number,
            name=caller.name,
            origin=address or _LOCAL,
            since=datetime.now(UTC),
            role=caller.role,
        )
        try:
            yield number
        finally:
            del self._sessions[number]

    def record(self, name: str, command: str) -> None:
        """An operator sent a command, from a console or not."""
        self._last[name] = _LastCommand(command, datetime.now(UTC))
        self._last.move_to_end(name)
        while len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)

    @property
    def sessions(self) -> tuple[OperatorSession, ...]:
        """Those that are connected, the first to connect first."""
        told = itertools.islice(self._sessions.values(), MAX_TOLD)
        return tuple(self._with_last_command(session) for session in told)

    def _with_last_command(self, session: OperatorSession) -> OperatorSession:
        last = self._last.get(session.name)
        if last is None:
            return session
        return replace(session, last_command=last.text, last_command_at=last.at)
