"""A web server that logs to a pipe, which stays when its reader dies, as that of Apache does."""

import contextlib
import fcntl
import os
import sys
import termios
import threading
from datetime import UTC, datetime
from queue import SimpleQueue

from tests.accesslog.log_generator import download


class PipedWebServer(threading.Thread):
    """Writes lines to a pipe; the next reader goes on where the last one was killed.

    reader: the descriptor for readers.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.reader, self._writer = os.pipe()
        self.lines = self.size_bytes = self._written_bytes = 0
        self._accesses: SimpleQueue[bytes] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """Write each line at once, as web servers do; wait while the pipe is full."""
        with contextlib.suppress(BrokenPipeError):
            while line := self._accesses.get():
                os.write(self._writer, line)
                self._written_bytes += len(line)

    def write(self, count: int) -> bytes:
        """Serve so many downloads; returns their lines."""
        lines = [
            download(f"soak-{number % 30}", number, at=datetime.now(UTC))
            for number in range(self.lines, self.lines + count)
        ]
        self.lines += count
        self.size_bytes += sum(map(len, lines))
        for line in lines:
            self._accesses.put(line)
        return b"".join(lines)

    @property
    def is_read(self) -> bool:
        """Whether readers have taken every line."""
        return self._written_bytes == self.size_bytes and not bytes_in_pipe(self.reader)

    def end(self) -> None:
        """Close the pipe, of which no process reads any more."""
        os.close(self.reader)
        self._accesses.put(b"")
        self.join()
        os.close(self._writer)


def bytes_in_pipe(descriptor: int) -> int:
    """How much was written to a pipe and not yet read."""
    waiting = bytearray(4)
    fcntl.ioctl(descriptor, termios.FIONREAD, waiting)
    return int.from_bytes(waiting, sys.byteorder)
