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
REQUEST_S = 15.0
#: A client has to take some of its answer within this time.
STALLED_S = 60.0
#: Far below the usual limit of 1024 open files, of which an answer needs another one.
MOST = 400
MOST_OF_ONE_ADDRESS = 100


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, within these limits."""

    _of_address: ClassVar[Counter[str]] = Counter()
    _idle: ClassVar[dict["BoundedProtocol", None]] = {}  # without a whole request, longest first
    _timer: asyncio.TimerHandle | None = None
    address = ""
    _resumed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, in the place of an idle one where there are too many."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else "-"
        self._of_address[self.address] += 1
        self._await_request()
        if self._of_address[self.address] > MOST_OF_ONE_ADDRESS:
            self._close_idle(self.address)
        elif len(self.connections) > MOST:
            self._close_idle(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._cancel()
        self._idle.pop(self, None)
        self._of_address[self.address] -= 1
        if not self._of_address[self.address]:
            del self._of_address[self.address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; when it is whole, its answer's time begins."""
        super().data_received(data)
        if self._answering() and not self.transport.is_closing():
            self._idle.pop(self, None)
            self._arm(STALLED_S)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._await_request()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Note that the client has taken a part of its answer."""
        self._resumed = True
        super().resume_writing()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_request(self) -> None:
        self._idle.pop(self, None)
        self._idle[self] = None
        self._arm(REQUEST_S)

    def _close_idle(self, of: str | None) -> None:
        """Close the connection that has been idle for longest, of one address or of all."""
        longest = next(item for item in self._idle if of in {None, item.address})
        del self._idle[longest]
        longest.transport.abort()

    def _arm(self, seconds: float) -> None:
        self._cancel()
        self._resumed = False
        self._timer = self.loop.call_later(seconds, self._expire)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        if self._answering() and (self._resumed or not self.flow.write_paused):
            self._arm(STALLED_S)
        else:
            self.transport.abort()
