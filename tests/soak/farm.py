"""The farm of a soak: PostgreSQL, and the daemons as processes that can be restarted."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from piwheels.config import to_toml
from piwheels.protocol.keys import MASTER, KeyStore, Role
from tests.accesslog.log_generator import LogGenerator
from tests.local.processes import descendants, is_alive
from tests.ports import free_port

BUILDERS = 16
_STOP_TIMEOUT_S = 60.0


@dataclass
class Daemon:
    """A process of the farm, with a log of its own."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    environ: dict[str, str] = field(default_factory=dict)
    stdin: int = subprocess.DEVNULL

    def start(self) -> None:
        """Start it."""
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=self.stdin,
                stdout=log,
                stderr=log,
                env=os.environ | self.environ,
            )

    def end(self, number: signal.Signals) -> None:
        """End it by a signal, and wait for it and for what it started."""
        if self.process is None:
            return
        family = descendants(self.process.pid)
        self.process.send_signal(number)
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                if number is signal.SIGKILL and is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
        self.process = None

    def restart(self, number: signal.Signals) -> None:
        """End it, and start it again."""
        self.end(number)
        self.start()

    def pids(self) -> list[int]:
        """It, and what it started."""
        return [self.process.pid, *descendants(self.process.pid)] if self.process else []

    def check(self) -> None:
        """Raise AssertionError if it ended by itself."""
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"{self.name} ended with {code}:\n{self.log.read_text()[-3000:]}"


@dataclass
class SoakFarm:
    """A farm in one folder, on a database.

    data: where the daemons write, if that is another folder.
    builders: how many there are; their options are those of `tests.soak.builders`.
    """

    folder: Path
    dsn: str
    data: Path | None = None
    builders: int = BUILDERS
    builder_options: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    builder_port: int = field(default_factory=free_port)
    upload_port: int = field(default_factory=free_port)
    daemons: dict[str, Daemon] = field(init=False)
    traffic: LogGenerator = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = LogGenerator(1, day=datetime.now(UTC).date())
        data = self.data or self.folder
        keys = KeyStore(data / "keys")
        keys.load_or_generate(MASTER)
        for number in range(self.builders):
            pair = keys.generate(f"soak-{number}")
            keys.authorize(Role.BUILDER, f"soak-{number}", pair.public)
        self.access_log.touch()
        self.config.write_text(
            to_toml(
                {
                    "database.dsn": self.dsn,
                    "webroot.root": str(data / "www"),
                    "webroot.deletion_delay_s": 30.0,
                    "master.control_bind": f"ipc://{self.folder / 'control'}",
                    "master.builder_bind": f"tcp://127.0.0.1:{self.builder_port}",
                    "master.upload_bind": f"tcp://127.0.0.1:{self.upload_port}",
                    "master.key_dir": str(data / "keys"),
                    "master.spool_dir": str(data / "spool"),
                    "master.metrics_bind": "",
                    "upstream.url": "http://127.0.0.1:9/simple/",
                    "upstream.method": "poll",
                    "accesslog.spool_dir": str(data / "accesslog"),
                    "accesslog.metrics_bind": "",
                    **self.settings,
                }
            )
        )
        module = [sys.executable, "-m"]
        piw = [*module, "piwheels"]
        served = (str(data), str(self.builder_port), str(self.upload_port), str(self.builders))
        commands = {
            "master": [*piw, "master", "run", "--config", str(self.config)],
            "builders": [*module, "tests.soak.builders", *served, *self.builder_options],
            "reader": [
                *(*piw, "accesslog", "--config", str(self.config)),
                *("--follow", str(self.access_log)),
            ],
        }
        self.daemons = {
            name: Daemon(name, command, self.folder / f"{name}.log")
            for name, command in commands.items()
        }

    @property
    def config(self) -> Path:
        """The daemons' settings."""
        return self.folder / "piwheels.toml"

    @property
    def access_log(self) -> Path:
        """The web server's log."""
        return self.folder / "access.log"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """All daemons, until the end."""
        try:
            for daemon in self.daemons.values():
                daemon.start()
            yield
        finally:
            for daemon in reversed(self.daemons.values()):
                daemon.end(signal.SIGTERM)

    def write_accesses(self, count: int) -> None:
        """Append lines to the access log."""
        with self.access_log.open("ab") as log:
            log.writelines(self.traffic.lines(count))

    def rotate_access_log(self) -> None:
        """Begin a new access log, as logrotate does."""
        self.access_log.rename(self.folder / "access.log.1")
        self.access_log.touch()
