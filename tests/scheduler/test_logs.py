"""Build logs as they stream in: nothing twice, nothing lost but the last seconds."""

import gzip
import os
from pathlib import Path

import pytest

from piwheels.builder import connection_state_machine
from piwheels.scheduler import dispatcher
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.webroot_check import find_fault
from piwheels.webroot import Webroot


@pytest.fixture
def logs(tmp_path: Path) -> LogSpool:
    return LogSpool(tmp_path / "logs", Webroot(tmp_path / "www"))


def test_a_repeated_chunk_is_kept_once_and_a_gap_is_rejected(logs: LogSpool) -> None:
    logs.append(7, 0, b"first\n")
    logs.append(7, 0, b"first\nsecond\n")
    logs.append(7, 99, b"later\n")
    assert logs.read(7, 0, 1000) == b"first\nsecond\n"
    assert logs.size(7) == 13


async def test_received_chunks_are_synced_once(
    logs: LogSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable: list[Path] = []
    monkeypatch.setattr(
        os, "fdatasync", lambda number: durable.append(Path(f"/proc/self/fd/{number}").readlink())
    )
    logs.append(7, 0, b"first\n")
    logs.append(8, 0, b"other\n")
    logs.discard(8)
    await logs.sync()
    assert [path.name for path in durable] == ["7.log"]
    await logs.sync()
    assert len(durable) == 1


def test_a_power_failure_loses_at_most_five_seconds_of_a_log() -> None:
    # A builder sends what was written since, then the master makes it durable.
    assert connection_state_machine.LOG_INTERVAL_S + dispatcher._TICK_INTERVAL_S < 5


def test_a_finished_log_is_compressed_in_the_web_root(logs: LogSpool, tmp_path: Path) -> None:
    logs.append(7, 0, b"first\n")
    logs.archive(7)
    logs.archive(7)
    assert logs.read(7, 0, 100) is None
    assert logs.read_archived(7) == b"first\n"
    (kept,) = (tmp_path / "www").rglob("*.txt.gz")
    assert gzip.decompress(kept.read_bytes()) == b"first\n"


def test_a_log_stays_in_the_spool_while_the_web_root_is_not_mounted(tmp_path: Path) -> None:
    webroot = Webroot(tmp_path / "www")
    webroot.root.mkdir()
    webroot.tree_epoch.claim(1, 0.0)
    logs = LogSpool(tmp_path / "logs", webroot)
    logs.append(7, 0, b"first\n")
    folders = [webroot.root, tmp_path / "logs"]
    assert find_fault(webroot.check_writer, folders) == ""
    webroot.root.rename(tmp_path / "unmounted")
    webroot.root.mkdir()
    logs.archive(7)
    assert list(webroot.root.iterdir()) == []
    assert "is its file system mounted" in find_fault(webroot.check_writer, folders)
    webroot.root.rmdir()
    (tmp_path / "unmounted").rename(webroot.root)
    logs.archive_orphans(set())  # as a master does when it starts
    assert logs.read_archived(7) == b"first\n"
    webroot.tree_epoch.release()


def test_logs_of_unknown_builds_are_not_followed_forever(logs: LogSpool) -> None:
    for build in (7, 8, 9):
        logs.append(build, 0, b"first\n")
    logs.archive(8)
    logs.append(8, 0, b"fir")  # sent again after a reconnect
    logs.archive_orphans({7})
    assert logs.read(7, 0, 100) == b"first\n"
    assert logs.read(8, 0, 100) is None
    assert logs.read_archived(8) == b"first\n"
    assert logs.read(9, 0, 100) is None
    assert logs.read_archived(9) == b"first\n"


async def test_a_full_disk_loses_the_log_and_is_reported_once(
    logs: LogSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs" / "7.log").symlink_to("/dev/full")
    for _ in range(3):
        logs.append(7, 0, b"first\n")
    await logs.sync()
    assert caplog.messages == ["the log of build 7 cannot be stored: No space left on device"]
    logs.append(8, 0, b"first\n")
    assert logs.read(8, 0, 100) == b"first\n", "others go on"


async def test_a_log_that_cannot_be_removed_ends_nothing(
    logs: LogSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for build in (7, 8):  # folders, which unlink(2) refuses
        (tmp_path / "logs" / f"{build}.log").mkdir()
        logs.discard(build)
    logs.archive_orphans(set())
    assert caplog.messages[0] == "the log of build 7 cannot be stored: Is a directory"


def test_a_log_that_the_web_root_rejects_is_kept_until_it_is_accepted(
    logs: LogSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "logs").touch()  # where a folder has to be
    logs.append(7, 0, b"first\n")
    logs.archive(7)
    assert "the log of build 7 cannot be stored" in caplog.text
    (tmp_path / "www" / "logs").unlink()
    logs.archive_orphans(set())
    assert logs.read_archived(7) == b"first\n"
    assert logs.read(7, 0, 100) is None
