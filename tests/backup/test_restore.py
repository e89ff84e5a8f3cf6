"""A backup of a farm that works on, restored onto an empty machine with another copy of the tree."""

import asyncio
import hashlib
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from piwheels.audit.finding import ReportedFinding
from piwheels.audit.run import run_audit
from piwheels.audit.session import AuditOptions
from piwheels.backup import restore as restore_module
from piwheels.backup.archive import BackupError
from piwheels.config import load
from piwheels.db import catalog, completed_builds, own_webroot, restored
from piwheels.db.connection import DatabaseError
from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.webroot import OtherTreeError, Webroot
from piwheels.webroot.tree_farm import FARM_FILE, store_farm
from tests.backup.farm import Builds, Machine, download
from tests.endtoend.conftest import wait_until
from tests.failover.servers import run_promoted


@pytest.fixture
async def old(dsn: str, tmp_path: Path) -> Machine:
    """The machine whose farm is backed up."""
    machine = Machine(tmp_path / "old", dsn)
    machine.configure()
    return machine


@pytest.fixture
async def builds(old: Machine, database: Database) -> Builds:
    return Builds(database, old.webroot, old.folder)


@pytest.fixture
def new(postgres: PrivatePostgres, tmp_path: Path) -> Iterator[Machine]:
    """An empty machine, whose database belongs to an account without further rights."""
    name = sql.Identifier("restored_farm")
    with psycopg.connect(postgres.dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(name))
        admin.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(name))
        dsn = conninfo.make_conninfo(
            postgres.dsn, dbname="restored_farm", user="restored_farm", password="secret"
        )
        yield Machine(tmp_path / "new", dsn)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        admin.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.fixture
async def archive(old: Machine, builds: Builds, tmp_path: Path) -> Path:
    """A backup of a farm with one wheel, which the empty machine has."""
    await builds.add("demo")
    await builds.build("first")
    shutil.copytree(old.webroot.root, old.folder.parent / "new" / "www")
    file = tmp_path / "farm.zip"
    await old.backup(file)
    return file


async def opened(machine: Machine) -> Database:
    return await Database.connect(machine.dsn, role="test")


def content_by_name(*webroots: Webroot) -> dict[str, set[str]]:
    """Every name of a wheel that was ever served, with the hashes of its contents."""
    found: dict[str, set[str]] = {}
    for webroot in webroots:
        for path in webroot.root.rglob("*.whl"):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert digest == path.parent.name
            found.setdefault(path.name, set()).add(digest)
    return found


async def finds_nothing(db: Database, machine: Machine) -> None:
    """An audit with hashes has no finding, except pages that the website's publisher writes."""
    found: list[ReportedFinding] = []
    await run_audit(
        db,
        machine.webroot,
        machine.folder / "audit",
        AuditOptions(grace_s=0.0),
        on_finding=found.append,
    )
    assert found == []


async def test_a_farm_is_restored_with_a_tree_that_lacks_wheels_and_has_later_ones(
    old: Machine, new: Machine, builds: Builds, tmp_path: Path
) -> None:
    for project in ("kept", "lost", "rebuilt", "rotten"):
        await builds.add(project)
    kept, lost, rebuilt, rotten = [await builds.build(text) for text in ("a", "b", "c", "d")]
    file = tmp_path / "farm.zip"
    await old.backup(file)
    # What follows is in the tree alone: a new project, a new release, and a second build.
    await builds.add("later")
    await builds.add("kept", "2.0")
    later = [await builds.build(), await builds.build()]
    await builds.write_pages()
    shutil.copytree(old.webroot.root, new.webroot.root)
    shutil.rmtree(new.webroot.wheel_path(lost.sha256, lost.filename).parent)
    damaged = new.webroot.wheel_path(rebuilt.sha256, rebuilt.filename)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    other_bytes = new.webroot.wheel_path(rotten.sha256, rotten.filename)
    other_bytes.write_bytes(bytes(rotten.size_bytes))

    new.webroot.provenance_path(kept.sha256, kept.filename).unlink()

    done = await new.restore(file)

    assert (done.tree.missing, done.tree.adopted, done.tree.moved) == (2, 2, 3)
    async with await opened(new) as db:
        stated = await db.rows("SELECT filename FROM files WHERE has_provenance")
        assert {row["filename"] for row in stated} == {wheel.filename for wheel in later}
        after = Builds(db, new.webroot, new.folder)
        assert await after.queued() == [("lost", "1.0"), ("rebuilt", "1.0"), ("rotten", "1.0")]
        highest = int(await builds.db.value("SELECT max(build_id) FROM builds"))
        assert await completed_builds.next_build_id(db) > highest + 1000
        again = [await after.build("other bytes") for _ in range(3)]
        assert {wheel.build_tag for wheel in again} == {1}
        await after.write_pages()
        assert await after.queued() == []
        await after.write_pages()
        await finds_nothing(db, new)
    for names in content_by_name(old.webroot, new.webroot).values():
        assert len(names) == 1
    assert download(new.webroot, "kept==1.0", tmp_path / "k1") == [kept.filename]
    assert set(download(new.webroot, "kept", tmp_path / "k2")) <= {w.filename for w in later}
    assert set(download(new.webroot, "later", tmp_path / "l")) <= {w.filename for w in later}
    assert download(new.webroot, "lost", tmp_path / "o") == [again[0].filename]


async def test_keys_and_configuration_are_restored_for_their_account_alone(
    old: Machine, new: Machine, archive: Path
) -> None:
    await new.restore(archive)
    for name in ("piwheels.toml", "keys/master.secret", "keys/builder/pi4-kitchen"):
        before, after = old.config_file.parent / name, new.config_file.parent / name
        assert after.read_bytes() == before.read_bytes()
        limit = 0o640 if name == "piwheels.toml" else 0o600
        assert stat.S_IMODE(after.stat().st_mode) == before.stat().st_mode & limit
    assert load(new.config_file).config.webroot.root.resolve() == new.webroot.root


async def test_builders_follow_the_restored_master_after_others_started_since_the_backup(
    old: Machine, new: Machine, archive: Path
) -> None:
    for _ in range(2):
        async with await Database.connect(old.dsn, role="dispatch", exclusive=True) as master:
            seen = master.epoch
    await new.restore(archive)
    async with await Database.connect(new.dsn, role="dispatch", exclusive=True) as master:
        assert seen is not None
        assert master.epoch is not None
        assert master.epoch.exceeds(seen.number)
        assert master.epoch.number >> 48 == seen.number >> 48, "the timeline stays"


@pytest.mark.slow
async def test_builders_follow_a_master_that_was_restored_from_before_a_failover(
    archive: Path, tmp_path: Path
) -> None:
    async with run_promoted(tmp_path / "promoted") as server:
        machine = Machine(tmp_path / "failed-over", server.dsn)
        await upgrade(server.dsn)
        for _ in range(2):
            async with await Database.connect(
                server.dsn, role="dispatch", exclusive=True
            ) as master:
                seen = master.epoch
        assert seen is not None
        assert seen.timeline == 2, "the backup is of the first one"
        await machine.restore(archive, force=True, allow_empty=True)
        async with await Database.connect(server.dsn, role="dispatch", exclusive=True) as master:
            assert master.epoch is not None
            assert master.epoch.exceeds(seen.number)
            assert master.epoch.number >> 48 == seen.timeline


async def test_a_restore_brings_no_revoked_signing_key_back(
    old: Machine, builds: Builds, archive: Path
) -> None:
    keys = SigningKeys(old.config_file.parent / "keys")
    revoked = keys.ensure().keyid
    current = keys.rotate("current", "stolen").keyid
    await builds.db.close()
    await old.restore(archive, force=True)
    assert keys.ensure().keyid == current
    assert keys.revoked() == {revoked}


@pytest.mark.slow
async def test_what_exists_is_replaced_by_force_only_and_then_kept(
    old: Machine, builds: Builds, new: Machine, archive: Path
) -> None:
    other = Machine(new.folder, new.dsn)
    other.configure()
    secret = new.config_file.parent / "keys" / "master.secret"
    before = secret.read_bytes()
    with pytest.raises(BackupError, match=r"piwheels.toml.*master.secret.*--force"):
        await new.restore(archive)
    assert secret.read_bytes() == before
    async with await opened(old) as db:
        await catalog.add_project(db, "later", "later")
    with pytest.raises(BackupError, match=r"the database, which has \d+ tables: use --force"):
        await old.restore(archive)
    await builds.db.close()
    await old.restore(archive, force=True)
    async with await opened(old) as db:
        assert await catalog.existing_projects(db, ["demo", "later"]) == {"demo"}
    await new.restore(archive, force=True)
    kept = list(new.config_file.parent.glob("keys.before-*/master.secret"))
    assert [path.read_bytes() for path in kept] == [before]
    assert stat.S_IMODE(kept[0].parent.stat().st_mode) == 0o700


@pytest.mark.slow
async def test_an_interrupted_restore_keeps_masters_out_and_is_continued(
    new: Machine, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(restore_module, "_write_files", fail)
        with pytest.raises(KeyboardInterrupt):
            await new.restore(archive)
    async with await opened(new) as db:
        with pytest.raises(DatabaseError, match="run the same `piw db restore` again"):
            await restored.refuse_unfinished(db)
    await new.restore(archive)
    async with await opened(new) as db:
        await restored.refuse_unfinished(db)
        assert await catalog.existing_projects(db, ["demo"]) == {"demo"}


_HALF_A_DUMP = """
import asyncio, sys, time
from pathlib import Path
from piwheels.backup.archive import open_archive
from piwheels.backup.database_dump import load_database, programs_for_restore

file, dsn, ready = sys.argv[1:]
archive = open_archive(Path(file))
content = archive.read("database.dump")

def parts():
    yield content[:-1000]
    Path(ready).touch()
    time.sleep(600)

programs = programs_for_restore(0, archive.manifest.postgres_version)
asyncio.run(load_database(dsn, programs, parts(), "", "SELECT 1;"))
"""


async def test_a_restore_that_is_killed_leaves_the_database_empty(
    new: Machine, archive: Path, tmp_path: Path
) -> None:
    await asyncio.to_thread(_kill_halfway, archive, new, tmp_path / "ready")
    async with restored.locked_target(new.dsn, lock=True) as target:
        assert target.tables == 0
    await new.restore(archive)


def _kill_halfway(archive: Path, machine: Machine, ready: Path) -> None:
    """Kill a restore that has sent most of a dump, and wait for the end of its connections."""
    process = subprocess.Popen([sys.executable, "-c", _HALF_A_DUMP, archive, machine.dsn, ready])
    wait_until(ready.exists, "the dump is sent")
    process.kill()
    process.wait()
    with psycopg.connect(machine.dsn, autocommit=True) as connection:
        wait_until(lambda: not connection.execute(_OTHERS).fetchall(), "its connections ended")


_OTHERS = """
    SELECT FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.mark.slow
async def test_names_that_were_lost_with_their_wheels_get_no_other_bytes(
    old: Machine, new: Machine, builds: Builds, archive: Path, tmp_path: Path
) -> None:
    await builds.add("later")
    await builds.add("demo", "2.0")
    lost = [await builds.build("lost"), await builds.build("lost")]  # after backup and copy
    await builds.add("later", "2.0")
    listed = await builds.build("listed")
    await builds.write_pages()
    page = new.webroot.simple_dir("later") / "index.v1_json"
    page.parent.mkdir(parents=True)
    shutil.copy(old.webroot.simple_dir("later") / "index.v1_json", page)  # the copy has only this
    await new.restore(archive)
    async with await opened(new) as db:
        after = Builds(db, new.webroot, new.folder)
        await after.add("later")
        await after.add("later", "2.0")
        await after.add("demo", "2.0")
        again = [await after.build("other") for _ in range(3)]
        assert {wheel.build_tag for wheel in again} == {1}
        assert not {wheel.filename for wheel in again} & {w.filename for w in [*lost, listed]}


async def test_names_are_free_if_the_tree_is_complete(new: Machine, archive: Path) -> None:
    await new.restore(archive, complete_tree=True)
    async with await opened(new) as db:
        after = Builds(db, new.webroot, new.folder)
        await after.add("next")
        assert (await after.build()).build_tag == 0


@pytest.mark.slow
async def test_pages_of_projects_that_the_database_does_not_know_are_moved_aside(
    new: Machine, archive: Path
) -> None:
    page = new.webroot.simple_dir("unknown") / "index.html"
    new.webroot.write_page(page, b"a page")
    done = await new.restore(archive)
    assert not page.parent.exists()
    assert (Path(done.aside) / "simple" / "unknown" / "index.html").read_bytes() == b"a page"


async def test_a_dry_run_changes_nothing(new: Machine, archive: Path) -> None:
    shutil.rmtree(new.webroot.root / "packages")
    done = await new.restore(archive, dry_run=True)
    assert done.tree.missing == 1
    assert not new.config_file.parent.exists()
    async with restored.locked_target(new.dsn, lock=True) as target:
        assert target.tables == 0


async def test_the_web_root_of_another_farm_is_restored_into_by_its_own_option_only(
    new: Machine, archive: Path
) -> None:
    store_farm(new.webroot.root, "another")
    for force in (False, True):  # which the documented restore always uses
        with pytest.raises(BackupError, match=r"of another farm .*--other-webroot; nothing"):
            await new.restore(archive, force=force)
    async with restored.locked_target(new.dsn, lock=True) as target:
        assert target.tables == 0
    await new.restore(archive, other_webroot=True)
    async with await opened(new) as db:
        await own_webroot.require_own(db, new.webroot.root)
        (new.webroot.root / FARM_FILE).unlink()
        with pytest.raises(OtherTreeError):
            await own_webroot.require_own(db, new.webroot.root)


async def test_a_web_root_without_any_wheel_is_not_taken_for_lost_wheels(
    new: Machine, archive: Path
) -> None:
    shutil.rmtree(new.webroot.root)
    with pytest.raises(BackupError, match=r"has no wheels, and the backup lists 1: .*allow-empty"):
        await new.restore(archive)
    done = await new.restore(archive, allow_empty=True)
    assert done.tree.missing == 1
