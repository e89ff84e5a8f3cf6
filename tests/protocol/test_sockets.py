"""The sockets, with real ZeroMQ and real CURVE."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from piwheels.errors import ConfigError
from piwheels.protocol import messages as m
from piwheels.protocol import sockets
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.sockets import (
    CurveGate,
    NotConnectedError,
    Peer,
    Router,
    SendResult,
    generate_key_pair,
)
from tests.timeouts import WAIT_S, LongTimeoutDealer

BuilderRouter = Router[m.FromBuilder, m.ToBuilder]
BuilderDealer = LongTimeoutDealer[m.ToBuilder, m.FromBuilder]


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.generate("master")
    return store


@pytest.fixture
def checked_keys() -> list[str]:
    """The keys that the gate checked."""
    return []


@pytest.fixture
async def router(store: KeyStore, checked_keys: list[str]) -> AsyncIterator[BuilderRouter]:
    def admits(role: str, key: str) -> bool:
        checked_keys.append(key)
        return store.name_of(Role(role), key) is not None

    async with CurveGate(admits) as gate:
        gate.protect(Role.BUILDER)
        router: BuilderRouter = Router(m.FromBuilder, lambda reason, _: m.Rejected(reason=reason))
        yield router
        router.close()


def dealer(store: KeyStore, address: str, name: str) -> BuilderDealer:
    return LongTimeoutDealer(
        m.ToBuilder,
        address,
        key=store.load_or_generate(name),
        server_key=store.require("master").public,
    )


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "place",
    [
        "tcp://127.0.0.1:*",
        pytest.param(
            "tcp://[::1]:*", marks=pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 here")
        ),
    ],
)
async def test_an_authorized_builder_is_identified_by_its_key(
    store: KeyStore, router: BuilderRouter, place: str
) -> None:
    address = router.bind(place, key=store.require("master"), domain=Role.BUILDER)
    store.authorize(Role.BUILDER, "pi1", store.load_or_generate("one").public)
    peer = dealer(store, address, "one")
    await peer.send(m.Goodbye(reason="x"), b"raw")
    envelope = await router.receive()
    assert envelope.message == m.Goodbye(reason="x")
    assert envelope.frames == (b"raw",)
    assert store.name_of(Role.BUILDER, envelope.peer.key) == "pi1"
    await router.send(envelope.peer, m.Ack())
    assert await peer.receive(WAIT_S) == m.Ack()
    peer.close()


async def test_a_tcp_client_cannot_pass_as_a_client_of_the_unix_socket(
    store: KeyStore, router: BuilderRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = iter(["", "known"])
    monkeypatch.setattr(sockets, "_key_of", lambda _: next(keys))
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    store.authorize(Role.BUILDER, "pi1", store.load_or_generate("one").public)
    peer = dealer(store, address, "one")
    await peer.send(m.Goodbye(reason="without a key"))
    await peer.send(m.Goodbye(reason="with one"))
    assert (await router.receive()).message == m.Goodbye(reason="with one")
    peer.close()


async def test_an_unauthorized_key_gets_no_connection(
    store: KeyStore, router: BuilderRouter, checked_keys: list[str]
) -> None:
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    peer = dealer(store, address, "unknown")
    async with asyncio.timeout(WAIT_S):
        while not checked_keys:  # noqa: ASYNC110 - nothing notifies of it
            await asyncio.sleep(0.01)
    with pytest.raises(NotConnectedError):
        await peer.send(m.Goodbye(), timeout_s=0.5)
    assert set(checked_keys) == {store.require("unknown").public}
    peer.close()


async def test_an_unexpected_server_gets_no_message(store: KeyStore, router: BuilderRouter) -> None:
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    store.authorize(Role.BUILDER, "pi1", store.load_or_generate("one").public)
    peer: BuilderDealer = LongTimeoutDealer(
        m.ToBuilder, address, key=store.require("one"), server_key=generate_key_pair().public
    )
    with pytest.raises(NotConnectedError):
        await peer.send(m.Goodbye(), timeout_s=0.5)
    peer.close()


_NESTED = b"\x82\xa4type\xa3Bye\xa1x" + b"\x91" * 100_000 + b"\xc0"
_NO_UTF_8 = b"\x82\xa4type\xa3Bye\xa6reason\xa2\xff\xff"


@pytest.mark.parametrize(
    "junk",
    [b"junk", b"", b"\x81\xa4type\xa6Nobody", b"\xff" * 1000, _NESTED, _NO_UTF_8],
    ids=["junk", "nothing", "nobody", "ff", "nested", "no UTF-8"],
)
async def test_a_malformed_message_is_rejected_and_the_next_one_read(
    store: KeyStore, router: BuilderRouter, tmp_path: Path, junk: bytes
) -> None:
    address = f"ipc://{tmp_path}/s"
    router.bind(address)
    context = zmq.asyncio.Context.instance()
    socket = context.socket(zmq.DEALER)
    socket.connect(address)
    await socket.send(junk)
    good: BuilderDealer = LongTimeoutDealer(m.ToBuilder, address)
    await good.send(m.Goodbye(reason="fine"))
    async with asyncio.timeout(WAIT_S):
        assert (await router.receive()).message == m.Goodbye(reason="fine")
        assert b"malformed" in await socket.recv()
    good.close()
    socket.close(linger=0)


async def test_an_unreadable_key_list_authorizes_nobody(store: KeyStore) -> None:
    answers = iter([ConfigError("keys/builder: Permission denied"), None])

    def admits(_domain: str, _key: str) -> bool:
        if error := next(answers, None):
            raise error
        return True

    async with CurveGate(admits) as gate:
        gate.protect(Role.BUILDER)
        router: BuilderRouter = Router(m.FromBuilder, lambda reason, _: m.Rejected(reason=reason))
        address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
        early = dealer(store, address, "one")
        with pytest.raises(NotConnectedError):
            await early.send(m.Goodbye(), timeout_s=0.3)
        early.close()
        late = dealer(store, address, "one")
        await late.send(m.Goodbye(reason="later"))
        async with asyncio.timeout(WAIT_S):
            assert (await router.receive()).message == m.Goodbye(reason="later")
        late.close()
        router.close()


async def test_a_peer_that_does_not_read_and_its_disconnection_are_noticed(tmp_path: Path) -> None:
    router: BuilderRouter = Router(
        m.FromBuilder, lambda reason, _: m.Rejected(reason=reason), hwm=2
    )
    address = router.bind(f"ipc://{tmp_path}/s")
    context = zmq.asyncio.Context()
    deaf = context.socket(zmq.DEALER)
    deaf.rcvhwm = 1
    deaf.connect(address)
    await deaf.send(msgspec.msgpack.encode(m.Goodbye()))
    peer = (await router.receive()).peer
    await wait_for_result(SendResult.FULL, router, peer)
    read = asyncio.create_task(drain(deaf))
    await wait_for_result(SendResult.SENT, router, peer)
    read.cancel()
    with suppress(asyncio.CancelledError):
        await read
    # As in a service: ZeroMQ ends a connection when its end is read from the queue of messages.
    listening = asyncio.create_task(router.receive())
    context.destroy(linger=0)  # returns when the connection is closed
    await wait_for_result(SendResult.GONE, router, peer)
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
    router.close()


async def wait_for_result(wanted: SendResult, router: BuilderRouter, peer: Peer) -> None:
    """Send to a peer until that ends so."""
    async with asyncio.timeout(WAIT_S):
        while await router.send(peer, m.NoJobAvailable(reason="x" * 100_000)) is not wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def drain(socket: zmq.asyncio.Socket) -> None:
    """Read all that comes."""
    while True:
        await socket.recv()


async def test_a_message_without_a_connected_peer_is_not_queued(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/s"
    peer: BuilderDealer = LongTimeoutDealer(m.ToBuilder, address)
    with pytest.raises(NotConnectedError, match="no answer from"):
        await peer.send(m.Goodbye(reason="early"), timeout_s=0.2)
    router: BuilderRouter = Router(m.FromBuilder, lambda reason, _: m.Rejected(reason=reason))
    router.bind(address)
    await peer.send(m.Goodbye(reason="late"))
    async with asyncio.timeout(WAIT_S):
        assert (await router.receive()).message == m.Goodbye(reason="late")
    peer.close()
    router.close()


async def test_a_unix_socket_is_accessible_to_its_owner_and_group(
    router: BuilderRouter, tmp_path: Path
) -> None:
    router.bind(f"ipc://{tmp_path}/s")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660


async def test_tcp_without_keys_is_rejected(router: BuilderRouter) -> None:
    with pytest.raises(ConfigError, match="only ipc"):
        router.bind("tcp://127.0.0.1:*")


async def test_a_used_port_is_named(store: KeyStore, router: BuilderRouter) -> None:
    key = store.require("master")
    address = router.bind("tcp://127.0.0.1:*", key=key, domain=Role.BUILDER)
    second: BuilderRouter = Router(m.FromBuilder, lambda reason, _: m.Rejected(reason=reason))
    with pytest.raises(ConfigError, match=f"cannot listen at {address}: Address already in use"):
        second.bind(address, key=key, domain=Role.BUILDER)
    second.close()


async def test_a_socket_path_that_is_too_long_is_named(
    router: BuilderRouter, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="too long for a Unix socket"):
        router.bind(f"ipc://{tmp_path}/{'x' * 120}/s")


async def test_a_closed_gate_can_be_replaced_immediately() -> None:
    for _ in range(100):
        async with CurveGate(lambda _role, _key: False):
            pass
