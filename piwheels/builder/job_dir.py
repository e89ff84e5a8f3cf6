"""The work folder of the job in hand: its log, its wheels, its result, kept until Done.

job.msgpack       the job, written when it begins
log               the log as it grows
wheels/           what the build made
result.msgpack    what came of it, written last: with it the build survives a restart
"""

import contextlib
from pathlib import Path

import msgspec

from piwheels.builder.rmtree import remove_tree
from piwheels.model import Job
from piwheels.protocol.messages import MAX_LOG_BYTES, BuildFinished
from piwheels.webroot import replace_file

_TRUNCATION_NOTICE = b"\n*** the log is cut here: it is longer than 32 MiB ***\n"


class JobDir:
    """One folder for one job at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log_bytes = 0

    @property
    def wheels(self) -> Path:
        """Where a build leaves its wheels."""
        return self.folder / "wheels"

    def restore(self) -> tuple[Job, BuildFinished] | None:
        """The finished build that an earlier process left, or None; the rest is cleared."""
        try:
            job = msgspec.msgpack.decode(self._job.read_bytes(), type=Job)
            built = msgspec.msgpack.decode(self._result.read_bytes(), type=BuildFinished)
        except (OSError, msgspec.DecodeError):
            self.clear()
            return None
        return job, built

    def start(self, job: Job) -> None:
        """Make the folder ready for a job."""
        self.clear()
        self.wheels.mkdir(parents=True)
        replace_file(self._job, msgspec.msgpack.encode(job))
        self._log_bytes = 0

    def append_log(self, data: bytes) -> None:
        """Add to the log, up to its largest length."""
        if self._log_bytes >= MAX_LOG_BYTES:
            return
        self._log_bytes += len(data)
        if self._log_bytes >= MAX_LOG_BYTES:
            data += _TRUNCATION_NOTICE
        with self._log.open("ab") as file:
            file.write(data)

    def read_log(self, offset: int, length: int) -> bytes:
        """A piece of the log; b"" when there is no more."""
        try:
            with self._log.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            return b""

    def save_result(self, built: BuildFinished) -> None:
        """Record what came of the job, durably."""
        replace_file(self._result, msgspec.msgpack.encode(built))

    def wheel_path(self, filename: str) -> Path:
        """A wheel that the build made."""
        return self.wheels / filename

    def clear(self) -> None:
        """Empty the folder; the result goes first, so that a crash leaves no half of one."""
        with contextlib.suppress(FileNotFoundError):
            self._result.unlink()
        remove_tree(self.folder)

    @property
    def _job(self) -> Path:
        return self.folder / "job.msgpack"

    @property
    def _result(self) -> Path:
        return self.folder / "result.msgpack"

    @property
    def _log(self) -> Path:
        return self.folder / "log"
