"""What the peers of a socket can make its process keep, with real ZeroMQ and real CURVE."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from piwheels.protocol import connection_limits
from piwheels.protocol import messages as m
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.rate_limit import RateLimitedLog
from piwheels.protocol.sockets import CurveGate, Router
from tests.timeouts import WAIT_S, LongTimeoutDealer

MIB = 1 << 20
#: A peer of ZeroMQ's own that sends one message of many frames, which share their memory.
_SENDER = """
import sys, zmq
address, server, public, secret, count, size = sys.argv[1:]
socket = zmq.Context().socket(zmq.DEALER)
socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = map(
    bytes.fromhex, (server, public, secret)
)
socket.connect(address)
frame = bytes(int(size))
for number in range(int(count)):
    socket.send(frame, zmq.SNDMORE, copy=False)
socket.send(b"")
print("sent", flush=True)
sys.stdin.read()
"""

BuilderRouter = Router[m.FromBuilder, m.ToBuilder]


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.generate("master")
    store.authorize(Role.BUILDER, "pi1", store.load_or_generate("one").public)
    return store


@pytest.fixture
async def router(store: KeyStore) -> AsyncIterator[BuilderRouter]:
    async with CurveGate(lambda role, key: store.name_of(Role(role), key) is not None) as gate:
        gate.protect(Role.BUILDER)
        router: BuilderRouter = Router(m.FromBuilder, lambda reason, _: m.Rejected(reason=reason))
        yield router
        router.close()


def sender(store: KeyStore, address: str, count: int, size: int) -> "subprocess.Popen[bytes]":
    pair, server = store.require("one"), store.require("master").public
    return subprocess.Popen(
        [sys.executable, "-c", _SENDER, address, server, pair.public, pair.secret,
         str(count), str(size)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def honest(
    store: KeyStore, address: str, *, monitored: bool = False
) -> LongTimeoutDealer[m.ToBuilder, m.FromBuilder]:
    return LongTimeoutDealer(
        m.ToBuilder,
        address,
        key=store.require("one"),
        server_key=store.require("master").public,
        monitored=monitored,
    )


async def test_a_message_with_endless_frames_uses_bounded_memory(
    store: KeyStore, router: BuilderRouter, caplog: pytest.LogCaptureFixture
) -> None:
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    hearing = asyncio.create_task(router.receive())
    before, most = resident_bytes(), 0
    flood = sender(store, address, 1200, MIB)
    async with asyncio.timeout(WAIT_S):
        while "are unread" not in caplog.text:
            most = max(most, resident_bytes() - before)
            assert most < 600 * MIB
            await asyncio.sleep(0.01)
    flood.kill()
    flood.communicate()
    peer = honest(store, address)
    await peer.send(m.Goodbye(reason="fine"))
    async with asyncio.timeout(WAIT_S):
        assert (await hearing).message == m.Goodbye(reason="fine")
    peer.close()
    assert most < 600 * MIB


async def test_a_message_of_many_small_frames_is_rejected_and_the_next_one_read(
    store: KeyStore, router: BuilderRouter, caplog: pytest.LogCaptureFixture
) -> None:
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    hearing = asyncio.create_task(router.receive())
    flood = sender(store, address, 50_000, 1)
    peer = honest(store, address)
    async with asyncio.timeout(WAIT_S):
        while "more than 2 frames" not in caplog.text:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    await peer.send(m.Goodbye(reason="fine"))
    async with asyncio.timeout(WAIT_S):
        assert (await hearing).message == m.Goodbye(reason="fine")
    flood.kill()
    flood.communicate()
    peer.close()


async def test_a_frame_that_is_too_large_is_not_read(
    store: KeyStore, router: BuilderRouter
) -> None:
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    hearing = asyncio.create_task(router.receive())
    large, peer = honest(store, address, monitored=True), honest(store, address)
    await large.send(m.Goodbye(), bytes(5 * MIB))
    async with asyncio.timeout(WAIT_S):
        assert await large.disconnected() == "the connection ended"
        await peer.send(m.Goodbye(reason="fine"))
        assert (await hearing).message == m.Goodbye(reason="fine")
    large.close()
    peer.close()


async def test_all_connections_together_have_a_limit(
    store: KeyStore,
    router: BuilderRouter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = connection_limits.ConnectionLimits(
        max_unread_bytes=64 * MIB,
        max_total_unread_bytes=4 * MIB,
        max_connections=100,
        max_unauthenticated=100,
    )
    monkeypatch.setattr("piwheels.protocol.sockets.limits_for", lambda _: small)
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    floods = [sender(store, address, 3, MIB) for _ in range(3)]
    async with asyncio.timeout(WAIT_S):
        while "unread bytes in all connections together" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for flood in floods:
        flood.kill()
        flood.communicate()


async def test_a_connection_that_does_not_complete_its_handshake_is_closed(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.protocol.sockets._HANDSHAKE_MS", 200)
    router: BuilderRouter = Router(m.FromBuilder, lambda reason, _: m.Rejected(reason=reason))
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    async with asyncio.timeout(WAIT_S):
        await reader.read()  # the greeting, and the end of the connection
    writer.close()
    router.close()


async def test_a_high_rate_that_is_read_in_time_closes_no_connection(
    store: KeyStore, router: BuilderRouter, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    small = connection_limits.ConnectionLimits(
        max_unread_bytes=4 * MIB, max_connections=100, max_unauthenticated=100
    )
    monkeypatch.setattr("piwheels.protocol.sockets.limits_for", lambda _: small)
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    peer = honest(store, address)
    piece = m.LogChunk(build=1, offset=0, data=bytes(m.CHUNK_BYTES))
    async with asyncio.timeout(WAIT_S):
        for _ in range(200):
            await peer.send(piece)
            assert (await router.receive()).message == piece
    assert "closed a connection" not in caplog.text
    peer.close()


def test_log_lines_caused_by_peers_are_limited_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    limited = RateLimitedLog(logging.getLogger("unauthenticated"), per_minute=3)
    for number in range(50):
        limited.warning("refused %d", number)
    assert caplog.messages == ["refused 0", "refused 1", "refused 2"]
    clock[0] += 60
    limited.warning("refused again")
    assert caplog.messages[3:] == [
        "47 more lines like the next were suppressed",
        "refused again",
    ]
