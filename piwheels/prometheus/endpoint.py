"""The HTTP endpoint `/metrics` of a daemon.

It answers one request a connection, from an answer that is at most a second old, and gives each
client little time and memory: whoever can connect costs the daemon about an answer a second.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from prometheus_client import ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from piwheels.errors import ConfigError

log = logging.getLogger(__name__)

#: The text format; later versions of it need nothing that these metrics have.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: From the connection to the last byte of the answer.
REQUEST_TIMEOUT_S = 5.0
#: More connections at once end the oldest.
MAX_CONNECTIONS = 8
MAX_HEAD_BYTES = 8192
_ANSWER_AGE_S = 1.0
_RETRY_INTERVAL_S = 30.0

#: The metrics of a daemon, read now.
Collect = Callable[[], Awaitable[Iterable[Metric]]]


class _Metrics(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def metrics_text(metrics: Iterable[Metric]) -> bytes:
    """Metrics in the text format."""
    return generate_latest(_Metrics(metrics))


class MetricsEndpoint:
    """Serves what `collect` returns and the figures of this process.

    Raises:
        ConfigError: the address is not HOST:PORT.
    """

    def __init__(self, setting: str, address: str, collect: Collect) -> None:
        self._setting, self._address = setting, address
        self._host, self._port = _host_and_port(setting, address)
        self._collect = collect
        self._process = ProcessCollector(registry=None)
        self._connections: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._answer = b""
        self._answered_at = float("-inf")
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Serve until canceled; an address that cannot be used is tried again, and ends nothing."""
        reported = False
        while True:
            try:
                server = await asyncio.start_server(
                    self._accept, self._host, self._port, limit=MAX_HEAD_BYTES
                )
            except (OSError, UnicodeError) as error:
                if not reported:
                    log.warning("%s: no metrics on %s: %s", self._setting, self._address, error)
                reported = True
                await asyncio.sleep(_RETRY_INTERVAL_S)
                continue
            log.info("metrics: http://%s/metrics", self._address)
            try:
                await asyncio.get_running_loop().create_future()  # until canceled
            finally:
                server.close()
                for task in list(self._connections):
                    task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            oldest = next(iter(self._connections))
            del self._connections[oldest]  # so that the next one to come ends another
            oldest.cancel()
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections[task] = None
        task.add_done_callback(lambda done: self._connections.pop(done, None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                writer.write(await self._respond(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client's fault, and its loss
        finally:
            writer.transport.abort()

    async def _respond(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _response(HTTPStatus.NOT_FOUND, b"see /metrics\n")
        if method not in {b"GET", b"HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"use GET\n")
        try:
            body = await self._fresh_answer()
        except Exception:  # an error of one metric ends no daemon
            log.exception("metrics could not be read")
            return _response(HTTPStatus.INTERNAL_SERVER_ERROR, b"see the log\n")
        return _response(HTTPStatus.OK, body, with_body=method == b"GET")

    async def _fresh_answer(self) -> bytes:
        async with self._lock:
            if time.monotonic() - self._answered_at > _ANSWER_AGE_S:
                self._answer = metrics_text([*await self._collect(), *self._process.collect()])
                self._answered_at = time.monotonic()
        return self._answer


def _response(status: HTTPStatus, body: bytes, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")


def _host_and_port(setting: str, address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.path or parts.query or parts.fragment or parts.username:
        raise ConfigError(
            f"{setting} is {address!r}: write HOST:PORT, such as 127.0.0.1:9461, or leave it empty"
        )
    return host, port
