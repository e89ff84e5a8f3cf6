"""A key pair that only one process at a time uses: with two, each takes the other's connection."""

import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import Self

from piwheels.errors import ConfigError

log = logging.getLogger(__name__)

_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
#: What a file system answers that has no locks: NFS without its lock manager, for example.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EINVAL}


class KeyLock:
    """The lock on the file of a key pair, until this process ends or `release()`.

    On NFS it holds for all machines that mount the folder.
    """

    def __init__(self, path: Path) -> None:
        """Lock the file.

        Raises:
            ConfigError: another process has it locked, or it cannot be opened.
        """
        self._file = _open(path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise ConfigError(
                f"another builder uses the key {path}: each needs its own, and gets one by "
                "--slot with another name or number"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise ConfigError(f"{path}: {error.strerror}") from None
            log.warning("%s cannot be locked: %s", path, error.strerror)

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def _open(path: Path) -> int:
    """A descriptor of the file, which NFS locks only if it is open for writing."""
    try:
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
