"""The console through ssh: a real sshd on loopback, and its faults."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from piwheels.config import Config
from piwheels.errors import UsageError
from piwheels.protocol.messages import Pause
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.client.ssh_tunnel import (
    DEFAULT_SOCKET,
    SshAddress,
    SshTunnel,
    TunnelError,
    parse_ssh_url,
)
from piwheels.tui.client.tunnel_dir import TunnelDir
from piwheels.tui.model.command_status import CommandState
from piwheels.tui.model.source_events import Connected, Disconnected
from tests.requires import requires_program
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.server import control_address
from tests.tui.real_sshd import Sshd, descendants, sshd, stand_in
from tests.tui.source_probe import SourceProbe, wait_until

__all__ = ["sshd", "stand_in"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ssh://pi", ("pi", None, "/run/piwheels/control.sock")),
        ("ssh://ada@pi/", ("ada@pi", None, "/run/piwheels/control.sock")),
        ("ssh://ada@pi:2222/tmp/a%20b.sock", ("ada@pi", 2222, "/tmp/a b.sock")),
        ("ssh://ada@[::1]/s", ("ada@::1", None, "/s")),
    ],
)
def test_addresses_are_parsed(address: str, expected: tuple[str, int | None, str]) -> None:
    assert parse_ssh_url(address) == SshAddress(*expected)


@pytest.mark.parametrize(
    "address",
    [
        "ssh://", "ssh:///socket", "ssh://ada@", "ssh://pi:port", "ssh://pi:99999",
        "ssh://ada:secret@pi", "ssh://-oProxyCommand=evil/", "ssh://pi/a:b", "ssh://pi/s?x",
        "ssh://%2doProxyCommand=evil@pi", "ssh://a%20b@pi", "ssh://pi/a%0ab",
    ],
)  # fmt: skip
def test_invalid_addresses_are_rejected_in_one_line(address: str) -> None:
    with pytest.raises(UsageError) as refusal:
        MasterConnection(address)
    assert "\n" not in str(refusal.value)


def test_the_default_socket_is_that_of_the_master() -> None:
    assert Config().master.control_bind == f"ipc://{DEFAULT_SOCKET}"


# --- a stand-in for ssh ---


async def test_the_last_line_of_ssh_is_the_reason(stand_in: Path) -> None:
    stand_in.write_text("#!/bin/sh\necho chatter >&2\necho 'Permission denied.' >&2\nexit 255\n")
    with pytest.raises(TunnelError, match=r"^ssh to ada@pi: Permission denied\.$"):
        await SshTunnel("ssh://ada@pi").open()
    stand_in.write_text("#!/bin/sh\nexit 7\n")
    with pytest.raises(TunnelError, match=r"^ssh to ada@pi: it ended with 7$"):
        await SshTunnel("ssh://ada@pi").open()


async def test_a_missing_ssh_is_reported(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piwheels.tui.client.ssh_tunnel._die_with_parent_prefix", list)
    stand_in.unlink()
    with pytest.raises(TunnelError, match="cannot run nossh: No such file"):
        await SshTunnel("ssh://ada@pi", program="nossh").open()


async def test_a_hanging_ssh_times_out(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piwheels.tui.client.ssh_tunnel._READY_TIMEOUT_S", 0.3)
    monkeypatch.setattr("piwheels.tui.client.ssh_tunnel._STOP_TIMEOUT_S", 0.2)
    stand_in.write_text("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n")
    with pytest.raises(TunnelError, match=r"was not ready in 0 s"):
        await SshTunnel("ssh://ada@pi").open()


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory where the path of a socket is always short enough."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def test_directories_of_killed_consoles_are_removed_and_of_running_ones_kept(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_dir))
    living = TunnelDir()
    code = (
        "import os; from piwheels.tui.client.tunnel_dir import TunnelDir;"
        "print(TunnelDir().socket.parent, flush=True); os.kill(os.getpid(), 9)"
    )
    other = subprocess.run([sys.executable, "-c", code], check=False, stdout=-1, text=True)
    killed = Path(other.stdout.strip())
    begun, old = (short_dir / f"piw-tunnel-{name}" for name in ("begun", "old"))
    for folder in (begun, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    (short_dir / "piw-tunnel-link").symlink_to(short_dir, target_is_directory=True)
    assert killed.parent == short_dir
    another = TunnelDir()
    assert {killed.exists(), old.exists()} == {False}
    assert living.socket.parent.exists()
    assert begun.exists()
    living.delete()
    another.delete()
    assert sorted(short_dir.iterdir()) == [begun, short_dir / "piw-tunnel-link"]


def test_a_tunnel_socket_is_created_where_its_path_is_short_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    end = TunnelDir()
    assert end.socket.parent.parent == Path("/tmp")
    assert end.socket.parent.stat().st_mode & 0o777 == 0o700
    end.delete()


# --- a real one ---


def _ssh_children() -> list[int]:
    found = []
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            if b"StreamLocalBindMask" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    async with SimFarm(control_address(tmp_path), FarmModel(builders=4), hz=5) as farm:
        yield farm


@requires_program("sshd")
async def test_a_farm_is_watched_and_commanded_through_ssh(sshd: Sshd, farm: SimFarm) -> None:
    link = MasterConnection(sshd.address)
    async with SourceProbe(link) as listener:
        await listener.next(Connected)
        assert len(_ssh_children()) == 1
        last = await link.command(Pause(), description="pause")
        assert last.state is CommandState.APPLIED
        await wait_until(lambda: listener.state.paused)
    assert farm.model.paused
    await wait_until(lambda: not _ssh_children())


@pytest.mark.slow
@requires_program("sshd")
async def test_disconnections_on_both_sides_of_ssh_are_reported_and_repaired(
    sshd: Sshd, farm: SimFarm
) -> None:
    async with SourceProbe(MasterConnection(sshd.address)) as listener:
        await listener.next(Connected)
        await farm.stop()
        await listener.next(Disconnected)
        await wait_until(lambda: "no master listens at" in listener.state.lost_reason)
        farm.start()
        assert (await listener.next(Connected)).same_master is True
        await sshd.stop()
        await listener.next(Disconnected)
        await wait_until(lambda: "Connection refused" in listener.state.lost_reason)
        assert listener.state.lost_reason.startswith("ssh to ")
        await sshd.start()
        await listener.next(Connected)


@requires_program("sshd")
async def test_an_unknown_key_is_rejected_in_one_line(sshd: Sshd, farm: SimFarm) -> None:
    (sshd.folder / "ours.pub").write_text("")
    async with SourceProbe(MasterConnection(sshd.address)) as listener:
        reason = (await listener.next(Disconnected)).reason
    assert "Permission denied" in reason
    assert "\n" not in reason


@requires_program("sshd")
@requires_program("setpriv")
async def test_ssh_ends_with_a_killed_console(
    sshd: Sshd, farm: SimFarm, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_dir))
    code = (
        "import asyncio, sys\n"
        "from piwheels.tui.client.connection import MasterConnection\n"
        "async def main():\n"
        "    async for event in MasterConnection(sys.argv[1]).events():\n"
        "        print(type(event).__name__, flush=True)\n"
        "asyncio.run(main())\n"
    )
    console = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, sshd.address, stdout=asyncio.subprocess.PIPE
    )
    assert console.stdout is not None
    assert await console.stdout.readline() == b"Connected\n"
    [ssh] = _ssh_children()
    console.kill()
    await console.wait()
    await wait_until(lambda: not Path(f"/proc/{ssh}").exists())
    [left] = short_dir.glob("piw-*")  # nobody was there to remove it
    async with SourceProbe(MasterConnection(sshd.address)) as listener:
        await listener.next(Connected)
        assert not left.exists()
