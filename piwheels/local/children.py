"""Child processes of the private farm: started by their verbs, restarted, and dying with it."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.errors import PiwheelsError

log = logging.getLogger(__name__)

STOP_S = 8.0
_FIRST_DELAY_S = 0.5
_QUICK_S = 10.0
_QUICK_DEATHS = 4


class ChildFailedError(PiwheelsError):
    """A part of the farm does not run; the message is its own last word."""


def piw(*arguments: str | Path) -> list[str]:
    """The command line of a verb of this same piwheels."""
    return [sys.executable, "-m", "piwheels", *map(str, arguments)]


def dying_with_parent(argv: Sequence[str]) -> list[str]:
    """A command that gets SIGKILL when its parent dies, however that happens."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *argv] if setpriv else list(argv)


async def end_process(
    process: asyncio.subprocess.Process | None, signals: Sequence[signal.Signals], patience_s: float
) -> None:
    """End a process, if it runs, by one signal after the other, each given its time to work."""
    if process is None or process.returncode is not None:
        return
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.wait()
                return


@dataclass(slots=True)
class Child:
    """One supervised process; what it says goes to its own log file."""

    name: str
    argv: list[str]
    log_file: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    _stopping: bool = False

    async def supervise(self) -> None:
        """Keep the process running until stopped.

        Raises:
            ChildFailedError: it ended several times in a row soon after its start.
        """
        deaths = 0
        while not self._stopping:
            began = time.monotonic()
            code = await self._run_once()
            if self.stopping():
                return
            deaths = deaths + 1 if time.monotonic() - began < _QUICK_S else 1
            if code > 0 and deaths >= _QUICK_DEATHS:
                raise ChildFailedError(self.last_words(code))
            log.info("%s ended (%s); starting it again", self.name, _how(code))
            await asyncio.sleep(_FIRST_DELAY_S * deaths)

    async def run(self) -> None:
        """Run the process to its end.

        Raises:
            ChildFailedError: it failed.
        """
        code = await self._run_once()
        if code:
            raise ChildFailedError(self.last_words(code))

    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping

    async def stop(self) -> None:
        """Ask the process to end, and end it when it does not."""
        self._stopping = True
        await end_process(self.process, (signal.SIGTERM, signal.SIGKILL), STOP_S)

    def last_words(self, code: int) -> str:
        """The line that the process ended with, for the user."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        said = next((line for line in reversed(lines) if line.strip()), "")
        said = said.removeprefix("piw: ")
        return said or f"{self.name} ended ({_how(code)}); see {self.log_file}"

    async def _run_once(self) -> int:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *dying_with_parent(self.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )
        return await self.process.wait()


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
