"""Child processes of the private farm: started by their verbs, restarted, and dying with it."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.errors import EXIT_STAYS_ENDED, PiwheelsError

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 8.0
_RESTART_DELAY_S = 0.5
_MIN_UPTIME_S = 10.0
_MAX_QUICK_FAILURES = 4


class ProcessFailedError(PiwheelsError):
    """A part of the farm does not run; the message is its own last word."""


def piw_command(*arguments: str | Path) -> list[str]:
    """The command line of a verb of this same piwheels."""
    return [sys.executable, "-m", "piwheels", *map(str, arguments)]


def with_pdeathsig(argv: Sequence[str]) -> list[str]:
    """A command that gets SIGKILL when its parent dies, however that happens."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *argv] if setpriv else list(argv)


async def terminate_process(
    process: asyncio.subprocess.Process | None, signals: Sequence[signal.Signals], timeout_s: float
) -> None:
    """End a process, if it runs, by one signal after the other, each given its time to work."""
    if process is None or process.returncode is not None:
        return
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await process.wait()
                return


@dataclass(slots=True)
class SupervisedProcess:
    """One supervised process; what it says goes to its own log file.

    `notifies` is whether it says READY=1 when it has started, as sd_notify(3) has it.
    """

    name: str
    argv: list[str]
    log_file: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    sends_ready: bool = False
    process: asyncio.subprocess.Process | None = None
    _stopping: bool = False
    _ready_at: float | None = None  # of this run of it
    _exited: asyncio.Event = field(default_factory=asyncio.Event)

    async def supervise(self) -> None:
        """Keep the process running until stopped, or ended by an operator.

        Raises:
            ChildFailedError: it failed before it had ever started, of a process that notifies,
                or several times in a row when it had hardly started.
        """
        failures, started = 0, False
        while not self._stopping:
            began = time.monotonic()
            async with self._notifications() as address:
                code = await self._run_once({"NOTIFY_SOCKET": address} if address else {})
            if self.is_stopping():
                return
            if code == EXIT_STAYS_ENDED:
                log.info("%s was ended by an operator; it is not started again", self.name)
                return
            ready_at = self._ready_at if self.sends_ready else began
            started = started or ready_at is not None
            lasted = ready_at is not None and time.monotonic() - ready_at >= _MIN_UPTIME_S
            failures = 1 if lasted else failures + 1
            if code > 0 and (failures >= _MAX_QUICK_FAILURES or not started):
                raise ProcessFailedError(self.last_log_line(code))
            log.info("%s ended (%s); starting it again", self.name, _describe_exit(code))
            await asyncio.sleep(_RESTART_DELAY_S * min(failures, _MAX_QUICK_FAILURES))

    async def wait_for_exit(self) -> None:
        """Wait until the process ends that runs now, or is started next."""
        await self._exited.wait()

    @contextlib.asynccontextmanager
    async def _notifications(self) -> AsyncIterator[str]:
        """The address at which the process says that it is ready; "" for one that does not."""
        self._ready_at = None
        if not self.sends_ready:
            yield ""
            return
        name = f"piw-{uuid.uuid4().hex}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        listener.bind(f"\0{name}")  # without a file; see unix(7)
        loop = asyncio.get_running_loop()
        loop.add_reader(listener, self._on_notification, listener)
        try:
            yield f"@{name}"
        finally:
            loop.remove_reader(listener)
            listener.close()

    def _on_notification(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if b"READY=1" in listener.recv(4096).split(b"\n"):
                self._ready_at = time.monotonic()

    async def run(self) -> None:
        """Run the process to its end.

        Raises:
            ChildFailedError: it failed.
        """
        code = await self._run_once({})
        if code:
            raise ProcessFailedError(self.last_log_line(code))

    def is_stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping

    async def stop(self) -> None:
        """Ask the process to end, and end it when it does not."""
        self._stopping = True
        await terminate_process(self.process, (signal.SIGTERM, signal.SIGKILL), STOP_TIMEOUT_S)

    def last_log_line(self, code: int) -> str:
        """The line that the process ended with, for the user."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        said = next((line for line in reversed(lines) if line.strip()), "")
        said = said.removeprefix("piw: ")
        return said or f"{self.name} ended ({_describe_exit(code)}); see {self.log_file}"

    async def _run_once(self, environ: Mapping[str, str]) -> int:
        self._exited.clear()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *with_pdeathsig(self.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**_child_environ(), **self.environ, **environ},
                start_new_session=True,
            )
        try:
            return await self.process.wait()
        finally:
            self._exited.set()


def _child_environ() -> dict[str, str]:
    """The environment of this process, but for what is between it and systemd alone."""
    own = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {name: value for name, value in os.environ.items() if name not in own}


def _describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
