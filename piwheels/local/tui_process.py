"""The operator's console over a private farm: a child process in this same terminal."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from piwheels.local.supervisor import piw_command, terminate_process

#: A console that was asked to end gives the terminal back within this.
_STOP_TIMEOUT_S = 5.0


def stdio_is_terminal() -> bool:
    """Whether somebody sits at a terminal that a console can take."""
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


class TuiProcess:
    """`piw tui` on this terminal."""

    def __init__(self, config_file: Path) -> None:
        self._config_file = config_file
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Run it until it is left; returns its exit code."""
        self._process = await asyncio.create_subprocess_exec(
            *_with_pdeathsig_term(piw_command("tui", "--run-by-up", "--config", self._config_file))
        )
        return await self._process.wait()

    async def stop(self) -> None:
        """Have it give the terminal back."""
        await terminate_process(self._process, (signal.SIGTERM, signal.SIGKILL), _STOP_TIMEOUT_S)


def _with_pdeathsig_term(argv: Sequence[str]) -> list[str]:
    """Like `children.dying_with_parent`, but so that the terminal is given back."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *argv] if setpriv else list(argv)


async def confirm_stop() -> bool:
    """Ask on the terminal whether the farm is to be stopped; yes where nobody answers."""
    sys.stdout.write("Stop the farm? Its work is kept, and the same command goes on. [Y/n] ")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not answered.done():
            answered.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin.fileno(), read)
    try:
        return not (await answered).strip().lower().startswith("n")
    finally:
        loop.remove_reader(sys.stdin.fileno())
