"""Random messages on each of the master's sockets: it continues, in bounded memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from piwheels.model import HostMetrics
from piwheels.protocol import messages as m
from piwheels.protocol.keys import MASTER, Role
from tests.control.conftest import TARGET, Master
from tests.control.test_hostile import assert_responsive
from tests.protocol.random_messages import MessageGenerator
from tests.timeouts import WAIT_S

_MESSAGES = 1500
_MAX_BYTES = 200 << 20
_SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]


@asynccontextmanager
async def raw_socket(
    master: Master, address: str, label: str = ""
) -> AsyncIterator[zmq.asyncio.Socket]:
    """A socket that sends bytes, not messages; with a label, under that builder's key."""
    socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    if label:
        pair = master.keys.load_or_generate(f"key-of-{label}")
        master.keys.authorize(Role.BUILDER, label, pair.public)
        socket.curve_publickey = bytes.fromhex(pair.public)
        socket.curve_secretkey = bytes.fromhex(pair.secret)
        socket.curve_serverkey = bytes.fromhex(master.keys.require(MASTER).public)
    socket.connect(address)
    try:
        yield socket
    finally:
        socket.close(linger=0)


def resident_bytes(master: Master) -> int:
    assert master.process is not None
    status = Path(f"/proc/{master.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def drain(socket: zmq.asyncio.Socket) -> None:
    while True:
        await socket.recv_multipart()


async def flood(socket: zmq.asyncio.Socket, frames: Callable[[], list[bytes]]) -> None:
    """Send many messages, and read what is answered meanwhile."""
    reading = asyncio.create_task(drain(socket))
    async with asyncio.timeout(WAIT_S):
        for _ in range(_MESSAGES):
            await socket.send_multipart(frames())
    reading.cancel()


async def reply_number(socket: zmq.asyncio.Socket) -> int:
    """The number of the request that the next message replies to; 0 if it is none."""
    message = msgspec.msgpack.decode((await socket.recv_multipart())[0])
    return message.get("number", 0) if isinstance(message, dict) else 0


async def send_goodbye(master: Master, socket: zmq.asyncio.Socket, hello: m.Hello) -> None:
    """Wait until all sent messages are handled, and send Goodbye."""
    last = msgspec.structs.replace(hello, os="the last one")
    await socket.send(msgspec.msgpack.encode(last))
    async with asyncio.timeout(WAIT_S):
        while "the last one" not in await builder_systems(master):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
        await socket.send(msgspec.msgpack.encode(m.Goodbye()))
        while await builder_systems(master):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


async def builder_systems(master: Master) -> list[str]:
    status = await master.ask(m.Status(), m.StatusReply)
    return [view.os for view in status.builders]


@pytest.mark.parametrize("seed", _SEEDS)
async def test_random_messages_of_a_builder_do_not_end_the_master(
    shared: Master, seed: int
) -> None:
    maker = MessageGenerator(seed)
    hello = m.Hello(
        protocol=m.PROTOCOL, version="1", targets=(TARGET,), platform="linux aarch64",
        board="Pi", os="bookworm", host=HostMetrics(),
    )  # fmt: skip
    before = resident_bytes(shared)
    await shared.release("demo")
    async with raw_socket(shared, str(shared.settings["master.builder_bind"]), "odd") as socket:
        await socket.send(msgspec.msgpack.encode(hello))
        await socket.recv()
        await socket.send(msgspec.msgpack.encode(m.IdleHeartbeat(last_build=0, host=HostMetrics())))
        await flood(socket, lambda: [maker.encoded(m.FromBuilder), *maker.frames()])
        await send_goodbye(shared, socket, hello)
    await shared.db.execute("DELETE FROM projects")
    await assert_responsive(shared)
    assert resident_bytes(shared) - before < _MAX_BYTES


@pytest.mark.parametrize("seed", _SEEDS)
async def test_random_messages_of_an_uploader_do_not_end_the_master(
    shared: Master, seed: int
) -> None:
    maker = MessageGenerator(seed)
    before = resident_bytes(shared)
    async with raw_socket(shared, str(shared.settings["master.upload_bind"]), "odd") as socket:
        await flood(socket, lambda: [maker.encoded(m.FromUploader), maker.random_bytes()])
    await assert_responsive(shared)
    assert resident_bytes(shared) - before < _MAX_BYTES


@pytest.mark.parametrize("seed", _SEEDS)
async def test_random_messages_of_a_console_do_not_end_the_master(
    shared: Master, seed: int
) -> None:
    maker = MessageGenerator(seed)
    before = resident_bytes(shared)

    def command() -> list[bytes]:
        data = maker.encoded(m.Request)
        return [data if b"StopMaster" not in data else b""]

    async with raw_socket(shared, shared.control) as socket:
        await flood(socket, command)
        # After all others of this socket: one of them may pause the farm.
        last = m.Request(request_id=2**40, user="ann@desk", body=m.Resume())
        await socket.send(msgspec.msgpack.encode(last))
        async with asyncio.timeout(WAIT_S):
            while await reply_number(socket) != last.request_id:
                pass
    await shared.ask(m.Resume(), m.CommandSucceeded)
    await assert_responsive(shared)
    assert resident_bytes(shared) - before < _MAX_BYTES
