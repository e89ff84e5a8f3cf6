"""The console of a private farm: a child process in the same terminal."""

import asyncio
import signal
import sys
from pathlib import Path

from piwheels.local.supervisor import piw_command, terminate_process, with_pdeathsig

#: The console restores the terminal within this time after SIGTERM.
_STOP_TIMEOUT_S = 5.0


def stdio_is_terminal() -> bool:
    """Whether standard input and output are a terminal that the console can use."""
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


class TuiProcess:
    """`piw tui` in this terminal."""

    def __init__(self, config_file: Path) -> None:
        self._config_file = config_file
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Run it until the user quits it; returns its exit code."""
        command = piw_command("tui", "--run-by-up", "--config", self._config_file)
        # TERM, so that it gives the terminal back.
        self._process = await asyncio.create_subprocess_exec(*with_pdeathsig(command, "TERM"))
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop it, after it has restored the terminal."""
        await terminate_process(self._process, (signal.SIGTERM, signal.SIGKILL), _STOP_TIMEOUT_S)


async def confirm_stop() -> bool:
    """Ask whether to stop the farm; an empty answer is yes."""
    sys.stdout.write("Stop the farm? Its builds are kept; the same command resumes it. [Y/n] ")
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
