"""One console and its farms: over TCP with keys, through ssh, and one that is away."""

import getpass
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from piwheels.protocol import messages as m
from piwheels.protocol.keys import MASTER, KeyStore, Role
from tests.control.conftest import Master, empty_upstream, prepare_master
from tests.fake_index import FakeIndex
from tests.ports import free_port
from tests.requires import requires_program
from tests.tui.pty_session import PtySession
from tests.tui.real_sshd import Sshd, sshd, stand_in

__all__ = ["empty_upstream", "sshd", "stand_in"]

pytestmark = [pytest.mark.slow, requires_program("sshd")]


@asynccontextmanager
async def running_master(
    folder: Path, dsn: str, upstream: FakeIndex, **settings: str
) -> AsyncIterator[Master]:
    folder.mkdir()
    master = await prepare_master(folder, dsn, upstream)
    await master.start(**settings)
    yield master
    master.stop()
    await master.db.close()


@pytest.fixture
async def by_tcp(tmp_path: Path, dsn: str, empty_upstream: FakeIndex) -> AsyncIterator[Master]:
    """A master that listens for consoles with keys."""
    bind = f"tcp://127.0.0.1:{free_port()}"
    async with running_master(tmp_path / "t", dsn, empty_upstream, control_tcp_bind=bind) as master:
        master.settings["master.control_tcp_bind"] = bind
        yield master


@pytest.fixture
async def by_ssh(tmp_path: Path, empty_upstream: FakeIndex) -> AsyncIterator[Master]:
    """A master with a socket on its machine, and a server of its own: two are too much for one."""
    async with PrivatePostgres(tmp_path / "pg", durable=False) as postgres:
        await upgrade(postgres.dsn)
        async with running_master(tmp_path / "s", postgres.dsn, empty_upstream) as master:
            yield master


@pytest.fixture
def environ(tmp_path: Path, by_tcp: Master, by_ssh: Master, sshd: Sshd) -> dict[str, str]:
    """A user whose console.toml has both, and a farm that nobody listens for."""
    keys = KeyStore(tmp_path / "console-keys")
    by_tcp.keys.authorize(Role.ADMINISTER, "desk", keys.generate("console").public)
    socket = by_ssh.control.removeprefix("ipc://")
    file = tmp_path / "config" / "piwheels" / "console.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        f"""
        [contexts.wired]
        address = "{by_tcp.settings["master.control_tcp_bind"]}"
        key_dir = "{keys.key_dir}"
        master_key = "{by_tcp.keys.require(MASTER).public}"
        color = "green"
        [contexts.distant]
        address = "ssh://{getpass.getuser()}@127.0.0.1:{sshd.port}{socket}"
        color = "red"
        [contexts.away]
        address = "ssh://{getpass.getuser()}@127.0.0.1:{free_port()}/nowhere.sock"
        color = "yellow"
        """
    )
    return {
        "PATH": os.environ["PATH"],  # the ssh that knows the key
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "XDG_RUNTIME_DIR": "",
        "XDG_CONFIG_HOME": f"{tmp_path}/config",
        "XDG_STATE_HOME": f"{tmp_path}/state",
    }


async def is_paused(master: Master) -> bool:
    return (await master.ask(m.Status(), m.StatusReply)).paused


async def commands_of(master: Master) -> list[str]:
    """The commands that operators gave it, in their order."""
    rows = await master.db.rows("SELECT text FROM events WHERE outcome <> '' ORDER BY event_id")
    return [row["text"].partition(" ")[0] for row in rows]


async def test_commands_go_to_the_farm_that_is_shown(
    environ: dict[str, str], by_tcp: Master, by_ssh: Master
) -> None:
    command = [sys.executable, "-m", "piwheels", "tui", "--context", "wired"]
    with PtySession(command, width=120, height=40, environ=environ) as terminal:
        terminal.wait_for(lambda lines: " wired " in lines[0] and "running" in lines[0])
        green = terminal.look_of("wired")

        # A command over TCP.
        terminal.press("p")
        terminal.wait_for(lambda lines: "PAUSED" in lines[0])
        assert (await is_paused(by_tcp), await is_paused(by_ssh)) == (True, False)

        # By key to the farm behind ssh: it runs.
        terminal.press("F")
        terminal.wait_for_text("away")
        terminal.press("\x1b[B\r")
        terminal.wait_for(lambda lines: " distant " in lines[0] and "running" in lines[0])
        red = terminal.look_of("distant")
        assert green.isdisjoint(red)
        terminal.press("p")
        terminal.wait_for(lambda lines: "PAUSED" in lines[0])
        assert (await is_paused(by_tcp), await is_paused(by_ssh)) == (True, True)

        # By the finder to the one that is away: it says why, and takes no command.
        terminal.press("\x0baway")
        terminal.wait_for_text("leave distant, and show away")
        terminal.press("\r")
        terminal.wait_for(lambda lines: any("Connection refused" in line for line in lines))
        terminal.press("r")

        # And back, while it still tries: the first resumes, the other stays paused.
        terminal.press("\x0bwired")
        terminal.wait_for_text("leave away, and show wired")
        terminal.press("\r")
        terminal.wait_for(lambda lines: " wired " in lines[0] and "PAUSED" in lines[0])
        assert terminal.look_of("wired") == green
        terminal.press("r")
        terminal.wait_for(lambda lines: "running" in lines[0])
        assert (await is_paused(by_tcp), await is_paused(by_ssh)) == (False, True)
        terminal.press("q")
        assert terminal.end() == 0
    assert await commands_of(by_tcp) == ["pause", "resume"]
    assert await commands_of(by_ssh) == ["pause"]
