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

from piwheels.db.database import Database
from piwheels.errors import NotNowError, RefusedError
from piwheels.farm.bulletin import Bulletin
from piwheels.farm.logs import LogSpool
from piwheels.master import control, streams
from piwheels.master.control import MOST_STREAMS, Control
from piwheels.master.fates import Fates, in_time
from piwheels.master.streams import Streams
from piwheels.protocol import messages as m
from piwheels.protocol.channels import Router
from piwheels.protocol.client import ControlClient
from piwheels.protocol.keys import KeyStore
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
    host=m.HostState(),
)


class Served:
    """The duty on the control socket, with little behind it."""

    def __init__(self, folder: Path, db: Database) -> None:
        self.address = f"ipc://{folder}/c.sock"
        self.bulletin = Bulletin()
        self.logs = LogSpool(folder / "logs", Webroot(folder / "www"))
        self.database_is_away = False
        router: Router[m.Command, m.Reply] = Router(
            m.Command, lambda why, _: m.Reply(number=0, body=m.Problem(reason=why)), high_water=4
        )
        router.bind(self.address)
        self.router = router
        self.control = Control(
            routers=[router],
            keys=KeyStore(folder / "keys"),
            fates=Fates(self._carry_out, db, self.bulletin, changed=lambda: None),
            streams=Streams(self._snapshot, self.logs, self.bulletin),
            stop=lambda: None,
        )

    async def _snapshot(self) -> m.Snapshot:
        if self.database_is_away:
            await asyncio.Event().wait()
        return m.Snapshot(status=STATUS)

    async def _carry_out(self, *_: object) -> m.ReplyBody:
        return STATUS

    def happen(self, number: int) -> None:
        """Something large happens."""
        at = datetime.now(UTC)
        self.bulletin.publish(m.Happened(event=number, at=at, who="x", what="x" * 300_000))


@pytest.fixture
async def served(tmp_path: Path, database: Database) -> AsyncIterator[Served]:
    served = Served(tmp_path, database)
    running = asyncio.create_task(served.control.run())
    yield served
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    served.router.close()


@pytest.fixture
def deaf(served: Served) -> Iterator[zmq.asyncio.Socket]:
    """A console's socket that takes as little as it can from whoever reads nothing."""
    socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    socket.rcvhwm = 1
    socket.connect(served.address)
    yield socket
    socket.close(linger=0)


async def say(socket: zmq.asyncio.Socket, number: int, body: m.Body) -> None:
    """Send a command."""
    await socket.send(msgspec.msgpack.encode(m.Command(number=number, body=body)))


async def hear(socket: zmq.asyncio.Socket) -> m.ReplyBody:
    """The next answer."""
    async with asyncio.timeout(WAIT_S):
        return _REPLIES.decode(await socket.recv()).body


async def until_nobody_watches(served: Served) -> None:
    """Let things happen until that is of no use to anybody."""
    async with asyncio.timeout(WAIT_S):
        number = 0
        while served.bulletin.is_watched:
            served.happen(number := number + 1)
            await asyncio.sleep(0.01)


async def test_a_watcher_that_reads_nothing_is_told_when_it_reads_on(
    served: Served, deaf: zmq.asyncio.Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_BATCH_S", 0.0)
    await say(deaf, 1, m.Watch())
    await served.bulletin.watched()
    await until_nobody_watches(served)
    assert isinstance(await hear(deaf), m.Snapshot)
    numbers: list[int] = []
    while isinstance(body := await hear(deaf), m.Batch):
        numbers += [event.event for event in body.events if isinstance(event, m.Happened)]
    assert numbers == list(range(1, len(numbers) + 1)), "nothing is missing from what did come"
    assert isinstance(body, m.Problem)
    assert "fell too far behind" in body.reason
    await say(deaf, 2, m.Watch())
    assert isinstance(await hear(deaf), m.Snapshot), "it can watch anew"


async def test_a_watch_ends_with_its_console(served: Served) -> None:
    async with ControlClient(served.address) as client, client.stream(m.Watch()) as talk:
        assert isinstance(await talk.next(WAIT_S), m.Snapshot)
        assert served.bulletin.is_watched
    await until_nobody_watches(served)


@pytest.fixture
def brief_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LEASE_S", 0.2)


async def test_a_watch_that_is_not_renewed_ends(brief_leases: None, served: Served) -> None:
    async with (
        ControlClient(served.address, renew_s=3600.0) as client,
        client.stream(m.Watch()) as talk,
    ):
        assert isinstance(await talk.next(WAIT_S), m.Snapshot)
        async with asyncio.timeout(WAIT_S):
            while served.control._leases:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


async def test_a_log_waits_for_its_reader_and_arrives_whole(
    served: Served, deaf: zmq.asyncio.Socket
) -> None:
    text = b"".join(b"%09d\n" % number for number in range(600_000))
    served.logs.append(7, 0, text)
    await say(deaf, 1, m.FollowLog(build=7, follow=False))
    found = bytearray()
    finished = False
    while not finished:
        piece = await hear(deaf)
        assert isinstance(piece, m.LogPiece)
        assert piece.offset == len(found)
        found += piece.data
        finished = piece.finished
    assert found == text


async def test_one_console_has_so_many_streams_and_others_have_theirs(served: Served) -> None:
    served.logs.begin(7)
    async with ControlClient(served.address) as greedy, ControlClient(served.address) as modest:
        await asyncio.gather(
            *(greedy.send(1000 + number, m.FollowLog(build=7)) for number in range(MOST_STREAMS))
        )
        with pytest.raises(RefusedError, match=f"{MOST_STREAMS} watches and logs open"):
            await greedy.ask(m.Watch(), m.Snapshot)
        assert await greedy.ask(m.Status(), m.StatusReply) == STATUS
        assert await modest.ask(m.Watch(), m.Snapshot)
        served.logs.forget(7)  # all of them end
        async with asyncio.timeout(WAIT_S):
            while not await watches(greedy):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def watches(client: ControlClient) -> bool:
    """Whether a console may watch."""
    try:
        await client.ask(m.Watch(), m.Snapshot)
    except RefusedError:
        return False
    return True


async def test_who_asks_while_the_database_is_away_is_told_so(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_SNAPSHOT_S", 0.1)
    served.database_is_away = True
    async with ControlClient(served.address) as client:
        with pytest.raises(NotNowError, match="no answer of its database"):
            await client.ask(m.Watch(), m.Snapshot)
        served.database_is_away = False
        assert await client.ask(m.Watch(), m.Snapshot)


async def test_a_question_is_given_up_before_its_asker_gives_up() -> None:
    with pytest.raises(NotNowError, match=r"no answer of its database.*trying \(disk full\)"):
        await in_time(asyncio.Event().wait(), 0.01, lambda: "disk full")
    assert await in_time(asyncio.sleep(0, "an answer"), 1.0) == "an answer"
