"""Connections to the small web server: bounded in number and in what they may wait for.

A client that sends nothing, half a request, or reads nothing of its answer is disconnected, so
that it cannot keep others from being served (slowloris). Where there are too many connections,
those that have been without a request for longest are closed first: new ones are served.
"""

import asyncio
from collections import Counter
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

#: From the connection, or from the answer before, to the end of a request's headers.
REQUEST_TIMEOUT_S = 15.0
#: A client has to take some of its answer within this time.
STALL_TIMEOUT_S = 60.0
#: Far below the usual limit of 1024 open files, of which an answer needs another one.
MAX_CONNECTIONS = 400
MAX_CONNECTIONS_PER_ADDRESS = 100


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, within these limits."""

    _connections_by_address: ClassVar[Counter[str]] = Counter()
    _idle_connections: ClassVar[
        dict["BoundedProtocol", None]
    ] = {}  # without a whole request, longest first
    _timer: asyncio.TimerHandle | None = None
    address = ""
    _write_resumed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, in the place of an idle one where there are too many."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else "-"
        self._connections_by_address[self.address] += 1
        self._await_request()
        if self._connections_by_address[self.address] > MAX_CONNECTIONS_PER_ADDRESS:
            self._close_longest_idle(self.address)
        elif len(self.connections) > MAX_CONNECTIONS:
            self._close_longest_idle(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._cancel_timer()
        self._idle_connections.pop(self, None)
        self._connections_by_address[self.address] -= 1
        if not self._connections_by_address[self.address]:
            del self._connections_by_address[self.address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; when it is whole, its answer's time begins."""
        super().data_received(data)
        if self._is_responding() and not self.transport.is_closing():
            self._idle_connections.pop(self, None)
            self._start_timer(STALL_TIMEOUT_S)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._await_request()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Note that the client has taken a part of its answer."""
        self._write_resumed = True
        super().resume_writing()

    def _is_responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_request(self) -> None:
        self._idle_connections.pop(self, None)
        self._idle_connections[self] = None
        self._start_timer(REQUEST_TIMEOUT_S)

    def _close_longest_idle(self, address: str | None) -> None:
        """Close the connection that has been idle for longest, of one address or of all."""
        longest = next(item for item in self._idle_connections if address in {None, item.address})
        del self._idle_connections[longest]
        longest.transport.abort()

    def _start_timer(self, seconds: float) -> None:
        self._cancel_timer()
        self._write_resumed = False
        self._timer = self.loop.call_later(seconds, self._on_timeout)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        if self._is_responding() and (self._write_resumed or not self.flow.write_paused):
            self._start_timer(STALL_TIMEOUT_S)
        else:
            self.transport.abort()
