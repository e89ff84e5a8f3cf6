"""Debian's Patroni and etcd: the leader is killed under load, and the farm goes on."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from piwheels.db.connection import DatabaseUnavailableError, open_connection
from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.db.replication import find_replication_risk
from piwheels.local.postgres import PrivatePostgres
from tests.control.conftest import prepare_master
from tests.failover.farm import Farm
from tests.fake_index import fake_index
from tests.ports import free_port
from tests.requires import find_program, requires_program
from tests.timeouts import WAIT_S, Stopwatch
from tests.tui.source_probe import wait_until

pytestmark = [
    pytest.mark.farm,
    pytest.mark.slow,
    requires_program("patroni"),
    requires_program("etcd"),
]

NAMES = ("db1", "db2")


@dataclass
class Cluster:
    """Two servers under Patroni, and an etcd of one member."""

    folder: Path
    ports: dict[str, int]
    rest_ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]]

    @property
    def dsn(self) -> str:
        """Both servers."""
        hosts = ",".join("127.0.0.1" for _ in self.ports)
        ports = ",".join(map(str, self.ports.values()))
        return f"host={hosts} port={ports} user=postgres password=secret dbname=postgres"

    async def connect(self) -> None:
        """Wait until a server accepts writes."""
        async with asyncio.timeout(WAIT_S):
            while True:
                with contextlib.suppress(DatabaseUnavailableError):
                    await (await open_connection(self.dsn, "test", autocommit=True)).close()
                    return
                await asyncio.sleep(0.05)

    def leader(self) -> str:
        """The server that is the primary."""
        for name, port in self.ports.items():
            pid_file = self.folder / name / "data" / "postmaster.pid"
            is_standby = (self.folder / name / "data" / "standby.signal").exists()
            if port and pid_file.exists() and not is_standby:
                return name
        raise AssertionError("there is no leader")

    def kill(self, name: str) -> None:
        """End a server and its Patroni, as a power failure does."""
        patroni = self.processes.pop(name)
        patroni.kill()
        patroni.wait(WAIT_S)
        pid = int((self.folder / name / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@contextlib.asynccontextmanager
async def run_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Start etcd and two Patronis; ends when both servers run, and commits wait for the standby."""
    etcd = f"127.0.0.1:{free_port()}"
    cluster = Cluster(
        folder,
        {name: free_port() for name in NAMES},
        {name: free_port() for name in NAMES},
        {},
    )
    peer = f"http://127.0.0.1:{free_port()}"
    etcd_command = [
        find_program("etcd"),
        *("--data-dir", str(folder / "etcd"), "--name", "one"),
        *("--listen-client-urls", f"http://{etcd}", "--advertise-client-urls", f"http://{etcd}"),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"one={peer}"),
    ]
    try:
        cluster.processes["etcd"] = _start(folder / "etcd.log", etcd_command)
        for name in NAMES:
            config = folder / f"{name}.yml"
            config.write_text(json.dumps(_config(cluster, name, etcd)))  # JSON is YAML
            command = PrivatePostgres._drop_root([find_program("patroni"), str(config)])
            cluster.processes[name] = _start(folder / f"{name}.log", command)
        await cluster.connect()
        await _wait_for_synchronous_standby(cluster)
        yield cluster
    finally:
        for process in cluster.processes.values():
            process.terminate()
        for process in cluster.processes.values():
            process.wait(WAIT_S)


def _config(cluster: Cluster, name: str, etcd: str) -> dict[str, object]:
    """As docs/high-availability.md has it, on loopback."""
    folder = cluster.folder / name
    folder.mkdir()
    address = f"127.0.0.1:{cluster.ports[name]}"
    rest = f"127.0.0.1:{cluster.rest_ports[name]}"
    return {
        "scope": "piwheels",
        "name": name,
        "restapi": {"listen": rest, "connect_address": rest},
        "etcd3": {"hosts": [etcd]},
        "bootstrap": {
            "dcs": {
                "ttl": 20,
                "loop_wait": 5,
                "retry_timeout": 5,
                "synchronous_mode": True,
                "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 100}},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
        },
        "postgresql": {
            "listen": address,
            "connect_address": address,
            "data_dir": str(folder / "data"),
            "bin_dir": str(_server_programs()),
            "parameters": {"unix_socket_directories": str(folder)},
            "pgpass": str(folder / "pgpass"),
            "pg_hba": [
                "host all all 127.0.0.1/32 scram-sha-256",
                "host replication replicator 127.0.0.1/32 scram-sha-256",
            ],
            "authentication": {
                "superuser": {"username": "postgres", "password": "secret"},
                "replication": {"username": "replicator", "password": "secret2"},
            },
        },
    }


def _server_programs() -> Path:
    """Debian's newest server: Patroni does not know what is newer than itself."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"))


def _start(log: Path, command: list[str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)


async def _wait_for_synchronous_standby(cluster: Cluster) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            connection = await open_connection(cluster.dsn, "test", autocommit=True)
            async with connection:
                cursor = await connection.execute(
                    "SELECT count(*) AS n FROM pg_stat_replication WHERE sync_state = 'sync'"
                )
                row = await cursor.fetchone()
            if row and row["n"]:
                return
            await asyncio.sleep(0.2)


async def test_a_farm_goes_on_after_patroni_replaced_a_killed_leader(tmp_path: Path) -> None:
    with fake_index() as upstream:
        async with run_cluster(tmp_path) as cluster:
            await upgrade(cluster.dsn)
            (tmp_path / "first").mkdir()
            master = await prepare_master(tmp_path / "first", cluster.dsn, upstream)
            assert await find_replication_risk(master.db) == ""
            await master.db.close()
            farm = Farm([master], tmp_path)
            await master.start()
            async with farm.builders(3) as builders:
                await farm.add_releases(cluster.dsn, range(60))
                await wait_until(lambda: sum(len(it.acknowledged) for it in builders) >= 6)
                leader = cluster.leader()
                killed = time.monotonic()
                cluster.kill(leader)
                await asyncio.sleep(1.0)  # what was acknowledged before has arrived
                before = {build for it in builders for build in it.acknowledged}
                await cluster.connect()
                new_primary_s = time.monotonic() - killed
                clock = Stopwatch()
                await wait_until(
                    lambda: {build for it in builders for build in it.acknowledged} - before
                )
                print(
                    f"\nPatroni's leader killed: new primary after {new_primary_s:.1f} s, a build "
                    f"acknowledged {clock.wall_s:.1f} s later"
                )
                assert clock.seconds < 5.0
                await wait_until(
                    lambda: (
                        sum(len(it.acknowledged) for it in builders) >= 20
                        or master.process is None
                        or master.process.poll() is not None
                    )
                )
                acknowledged = {build for it in builders for build in it.acknowledged}
            assert master.process is not None, "it was stopped"
            assert master.process.poll() is None, master.log
            async with await Database.connect(cluster.dsn, role="test") as db:
                rows = await db.rows("SELECT build_id FROM builds")
                assert acknowledged <= {row["build_id"] for row in rows}
                # Its only standby is gone: commits no longer wait.
                assert "synchronous_mode" in await find_replication_risk(db)
            master.stop()
