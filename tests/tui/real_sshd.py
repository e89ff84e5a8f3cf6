"""A real sshd on loopback, and an ssh on $PATH that knows its key."""

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from piwheels.tui.client import connection as link_module
from tests.ports import free_port
from tests.requires import find_program, skip_or_fail


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A script named ssh on $PATH, which the test writes."""
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of processes that are begun
    yield script
    assert list(tmp_path.glob("piw-*")) == []  # its private folder is gone


@dataclass
class Sshd:
    """An sshd of the tests' own, for the account that runs them."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Where a console finds the farm's socket through it."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.folder}/control.sock"

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            find_program("sshd"), "-D", "-e", "-f", str(self.folder / "sshd_config"),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stderr is not None
        message = b""
        while b"listening on" not in message:
            line = await self.process.stderr.readline()
            assert line, message.decode()
            message += line

    async def stop(self) -> None:
        """End it with all its sessions."""
        if self.process is None:
            return
        for pid in (*descendants(self.process.pid), self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.process.wait()


def descendants(pid: int) -> list[int]:
    """All that descend from a process."""
    below = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                child = int(stat.parent.name)
                below += [child, *descendants(child)]
    return below


@pytest.fixture
async def sshd(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Sshd]:
    monkeypatch.setattr(link_module, "MIN_RETRY_DELAY_S", 0.05)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "ours"):
        made = await asyncio.create_subprocess_exec(
            find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)
        )
        assert await made.wait() == 0
    port = free_port()
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/ours.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"IdentityFile {tmp_path}/ours\nIdentitiesOnly yes\nStrictHostKeyChecking accept-new\n"
        f"UserKnownHostsFile {tmp_path}/known\n"
    )
    others = os.environ["PATH"].partition(":")[2]
    real = shutil.which("ssh", path=others) or skip_or_fail("ssh is not installed")
    stand_in.write_text(f'#!/bin/sh\nexec {real} -F {tmp_path}/ssh_config "$@"\n')
    server = Sshd(tmp_path, port)
    await server.start()
    if await _is_login_denied(server, stand_in):
        skip_or_fail(f"sshd lets no key into the account {getpass.getuser()}, which is locked")
    yield server
    await server.stop()


async def _is_login_denied(server: Sshd, ssh: Path) -> bool:
    """Whether sshd rejects every login of this account, as if its password is locked with `!`."""
    who = f"{getpass.getuser()}@127.0.0.1"
    trial = await asyncio.create_subprocess_exec(
        ssh, "-o", "BatchMode=yes", "-p", str(server.port), who, "true",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    if await trial.wait() != 255 or server.process is None or server.process.stderr is None:
        return False
    await server.stop()
    if b"account is locked" in await server.process.stderr.read():
        return True
    await server.start()
    return False
