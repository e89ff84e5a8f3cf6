"""Builders and consoles that send invalid messages: the master continues with the others."""

import asyncio
import functools
import math
import resource
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from piwheels.control.command_executor import ChunkQueue
from piwheels.errors import RejectedError
from piwheels.model import BuildRequest, HostMetrics, Outcome, Target
from piwheels.protocol import messages as m
from tests.control.conftest import TARGET, Master
from tests.timeouts import WAIT_S

NAN = math.nan


async def assert_responsive(master: Master) -> None:
    """See that the master works: a build is taken, and its end is recorded."""
    await master.release("sound")
    async with master.builder("sound") as builder:
        await builder.take_job()
        await builder.finish_build(Outcome.FAILED)
    assert "sound" in {row["project"] for row in await master.builds()}


@pytest.mark.parametrize(
    "facts",
    [
        {"duration_s": NAN},
        {"duration_s": 1e300},
        {"duration_s": -1.0},
        {"build_inputs": ("https://index.test/a\0b",)},
    ],
    ids=str,
)
async def test_an_invalid_build_result_is_a_malformed_message(
    shared: Master, facts: dict[str, object]
) -> None:
    await shared.release("demo")
    async with shared.builder() as builder:
        job = await builder.take_job()
        sane = m.BuildFinished(build=job.build_id, outcome=Outcome.FAILED, duration_s=1.0)
        await builder.dealer.send(msgspec.structs.replace(sane, **facts))
        assert "malformed" in (await builder.receive_type(m.Rejected)).reason
        await builder.finish_build()
    await assert_responsive(shared)


@pytest.mark.parametrize(
    "facts", [{"os": "x" * 201}, {"board": "x" * 10**6}, {"targets": (TARGET,) * 65}], ids=len
)
async def test_an_oversized_hello_is_a_malformed_message(
    shared: Master, facts: dict[str, object]
) -> None:
    sane = m.Hello(
        protocol=m.PROTOCOL, version="1", targets=(TARGET,), platform="linux aarch64",
        board="Pi", os="bookworm", host=HostMetrics(),
    )  # fmt: skip
    builder = shared.builder("wordy")
    await builder.dealer.send(msgspec.structs.replace(sane, **facts))
    assert "malformed" in (await builder.receive_type(m.Rejected)).reason
    builder.dealer.close()
    status = await shared.ask(m.Status(), m.StatusReply)
    assert "wordy" not in [view.label for view in status.builders]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"protocol": 99},
            f"speaks protocol {m.PROTOCOL}, not 99; install the same piwheels on both",
        ),
        ({}, "malformed message: Invalid value 'Dance'"),
    ],
    ids=str,
)
async def test_messages_of_unknown_types_are_answered_immediately(
    shared: Master, facts: dict[str, object], message: str
) -> None:
    known = msgspec.to_builtins(m.Request(request_id=77, body=m.Pause()))
    async with shared.client() as client, client.stream(m.Status()) as talk:
        await talk.next(WAIT_S)
        unknown = known | facts | {"number": talk._request_id, "body": {"type": "Dance"}}
        await client._dealer._socket.send(msgspec.msgpack.encode(unknown))
        with pytest.raises(RejectedError, match=message):
            await talk.next(WAIT_S)
    newer = msgspec.to_builtins(m.Goodbye()) | {"type": "Dance", **facts}
    async with shared.builder() as builder:
        await builder.dealer._socket.send(msgspec.msgpack.encode(newer))
        refused = await builder.receive_type(m.Rejected)
    assert message in refused.reason
    assert refused.permanent is bool(facts)


async def test_invalid_utf_8_ends_neither_the_master_nor_a_console(shared: Master) -> None:
    frame = msgspec.msgpack.encode(m.Request(request_id=99, body=m.Alias(name="XX")))
    async with shared.client() as client:
        await client._dealer._socket.send(frame.replace(b"XX", b"\xff\xfe"))
        assert await client.request(m.Status(), m.StatusReply)
    await assert_responsive(shared)


@pytest.mark.parametrize("host", [HostMetrics(load=NAN), HostMetrics(disk_free=-(2**63))], ids=str)
async def test_non_finite_numbers_are_not_forwarded(shared: Master, host: HostMetrics) -> None:
    async with shared.builder() as builder:
        await builder.send_idle(host)
        assert "malformed" in (await builder.receive_type(m.Rejected)).reason
        status = await shared.ask(m.Status(), m.StatusReply)
    assert all(math.isfinite(view.host.load) for view in status.builders)


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "a\0b"},
        {"python_full": "nonsense"},
        {"python_full": "3." + "1" * 5000},
        {"python_full": "3.99999999"},
        {"os": "../etc"},
        {"os": "a" * 100_000},
        {"name": "another"},
    ],
    ids=lambda facts: str(facts)[:60],
)
async def test_a_builder_with_an_impossible_target_is_rejected(
    shared: Master, facts: dict[str, str]
) -> None:
    target = msgspec.structs.replace(TARGET, **{"name": "cp311-odd-aarch64", **facts})
    builder = shared.builder("odd")
    hello = m.Hello(
        protocol=m.PROTOCOL,
        version="1",
        targets=(target,),
        platform="linux aarch64",
        board="Pi",
        os="bookworm",
        host=HostMetrics(),
    )
    await builder.dealer.send(hello)
    refused = await builder.receive_type(m.Rejected)
    assert refused.permanent or "malformed message" in refused.reason
    builder.dealer.close()
    await assert_responsive(shared)


@pytest.mark.parametrize(
    "filename",
    [
        f"demo-{'9' * 5000}-py3-none-any.whl",
        f"demo-1.0-{'1' * 5000}-py3-none-any.whl",
        f"demo-1.0-{'.'.join(['a'] * 330)}-{'.'.join(['b'] * 330)}-{'.'.join(['c'] * 330)}.whl",
        "demo-1.0-py3-none-any.whl\0",
    ],
    ids=["version", "build tag", "tags", "NUL"],
)
async def test_no_wheel_name_ends_or_blocks_the_master(shared: Master, filename: str) -> None:
    await shared.release("demo")
    offer = m.ArtifactInfo(filename=filename, size_bytes=1, sha256="0" * 64)
    async with shared.builder() as builder:
        job = await builder.take_job()
        built = m.BuildFinished(
            build=job.build_id, outcome=Outcome.BUILT, duration_s=1.0, files=(offer,)
        )
        await builder.dealer.send(built)
        await builder.receive_type(m.BuildAcknowledged)
    assert {row["outcome"] for row in await shared.builds()} == {Outcome.REFUSED}
    with pytest.raises(RejectedError):
        await shared.ask(
            m.ImportWheel(filename=filename, size_bytes=1, sha256=""), m.CommandSucceeded
        )
    await assert_responsive(shared)


@pytest.mark.parametrize(
    "requirement",
    [
        f"demo=={'9' * 5000}",
        f"demo; {'(' * 900}os_name=='x'{')' * 900}",
        "d" * 10_000,
        "demo!=" + ",!=".join(map(str, range(5000))),
    ],
    ids=["digits", "depth", "length", "clauses"],
)
async def test_no_requirement_ends_the_master(shared: Master, requirement: str) -> None:
    wanted = (BuildRequest(requirement=requirement),)
    reply = await shared.ask(m.Add(requests=wanted), m.AddReply)
    assert "is not a" in reply.added[0].problem or "characters" in reply.added[0].problem
    await assert_responsive(shared)


async def test_the_goodbye_reason_of_a_builder_is_one_line(shared: Master) -> None:
    async with shared.builder() as builder:
        await builder.dealer.send(m.Goodbye(reason="tired\0 of\x1b[2J it"))
        await shared.wait_for_query(
            "SELECT EXISTS (SELECT FROM events WHERE text LIKE '%tired? of%')"
        )
    await assert_responsive(shared)


async def test_a_negative_log_offset_is_rejected(shared: Master) -> None:
    request = m.FollowLog(build=1, offset=-(2**63))
    async with shared.client() as client, client.stream(request) as talk:
        with pytest.raises(RejectedError, match="offset"):
            await talk.next(WAIT_S)
    await assert_responsive(shared)


@pytest.mark.parametrize("command", [m.Subscribe(), m.Pause(), m.FollowLog(build=1)], ids=str)
async def test_unrequested_chunks_are_discarded(command: m.RequestBody) -> None:
    inbox = ChunkQueue(command)
    inbox.put(m.ImportChunk(offset=0, data=b"x"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await inbox.next()


async def test_the_number_of_queued_chunks_is_limited() -> None:
    inbox = ChunkQueue(m.ImportWheel(filename="demo-1.0-py3-none-any.whl", size_bytes=1, sha256=""))
    for number in range(10_000):
        inbox.put(m.ImportChunk(offset=number, data=b""))
    kept = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while await inbox.next():
                kept += 1
    assert 0 < kept < 200


def _targets(first: int, count: int) -> tuple[Target, ...]:
    """Targets that an interpreter can be, of Pythons that are not there yet."""
    return tuple(
        msgspec.structs.replace(
            TARGET,
            name=f"cp3{minor}-bookworm-aarch64",
            python=f"3.{minor}",
            python_full=f"3.{minor}.0",
            abi=f"cp3{minor}",
        )
        for minor in range(first, first + count)
    )


@pytest.mark.slow
async def test_builders_can_add_a_limited_number_of_targets(master: Master) -> None:
    """Each Hello names as many as it may, and the next one names others."""
    hello = m.Hello(
        protocol=m.PROTOCOL, version="1", targets=_targets(100, 60), platform="linux aarch64",
        board="Pi", os="bookworm", host=HostMetrics(),
    )  # fmt: skip
    builder = master.builder("greedy")
    await builder.dealer.send(hello)
    await builder.receive_type(m.Welcome)
    await builder.dealer.send(msgspec.structs.replace(hello, targets=_targets(200, 60)))
    assert "a builder adds at most 64" in (await builder.receive_type(m.Rejected)).reason
    builder.dealer.close()
    assert await master.db.value("SELECT count(*) FROM targets") == 65
    await assert_responsive(master)


@pytest.mark.slow
async def test_reconnecting_builders_do_not_fill_the_event_list(
    master: Master,
) -> None:
    builder = master.builder("restless")
    async with asyncio.timeout(WAIT_S):
        for _ in range(200):
            await builder.say_hello()
            await builder.say_goodbye()
    builder.dealer.close(linger_s=1.0)
    await assert_responsive(master)
    count = "SELECT count(*) FROM events WHERE text LIKE 'builder restless %'"
    assert 200 < await master.db.value(count) <= 300


# --- connections without a key ---


def _limit_open_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))


def _connections(address: str, count: int) -> list[socket.socket]:
    """Connections that send nothing; the kernel may not accept the last of them yet."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    made = [socket.socket() for _ in range(count)]
    for connection in made:
        connection.setblocking(False)
        connection.connect_ex((host, int(port)))
    return made


@pytest.mark.slow
async def test_clients_without_a_key_cannot_exhaust_open_files(
    idle_master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = functools.partial(subprocess.Popen, preexec_fn=_limit_open_files)
    monkeypatch.setattr("tests.control.conftest.subprocess.Popen", start)
    await idle_master.start()
    held: list[socket.socket] = []
    try:
        for _ in range(3):
            held += _connections(str(idle_master.settings["master.builder_bind"]), 400)
            held += _connections(str(idle_master.settings["master.upload_bind"]), 400)
            await asyncio.sleep(0.3)
            assert await idle_master.ask(m.Status(), m.StatusReply)
        await assert_responsive(idle_master)
    finally:
        for connection in held:
            connection.close()
    assert idle_master.process is not None
    assert idle_master.process.poll() is None
    assert "too many connections without a completed handshake" in idle_master.log


@pytest.mark.slow
async def test_the_master_raises_its_limit_of_open_files_to_the_maximum(
    idle_master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usual() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))

    start = functools.partial(subprocess.Popen, preexec_fn=usual)
    monkeypatch.setattr("tests.control.conftest.subprocess.Popen", start)
    await idle_master.start()
    assert idle_master.process is not None
    limits = Path(f"/proc/{idle_master.process.pid}/limits").read_text().splitlines()
    line = next(line for line in limits if line.startswith("Max open files"))
    assert line.split()[3:5] == ["4096", "4096"]
