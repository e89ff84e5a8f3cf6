"""The folder that a farm takes for its web root: a new one once, and its own from then on."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from piwheels.audit.errors import AuditError
from piwheels.audit.run import run_audit
from piwheels.audit.session import AuditOptions
from piwheels.cli import cli
from piwheels.config import Config
from piwheels.config.sections import WebrootSection
from piwheels.db import own_webroot
from piwheels.db.database import Database
from piwheels.master.daemon import _Master
from piwheels.master.epoch_watch import EpochWatch
from piwheels.webroot import OtherTreeError, Webroot
from piwheels.webroot.tree_epoch import EPOCH_FILE
from piwheels.webroot.tree_farm import FARM_FILE, give_up, read_farm, store_farm
from tests.backup.farm import Builds
from tests.timeouts import WAIT_S

_HANGING = """
import sys
from pathlib import Path
from piwheels.config import load
from piwheels.master import daemon
daemon._CLAIM_TIMEOUT_S = 0.5
daemon.run(load(Path(sys.argv[1])).config)
"""

pytestmark = pytest.mark.farm


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    folder.mkdir()
    return folder


async def start_master(dsn: str, root: Path) -> None:
    """As far as the claim of the web root."""
    master = _Master(Config(webroot=WebrootSection(root=root)), asyncio.Event())
    async with await Database.connect(dsn, role="dispatch", exclusive=True) as db:
        master._dispatcher_db = db
        master._epoch_watch = EpochWatch(db, master._webroot.tree_epoch)
        try:
            await master._claim_tree()
        finally:
            master._webroot.tree_epoch.release()


def unmount(root: Path) -> Path:
    """Leave the bare mount point; returns where the files are."""
    root.rename(elsewhere := root.with_name("unmounted"))
    root.mkdir()
    return elsewhere


async def test_a_bare_mount_point_is_not_taken_for_the_web_root(dsn: str, root: Path) -> None:
    for _ in range(2):
        await start_master(dsn, root)
    elsewhere = unmount(root)
    with pytest.raises(OtherTreeError, match=f"{root} .* is its file system mounted"):
        await start_master(dsn, root)
    async with await Database.connect(dsn, role="audit") as db:
        with pytest.raises(AuditError, match="is its file system mounted"):
            await run_audit(db, Webroot(root), root.parent / "state", AuditOptions())
    assert list(root.iterdir()) == []
    root.rmdir()
    elsewhere.rename(root)
    await start_master(dsn, root)


async def test_files_beneath_a_mount_point_are_not_taken_for_the_newer_web_root(
    dsn: str, root: Path
) -> None:
    await start_master(dsn, root)
    shutil.copytree(root, older := root.with_name("older"))
    await start_master(dsn, root)
    root.rename(root.with_name("unmounted"))
    older.rename(root)
    with pytest.raises(OtherTreeError, match="an older copy of this farm's web root"):
        await start_master(dsn, root)
    async with await Database.connect(dsn, role="restore") as db:
        await own_webroot.mark_own(db, root)  # as a restore does, of a copy that is as old
    await start_master(dsn, root)
    give_up(root)
    assert not (root / EPOCH_FILE).exists()
    await start_master(dsn, root)


async def test_a_web_root_that_hangs_ends_the_master_that_waits_for_it(
    dsn: str, root: Path
) -> None:
    """It would keep the master's lock. A FIFO hangs as a mount does whose server is away."""
    os.mkfifo(root / FARM_FILE)
    config = root.parent / "piwheels.toml"
    config.write_text(
        f'[database]\ndsn = "{dsn}"\n[webroot]\nroot = "www"\n'
        '[master]\nkey_dir = "keys"\nspool_dir = "spool"\n'
    )
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _HANGING, str(config)],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("piw: ")]
    assert f"{root} (webroot.root) has not answered for" in line
    assert "Traceback" not in ended.stderr
    async with await Database.connect(dsn, role="dispatch", exclusive=True):
        pass


async def test_a_lost_web_root_is_replaced_by_a_command(dsn: str, root: Path) -> None:
    await start_master(dsn, root)
    before = read_farm(root)
    unmount(root)
    config = root.parent / "piwheels.toml"
    config.write_text('[webroot]\nroot = "www"\n')
    command = ["master", "adopt", "--config", str(config)]
    assert CliRunner().invoke(cli, command, input="n\n").exit_code == 1
    assert not (root / FARM_FILE).exists()
    done = CliRunner().invoke(cli, [*command, "--yes"])
    assert done.output == f"the next master that starts takes {root} for its own\n"
    await start_master(dsn, root)
    assert read_farm(root) == before


async def test_the_web_root_of_another_farm_is_refused(dsn: str, root: Path) -> None:
    store_farm(root, "another")
    with pytest.raises(OtherTreeError, match="is the web root of another farm"):
        await start_master(dsn, root)


async def test_the_web_root_of_an_earlier_version_has_to_have_its_wheels(
    dsn: str, database: Database, root: Path, tmp_path: Path
) -> None:
    """As after a conversion, where neither the database nor the web root has an identity."""
    builds = Builds(database, Webroot(root), tmp_path)
    await builds.add("demo")
    await builds.build()
    elsewhere = unmount(root)
    with pytest.raises(OtherTreeError, match="is its file system mounted"):
        await start_master(dsn, root)
    root.rmdir()
    elsewhere.rename(root)
    await start_master(dsn, root)
    assert read_farm(root) is not None


async def test_a_master_starts_on_a_full_disk_and_marks_its_web_root_later(
    dsn: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("piwheels.webroot.tree_farm.replace_file", fail)
        await start_master(dsn, root)
    assert read_farm(root) is None
    await start_master(dsn, root)
    assert read_farm(root) is not None
