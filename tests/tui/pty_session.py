"""A program on a terminal: its screen, keys, and hangup."""

import os
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.timeouts import WAIT_S
from tests.tui.pty_terminal import PtyTerminal


class PtySession(PtyTerminal):
    """A program on a terminal of its own, which can be hung up."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        width: int = 80,
        height: int = 24,
        environ: dict[str, str] | None = None,
    ) -> None:
        super().__init__(argv, width=width, height=height, environment=environ)
        self._hung_up = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._hung_up:
            self.process.kill()
            self.process.wait()
            self._state_dir.cleanup()
            return
        self.process.terminate()
        try:
            self.process.wait(WAIT_S)  # a whole farm may have to end
        finally:
            super().__exit__(kind, error, trace)

    def wait_for_text(self, words: str, timeout_s: float = WAIT_S) -> None:
        """Wait until the screen shows these words."""
        self.wait_for(lambda lines: any(words in line for line in lines), timeout_s)

    def end(self, timeout_s: float = WAIT_S) -> int:
        """Wait for the program's end; gives its exit code."""
        return self.process.wait(timeout_s)

    def end_in_s(self) -> float:
        """Wait for the program's end; returns the seconds, without those in which it waited for a processor."""
        began, waited_s = time.monotonic(), self.runqueue_wait_s
        stat = Path(f"/proc/{self.process.pid}/stat")
        # Until it is reaped, what it used can still be read.
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() - began < WAIT_S, "it does not end"
            time.sleep(0.01)
        return time.monotonic() - began - (self.runqueue_wait_s - waited_s)

    @property
    def responds(self) -> bool:
        """Whether the terminal is restored for a shell."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def hang_up(self) -> None:
        """Hang up the terminal."""
        self._hung_up = True
        self._over.set()
        self._thread.join()
        os.close(self._master)
