"""A master with standbys on two PostgreSQL servers, and builders of the real protocol."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from piwheels.builder import connection_events as events
from piwheels.builder import connection_instructions as instructions
from piwheels.builder.build_log import OnPhase
from piwheels.builder.connection_events import Event
from piwheels.builder.job_dir import JobDir
from piwheels.builder.master_client import MasterAddresses, MasterClient
from piwheels.config import to_toml
from piwheels.db import catalog
from piwheels.db.database import Database
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.client import end_tasks
from piwheels.protocol.keys import MASTER, Role
from tests.control.conftest import TARGET, Master, prepare_master
from tests.db.scenario import RULES, make_release
from tests.failover.servers import Servers, run_servers
from tests.fake_index import fake_index
from tests.ports import free_port
from tests.scheduler.message_factories import hello, offer
from tests.wheel.factories import make_wheel

_BUILD_S = 0.2


@dataclass
class RecordingClient(MasterClient):
    """A builder that notes what the master acknowledged, and when, and who welcomed it."""

    acknowledged: dict[int, float] = field(default_factory=dict)
    welcomes: list[str] = field(default_factory=list)  # addresses

    async def _handle(self, event: Event) -> instructions.Exit | None:
        match event:
            case events.MessageReceived(message=m.BuildAcknowledged(build=build)):
                self.acknowledged[build] = time.monotonic()
            case events.MessageReceived(message=m.Welcome()):
                self.welcomes.append(self.master.builder_address)
            case _:
                pass
        return await super()._handle(event)


@dataclass
class Farm:
    """Masters that share a database, a web root and keys; the first one is to be started."""

    masters: list[Master]
    folder: Path

    @property
    def root(self) -> Path:
        """The web root."""
        return self.folder / "first" / "www"

    def start_standby(self, master: Master) -> None:
        """Start a master that waits."""
        master.config.write_text(to_toml(dict(sorted(master.settings.items()))))
        master.process = master._spawn()

    @contextlib.asynccontextmanager
    async def builders(self, count: int) -> AsyncIterator[list[RecordingClient]]:
        """Builders that know all masters."""
        clients = [self._client(f"pi{number}") for number in range(count)]
        tasks = [asyncio.create_task(client.run()) for client in clients]
        try:
            yield clients
        finally:
            await end_tasks(*tasks)

    def _client(self, label: str) -> RecordingClient:
        keys = self.masters[0].keys
        pair = keys.load_or_generate(f"key-of-{label}")
        keys.authorize(Role.BUILDER, label, pair.public)
        addresses = [
            MasterAddresses(
                builder_address=str(master.settings["master.builder_bind"]),
                upload_address=str(master.settings["master.upload_bind"]),
                key=pair,
                master_key=keys.require(MASTER).public,
            )
            for master in self.masters
        ]
        return RecordingClient(
            addresses=addresses if len(addresses) > 1 else addresses[0],
            describe=partial(hello, target=TARGET),
            host_metrics=HostMetrics,
            build=_build,
            job_dir=JobDir(self.folder / "jobs" / label),
        )

    async def add_releases(self, dsn: str, numbers: Sequence[int]) -> None:
        """Have releases built."""
        async with await Database.connect(dsn, role="test") as db:
            for number in numbers:
                await catalog.add_project(db, f"demo{number}", f"demo{number}")
                release = make_release(f"demo{number}", "1.0")
                await catalog.add_releases(db, [release], RULES)


@dataclass
class ReplicatedFarm(Farm):
    """A farm whose database has a standby."""

    servers: Servers


@contextlib.asynccontextmanager
async def run_farm(folder: Path, *, masters: int) -> AsyncIterator[ReplicatedFarm]:
    """Two servers, and masters of which none runs; those after the first are standbys."""
    async with AsyncExitStack() as stack:
        upstream = stack.enter_context(fake_index())
        servers = await stack.enter_async_context(run_servers(folder))
        (folder / "first").mkdir()
        first = await prepare_master(folder / "first", servers.dsn, upstream)
        await first.db.close()
        first.settings["master.metrics_bind"] = ""
        standbys = [standby_of(first, folder / f"standby{number}") for number in range(1, masters)]
        all_masters = [first, *standbys]
        farm = ReplicatedFarm(all_masters, folder, servers)
        try:
            yield farm
        finally:
            for master in all_masters:
                master.stop()


def standby_of(first: Master, folder: Path) -> Master:
    """A master with the same database, web root and keys, which waits."""
    folder.mkdir()
    own = {
        "master.control_bind": f"ipc://{folder}/c.sock",
        "master.builder_bind": f"tcp://127.0.0.1:{free_port()}",
        "master.upload_bind": f"tcp://127.0.0.1:{free_port()}",
        "master.spool_dir": folder / "spool",
        "master.standby": True,
    }
    return replace(first, folder=folder, settings=first.settings | own)


async def _build(job: Job, job_dir: JobDir, on_phase: OnPhase) -> m.BuildFinished:
    on_phase("building")
    job_dir.append_log(b"compiling\n")
    await asyncio.sleep(_BUILD_S)
    wheel = make_wheel(job_dir.wheels, name=job.project, version=job.version)
    return m.BuildFinished(
        build=job.build_id, outcome=Outcome.BUILT, duration_s=_BUILD_S, files=(offer(wheel),)
    )
