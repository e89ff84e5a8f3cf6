"""The directory of the current job, kept until the master acknowledges the build.

job.msgpack       the job, written when it starts
log               the log as it grows
wheels/           the wheels that the build made
result.msgpack    the result, written last: with it the build survives a restart
"""

import contextlib
from pathlib import Path

import msgspec

from piwheels.builder.rmtree import remove_tree
from piwheels.errors import MALFORMED
from piwheels.model import Job
from piwheels.protocol.messages import MAX_LOG_BYTES, BuildFinished
from piwheels.webroot import replace_file, sync_dir, sync_file

_TRUNCATION_NOTICE = b"\n*** the log was truncated here: it is longer than 32 MiB ***\n"


class JobDir:
    """The directory of one job at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log_bytes = 0

    @property
    def wheels(self) -> Path:
        """The directory for the wheels of the build."""
        return self.folder / "wheels"

    def restore(self) -> tuple[Job, BuildFinished] | None:
        """The finished build of an earlier process, or None; an unfinished one is deleted."""
        try:
            job = msgspec.msgpack.decode(self._job.read_bytes(), type=Job)
            built = msgspec.msgpack.decode(self._result.read_bytes(), type=BuildFinished)
        except (OSError, *MALFORMED):
            self.clear()
            return None
        return job, built

    def start(self, job: Job) -> None:
        """Prepare the directory for a job."""
        self.clear()
        replace_file(self._job, msgspec.msgpack.encode(job))
        self.wheels.mkdir()
        self._log_bytes = 0

    def append_log(self, data: bytes) -> None:
        """Append to the log, up to its maximum length."""
        if self._log_bytes >= MAX_LOG_BYTES:
            return
        self._log_bytes += len(data)
        if self._log_bytes >= MAX_LOG_BYTES:
            data += _TRUNCATION_NOTICE
        with self._log.open("ab") as file:
            file.write(data)

    def read_log(self, offset: int, length: int) -> bytes:
        """Up to length bytes of the log from offset on; b"" at its end."""
        try:
            with self._log.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            return b""

    def save_result(self, built: BuildFinished) -> None:
        """Store the result of the job durably, after its wheels and its log.

        After a loss of power a result without them would have the master refuse the wheel.
        """
        for artifact in built.files:
            sync_file(self.wheel_path(artifact.filename))
        if self._log.exists():
            sync_file(self._log)
        for folder in (self.wheels, self.folder):
            sync_dir(folder)
        replace_file(self._result, msgspec.msgpack.encode(built))

    def wheel_path(self, filename: str) -> Path:
        """The path of a wheel that the build made."""
        return self.wheels / filename

    def clear(self) -> None:
        """Delete everything; the result first, so that a crash leaves no result without files."""
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
