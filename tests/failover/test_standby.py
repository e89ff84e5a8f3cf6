"""A master that waits: what it says, and when it stops waiting."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from piwheels.config import Config
from piwheels.config.sections import DatabaseSection, MasterSection
from piwheels.db import restored
from piwheels.db.database import Database
from piwheels.db.master_epoch import RESTORE_STEP, first_epoch
from piwheels.master.daemon import _control_router
from piwheels.master.epoch_watch import EpochWatch
from piwheels.master.standby import Standby
from piwheels.webroot.tree_epoch import EpochRecord, TreeEpoch, read_epoch
from tests.failover.masters import status_of
from tests.fake_systemd import Notifications, systemd
from tests.timeouts import WAIT_S

__all__ = ["systemd"]

pytestmark = pytest.mark.farm


async def test_a_standby_waits_as_long_as_a_master_holds_the_lock(
    dsn: str, tmp_path: Path, systemd: Notifications
) -> None:
    control = f"ipc://{tmp_path}/c.sock"
    config = Config(database=DatabaseSection(dsn=dsn), master=MasterSection(control_bind=control))
    async with await Database.connect(dsn, role="dispatch", exclusive=True):
        waiting = asyncio.create_task(Standby(config).wait(_control_router()))
        async with asyncio.timeout(WAIT_S):
            while "(the master runs on" not in await status_of(control):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert systemd.get(timeout=WAIT_S) == "READY=1"
        while "STATUS=standby: the master runs" not in systemd.get(timeout=WAIT_S):
            pass
        assert not waiting.done()
    async with asyncio.timeout(WAIT_S):
        await waiting
    assert not (tmp_path / "c.sock").exists()  # the master binds it now


async def test_a_full_disk_delays_the_claim_of_the_web_root(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    async with await Database.connect(dsn, role="dispatch", exclusive=True) as master:
        watch = EpochWatch(master, TreeEpoch(tmp_path))
        monkeypatch.setattr("piwheels.webroot.tree_epoch.replace_file", fail)
        await watch.claim_tree(0.0)
        assert read_epoch(tmp_path) is None
        monkeypatch.undo()
        await watch._check_tree()
        found = read_epoch(tmp_path)
        assert found is not None
        assert master.epoch is not None
        assert found.epoch == master.epoch.number
        watch.tree.release()


async def test_a_fault_of_the_web_root_is_logged_once_while_it_lasts(
    dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await Database.connect(dsn, role="dispatch", exclusive=True) as master:
        watch = EpochWatch(master, TreeEpoch(tmp_path))
        await watch.claim_tree(0.0)
        for code in (errno.EIO, errno.EIO, errno.ESTALE, 0, errno.ESTALE):

            def read(_: Path, code: int = code) -> EpochRecord:
                if code:
                    raise OSError(code, os.strerror(code))
                return EpochRecord(watch._epoch)

            monkeypatch.setattr("piwheels.webroot.tree_epoch.read_epoch", read)
            await watch._check_tree()
        watch.tree.release()
    faults = [os.strerror(code) for code in (errno.EIO, errno.ESTALE, errno.ESTALE)]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: the web root {tmp_path} is not there (.master-epoch.json: {fault}): is its "
        "file system mounted? If it is, start the master again; retrying"
        for fault in faults
    ]


async def test_a_restored_database_begins_above_the_web_root(dsn: str) -> None:
    async with await Database.connect(dsn, role="restore") as database:
        await restored.raise_epoch(database, 1 << 60)
    async with await Database.connect(dsn, role="dispatch", exclusive=True) as master:
        assert master.epoch is not None
        assert master.epoch.number > 1 << 60


async def test_a_restored_database_begins_in_the_timeline_of_its_server(dsn: str) -> None:
    async with await Database.connect(dsn, role="restore") as database:
        await database.execute("UPDATE master_epoch SET epoch = 1")  # of an earlier timeline
        await restored.raise_epoch(database, 0)
        timeline = await database.server_timeline()
        stored = await database.value("SELECT epoch FROM master_epoch")
    assert int(stored) - first_epoch(timeline) == RESTORE_STEP
