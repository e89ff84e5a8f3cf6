"""Spools a pipe to disk, so that a slow or unavailable database never blocks the web server.

Content stays in segments until it is committed, so that a crash loses nothing. The kernel moves it
from the pipe to a segment (splice): a process that is killed has either stored it or left it in the
pipe, which the web server keeps open for the next one. Only compressed input passes through memory.
Segments start at checkpoints of the hash chain, and are named by the stream and the position. While
the database is unavailable, lines beyond the maximum size are dropped and the number dropped is
reported. So are lines that the disk cannot store; later lines are stored again.
"""

import contextlib
import errno
import fcntl
import io
import logging
import os
import re
import select
import stat
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from piwheels.accesslog.hash_chain import CHECKPOINT_SPACING_BYTES
from piwheels.accesslog.logfile import DAMAGE_ERRORS, decompress, is_compressed
from piwheels.append_file import AppendFile
from piwheels.errors import ConfigError, RejectedError

log = logging.getLogger(__name__)

_SEGMENT_BYTES = 16 * CHECKPOINT_SPACING_BYTES
_READ_BYTES = 1024 * 1024
_SIGNATURE_BYTES = 6  # of compression formats
_FULL_WAIT_S = 0.05
_NAME = re.compile(r"(?P<stream>[0-9a-f]+-[0-9]+)\.(?P<start>[0-9]+)")


class Segments:
    """The stored bytes of one stream; written by one thread and read by another."""

    def __init__(self, folder: Path, stream: str) -> None:
        self.stream = stream
        self.name = f"pipe {stream}"
        self._folder = folder
        self._lock = threading.Lock()
        self._sizes: dict[int, int] = {
            int(match["start"]): entry.stat().st_size
            for entry, match in _entries(folder)
            if match["stream"] == stream
        }
        self._sizes = dict(sorted(self._sizes.items()))
        self._remove_copies()
        self.ends_with_line = True  # what this process stored
        self._searched = 0  # where to look for the end of a full segment
        self._position = self._acknowledged = self.first_position

    @property
    def first_position(self) -> int:
        """The start position of the oldest segment."""
        return min(self._sizes, default=0)

    @property
    def size_bytes(self) -> int:
        """The number of stored bytes."""
        return sum(self._sizes.values())

    @property
    def pending_bytes(self) -> int:
        """The number of bytes that are not committed yet."""
        return self.end - self._acknowledged

    @property
    def end(self) -> int:
        """The end position of the newest segment."""
        last = max(self._sizes, default=0)
        return last + self._sizes.get(last, 0)

    def read(self, size: int) -> bytes:
        """The next bytes, at most this many; b"" if there are none now."""
        with self._lock:
            found = [
                start
                for start, length in self._sizes.items()
                if start <= self._position < start + length
            ]
            if not found:
                return b""
            size = min(size, found[0] + self._sizes[found[0]] - self._position)
        with self._path(found[0]).open("rb") as file:
            file.seek(self._position - found[0])
            data = file.read(size)
        self._position += len(data)
        return data

    def rewind(self) -> None:
        """Restart at the oldest stored byte."""
        self._position = self.first_position

    def acknowledge(self, position: int) -> None:
        """Delete the segments before a committed position."""
        with self._lock:
            self._acknowledged = position
            for start, length in list(self._sizes.items()):
                if start + length <= position and start != max(self._sizes):
                    del self._sizes[start]
                    self._path(start).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete all segments, which are committed.

        The lock file is deleted first: the next run deletes segments without one.
        """
        with self._lock:
            _lock_path(self._folder, self.stream).unlink(missing_ok=True)
            for start in self._sizes:
                self._path(start).unlink(missing_ok=True)
            self._sizes.clear()
            self._position = self._acknowledged = 0

    def append(self, data: bytes) -> None:
        """Append bytes; a segment ends with the first line end after its full size."""
        while data:
            end = self.end
            start = max(self._sizes, default=0)
            full = (start // _SEGMENT_BYTES + 1) * _SEGMENT_BYTES
            cut = data.find(b"\n", max(full - end - 1, 0)) + 1 if end + len(data) >= full else 0
            piece, data = (data[:cut], data[cut:]) if cut else (data, b"")
            with AppendFile(self._path(start)) as file:
                file.write(piece)
            with self._lock:
                self._sizes[start] = self._sizes.get(start, 0) + len(piece)
                self.ends_with_line = piece.endswith(b"\n")
                if cut:
                    self._sizes[end + len(piece)] = 0

    def take(self, pipe: int, size: int) -> bytes:
        """Move bytes from a pipe to the segments, at most this many.

        Returns:
            The beginning of compressed content, which is not stored; else b"".

        Raises:
            OSError: they cannot be stored; what was is counted, and the rest is still in the pipe.
        """
        start, end = max(self._sizes, default=0), self.end
        with open(self._path(start), "r+b", buffering=0, opener=_open_or_create) as opened:
            file = opened.fileno()
            os.splice(pipe, file, size, offset_dst=end - start)
            if not end and is_compressed(os.pread(file, _SIGNATURE_BYTES, 0)):
                content = os.pread(file, size, 0)
                os.ftruncate(file, 0)
                return content
            length = os.fstat(file).st_size
            self.ends_with_line = os.pread(file, 1, length - 1) == b"\n"
            cut = self._cut(file, start, length)
        with self._lock:
            self._sizes[start] = cut or length
            if cut:
                self._sizes[start + cut] = length - cut
        return b""

    def _cut(self, file: int, start: int, length: int) -> int:
        """End a segment that is full; returns its length, or 0 if it goes on.

        What is behind is copied to the next one first. After a crash in between it is in both.
        """
        full = (start // _SEGMENT_BYTES + 1) * _SEGMENT_BYTES
        search_from = max(full - 1 - start, self._searched - start)
        behind = os.pread(file, max(length - search_from, 0), search_from)
        cut = behind.find(b"\n") + 1
        if not cut:
            self._searched = max(start + length, self._searched)
            return 0
        try:
            with AppendFile(self._path(start + search_from + cut)) as following:
                following.write(behind[cut:])
            os.ftruncate(file, search_from + cut)
        except OSError:  # a full disk: it is tried again
            self._path(start + search_from + cut).unlink(missing_ok=True)
            return 0
        return search_from + cut

    def _remove_copies(self) -> None:
        """Delete segments that the one before contains: a process was killed when it cut that."""
        end = 0
        for start, length in list(self._sizes.items()):
            if start < end:
                del self._sizes[start]
                self._path(start).unlink(missing_ok=True)
            end = max(end, start + length)

    def _path(self, start: int) -> Path:
        return self._folder / f"{self.stream}.{start:020d}"


def _open_or_create(path: str, flags: int) -> int:
    """Not for appending: the kernel splices into no such file."""
    return os.open(path, flags | os.O_CREAT, 0o666)


def _wait_for_bytes(pipe: int) -> int:
    """Wait for content of a pipe; returns how much there is, 0 at its end."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    poll.poll()
    waiting = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return int.from_bytes(waiting, sys.byteorder)


def _disk_error(folder: Path, error: OSError) -> str:
    return f"{folder} (accesslog.spool_dir): {error.strerror}"


class Spool:
    """Reads a pipe in a thread."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Create the directory, and a stream in it.

        Raises:
            ConfigError: the directory cannot be written.
        """
        self._folder = folder
        self._limit_bytes = limit_bytes
        stream = f"{time.time_ns():x}-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_stream(folder, stream)
        except OSError as error:
            raise ConfigError(_disk_error(folder, error)) from None
        self.segments = Segments(folder, stream)
        self.database_away = threading.Event()
        self.ended = threading.Event()
        self.dropped_lines = 0
        self.problem = ""  # the last error, one line
        self._is_dropping = False
        self._storing = threading.Lock()
        self._is_closed = False
        self._line_is_incomplete = False  # the last stored line lacks its end

    def start(self, descriptor: int) -> None:
        """Read this descriptor to its end."""
        threading.Thread(target=self._read_pipe, args=(descriptor,), daemon=True).start()

    def close(self) -> None:
        """Release the stream; the next run reads the rest of it, and of the pipe."""
        with self._storing:
            self._is_closed = True
        self._lock.close()
        if not self.segments.size_bytes:
            self.segments.remove()

    def _read_pipe(self, descriptor: int) -> None:
        try:
            is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            start = self._take_lines(descriptor) if is_pipe else b""
            if start is not None:
                self._read_stream(descriptor, start)
        except DAMAGE_ERRORS as error:
            self.problem = (
                f"standard input cannot be read further: {error}; what came before was read"
            )
        except RejectedError as error:
            self.problem = f"standard input is {error}"
        finally:
            self.ended.set()

    def _take_lines(self, pipe: int) -> bytes | None:
        """Store a pipe to its end; returns the beginning of what has to be read otherwise."""
        at_line_start = True
        while size := _wait_for_bytes(pipe):
            if self._is_dropping or self._line_is_incomplete or self._is_full(size):
                at_line_start = self._store(os.read(pipe, size), at_line_start=at_line_start)
                continue
            try:
                with self._storing:
                    if self._is_closed:
                        return None
                    if start := self.segments.take(pipe, size):
                        return start
            except OSError as error:
                if error.errno == errno.EINVAL and not self.segments.end:
                    return b""  # no file system to splice into
                self._line_is_incomplete = not self.segments.ends_with_line
                self._report_disk_error(error)
                self._is_dropping = True
            at_line_start = self.segments.ends_with_line
        return None

    def _read_stream(self, descriptor: int, start: bytes) -> None:
        """Store content that may be compressed, of which the beginning was read, to its end."""
        raw = io.BufferedReader(_Rest(descriptor, start), _READ_BYTES)
        stream = decompress(raw, raw.peek(_SIGNATURE_BYTES))
        at_line_start = True
        while data := stream.read1(_READ_BYTES):
            at_line_start = self._store(data, at_line_start=at_line_start)

    def _store(self, data: bytes, *, at_line_start: bool) -> bool:
        """Store data, or drop it line by line; returns whether it ended with a line end."""
        if not self._is_dropping and self._is_full(len(data)):
            # The current line is completed; all further lines are dropped.
            cut = 0 if at_line_start else data.find(b"\n") + 1 or len(data)
            self._append(data[:cut], at_line_start=at_line_start)
            data = data[cut:]
            self._is_dropping = bool(data)
            if self._is_dropping:
                log.warning("the spool is full and the database is unavailable: lines are dropped")
        if self._is_dropping:
            return self._drop(data)
        return self._append(data, at_line_start=at_line_start)

    def _append(self, data: bytes, *, at_line_start: bool) -> bool:
        """Store data, or drop what cannot be stored; returns whether it ended with a line end."""
        before = self.segments.end
        try:
            if self._line_is_incomplete:
                self.segments.append(b"\n")
                self._line_is_incomplete, before = False, self.segments.end
            self.segments.append(data)
        except OSError as error:
            written = data[: self.segments.end - before]
            self._line_is_incomplete = not (written.endswith(b"\n") if written else at_line_start)
            self._report_disk_error(error)
            self._is_dropping = True
            return self._drop(data[len(written) :])
        return data.endswith(b"\n") if data else at_line_start

    def _report_disk_error(self, error: OSError) -> None:
        problem = _disk_error(self._folder, error)
        if problem != self.problem:
            self.problem = problem
            log.error("%s: lines are dropped", problem)

    def _drop(self, data: bytes) -> bool:
        if data.endswith(b"\n") and not self._is_full(0):
            self._is_dropping = False
        self.dropped_lines += data.count(b"\n")
        return True

    def _is_full(self, more: int) -> bool:
        """Whether lines must be dropped; waits instead while the database is available."""
        while (waiting := self.segments.pending_bytes) and waiting + more > self._limit_bytes:
            if self.database_away.is_set():
                return True
            time.sleep(_FULL_WAIT_S)
        return False


class _Rest(io.RawIOBase):
    """A file of which the beginning was read."""

    def __init__(self, descriptor: int, start: bytes) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._start = start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._start:
            return os.readv(self._descriptor, [buffer])
        part, self._start = self._start[: len(buffer)], self._start[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@contextlib.contextmanager
def orphaned_streams(folder: Path) -> Iterator[list[Segments]]:
    """Streams of earlier runs that were not committed completely, oldest first."""
    names = sorted({match["stream"] for _, match in _entries(folder)})
    with contextlib.ExitStack() as stack:
        found = []
        for name in names:
            with contextlib.suppress(OSError):  # another process writes it
                stack.enter_context(_lock_stream(folder, name))
                found.append(Segments(folder, name))
        yield found
        for segments in found:
            if not segments.size_bytes:
                segments.remove()


class _FileLock(contextlib.AbstractContextManager["_FileLock"]):
    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()


def _lock_stream(folder: Path, stream: str) -> _FileLock:
    return _FileLock(_lock_path(folder, stream))


def _lock_path(folder: Path, stream: str) -> Path:
    return folder / f"{stream}.lock"


def _entries(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    try:
        entries = [(entry, _NAME.fullmatch(entry.name)) for entry in folder.iterdir()]
    except FileNotFoundError:
        return []
    return [(entry, match) for entry, match in entries if match]
