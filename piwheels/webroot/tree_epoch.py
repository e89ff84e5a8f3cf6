"""Which master writes a web root: a file with its epoch, and a lock that it holds while it runs.

Two masters that know nothing of each other, as with two primary databases, may share a web root
(NFS). The one with the higher epoch writes; the other finds that out before its next write.
"""

import contextlib
import errno
import fcntl
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from piwheels.errors import MALFORMED, PiwheelsError
from piwheels.webroot.atomic_file import replace_file

log = logging.getLogger(__name__)

EPOCH_FILE = ".master-epoch.json"
_LOCK_FILE = ".master-lock"
_POLL_S = 0.1


class TreeTakenError(PiwheelsError, OSError):
    """Another master writes the web root; to services it is a web root that accepts no files."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ESTALE, message)

    def __str__(self) -> str:
        return str(self.strerror)


class TreeMissingError(PiwheelsError, OSError):
    """The web root is not there: its file system is not mounted, or does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ESTALE, message)

    def __str__(self) -> str:
        return str(self.strerror)


class EpochRecord(msgspec.Struct, frozen=True):
    """The content of the file: the highest epoch of a master that wrote here, and where it ran."""

    epoch: int
    host: str = ""


@dataclass(slots=True)
class TreeEpoch:
    """The right of this master to write a web root."""

    root: Path
    _epoch: int = 0  # of this master; 0: not claimed
    _lock: int | None = field(default=None, repr=False)

    def claim(self, epoch: int, wait_s: float) -> None:
        """Take the web root over from masters with lower epochs.

        A former master that still runs ends when it sees this epoch; its lock is waited for as
        long as `wait_s`. One whose machine has vanished may keep it for longer (NFS).

        Raises:
            TreeTakenError: a master with a higher epoch has written here.
            OSError: the web root cannot be written.
        """
        self._refuse_higher(epoch)
        self._store(epoch)
        # What is open for writing would keep the file system from being mounted read-only.
        os.close(self._open_lock(os.O_RDWR | os.O_CREAT))
        self._lock = self._open_lock(os.O_RDONLY)
        until = time.monotonic() + wait_s
        while not self._try_lock(self._lock):
            if time.monotonic() > until:
                log.warning(
                    "a former master has not released %s within %.0f s; going on without it",
                    self.root / _LOCK_FILE,
                    wait_s,
                )
                break
            time.sleep(_POLL_S)
            self._refuse_higher(epoch)
        self._refuse_higher(epoch)

    def renew(self, epoch: int) -> None:
        """Check, and record that this master's epoch was raised.

        Raises:
            TreeTakenError: another master has taken over.
            TreeMissingError: the web root is not there.
            OSError: the web root cannot be read or written.
        """
        self.check_there()
        self._refuse_higher(epoch)
        if epoch != self._epoch:
            self._store(epoch)

    def check(self) -> None:
        """Check that this master may write here; does nothing before `claim`.

        Raises:
            TreeTakenError: another master has taken over.
            TreeMissingError: the web root is not there.
        """
        if self._epoch:
            self.check_there()
            self._refuse_higher(self._epoch)

    def check_there(self) -> None:
        """Check that the claimed web root is there; does nothing before `claim`.

        What an empty mount point lacks was not removed, nor what an older copy lacks.

        Raises:
            TreeMissingError: it is not.
        """
        if not self._epoch:
            return
        try:
            found = read_epoch(self.root)
        except OSError as error:
            raise self._missing(str(error.strerror)) from None
        if found is None:
            raise self._missing("No such file or directory, or not readable as one")
        if found.epoch < self._epoch:
            raise self._missing("of an earlier master, as in an older copy")

    def _missing(self, problem: str) -> TreeMissingError:
        return TreeMissingError(
            f"the web root {self.root} is not there ({EPOCH_FILE}: {problem}): is its file system "
            f"mounted? If it is, start the master again"
        )

    def release(self) -> None:
        """Let another master lock the web root at once."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _refuse_higher(self, epoch: int) -> None:
        found = read_epoch(self.root)
        if found is None or found.epoch <= epoch:
            return
        if self._epoch:
            raise TreeTakenError(
                f"a newer master{_on(found.host)} has taken over {self.root}, and this one ends"
            )
        raise TreeTakenError(
            f"a newer master{_on(found.host)} wrote {self.root} than this database knows of: is "
            f"database.dsn a former primary? If it is the right database, run "
            f"`piw master adopt`, which deletes {self.root / EPOCH_FILE}, and start the master "
            "again"
        )

    def _store(self, epoch: int) -> None:
        record = EpochRecord(epoch, _hostname())
        replace_file(self.root / EPOCH_FILE, msgspec.json.encode(record))
        self._epoch = epoch

    def _open_lock(self, flags: int) -> int:
        return os.open(self.root / _LOCK_FILE, flags | os.O_CLOEXEC, 0o644)

    def _try_lock(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            # NFS locks only what is open for writing (flock(2)).
            if error.errno != errno.EBADF or _is_writable(descriptor):
                raise
            os.close(descriptor)
            self._lock = self._open_lock(os.O_RDWR)
            return self._try_lock(self._lock)
        return True


def read_epoch(root: Path) -> EpochRecord | None:
    """What the file of a web root says; None where there is none, or it is not readable as one."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, *MALFORMED):
        return msgspec.json.decode((root / EPOCH_FILE).read_bytes(), type=EpochRecord)
    return None


def _is_writable(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def _on(host: str) -> str:
    return f" on {host[:64]!r}" if host and host != _hostname() else ""


def _hostname() -> str:
    return os.uname().nodename
