"""The control socket with real sockets and askers that do not read, or ask for too much."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from piwheels.control import control_server, subscriptions
from piwheels.control.command_executor import CommandExecutor, with_timeout
from piwheels.control.control_server import MAX_STREAMS, ControlServer
from piwheels.control.subscriptions import Subscriptions
from piwheels.db.database import Database
from piwheels.errors import NotNowError, RejectedError
from piwheels.model import AuditEvent, HostMetrics
from piwheels.protocol import messages as m
from piwheels.protocol.client import ControlClient
from piwheels.protocol.keys import KeyStore
from piwheels.protocol.sockets import Router
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.event_bus import EventBus
from piwheels.scheduler.event_publisher import EventPublisher
from piwheels.webroot import Webroot

WAIT_S = 30.0
_REPLIES = msgspec.msgpack.Decoder(m.Reply)
STATUS = m.StatusReply(
    version="2",
    uptime_s=1.0,
    paused=False,
    builders=(),
    queues=(),
    last_hour={},
    projects=0,
    releases=0,
    files=0,
    files_bytes=0,
    builds=0,
    stale_pages=0,
    database_bytes=0,
    host=HostMetrics(),
)


class ControlHarness:
    """The control server, with a minimal farm behind it."""

    def __init__(self, folder: Path, db: Database) -> None:
        self.address = f"ipc://{folder}/c.sock"
        self.bulletin = EventBus()
        self.logs = LogSpool(folder / "logs", Webroot(folder / "www"))
        self.database_is_away = False
        router: Router[m.Request, m.Reply] = Router(
            m.Request, lambda why, _: m.Reply(request_id=0, body=m.CommandFailed(reason=why)), hwm=4
        )
        router.bind(self.address)
        self.router = router
        self.control = ControlServer(
            routers=[router],
            keys=KeyStore(folder / "keys"),
            executor=CommandExecutor(
                self._handle, EventPublisher(db, self.bulletin), on_executed=lambda: None
            ),
            subscriptions=Subscriptions(self._snapshot, self.logs, self.bulletin),
            request_shutdown=lambda: None,
        )

    async def _snapshot(self) -> m.Snapshot:
        if self.database_is_away:
            await asyncio.Event().wait()
        return m.Snapshot(status=STATUS)

    async def _handle(self, *_: object) -> m.ReplyBody:
        return STATUS

    def publish_event(self, number: int) -> None:
        """Something large happens."""
        at = datetime.now(UTC)
        self.bulletin.publish(AuditEvent(event_id=number, at=at, who="x", text="x" * 300_000))


@pytest.fixture
async def harness(tmp_path: Path, database: Database) -> AsyncIterator[ControlHarness]:
    harness = ControlHarness(tmp_path, database)
    running = asyncio.create_task(harness.control.run())
    yield harness
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    harness.router.close()


@pytest.fixture
def unread_socket(harness: ControlHarness) -> Iterator[zmq.asyncio.Socket]:
    """A console's socket with the smallest possible queue, for a client that reads nothing."""
    socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    socket.rcvhwm = 1
    socket.connect(harness.address)
    yield socket
    socket.close(linger=0)


async def send(socket: zmq.asyncio.Socket, number: int, body: m.RequestBody) -> None:
    """Send a command."""
    await socket.send(msgspec.msgpack.encode(m.Request(request_id=number, body=body)))


async def receive(socket: zmq.asyncio.Socket) -> m.ReplyBody:
    """The next answer."""
    async with asyncio.timeout(WAIT_S):
        return _REPLIES.decode(await socket.recv()).body


async def wait_for_no_subscribers(harness: ControlHarness) -> None:
    """Publish events until nobody is subscribed."""
    async with asyncio.timeout(WAIT_S):
        number = 0
        while harness.bulletin.has_subscribers:
            harness.publish_event(number := number + 1)
            await asyncio.sleep(0.01)


async def test_a_slow_subscriber_is_told_that_events_were_dropped(
    harness: ControlHarness, unread_socket: zmq.asyncio.Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "_BATCH_INTERVAL_S", 0.0)
    await send(unread_socket, 1, m.Subscribe())
    await harness.bulletin.wait_for_subscriber()
    await wait_for_no_subscribers(harness)
    assert isinstance(await receive(unread_socket), m.Snapshot)
    numbers: list[int] = []
    while isinstance(body := await receive(unread_socket), m.EventBatch):
        numbers += [event.event_id for event in body.events if isinstance(event, AuditEvent)]
    assert numbers == list(range(1, len(numbers) + 1)), "nothing is missing from what did come"
    assert isinstance(body, m.CommandFailed)
    assert "client too slow" in body.reason
    await send(unread_socket, 2, m.Subscribe())
    assert isinstance(await receive(unread_socket), m.Snapshot), "it can subscribe again"


async def test_a_subscription_ends_with_its_client(harness: ControlHarness) -> None:
    async with ControlClient(harness.address) as client, client.stream(m.Subscribe()) as talk:
        assert isinstance(await talk.next(WAIT_S), m.Snapshot)
        assert harness.bulletin.has_subscribers
    await wait_for_no_subscribers(harness)


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "LEASE_S", 0.2)


async def test_a_subscription_without_keepalives_ends(
    short_leases: None, harness: ControlHarness
) -> None:
    async with (
        ControlClient(harness.address, keepalive_interval_s=3600.0) as client,
        client.stream(m.Subscribe()) as talk,
    ):
        assert isinstance(await talk.next(WAIT_S), m.Snapshot)
        async with asyncio.timeout(WAIT_S):
            while harness.control._leases:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


async def test_a_log_waits_for_its_reader_and_is_complete(
    harness: ControlHarness, unread_socket: zmq.asyncio.Socket
) -> None:
    text = b"".join(b"%09d\n" % number for number in range(600_000))
    harness.logs.append(7, 0, text)
    await send(unread_socket, 1, m.FollowLog(build=7, follow=False))
    found = bytearray()
    finished = False
    while not finished:
        piece = await receive(unread_socket)
        assert isinstance(piece, m.LogChunk)
        assert piece.offset == len(found)
        found += piece.data
        finished = piece.finished
    assert found == text


async def test_a_stream_ends_when_its_client_has_ended_it(harness: ControlHarness) -> None:
    harness.logs.create(7)
    harness.logs.append(7, 0, b"first line\n")
    async with ControlClient(harness.address, keepalive_interval_s=3600.0) as client:
        for _ in range(MAX_STREAMS + 2):  # else the last ones would be too many
            async with client.stream(m.FollowLog(build=7)) as talk:
                assert isinstance(await talk.next(WAIT_S), m.LogChunk)
        await client.send(1234, m.Unsubscribe())  # there is none: it is ignored
        assert await client.request(m.Status(), m.StatusReply) == STATUS
        async with asyncio.timeout(WAIT_S):
            while harness.control._leases:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


async def test_the_number_of_streams_is_limited_for_each_client(
    harness: ControlHarness,
) -> None:
    harness.logs.create(7)
    async with ControlClient(harness.address) as greedy, ControlClient(harness.address) as modest:
        await asyncio.gather(
            *(greedy.send(1000 + number, m.FollowLog(build=7)) for number in range(MAX_STREAMS))
        )
        with pytest.raises(RejectedError, match=f"too many open subscriptions .{MAX_STREAMS}"):
            await greedy.request(m.Subscribe(), m.Snapshot)
        assert await greedy.request(m.Status(), m.StatusReply) == STATUS
        assert await modest.request(m.Subscribe(), m.Snapshot)
        harness.logs.discard(7)  # all of them end
        async with asyncio.timeout(WAIT_S):
            while not await can_subscribe(greedy):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def can_subscribe(client: ControlClient) -> bool:
    """Whether a console may watch."""
    try:
        await client.request(m.Subscribe(), m.Snapshot)
    except RejectedError:
        return False
    return True


async def test_a_subscription_fails_with_a_reason_while_the_database_is_unavailable(
    harness: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "SNAPSHOT_TIMEOUT_S", 0.1)
    harness.database_is_away = True
    async with ControlClient(harness.address) as client:
        with pytest.raises(NotNowError, match="database has not answered"):
            await client.request(m.Subscribe(), m.Snapshot)
        harness.database_is_away = False
        monkeypatch.setattr(subscriptions, "SNAPSHOT_TIMEOUT_S", WAIT_S)
        assert await client.request(m.Subscribe(), m.Snapshot)


async def test_a_query_times_out_before_its_client_does() -> None:
    with pytest.raises(NotNowError, match=r"database has not answered.*retrying \(disk full\)"):
        await with_timeout(asyncio.Event().wait(), 0.01, lambda: "disk full")
    assert await with_timeout(asyncio.sleep(0, "an answer"), 1.0) == "an answer"
