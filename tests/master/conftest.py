"""A real master process, and builders that speak the protocol and build nothing."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from piwheels.config import to_toml
from piwheels.db import catalog
from piwheels.db.database import Database
from piwheels.errors import PiwheelsError
from piwheels.local.cluster import Cluster
from piwheels.model import Job, Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.channels import KeyPair, NotConnectedError
from piwheels.protocol.client import ControlClient, Conversation, end_tasks
from piwheels.protocol.keys import MASTER, KeyStore, Role
from tests.conftest import fresh
from tests.db.world import RULES, TARGETS, a_release
from tests.fakeindex import FakeIndex, fake_index
from tests.patience import WAIT_S, PatientClient, PatientDealer
from tests.ports import free_port

_M = TypeVar("_M")
_E = TypeVar("_E", bound=m.Event)

TARGET = TARGETS[1]


@dataclass
class Builder:
    """A builder's end of the protocol; the test says what it says, and it hears the rest."""

    label: str
    dealer: PatientDealer[m.ToBuilder, m.FromBuilder]
    limit_s: float = 0.0
    lacking: tuple[str, ...] = ()
    job: Job | None = None
    last_build: int = 0
    polite: bool = False  # it says goodbye
    instance: str = ""  # of its process; "" is a builder of before

    async def __aenter__(self) -> Self:
        await self.greet()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.polite:
            with suppress(NotConnectedError):
                await self.bye()
        self.dealer.close(linger_s=1.0)

    async def greet(self) -> None:
        """Say Hello, and wait to be welcomed."""
        await self.dealer.send(
            m.Hello(
                protocol=m.PROTOCOL,
                version="1",
                targets=(TARGET,),
                platform="linux aarch64",
                board="Pi",
                os="bookworm",
                host=m.HostState(),
                limit_s=self.limit_s,
                lacking=self.lacking,
                busy=self.job.build if self.job else None,
                instance=self.instance,
            )
        )
        await self.hear(m.Welcome)

    async def next(self) -> m.ToBuilder:
        """The next message."""
        return await self.dealer.receive(WAIT_S)

    async def hear(self, kind: type[_M]) -> _M:
        """The next message of a kind; others are passed over."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.next()
                if isinstance(message, kind):
                    return message

    async def idle(self, host: m.HostState | None = None) -> None:
        """Ask for work."""
        await self.dealer.send(m.Idle(last_build=self.last_build, host=host or m.HostState()))

    async def take(self) -> Job:
        """Ask for work, and begin it."""
        await self.idle()
        self.job = (await self.hear(m.BuildJob)).job
        self.last_build = self.job.build
        await self.work("building")
        return self.job

    async def work(self, phase: str) -> None:
        """A sign of life from the build in hand."""
        assert self.job is not None
        await self.dealer.send(
            m.Building(build=self.job.build, phase=phase, phase_s=1.0, host=m.HostState())
        )

    async def end(self, outcome: Outcome = Outcome.FAILED, reason: str = "it broke") -> None:
        """Report how the build ended, and wait until it is settled."""
        assert self.job is not None
        await self.dealer.send(
            m.Built(build=self.job.build, outcome=outcome, reason=reason, duration_s=1.0)
        )
        assert (await self.hear(m.Done)).build == self.job.build
        self.job = None

    @asynccontextmanager
    async def speaking(self) -> AsyncIterator[None]:
        """Say something now and then that is not answered, so that it is not lost meanwhile."""

        async def speak() -> None:
            while True:
                await self.dealer.send(m.LogLines(build=0, offset=0, data=b""))
                await asyncio.sleep(0.2)

        task = asyncio.create_task(speak())
        try:
            yield
        finally:
            await end_tasks(task)

    async def bye(self) -> None:
        """Leave."""
        await self.dealer.send(m.Bye(reason="it was stopped"))


@dataclass
class Watcher:
    """What a Watch tells, one event at a time."""

    talk: Conversation
    snapshot: m.Snapshot
    heard: list[m.Event] = field(default_factory=list)

    async def next(self) -> m.Event:
        """The next event."""
        while not self.heard:
            body = await self.talk.next(WAIT_S)
            assert isinstance(body, m.Batch), body
            self.heard += body.events
        return self.heard.pop(0)

    async def event(self, kind: type[_E], test: Callable[[_E], bool] = lambda _: True) -> _E:
        """The next event of a kind that passes a test; earlier ones are gone by."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = await self.next()
                if isinstance(event, kind) and test(event):
                    return event

    async def events_until(self, test: Callable[[m.Event], bool]) -> list[m.Event]:
        """The events before the next one that passes a test."""
        events: list[m.Event] = []
        async with asyncio.timeout(WAIT_S):
            while not test(event := await self.next()):
                events.append(event)
        return events

    async def state(self, label: str, state: m.BuilderState) -> m.BuilderView:
        """Wait until a builder is told to be in a state."""
        changed = await self.event(
            m.BuilderChanged,
            lambda event: (event.builder.label, event.builder.state) == (label, state),
        )
        return changed.builder


@dataclass
class Master:
    """A `piw master` process, its database, and the way to its sockets."""

    folder: Path
    db: Database
    settings: dict[str, Any]
    keys: KeyStore
    process: "subprocess.Popen[bytes] | None" = None
    shared: bool = False

    @property
    def config(self) -> Path:
        return self.folder / "piwheels.toml"

    @property
    def control(self) -> str:
        return str(self.settings["master.control"])

    @property
    def log(self) -> str:
        return (self.folder / "master.log").read_text()

    async def start(self, **settings: Any) -> None:
        """Start it, and wait until it answers."""
        changed = {f"master.{name}": value for name, value in settings.items()}
        self.config.write_text(to_toml(dict(sorted((self.settings | changed).items()))))
        self.process = self._spawn()
        async with asyncio.timeout(WAIT_S):
            while True:
                assert self.process.poll() is None, self.log
                try:
                    async with ControlClient(self.control) as client:
                        await client.ask(m.Status(), m.StatusReply, timeout_s=WAIT_S)
                    return
                except PiwheelsError:
                    await asyncio.sleep(0.05)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "master.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "piwheels", "master", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                env={
                    name: value
                    for name, value in os.environ.items()
                    if not name.startswith("PIWHEELS_")
                },
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(WAIT_S)
            self.process = None

    @asynccontextmanager
    async def client(self, who: str = "ann@desk", **how: Any) -> AsyncIterator[ControlClient]:
        """A connection to the control socket."""
        address = how.pop("address", self.control)
        async with PatientClient(address, who=who, **how) as client:
            yield client

    async def ask(self, body: m.Body, wanted: type[_M], who: str = "ann@desk") -> _M:
        """Give one command, and get its answer."""
        async with self.client(who) as client:
            return await client.ask(body, wanted, timeout_s=WAIT_S)

    async def order(self, order: m.Order, *labels: str, **how: Any) -> m.Applied:
        """Give an order to builders."""
        return await self.ask(m.OrderBuilders(order=order, builders=labels, **how), m.Applied)

    @asynccontextmanager
    async def watch(self, who: str = "ann@desk", **how: Any) -> AsyncIterator[Watcher]:
        """Watch the farm."""
        async with self.client(who, **how) as client, client.stream(m.Watch()) as talk:
            snapshot = await talk.next(WAIT_S)
            assert isinstance(snapshot, m.Snapshot)
            yield Watcher(talk, snapshot)

    def builder(self, label: str = "pi1", **facts: Any) -> Builder:
        """A builder whose key is on the list."""
        pair = self.keys.ensure(f"key-of-{label}")
        self.keys.allow(Role.BUILDER, label, pair.public)
        return Builder(label, self._dealer(pair), polite=self.shared, **facts)

    def _dealer(self, pair: KeyPair) -> PatientDealer[m.ToBuilder, m.FromBuilder]:
        return PatientDealer(
            m.ToBuilder,
            str(self.settings["master.builders"]),
            key=pair,
            server_key=self.keys.require(MASTER).public,
        )

    async def release(self, project: str, version: str = "1.0", **facts: Any) -> None:
        """Make a release known that is to be built."""
        await catalog.add_project(self.db, project, project)
        await catalog.add_releases(self.db, [a_release(project, version, **facts)], RULES)

    async def jobs(self) -> dict[str, dict[str, Any]]:
        """The queue, by project."""
        rows = await self.db.rows("SELECT * FROM jobs")
        return {row["project"]: row for row in rows}

    async def builds(self) -> list[dict[str, Any]]:
        """Every build that was recorded, oldest first."""
        return await self.db.rows("SELECT * FROM builds ORDER BY ended_at, build")

    async def until_there(self, path: Path) -> None:
        """Wait until a file is there."""
        async with asyncio.timeout(WAIT_S):
            while not path.exists():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)

    async def until(self, query: str) -> None:
        """Wait until a query says true."""
        async with asyncio.timeout(WAIT_S):
            while not await self.db.value(query):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def nothing_upstream() -> Iterator[FakeIndex]:
    """An upstream without a single project."""
    with fake_index() as index:
        yield index


async def prepared(folder: Path, dsn: str, upstream: FakeIndex) -> Master:
    """A master that is not started yet, with one target; its database is to be opened."""
    keys = KeyStore(folder / "keys")
    keys.ensure(MASTER)
    settings = {
        "database.dsn": dsn,
        "webroot.root": folder / "www",
        "master.control": f"ipc://{folder}/c.sock",
        "master.builders": f"tcp://127.0.0.1:{free_port()}",
        "master.files": f"tcp://127.0.0.1:{free_port()}",
        "master.keys": keys.folder,
        "master.spool": folder / "spool",
        "upstream.url": upstream.simple,
        "upstream.source": "poll",
    }
    db = await Database.connect(dsn, duty="test")
    await catalog.add_target(db, TARGET, RULES)
    await catalog.converge(db)
    return Master(folder, db, settings, keys)


@pytest.fixture
async def idle_master(
    tmp_path: Path, dsn: str, nothing_upstream: FakeIndex
) -> AsyncIterator[Master]:
    """A master of the test's own, which is not started yet."""
    master = await prepared(tmp_path, dsn, nothing_upstream)
    yield master
    master.end()
    await master.db.close()


@pytest.fixture
async def master(idle_master: Master) -> Master:
    """A master of the test's own: for tests that end it, and those that want it untouched."""
    await idle_master.start()
    return idle_master


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, nothing_upstream: FakeIndex
) -> Iterator[Master]:
    """A master that runs as long as the tests of a module."""

    async def begin(dsn: str) -> Master:
        master = await prepared(tmp_path_factory.mktemp("master"), dsn, nothing_upstream)
        await master.start()
        await master.db.close()
        return master

    for dsn in fresh(cluster):
        master = asyncio.run(begin(dsn))
        yield master
        master.end()


@pytest.fixture
async def shared(running: Master) -> AsyncIterator[Master]:
    """The running master, without projects and events, and with all builders awake."""
    dsn = str(running.settings["database.dsn"])
    async with await Database.connect(dsn, duty="test") as db:
        master = replace(running, db=db, shared=True)
        yield master
        await master.ask(m.Resume(), m.Applied)
        async with asyncio.timeout(WAIT_S):
            while (await master.ask(m.Status(), m.StatusReply)).builders:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await db.execute("DELETE FROM projects")
        await db.execute("DELETE FROM events")
