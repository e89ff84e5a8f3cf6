"""Which master writes a web root, and how another one takes it over."""

import errno
import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from piwheels.webroot import TreeTakenError, Webroot
from piwheels.webroot.tree_epoch import _LOCK_FILE, EPOCH_FILE, TreeEpoch, read_epoch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def test_a_new_master_waits_until_the_former_one_has_released_the_web_root(root: Path) -> None:
    former, newer = TreeEpoch(root), TreeEpoch(root)
    former.claim(5, 0.0)
    claiming = threading.Thread(target=newer.claim, args=(6, 60.0))
    claiming.start()
    while (found := read_epoch(root)) is None or found.epoch < 6:
        pass
    with pytest.raises(TreeTakenError, match="a newer master has taken over"):
        former.renew(5)
    assert claiming.is_alive()
    former.release()
    claiming.join()
    newer.renew(7)  # after a failover of the database
    found = read_epoch(root)
    assert found is not None
    assert found.epoch == 7


def test_a_former_master_that_does_not_end_is_not_waited_for_forever(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    TreeEpoch(root).claim(5, 0.0)
    TreeEpoch(root).claim(6, 0.2)
    assert "has not released" in caplog.text


def test_a_lower_epoch_is_refused_with_the_way_out(root: Path) -> None:
    TreeEpoch(root).claim(6, 0.0)
    with pytest.raises(
        TreeTakenError, match=f"adopt`, which deletes {root / EPOCH_FILE}"
    ) as caught:
        TreeEpoch(root).claim(5, 0.0)
    assert isinstance(caught.value, OSError)  # uploads are kept, as when a disk is full
    (root / EPOCH_FILE).unlink()
    TreeEpoch(root).claim(5, 0.0)


@pytest.mark.parametrize("content", [b"", b"{", b'{"epoch": "x"}', b"[]", b"\xff"])
def test_a_damaged_file_is_replaced(root: Path, content: bytes) -> None:
    (root / EPOCH_FILE).write_bytes(content)
    TreeEpoch(root).claim(5, 0.0)
    found = read_epoch(root)
    assert found is not None
    assert found.epoch == 5


def test_a_file_system_that_locks_no_directories_gets_a_file_to_lock(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS does."""
    real = fcntl.flock

    def flock(descriptor: int, how: int) -> None:
        if stat.S_ISDIR(Path(f"/proc/self/fd/{descriptor}").stat().st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        Webroot(root).packages_lock() as first,
        Webroot(root).packages_lock(wait=False) as second,
    ):
        assert (first, second) == (True, False)
    with Webroot(root).packages_lock(wait=False) as third:
        assert third


def test_nothing_of_a_claimed_web_root_is_open_for_writing(root: Path) -> None:
    """Else its file system could not be mounted read-only while a master runs."""
    epoch = TreeEpoch(root)
    epoch.claim(5, 0.0)
    opened = [
        int(fd.name) for fd in Path("/proc/self/fd").iterdir() if root in fd.resolve().parents
    ]
    assert opened
    assert all(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY for fd in opened)


def test_a_file_system_that_locks_only_what_is_open_for_writing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def nfs(descriptor: int, how: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", nfs)
    epoch = TreeEpoch(root)
    epoch.claim(5, 0.0)
    monkeypatch.undo()
    assert not TreeEpoch(root)._try_lock(os.open(root / _LOCK_FILE, os.O_RDONLY))
