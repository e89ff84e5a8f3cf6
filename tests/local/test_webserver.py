"""The web server for trying out: it serves its tree and nothing else, and no client stops it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from piwheels.local import connection_limits
from piwheels.local.connection_limits import BoundedProtocol
from piwheels.local.request_log import AccessLog
from piwheels.local.webserver import application_for
from tests.full_disk import file_size_limit
from tests.timeouts import WAIT_S


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A web root with one page, and a file outside it."""
    root = tmp_path / "www"
    root.mkdir()
    (root / "index.html").write_text("the page")
    (tmp_path / "secret.txt").write_text("a secret")
    return root


async def get(root: Path, target: str) -> httpx.Response:
    """Request a target, not normalized."""
    transport = httpx.ASGITransport(application_for(root))
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.get(f"http://farm.test{target}")


async def test_the_web_root_is_served(tree: Path) -> None:
    assert (await get(tree, "/")).text == "the page"


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "//{folder}/secret.txt",
        "//{folder}/www/index.html",
        "//{folder}",
        "/logs//{folder}/secret.txt",
        "/%2f{folder}/secret.txt",
        "/%00",
        f"/{'x' * 300}",
        f"/simple/{'x' * 300}/",
        f"/logs/{'x' * 300}.txt",
    ],
)
async def test_files_outside_the_web_root_are_not_served(tree: Path, target: str) -> None:
    response = await get(tree, target.format(folder=str(tree.parent).removeprefix("/")))
    assert response.status_code == 404
    assert "secret" not in response.text


async def test_an_unwritable_log_does_not_affect_responses(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "access.log"
    application = AccessLog(application_for(tree), log)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport) as client:
        with file_size_limit(0):
            for _ in range(2):
                assert (await client.get("http://farm.test/")).text == "the page"
        assert caplog.messages == [f"{log}: File too large; requests are not logged"]
        log.rename(tmp_path / "access.log.1")
        await client.get("http://farm.test/")
    assert len(log.read_text().splitlines()) == 1, "as soon as it can"


@pytest.mark.parametrize("target", ["/", "/nothing"])
async def test_responses_have_a_strict_policy(tree: Path, target: str) -> None:
    headers = (await get(tree, target)).headers
    policy = dict(
        rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        **dict.fromkeys(("default-src", "base-uri", "frame-ancestors"), "'none'"),
        **dict.fromkeys(
            ("script-src", "style-src", "img-src", "connect-src", "form-action"), "'self'"
        ),
    }
    assert headers["X-Content-Type-Options"] == "nosniff"


@contextlib.asynccontextmanager
async def serving(root: Path) -> AsyncIterator[int]:
    """The server on a port."""
    config = uvicorn.Config(
        application_for(root), http=BoundedProtocol, port=0, log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(SystemExit):
        running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = server.force_exit = True
    await running


@pytest.mark.parametrize(
    "message",
    ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"],
)
async def test_a_client_with_an_incomplete_request_is_disconnected(
    tree: Path, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "REQUEST_TIMEOUT_S", 0.3)
    async with serving(tree) as port, asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(message.encode())
        with contextlib.suppress(ConnectionError):
            answer = await reader.read()
            assert b"the page" in answer or "\r\n\r\n" not in message
        writer.close()


async def test_a_client_that_does_not_read_its_response_is_disconnected(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "STALL_TIMEOUT_S", 0.3)
    (tree / "large.whl").write_bytes(bytes(64 * 1024 * 1024))
    async with serving(tree) as port, asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /large.whl HTTP/1.1\r\nHost: x\r\n\r\n")
        while not BoundedProtocol._connections_by_address:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        while BoundedProtocol._connections_by_address:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not reader.at_eof(), "nobody has read the answer"
        writer.close()


@pytest.mark.parametrize("limit", ["MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_ADDRESS"])
async def test_beyond_the_limit_idle_connections_are_closed_and_new_ones_served(
    tree: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(connection_limits, limit, 5)
    (tree / "large.whl").write_bytes(bytes(64 * 1024 * 1024))
    async with serving(tree) as port, asyncio.timeout(WAIT_S):
        answered = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        answered[1].write(b"GET /large.whl HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await answered[0].readline() == b"HTTP/1.1 200 OK\r\n"
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        held[0][1].write(b"GET / HTTP/1.1\r\n")
        for number in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(ConnectionError):
                assert await held[number][0].read() == b"", "it was idle for longest"
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert b"the page" in await reader.read()
            writer.close()
            held.append(await asyncio.open_connection("127.0.0.1", port))
        assert not answered[0].at_eof(), "it waits for no request"
        for _, writer in [*held, answered]:
            writer.close()
