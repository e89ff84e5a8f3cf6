"""Connections to the small web server: bounded in number and in what they may wait for.

A client that sends nothing, half a request, or reads nothing of its answer is disconnected, so
that it cannot keep others from being served (slowloris).
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
    _timer: asyncio.TimerHandle | None = None
    _counted = ""
    _resumed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or close it at once where there are too many."""
        super().connection_made(transport)
        self._counted = self.client[0] if self.client else "-"
        self._of_address[self._counted] += 1
        if len(self.connections) > MOST or self._of_address[self._counted] > MOST_OF_ONE_ADDRESS:
            transport.abort()
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._cancel()
        self._of_address[self._counted] -= 1
        if not self._of_address[self._counted]:
            del self._of_address[self._counted]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; when it is whole, its answer's time begins."""
        super().data_received(data)
        if self._answering() and not self.transport.is_closing():
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
        self._arm(REQUEST_S)

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
