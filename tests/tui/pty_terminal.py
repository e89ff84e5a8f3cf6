"""A terminal behind a slow link: a pty, read at the rate of the link."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

from tests.timeouts import WAIT_S

_CURSOR_POSITION_REQUEST = re.compile(rb"\x1b\[6n|\x1b\[\?(\d+)\$p")
_OTHER_REQUESTS = ("PYTHON", "NO_COLOR", "COLUMNS", "LINES")  # they would speak of another terminal
_MINIMAL_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(_OTHER_REQUESTS)
} | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
#: What a program may be waiting for an answer to, cut off at the end of what was read.
_MAX_REQUEST_BYTES = 12


class PtyTerminal:
    """Runs a program on a terminal of its own.

    Args:
        command: The program.
        width, height: Of the terminal, in cells.
        bytes_per_s: What the link takes; 0 is as much as comes.
        answers: Whether the terminal answers where its cursor is, as all but the dumbest do.
        draws: Keep a picture of the screen; without it only bytes are counted.
        environment: Beside the test's own.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        width: int = 120,
        height: int = 60,
        bytes_per_s: int = 0,
        answers: bool = True,
        draws: bool = True,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.bytes_per_s = bytes_per_s
        self.received = 0
        self.data: list[bytes] = []
        self._answers = answers
        self._tail = b""
        self._over = threading.Event()
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen) if draws else None
        self._changed = threading.Condition()
        self._state_dir = tempfile.TemporaryDirectory()  # where the console keeps its view
        self._master, slave = pty.openpty()
        self.resize(width, height)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=_MINIMAL_ENVIRONMENT
            | {"XDG_STATE_HOME": self._state_dir.name}
            | (environment or {}),
        )
        os.close(slave)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.bytes_per_s = 0
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._over.set()
        self._thread.join()
        os.close(self._master)
        self._state_dir.cleanup()

    def resize(self, width: int, height: int) -> None:
        """Resize the terminal; the program is notified."""
        with self._changed:
            self._screen.resize(height, width)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def scribble(self, text: str) -> None:
        """Write to the screen as another program would."""
        with self._changed:
            pyte.Stream(self._screen).feed(f"\x1b[H{text}")

    def text(self) -> list[str]:
        """The lines of the screen."""
        with self._changed:
            return list(self._screen.display)

    def look_of(self, words: str) -> set[tuple[str, str, bool]]:
        """The colors of the cells of a text on the first line: foreground, background, reverse."""
        with self._changed:
            at = self._screen.display[0].index(words)
            cells = [self._screen.buffer[0][x] for x in range(at, at + len(words))]
        return {(cell.fg, cell.bg, cell.reverse) for cell in cells}

    def wait_for(self, condition: Callable[[list[str]], bool], timeout_s: float = WAIT_S) -> float:
        """Wait until the screen's lines are so; returns the seconds it took."""
        began = time.monotonic()
        with self._changed:
            while not condition(list(self._screen.display)):
                left_s = began + timeout_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    screen = "\n".join(self._screen.display)
                    raise TimeoutError(f"not in {timeout_s} s; the screen is\n{screen}")
        return time.monotonic() - began

    def _read(self) -> None:
        while not self._over.is_set():
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if not ready:
                continue
            step = max(1, self.bytes_per_s // 200) if self.bytes_per_s else 65_536
            try:
                data = os.read(self._master, step)
            except OSError:  # the program has ended
                return
            self._process(data)
            if self.bytes_per_s:
                time.sleep(len(data) / self.bytes_per_s)

    def _process(self, data: bytes) -> None:
        self.received += len(data)
        self.data.append(data)
        if self._stream is not None:
            with self._changed:
                self._stream.feed(data)
                self._changed.notify_all()
        text = self._tail + data
        end = 0
        for question in _CURSOR_POSITION_REQUEST.finditer(text):
            end = question.end()
            if self._answers:
                os.write(self._master, self._answer(question.group(1)))
        self._tail = text[end:][-_MAX_REQUEST_BYTES:]

    def _answer(self, mode: bytes | None) -> bytes:
        if mode is None:
            cursor = self._screen.cursor
            return b"\x1b[%d;%dR" % (cursor.y + 1, cursor.x + 1)
        return b"\x1b[?%s;%d$y" % (mode, 2 if mode == b"2026" else 0)

    # -- what the program costs --

    @property
    def cpu_s(self) -> float:
        """Processor time that the program has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def runqueue_wait_s(self) -> float:
        """How long its main thread was ready to run, and others had the processor."""
        fields = Path(f"/proc/{self.process.pid}/schedstat").read_text().split()
        return int(fields[1]) / 1e9

    def memory_mb(self, kind: str) -> float:
        """Memory in megabytes: `Rss`, or `Pss`, which shares out what processes share."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        found = re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)
        assert found
        return int(found.group(1)) * 1024 / 1e6
