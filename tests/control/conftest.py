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
from piwheels.db import catalog, target_queries
from piwheels.db.database import Database
from piwheels.errors import PiwheelsError
from piwheels.local.postgres import PrivatePostgres
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.client import ControlClient, ReplyStream, end_tasks
from piwheels.protocol.keys import MASTER, KeyStore, Role
from piwheels.protocol.sockets import KeyPair, NotConnectedError
from tests.conftest import create_database
from tests.db.scenario import RULES, TARGETS, make_release
from tests.fake_index import FakeIndex, fake_index
from tests.ports import free_port
from tests.timeouts import WAIT_S, LongTimeoutClient, LongTimeoutDealer

_M = TypeVar("_M")
_E = TypeVar("_E", bound=m.Event)

TARGET = TARGETS[1]


@dataclass
class Builder:
    """A builder that speaks the protocol and builds nothing; tests send and receive by it."""

    label: str
    dealer: LongTimeoutDealer[m.ToBuilder, m.FromBuilder]
    build_timeout_s: float = 0.0
    lacking: tuple[str, ...] = ()
    job: Job | None = None
    last_build: int = 0
    says_goodbye: bool = False  # it says goodbye
    instance: str = ""  # of its process; "" is a builder of before

    async def __aenter__(self) -> Self:
        await self.say_hello()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.says_goodbye:
            with suppress(NotConnectedError):
                await self.say_goodbye()
        self.dealer.close(linger_s=1.0)

    async def say_hello(self) -> None:
        """Send Hello, and wait for Welcome."""
        await self.dealer.send(
            m.Hello(
                protocol=m.PROTOCOL,
                version="1",
                targets=(TARGET,),
                platform="linux aarch64",
                board="Pi",
                os="bookworm",
                host=HostMetrics(),
                build_timeout_s=self.build_timeout_s,
                targets_without_compiler=self.lacking,
                current_build=self.job.build_id if self.job else None,
                instance=self.instance,
            )
        )
        await self.receive_type(m.Welcome)

    async def receive(self) -> m.ToBuilder:
        """The next message."""
        return await self.dealer.receive(WAIT_S)

    async def receive_type(self, kind: type[_M]) -> _M:
        """The next message of a type; others are skipped."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.receive()
                if isinstance(message, kind):
                    return message

    async def send_idle(self, host: HostMetrics | None = None) -> None:
        """Ask for a job."""
        await self.dealer.send(
            m.IdleHeartbeat(last_build=self.last_build, host=host or HostMetrics())
        )

    async def take_job(self) -> Job:
        """Ask for a job, and start its build."""
        await self.send_idle()
        self.job = (await self.receive_type(m.StartBuild)).job
        self.last_build = self.job.build_id
        await self.send_progress("building")
        return self.job

    async def send_progress(self, phase: str) -> None:
        """Send a heartbeat of the running build."""
        assert self.job is not None
        await self.dealer.send(
            m.BuildHeartbeat(build=self.job.build_id, phase=phase, phase_s=1.0, host=HostMetrics())
        )

    async def finish_build(
        self, outcome: Outcome = Outcome.FAILED, reason: str = "it broke", **facts: Any
    ) -> None:
        """Report the outcome of the build, and wait until it is recorded."""
        assert self.job is not None
        await self.dealer.send(
            m.BuildFinished(
                build=self.job.build_id, outcome=outcome, reason=reason, duration_s=1.0, **facts
            )
        )
        assert (await self.receive_type(m.BuildAcknowledged)).build == self.job.build_id
        self.job = None

    @asynccontextmanager
    async def keep_alive(self) -> AsyncIterator[None]:
        """Send messages that need no reply, so that the builder does not time out."""

        async def send_chunks() -> None:
            while True:
                await self.dealer.send(m.LogChunk(build=0, offset=0, data=b""))
                await asyncio.sleep(0.2)

        task = asyncio.create_task(send_chunks())
        try:
            yield
        finally:
            await end_tasks(task)

    async def say_goodbye(self) -> None:
        """Disconnect."""
        await self.dealer.send(m.Goodbye(reason="it was stopped"))


@dataclass
class Watcher:
    """The events of a subscription, one at a time."""

    stream: ReplyStream
    snapshot: m.Snapshot
    pending: list[m.Event] = field(default_factory=list)

    async def receive(self) -> m.Event:
        """The next event."""
        while not self.pending:
            body = await self.stream.next(WAIT_S)
            assert isinstance(body, m.EventBatch), body
            self.pending += body.events
        return self.pending.pop(0)

    async def wait_for_event(
        self, kind: type[_E], test: Callable[[_E], bool] = lambda _: True
    ) -> _E:
        """The next event of a type that passes a test; earlier ones are skipped."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = await self.receive()
                if isinstance(event, kind) and test(event):
                    return event

    async def events_until(self, test: Callable[[m.Event], bool]) -> list[m.Event]:
        """The events before the next one that passes a test."""
        events: list[m.Event] = []
        async with asyncio.timeout(WAIT_S):
            while not test(event := await self.receive()):
                events.append(event)
        return events

    async def wait_for_state(self, label: str, state: m.BuilderState) -> m.BuilderView:
        """Wait until an event shows a builder in a state."""
        changed = await self.wait_for_event(
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
    prefix: tuple[str, ...] = ()  # of its command line

    @property
    def config(self) -> Path:
        return self.folder / "piwheels.toml"

    @property
    def control(self) -> str:
        return str(self.settings["master.control_bind"])

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
                        await client.request(m.Status(), m.StatusReply, timeout_s=WAIT_S)
                    return
                except PiwheelsError:
                    await asyncio.sleep(0.05)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "master.log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(*self.prefix, sys.executable, "-m", "piwheels"),
                    *("master", "run", "--config", str(self.config)),
                ],
                stdout=log,
                stderr=log,
                env={
                    name: value
                    for name, value in os.environ.items()
                    if not name.startswith("PIWHEELS_")
                },
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, and wait until it has exited."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(WAIT_S)
            self.process = None

    @asynccontextmanager
    async def client(self, user: str = "ann@desk", **how: Any) -> AsyncIterator[ControlClient]:
        """A connection to the control socket."""
        address = how.pop("address", self.control)
        async with LongTimeoutClient(address, user=user, **how) as client:
            yield client

    async def ask(self, body: m.RequestBody, wanted: type[_M], user: str = "ann@desk") -> _M:
        """Send one request, and return its reply."""
        async with self.client(user) as client:
            return await client.request(body, wanted, timeout_s=WAIT_S)

    async def command_builders(
        self, order: m.BuilderCommand, *labels: str, **how: Any
    ) -> m.CommandSucceeded:
        """Send a command to builders."""
        return await self.ask(
            m.CommandBuilders(command=order, builders=labels, **how), m.CommandSucceeded
        )

    @asynccontextmanager
    async def watch(self, user: str = "ann@desk", **how: Any) -> AsyncIterator[Watcher]:
        """Subscribe to events."""
        async with self.client(user, **how) as client, client.stream(m.Subscribe()) as talk:
            snapshot = await talk.next(WAIT_S)
            assert isinstance(snapshot, m.Snapshot)
            yield Watcher(talk, snapshot)

    def builder(self, label: str = "pi1", **facts: Any) -> Builder:
        """A builder whose key is authorized."""
        pair = self.keys.load_or_generate(f"key-of-{label}")
        self.keys.authorize(Role.BUILDER, label, pair.public)
        return Builder(label, self._dealer(pair), says_goodbye=self.shared, **facts)

    def _dealer(self, pair: KeyPair) -> LongTimeoutDealer[m.ToBuilder, m.FromBuilder]:
        return LongTimeoutDealer(
            m.ToBuilder,
            str(self.settings["master.builder_bind"]),
            key=pair,
            server_key=self.keys.require(MASTER).public,
        )

    async def release(self, project: str, version: str = "1.0", **facts: Any) -> None:
        """Add a release that is to be built."""
        await catalog.add_project(self.db, project, project)
        await catalog.add_releases(self.db, [make_release(project, version, **facts)], RULES)

    async def jobs(self) -> dict[str, dict[str, Any]]:
        """The queue, by project."""
        rows = await self.db.rows("SELECT * FROM jobs")
        return {row["project"]: row for row in rows}

    async def builds(self) -> list[dict[str, Any]]:
        """Every build that was recorded, oldest first."""
        return await self.db.rows("SELECT * FROM builds ORDER BY ended_at, build_id")

    async def wait_for_file(self, path: Path) -> None:
        """Wait until a file is there."""
        async with asyncio.timeout(WAIT_S):
            while not path.exists():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)

    async def wait_for_query(self, query: str) -> None:
        """Wait until a query returns true."""
        async with asyncio.timeout(WAIT_S):
            while not await self.db.value(query):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def empty_upstream() -> Iterator[FakeIndex]:
    """An upstream without a single project."""
    with fake_index() as index:
        yield index


async def prepare_master(folder: Path, dsn: str, upstream: FakeIndex) -> Master:
    """A master that is not started yet, with one target; its database is to be opened."""
    keys = KeyStore(folder / "keys")
    keys.load_or_generate(MASTER)
    settings = {
        "database.dsn": dsn,
        "webroot.root": folder / "www",
        "master.control_bind": f"ipc://{folder}/c.sock",
        "master.builder_bind": f"tcp://127.0.0.1:{free_port()}",
        "master.upload_bind": f"tcp://127.0.0.1:{free_port()}",
        "master.key_dir": keys.key_dir,
        "master.spool_dir": folder / "spool",
        "upstream.url": upstream.simple,
        "upstream.method": "poll",
    }
    db = await Database.connect(dsn, role="test")
    await target_queries.add_target(db, TARGET, RULES)
    await target_queries.recompute_jobs(db)
    return Master(folder, db, settings, keys)


@pytest.fixture
async def idle_master(tmp_path: Path, dsn: str, empty_upstream: FakeIndex) -> AsyncIterator[Master]:
    """A master of the test's own, which is not started yet."""
    master = await prepare_master(tmp_path, dsn, empty_upstream)
    yield master
    master.stop()
    await master.db.close()


@pytest.fixture
async def master(idle_master: Master) -> Master:
    """A master for one test: for tests that stop it or need it unused."""
    await idle_master.start()
    return idle_master


@pytest.fixture(scope="module")
def module_master(
    tmp_path_factory: pytest.TempPathFactory, postgres: PrivatePostgres, empty_upstream: FakeIndex
) -> Iterator[Master]:
    """A master that runs as long as the tests of a module."""

    async def start(dsn: str) -> Master:
        master = await prepare_master(tmp_path_factory.mktemp("master"), dsn, empty_upstream)
        await master.start()
        await master.db.close()
        return master

    for dsn in create_database(postgres):
        master = asyncio.run(start(dsn))
        yield master
        master.stop()


@pytest.fixture
async def shared(module_master: Master) -> AsyncIterator[Master]:
    """The running master, without projects and events, and with all builders awake."""
    dsn = str(module_master.settings["database.dsn"])
    async with await Database.connect(dsn, role="test") as db:
        master = replace(module_master, db=db, shared=True)
        yield master
        await master.ask(m.Resume(), m.CommandSucceeded)
        async with asyncio.timeout(WAIT_S):
            while views := (await master.ask(m.Status(), m.StatusReply)).builders:
                for view in views:
                    if view.state is m.BuilderState.ENDED:
                        async with master.builder(view.label):
                            pass  # it is back, and says goodbye
                await asyncio.sleep(0.02)
        await db.execute("DELETE FROM projects")
        await db.execute("DELETE FROM events")
