"""A farm of real processes that can be killed, and cut off from power."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.crashes.client import Client
from tests.crashes.disk import Disk, Ordering
from tests.crashes.web_server import PipedWebServer
from tests.local.processes import all_pids, cmdline, descendants, is_alive
from tests.soak.farm import Daemon, SoakFarm

DELETION_DELAY_S = 3.0
BUILDERS = 4
#: That no process of a part was running.
NOTHING = "nothing"
_DAEMONS = ("master", "builders", "reader", "pipe")
_BUILDER_OPTIONS = ("--mean-build-s", "0.3", "--built-share", "0.85", "--wheel-bytes", "20000")
_SETTINGS: dict[str, object] = {
    "webroot.deletion_delay_s": DELETION_DELAY_S,
    # A build that was hit counts as a try that failed: here each is tried again at once.
    "master.retry_delay_s": 1.0,
    "master.max_attempts": 1000,
    "master.quarantine_after": 1000,
    "master.builder_timeout_s": 15.0,
}


class CrashFarm:
    """The daemons of a farm in one folder, and what they write in another."""

    def __init__(self, folder: Path, dsn: str, postgres_dir: Path) -> None:
        self.disk = folder / "disk"
        self.disk.mkdir()
        self.acknowledged = folder / "acknowledged"
        self._folder = folder
        self._postgres_dir = postgres_dir
        self.soak = SoakFarm(
            folder,
            dsn,
            data=self.disk,
            builders=BUILDERS,
            builder_options=(*_BUILDER_OPTIONS, "--acknowledged", str(self.acknowledged)),
            settings=_SETTINGS,
        )
        self.web_server = PipedWebServer()
        piped = [sys.executable, "-m", "piwheels", "accesslog", "--config", str(self.soak.config)]
        self.soak.daemons["pipe"] = Daemon(
            "pipe", piped, folder / "pipe.log", stdin=self.web_server.reader
        )
        self.client = Client(self.www, DELETION_DELAY_S)

    @property
    def www(self) -> Path:
        """The web root."""
        return self.disk / "www"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """All daemons and the client, until the end."""
        self.client.start()
        try:
            with self.soak.running():
                yield
        finally:
            self.client.end()
            self.web_server.end()

    def acknowledged_builds(self) -> dict[int, tuple[str, str]]:
        """The builds that builders were told are recorded: project and version of each."""
        text = self.acknowledged.read_text() if self.acknowledged.exists() else ""
        rows = [line.split(" ") for line in text.splitlines()]
        builds = {int(row[0]): (row[1], row[2]) for row in rows if len(row) == 3}
        return {int(row[0]): builds[int(row[0])] for row in rows if len(row) == 2}

    # --- kills ---

    def kill(self, part: str, chance: random.Random) -> str:
        """Kill a part of the farm with SIGKILL; returns what was hit."""
        if part == "postgres":
            return self._kill_postgres(chance)
        if part == "publisher":
            return self._kill_child_of_master(chance)
        name = {"builder": "builders", "accesslog": "reader"}.get(part, part)
        daemon = self.soak.daemons[name]
        pids = daemon.pids()
        if not pids:
            return NOTHING
        # A daemon's children have to end by themselves, or they die with it, as in one cgroup.
        _kill(pids if chance.random() < 0.5 else pids[:1])
        if daemon.process is not None:
            daemon.process.wait()
            daemon.process = None
        return name

    def _kill_child_of_master(self, chance: random.Random) -> str:
        children = [
            pid
            for pid in self.soak.daemons["master"].pids()[1:]
            if "resource_tracker" not in cmdline(pid)
        ]
        if not children:
            return NOTHING
        _kill([chance.choice(children)])
        return "child of master"

    def _kill_postgres(self, chance: random.Random) -> str:
        try:
            pid = int((self._postgres_dir / "data/postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return NOTHING
        backends = descendants(pid)
        if chance.random() < 0.3 and backends:
            _kill([chance.choice(backends)])
            return "backend of postgres"
        _kill([pid, *backends])
        return "postgres"

    def start_missing(self) -> list[str]:
        """Start what does not run; returns what had ended by itself."""
        ended = []
        for name in _DAEMONS:
            daemon = self.soak.daemons[name]
            if daemon.process is not None and daemon.process.poll() is not None:
                text = daemon.log.read_text(errors="replace")[-1500:]
                ended.append(f"{name} ended with {daemon.process.returncode}: {text}")
                daemon.process = None
            if daemon.process is None:
                daemon.start()
        return ended

    def orphans(self) -> list[str]:
        """Processes of this farm that belong to no daemon that runs."""
        ours = {os.getpid(), *descendants(os.getpid())}
        return [
            f"process {pid}: {cmdline(pid)[:200]}"
            for pid in all_pids()
            if pid not in ours and str(self._folder) in cmdline(pid) and is_alive(pid)
        ]

    # --- power ---

    @contextlib.contextmanager
    def recorded(self, library: Path, ordering: Ordering) -> Iterator["Recording"]:
        """What the daemons write is recorded, of those that are started within this."""
        journal = self._folder / "journal"
        journal.unlink(missing_ok=True)
        recording = Recording(journal, Disk(self.disk, ordering))
        for daemon in self.soak.daemons.values():
            daemon.environ = {
                "LD_PRELOAD": str(library),
                "CRASH_ROOT": str(self.disk),
                "CRASH_JOURNAL": str(journal),
            }
        yield recording
        for daemon in self.soak.daemons.values():
            daemon.environ = {}

    def stop_all(self) -> None:
        """End all daemons in order."""
        for name in _DAEMONS:
            self.soak.daemons[name].end(signal.SIGTERM)

    def kill_all(self) -> None:
        """Kill all daemons at one moment."""
        daemons = list(self.soak.daemons.values())
        pids = [pid for daemon in daemons for pid in daemon.pids()]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        for daemon in daemons:
            if daemon.process is not None:
                daemon.process.wait()
                daemon.process = None


class Recording(NamedTuple):
    """A journal, and the disk at its beginning."""

    journal: Path
    disk: Disk


def compile_recorder(folder: Path) -> Path:
    """The recorder as a library."""
    library = folder / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    flags = ["-std=gnu11", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *flags, "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
