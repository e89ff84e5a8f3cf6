"""Limits on connections to the small web server: their number, and how long they may stall.

A client that sends nothing or half a request, or does not read its response, is disconnected, so
that it cannot block others (slowloris). When there are too many connections, the longest idle one
is closed to serve the new one.
"""

import asyncio
from collections import Counter
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

#: From the connection, or the previous response, to the end of a request's headers.
REQUEST_TIMEOUT_S = 15.0
#: A client must read part of its response within this time.
STALL_TIMEOUT_S = 60.0
#: Far below the usual limit of 1024 open files; each response needs one more.
MAX_CONNECTIONS = 400
MAX_CONNECTIONS_PER_ADDRESS = 100


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with these limits."""

    _connections_by_address: ClassVar[Counter[str]] = Counter()
    _idle_connections: ClassVar[
        dict["BoundedProtocol", None]
    ] = {}  # awaiting a request, longest first
    _timer: asyncio.TimerHandle | None = None
    address = ""
    _write_resumed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection; close an idle one if there are too many."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else "-"
        self._connections_by_address[self.address] += 1
        self._await_request()
        if self._connections_by_address[self.address] > MAX_CONNECTIONS_PER_ADDRESS:
            self._close_longest_idle(self.address)
        elif len(self.connections) > MAX_CONNECTIONS:
            self._close_longest_idle(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting a connection."""
        self._cancel_timer()
        self._idle_connections.pop(self, None)
        self._connections_by_address[self.address] -= 1
        if not self._connections_by_address[self.address]:
            del self._connections_by_address[self.address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive part of a request; once it is complete, the stall timeout applies."""
        super().data_received(data)
        if self._is_responding() and not self.transport.is_closing():
            self._idle_connections.pop(self, None)
            self._start_timer(STALL_TIMEOUT_S)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._await_request()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Record that the client has read part of its response."""
        self._write_resumed = True
        super().resume_writing()

    def _is_responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_request(self) -> None:
        self._idle_connections.pop(self, None)
        self._idle_connections[self] = None
        self._start_timer(REQUEST_TIMEOUT_S)

    def _close_longest_idle(self, address: str | None) -> None:
        """Close the longest idle connection, of one address or of all."""
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
