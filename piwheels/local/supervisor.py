"""Supervises the processes of a private farm: starts, restarts and stops them."""

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
    """A process of the farm failed; the message is the last line of its log."""


def piw_command(*arguments: str | Path) -> list[str]:
    """The command line that runs a `piw` command of this installation."""
    return [sys.executable, "-m", "piwheels", *map(str, arguments)]


def with_pdeathsig(argv: Sequence[str], name: str = "KILL") -> list[str]:
    """A command that gets a signal when its parent dies (PR_SET_PDEATHSIG)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", name, *argv] if setpriv else list(argv)


async def terminate_process(
    process: asyncio.subprocess.Process | None, signals: Sequence[signal.Signals], timeout_s: float
) -> None:
    """Send one signal after the other until the process exits, waiting after each."""
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
    """One supervised process; its output is appended to its log file.

    `notifies` tells whether it sends READY=1 once it has started (sd_notify(3)).
    """

    name: str
    argv: list[str]
    log_file: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    sends_ready: bool = False
    process: asyncio.subprocess.Process | None = None
    _stopping: bool = False
    _ready_at: float | None = None  # of the current run
    _exited: asyncio.Event = field(default_factory=asyncio.Event)

    async def supervise(self) -> None:
        """Keep the process running until stopped, or ended by an operator.

        Raises:
            ProcessFailedError: it failed before its first READY=1, or several times in a row
                shortly after a start.
        """
        failures, started = 0, False
        while not self._stopping:
            began = time.monotonic()
            async with self._notifications() as address:
                code = await self._run_once({"NOTIFY_SOCKET": address} if address else {})
            if self.is_stopping():
                return
            if code == EXIT_STAYS_ENDED:
                # A warning, because it is shown without -v.
                log.warning(
                    "%s was ended by an operator and stays ended until the next `piw up`", self.name
                )
                return
            ready_at = self._ready_at if self.sends_ready else began
            started = started or ready_at is not None
            lasted = ready_at is not None and time.monotonic() - ready_at >= _MIN_UPTIME_S
            failures = 1 if lasted else failures + 1
            if code > 0 and (failures >= _MAX_QUICK_FAILURES or not started):
                raise ProcessFailedError(self.last_log_line(code))
            log.info("%s exited (%s); restarting it", self.name, _describe_exit(code))
            await asyncio.sleep(_RESTART_DELAY_S * min(failures, _MAX_QUICK_FAILURES))

    async def wait_for_exit(self) -> None:
        """Wait until the current run exits, or the next one if none is running."""
        await self._exited.wait()

    @contextlib.asynccontextmanager
    async def _notifications(self) -> AsyncIterator[str]:
        """The NOTIFY_SOCKET address to pass to the process; "" if it sends nothing."""
        self._ready_at = None
        if not self.sends_ready:
            yield ""
            return
        name = f"piw-{uuid.uuid4().hex}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        listener.bind(f"\0{name}")  # an abstract address, see unix(7)
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
        """Run the process once, until it exits.

        Raises:
            ProcessFailedError: it failed.
        """
        code = await self._run_once({})
        if code:
            raise ProcessFailedError(self.last_log_line(code))

    def is_stopping(self) -> bool:
        """Whether stop() was called."""
        return self._stopping

    async def stop(self) -> None:
        """Stop the process: SIGTERM, then SIGKILL."""
        self._stopping = True
        await terminate_process(self.process, (signal.SIGTERM, signal.SIGKILL), STOP_TIMEOUT_S)

    def last_log_line(self, code: int) -> str:
        """The last line that the process logged, or how it exited if it logged nothing."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        message = next((line for line in reversed(lines) if line.strip()), "")
        message = message.removeprefix("piw: ")
        return message or f"{self.name} exited ({_describe_exit(code)}); see {self.log_file}"

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
    """The environment of this process, without what systemd passed to it alone."""
    own = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {name: value for name, value in os.environ.items() if name not in own}


def _describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
