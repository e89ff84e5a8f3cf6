"""The endpoint answers Prometheus, and no client holds it."""

import asyncio
import contextlib
import ipaddress
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from piwheels.config import Config
from piwheels.errors import ConfigError
from piwheels.prometheus.endpoint import CONTENT_TYPE, MAX_CONNECTIONS, MetricsEndpoint
from tests.ports import free_port
from tests.timeouts import WAIT_S


class _Source:
    """Metrics that count how often they are read."""

    def __init__(self) -> None:
        self.reads = 0
        self.broken = False

    async def collect(self) -> Iterable[Metric]:
        self.reads += 1
        if self.broken:
            raise RuntimeError("a fault of one metric")
        return [GaugeMetricFamily("piwheels_reads", "Reads.", value=self.reads)]


@pytest.fixture
def source() -> _Source:
    return _Source()


@contextlib.asynccontextmanager
async def serving(source: _Source, address: str) -> AsyncIterator[None]:
    task = asyncio.create_task(
        MetricsEndpoint("master.metrics_bind", address, source.collect).run()
    )
    try:
        async with asyncio.timeout(WAIT_S):
            while not await _is_open(address):
                assert not task.done(), task.result()
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _is_open(address: str) -> bool:
    try:
        _, writer = await _connect(address)
    except OSError:
        await asyncio.sleep(0.01)
        return False
    writer.close()
    return True


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


@pytest.fixture
async def address(source: _Source) -> AsyncIterator[str]:
    where = f"127.0.0.1:{free_port()}"
    async with serving(source, where):
        yield where


async def get(address: str, path: str = "/metrics", method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as client:
        return await client.request(method, f"http://{address}{path}")


async def test_it_answers_with_the_metrics_of_the_daemon_and_of_its_process(address: str) -> None:
    response = await get(address)
    assert response.status_code == 200
    assert response.headers["content-type"] == CONTENT_TYPE
    assert "piwheels_reads 1.0" in response.text
    assert "process_resident_memory_bytes" in response.text


def test_it_is_on_loopback_unless_a_setting_says_otherwise() -> None:
    config = Config()
    for section in (config.master, config.builder, config.accesslog):
        assert ipaddress.ip_address(section.metrics_bind.rpartition(":")[0]).is_loopback


async def test_requests_within_a_second_are_one_reading(address: str, source: _Source) -> None:
    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(get(address) for _ in range(MAX_CONNECTIONS // 2)))
    elapsed = asyncio.get_running_loop().time() - started
    assert source.reads <= 1 + elapsed


async def test_other_paths_and_methods_are_refused(address: str, source: _Source) -> None:
    assert (await get(address, "/")).status_code == 404
    assert (await get(address, "/metricsx")).status_code == 404
    assert (await get(address, method="POST")).status_code == 405
    head = await get(address, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert (await get(address, "/metrics?name[]=x")).status_code == 200
    assert source.reads >= 1


async def test_clients_that_say_nothing_or_half_do_not_hold_it(address: str) -> None:
    stalled = []
    for number in range(100):
        stalled.append(await _connect(address))
        if number % 2:
            stalled[-1][1].write(b"GET /metrics HTTP/1.1\r\nX: ")
    assert (await get(address)).status_code == 200
    for reader, writer in stalled[: -2 * MAX_CONNECTIONS]:
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(WAIT_S):
                assert await reader.read() == b""
        writer.close()
    for _, writer in stalled:
        writer.close()


async def test_the_oldest_of_too_many_connections_is_closed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.prometheus.endpoint.REQUEST_TIMEOUT_S", 10 * WAIT_S)
    first, *others = [await _connect(address) for _ in range(MAX_CONNECTIONS + 1)]
    async with asyncio.timeout(WAIT_S):
        assert await first[0].read() == b""
        others[0][1].write(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert b"200 OK" in await others[0][0].readline()
    for _, writer in (first, *others):
        writer.close()


async def test_an_endless_head_is_cut(address: str) -> None:
    _, writer = await _connect(address)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(WAIT_S):
            while True:
                writer.write(b"X" * 65536)
                await writer.drain()
    writer.close()
    assert (await get(address)).status_code == 200


@pytest.mark.parametrize("sent", [b"\x00" * 40 + b"\r\n\r\n", b"\r\n\r\n", b"GET\r\n\r\n"])
async def test_what_is_not_http_gets_one_answer(address: str, sent: bytes) -> None:
    reader, writer = await _connect(address)
    writer.write(sent)
    async with asyncio.timeout(WAIT_S):
        assert (await reader.read()).startswith(b"HTTP/1.1 404")
    writer.close()


async def test_a_metric_that_fails_is_an_error_of_the_request(
    address: str, source: _Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.broken = True
    assert (await get(address)).status_code == 500
    assert "metrics could not be read" in caplog.text
    source.broken = False
    assert (await get(address)).status_code == 200


async def test_an_address_in_use_ends_nothing(
    address: str, source: _Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    second = asyncio.create_task(MetricsEndpoint("a.metrics_bind", address, source.collect).run())
    async with asyncio.timeout(WAIT_S):
        while "no metrics on" not in caplog.text:
            await asyncio.wait({second}, timeout=0.01)
    assert not second.done()
    second.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await second


@pytest.mark.parametrize("address", ["9461", "host", ":1", "h:0", "h:99999", "h:1/x", "tcp://*:1"])
def test_an_address_that_is_none_is_a_setting_to_correct(address: str, source: _Source) -> None:
    with pytest.raises(ConfigError, match=r"b\.metrics_bind is .*HOST:PORT"):
        MetricsEndpoint("b.metrics_bind", address, source.collect)


def test_daemons_import_it_only_where_it_is_on() -> None:
    daemons = "piwheels.master.daemon, piwheels.builder.daemon, piwheels.accesslog.service"
    code = f"import sys, {daemons}; assert 'prometheus_client' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
