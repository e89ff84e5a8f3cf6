"""Somebody who sits at a terminal: a program in a pty, what it draws, and what is typed."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tests.tui.terminal import Terminal

#: What a terminal answers when it is asked where the cursor is.
_ASKED, _ANSWER = "\x1b[6n", b"\x1b[1;1R"


class Sitting:
    """A program on a terminal of its own; `text` is what is to be read there."""

    def __init__(
        self, argv: Sequence[str], *, width: int = 80, height: int = 24, **environ: str
    ) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.received = 0  # bytes
        self._terminal = Terminal(width, height)
        self._lock = threading.Lock()
        ours = {name: text for name, text in os.environ.items() if not name.startswith("PIWHEELS_")}
        for name in ("NO_COLOR", "COLORTERM", "COLUMNS", "LINES"):
            ours.pop(name, None)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**ours, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environ},
        )
        self._slave = slave
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.hang_up()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            text = data.decode(errors="replace")
            with self._lock:
                self.received += len(data)
                self._terminal.feed(text)
            for _ in range(text.count(_ASKED)):
                self.type(_ANSWER)

    @property
    def text(self) -> str:
        with self._lock:
            return "\n".join(line.rstrip() for line in self._terminal.text())

    def type(self, keys: str | bytes) -> None:
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def until(self, condition: Callable[[str], object], what: str, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if condition(self.text):
                return
            time.sleep(0.02)
        raise AssertionError(f"{what}: not within {timeout_s:.0f} s\n{self.text}")

    def until_shown(self, words: str, timeout_s: float = 30.0) -> None:
        self.until(lambda text: words in text, f"{words!r} is shown", timeout_s)

    def end(self, timeout_s: float = 20.0) -> int:
        """Wait for the program's end."""
        return self.process.wait(timeout_s)

    @property
    def given_back(self) -> bool:
        """Whether the terminal is as it was before the program."""
        return termios.tcgetattr(self._slave) == self.before

    def hang_up(self) -> None:
        """The terminal is gone."""
        for descriptor in (self._slave, self.master):
            try:
                os.close(descriptor)
            except OSError:
                continue
