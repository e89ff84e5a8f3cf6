"""Routes to a master's control socket: direct, or through ssh as ssh://user@host/socket.

The tunnel is a child `ssh -N -L` with a local socket in a private directory. It never asks for a
password (the terminal is the console's) and ends with this process.
"""

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from piwheels.errors import PiwheelsError, UsageError
from piwheels.protocol.client import end_tasks
from piwheels.tui.client.tunnel_dir import TunnelDir

#: Where a master listens unless its configuration says otherwise.
DEFAULT_SOCKET = "/run/piwheels/control.sock"

_CONNECT_TIMEOUT_S = 10
_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 2.0
_POLL_S = 0.02


class TunnelError(PiwheelsError):
    """ssh failed; one line with its last message."""


class Route(Protocol):
    """A route to a master's socket."""

    async def open(self) -> str:
        """Open the route unless it is open; returns the address to connect to.

        Raises:
            PiwheelsError: it cannot be opened, and why.
        """
        ...

    def describe_failure(self, reason: str) -> str:
        """The reason for a failure, with what the route knows about it."""
        ...

    async def close(self) -> None:
        """Close the route."""
        ...


class DirectRoute:
    """An address of ZeroMQ: ipc:// or tcp://."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def open(self) -> str:
        """The address itself."""
        return self._address

    def describe_failure(self, reason: str) -> str:
        """The reason itself."""
        return reason

    async def close(self) -> None:
        """Nothing to close."""


class SshAddress(NamedTuple):
    """The remote end; `host` as ssh takes it, with the user before it."""

    host: str
    port: int | None
    socket: str


def parse_ssh_url(address: str) -> SshAddress:
    """Read ssh://[user@]host[:port][/path/of/the/socket].

    Raises:
        UsageError: it is not valid; one line says why.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{address}: {error}") from None
    host = parts.hostname or ""
    if parts.username:
        host = f"{unquote(parts.username)}@{host}"
    if parts.scheme != "ssh" or not parts.hostname:
        raise UsageError(f"{address!r} is not ssh://user@host or ssh://user@host/path/of/socket")
    if parts.password is not None or parts.query or parts.fragment:
        raise UsageError(f"{address}: an ssh address cannot have a password, ? or #")
    if host.startswith("-") or not host.isprintable() or " " in host:
        raise UsageError(f"{address}: {host!r} is not a host")
    socket = unquote(parts.path) if parts.path not in {"", "/"} else DEFAULT_SOCKET
    if ":" in socket or not socket.isprintable():
        raise UsageError(f"{address}: ssh cannot forward a socket with that name")
    return SshAddress(host, port, socket)


class SshTunnel:
    """A tunnel to a socket on another machine; reopened when ssh has ended."""

    def __init__(self, address: str, *, program: str = "ssh") -> None:
        """Raises UsageError for an invalid address."""
        self._remote = parse_ssh_url(address)
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._stderr_reader: asyncio.Task[None] | None = None
        self._local_dir: TunnelDir | None = None
        self._last_line = ""  # ssh's last line

    async def open(self) -> str:
        """Start ssh unless it runs; returns the local address.

        Raises:
            TunnelError: ssh is missing, was rejected, or does not become ready.
        """
        if self._process is None or self._process.returncode is not None:
            await self.close()
            try:
                await self._start()
            except BaseException:
                await self.close()
                raise
        self._last_line = ""
        return f"ipc://{self._socket}"

    def describe_failure(self, reason: str) -> str:
        """The reason, with the last message of ssh."""
        if not self._last_line:
            return reason
        if "open failed" in self._last_line:
            # sshd does not say which of the two it was.
            return (
                f"no master listens at {self._remote.socket} on {self._remote.host}, "
                "or this account "
                f"has no permission (ssh: {self._last_line})"
            )
        return f"{reason} (ssh: {self._last_line})"

    async def close(self) -> None:
        """Stop ssh, and delete the local socket."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            await _stop_process(process)
        try:
            if self._stderr_reader is not None:
                await end_tasks(self._stderr_reader)
        finally:
            self._stderr_reader = None
            if self._local_dir is not None:
                self._local_dir.delete()
                self._local_dir = None

    async def _start(self) -> None:
        try:
            self._local_dir = TunnelDir()
        except OSError as error:
            raise TunnelError(f"no directory for the tunnel's local socket: {error}") from None
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # no terminal: it cannot prompt, nor be interrupted
            )
        except OSError as error:
            raise TunnelError(f"cannot run {self._program}: {error.strerror}") from None
        self._stderr_reader = asyncio.create_task(self._read_stderr(self._process))
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                await self._wait_until_ready(self._process)
        except TimeoutError:
            await self.close()
            raise TunnelError(
                f"ssh to {self._remote.host} was not ready in {_READY_TIMEOUT_S:.0f} s"
            ) from None

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        while not self._socket.exists():
            if process.returncode is not None:
                if self._stderr_reader:
                    await self._stderr_reader
                message = self._last_line or f"it ended with {process.returncode}"
                raise TunnelError(f"ssh to {self._remote.host}: {message}")
            await asyncio.sleep(_POLL_S)

    @property
    def _socket(self) -> Path:
        return self._local_dir.socket if self._local_dir else Path()

    def _command(self) -> list[str]:
        options = (
            "BatchMode=yes",
            "ExitOnForwardFailure=yes",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
            f"ConnectTimeout={_CONNECT_TIMEOUT_S}",
            "ControlPath=none",  # a shared connection would outlive this process
            "RemoteCommand=none",
            "PermitLocalCommand=no",
            "ForwardAgent=no",
            "ForwardX11=no",
            "StreamLocalBindMask=0177",
        )
        command = [self._program, "-N", "-T", "-L", f"{self._socket}:{self._remote.socket}"]
        for option in options:
            command += ["-o", option]
        if self._remote.port is not None:
            command += ["-p", str(self._remote.port)]
        return [*_die_with_parent_prefix(), *command, "--", self._remote.host]

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last line of ssh, which must not block on a full pipe either."""
        if process.stderr is None:
            return
        while line := await _read_line(process.stderr):
            text = line.decode(errors="replace").strip()
            if text and not text.startswith(("Warning: Permanently added", "debug")):
                self._last_line = text[:300]


def route_to(address: str) -> Route:
    """The route to an address.

    Raises:
        UsageError: the address is not valid.
    """
    if address.startswith("ssh://"):
        return SshTunnel(address)
    if not address.startswith(("ipc://", "tcp://")):
        raise UsageError(
            f"{address!r} is not an address of a master: use ipc://SOCKET, tcp://HOST:PORT or "
            "ssh://USER@HOST"
        )
    return DirectRoute(address)


async def _read_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # longer than the reader's limit; the rest follows
        return b"\n"


async def _stop_process(process: asyncio.subprocess.Process) -> None:
    for signal_it in (process.terminate, process.kill):
        with suppress(ProcessLookupError):
            signal_it()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
                return


def _die_with_parent_prefix() -> list[str]:
    setpriv = shutil.which("setpriv", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []
