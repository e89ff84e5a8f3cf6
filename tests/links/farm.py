"""A farm whose master, builders and consoles are in network namespaces."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from piwheels.config import to_toml
from piwheels.db import catalog
from piwheels.db.database import Database
from piwheels.protocol.keys import MASTER, KeyStore, Role
from tests.db.scenario import RULES, make_release
from tests.links.builder import BUILDER_PORT, UPLOAD_PORT, project_name, write_wheel
from tests.links.console import CONTROL_PORT, Entry
from tests.links.network import Link, Network
from tests.scheduler.message_factories import offer
from tests.soak.farm import Daemon
from tests.timeouts import WAIT_S


@dataclass
class Console:
    """A console at the far end of a link."""

    process: subprocess.Popen[str]
    entries: list[Entry] = field(default_factory=list)

    def read(self) -> None:
        """Collect what it prints until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.entries.append(msgspec.json.decode(line, type=Entry))

    def skip(self, project: str) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{project}\n")
        self.process.stdin.flush()

    def since(self, at: float, what: str) -> list[Entry]:
        """What it has shown of a kind since a time of the monotonic clock."""
        return [entry for entry in list(self.entries) if entry.at >= at and entry.what == what]

    def results(self) -> dict[str, Entry]:
        """The last state of each command."""
        return {entry.project: entry for entry in list(self.entries) if entry.project}


@dataclass
class LinkedFarm:
    """A master in the middle of a network; builders and consoles are added to links."""

    folder: Path
    network: Network
    stack: ExitStack
    master: Daemon

    @property
    def webroot(self) -> Path:
        """The files that are served."""
        return self.folder / "www"

    def add_builder(
        self, link: Link, name: str = "builder", environment: Mapping[str, str] | None = None
    ) -> Daemon:
        """Start a builder at the far end of a link."""
        self._key(name, Role.BUILDER)
        daemon = self._daemon(link, "builder", name, environment or {})
        daemon.start()
        return daemon

    def add_console(self, link: Link, name: str = "console") -> Console:
        """Start a console at the far end of a link."""
        self._key(name, Role.ADMINISTER)
        process = self.stack.enter_context(
            subprocess.Popen(
                self._command(link, "console", name),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        self.stack.callback(process.kill)
        console = Console(process)
        threading.Thread(target=console.read, daemon=True).start()
        return console

    def piw(self, *arguments: str) -> str:
        """What a command on the master's machine prints."""
        command = [sys.executable, "-m", "piwheels", *arguments, "--config", str(self.config)]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=WAIT_S
        ).stdout

    def status(self) -> str:
        """What `piw status` prints; "" while the master starts."""
        try:
            return self.piw("status")
        except subprocess.CalledProcessError:
            return ""

    @property
    def config(self) -> Path:
        """The master's settings."""
        return self.folder / "piwheels.toml"

    def check_wheel(self, project: str, version: str = "1.0") -> None:
        """The wheel that is served is the one that was built."""
        made = self.folder / "expected"
        made.mkdir(exist_ok=True)
        _, wheel_bytes, _, _ = project.split("-")
        expected = write_wheel(made, project, version, int(wheel_bytes))
        (served,) = self.webroot.glob(f"packages/*/*/{expected.name}")
        assert offer(served) == offer(expected)
        expected.unlink()

    def _key(self, name: str, role: Role) -> None:
        keys = KeyStore(self.folder / "keys")
        keys.authorize(role, name, keys.generate(name).public)

    def _daemon(
        self, link: Link, program: str, name: str, environment: Mapping[str, str]
    ) -> Daemon:
        log = self.folder / f"{name}.log"
        command = [*_with(environment), *self._command(link, program, name)]
        daemon = Daemon(name, command, log)
        self.stack.callback(daemon.end, signal.SIGKILL)
        return daemon

    def _command(self, link: Link, program: str, name: str) -> list[str]:
        module = [sys.executable, "-m", f"tests.links.{program}"]
        return [*link.inside(), *module, str(self.folder), name, link.master_address]


def _with(environment: Mapping[str, str]) -> list[str]:
    """What to put before a command to change its environment."""
    return ["env", *(f"{name}={value}" for name, value in environment.items())]


@contextmanager
def linked_farm(
    folder: Path,
    dsn: str,
    network: Network,
    settings: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[LinkedFarm]:
    """A running master in the middle of a network."""
    config = folder / "piwheels.toml"
    KeyStore(folder / "keys").load_or_generate(MASTER)
    config.write_text(
        to_toml(
            {
                "database.dsn": dsn,
                "webroot.root": "www",
                "webroot.project_list_interval_s": 1.0,
                "master.control_bind": f"ipc://{folder / 'control'}",
                "master.control_tcp_bind": f"tcp://*:{CONTROL_PORT}",
                "master.builder_bind": f"tcp://*:{BUILDER_PORT}",
                "master.upload_bind": f"tcp://*:{UPLOAD_PORT}",
                "master.key_dir": "keys",
                "master.spool_dir": "spool",
                "master.metrics_bind": "",
                "upstream.url": "http://127.0.0.1:9/simple/",
                "upstream.method": "poll",
                **(settings or {}),
            }
        )
    )
    piw = [sys.executable, "-m", "piwheels", "master", "run", "--config", str(config)]
    master = Daemon(
        "master", [*_with(environment or {}), *network.inside(), *piw], folder / "master.log"
    )
    with ExitStack() as stack:
        stack.callback(master.end, signal.SIGKILL)
        master.start()
        yield LinkedFarm(folder, network, stack, master)


async def queue_build(db: Database, wheel_bytes: int, log_bytes: int = 1000) -> str:
    """Queue a build whose wheel and log have these sizes; returns its project."""
    project = project_name(wheel_bytes, log_bytes)
    await catalog.add_project(db, project, project)
    await catalog.add_releases(db, [make_release(project)], RULES)
    return project


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> float:
    """Wait for a condition; returns the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, f"{what}: not within {timeout_s:.0f} s"
        time.sleep(0.05)
    return time.monotonic() - began
