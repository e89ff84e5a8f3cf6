"""The machine of the master vanishes: no FIN tells the database, and a standby takes over."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg import conninfo

from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from tests.control.conftest import prepare_master
from tests.failover.farm import Farm, standby_of
from tests.failover.masters import wait_for_master
from tests.fake_index import fake_index
from tests.timeouts import Stopwatch
from tests.tui.source_probe import wait_until

pytestmark = [pytest.mark.farm, pytest.mark.slow]


class Machine(NamedTuple):
    """A network namespace that a pair of interfaces connects with this one."""

    name: str
    own_address: str
    address: str

    def run(self, *command: str) -> None:
        subprocess.run(["ip", "netns", "exec", self.name, *command], check=True)

    def cut(self) -> None:
        """Nothing arrives there, and nothing comes from there."""
        self.run("ip", "link", "set", "eth0", "down")


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Another machine on a network of two."""
    number = os.getpid() % 250
    own = Machine(f"piwtest{number}", f"10.231.{number}.1", f"10.231.{number}.2")
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    if subprocess.run(["ip", "netns", "add", own.name], check=False).returncode:
        pytest.skip("network namespaces cannot be made here")
    outer = f"piwt{number}"
    try:
        for command in (
            f"ip link add {outer} type veth peer name eth0 netns {own.name}",
            f"ip addr add {own.own_address}/24 dev {outer}",
            f"ip link set {outer} up",
        ):
            subprocess.run(command.split(), check=True)
        own.run("ip", "addr", "add", f"{own.address}/24", "dev", "eth0")
        own.run("ip", "link", "set", "eth0", "up")
        own.run("ip", "link", "set", "lo", "up")
        yield own
    finally:
        subprocess.run(["ip", "netns", "del", own.name], check=False)


@contextlib.asynccontextmanager
async def run_server(folder: Path, address: str) -> AsyncIterator[PrivatePostgres]:
    """A server that other machines reach at an address, with the schema."""
    server = PrivatePostgres(folder, durable=False)
    server._server_settings["listen_addresses"] = address
    async with server:
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address}/24 scram-sha-256\n")
        async with await psycopg.AsyncConnection.connect(server.dsn) as admin:
            await admin.execute("SELECT pg_reload_conf()")
        await upgrade(server.dsn)
        yield server


async def test_a_standby_takes_over_when_the_master_s_machine_vanished(
    tmp_path: Path, machine: Machine
) -> None:
    (tmp_path / "first").mkdir()
    with fake_index() as upstream:
        async with run_server(tmp_path / "pg", machine.own_address) as server:
            there = conninfo.make_conninfo(server.dsn, host=machine.own_address)
            first = await prepare_master(tmp_path / "first", there, upstream)
            await first.db.close()
            first.settings["master.metrics_bind"] = ""
            standby = standby_of(first, tmp_path / "standby")
            standby.settings["database.dsn"] = server.dsn
            for socket, port in (("builder_bind", 5555), ("upload_bind", 5556)):
                first.settings[f"master.{socket}"] = f"tcp://{machine.address}:{port}"
            first.prefix = ("ip", "netns", "exec", machine.name)
            farm = Farm([first, standby], tmp_path)
            await first.start()
            farm.start_standby(standby)
            assert first.process is not None
            try:
                async with farm.builders(2) as builders:
                    await wait_until(lambda: all(it.welcomes for it in builders))
                    await wait_until(lambda: "standby: the master runs" in standby.log)
                    first.process.send_signal(signal.SIGSTOP)
                    machine.cut()
                    clock = Stopwatch()
                    await wait_for_master(standby.control)
                    taken_over_s = clock.wall_s
                    assert clock.seconds < 30.0
                    second = standby.settings["master.builder_bind"]
                    await wait_until(lambda: all(it.welcomes[-1] == second for it in builders))
                    print(
                        f"\nthe master's machine vanished: standby answers {taken_over_s:.1f} s, "
                        f"builders {clock.wall_s:.1f} s"
                    )
                    await farm.add_releases(server.dsn, [1, 2])
                    await wait_until(lambda: sum(len(it.acknowledged) for it in builders) >= 2)
            finally:
                first.stop(signal.SIGKILL)
                standby.stop()
            await asyncio.sleep(0)
