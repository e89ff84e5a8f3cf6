"""Archives: consistent while the farm works, private, complete or absent, and checked when read."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from piwheels.backup import archive as archive_module
from piwheels.backup import backup, database_dump, rotation
from piwheels.backup.archive import BackupError, open_archive
from piwheels.config import load
from piwheels.db import catalog
from piwheels.db.database import Database
from tests.backup.farm import Builds, Machine, quiet


@pytest.fixture
async def machine(dsn: str, tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "farm", dsn)
    machine.configure()
    return machine


@pytest.fixture
async def file(machine: Machine, database: Database, tmp_path: Path) -> Path:
    builds = Builds(database, machine.webroot, machine.folder)
    await builds.add("demo")
    await builds.build()
    file = tmp_path / "farm.zip"
    await machine.backup(file)
    return file


async def test_list_and_dump_are_of_one_moment(
    machine: Machine, database: Database, tmp_path: Path, empty_dsn: str
) -> None:
    builds = Builds(database, machine.webroot, machine.folder)
    await builds.add("before")
    await builds.build()
    await builds.add("during")
    loop_steps: list[str] = []

    async def build_meanwhile(*arguments: object) -> None:
        await builds.build()
        loop_steps.append("built")
        await dump(*arguments)  # type: ignore[arg-type]

    dump = database_dump.dump_database
    file = tmp_path / "farm.zip"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backup, "dump_database", build_meanwhile)
        await machine.backup(file)
    assert loop_steps == ["built"]
    with open_archive(file) as archive:
        listed = [wheel.project for wheel in archive.wheels()]
    restored = Machine(tmp_path / "other", empty_dsn)
    await restored.restore(file, allow_empty=True)
    async with await Database.connect(empty_dsn, role="test") as db:
        builds_there = await db.rows("SELECT project FROM builds")
    assert listed == [row["project"] for row in builds_there] == ["before"]


def test_an_archive_is_private_and_leaves_no_other_file(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]


def test_the_manifest_says_what_it_is_of(file: Path) -> None:
    with open_archive(file) as archive:
        archive.check()
        manifest = archive.manifest
    assert (manifest.wheels, manifest.schema_version) == (1, 1)
    assert {member.name for member in manifest.members} >= {
        "config/piwheels.toml",
        "keys/master.secret",
        "keys/builder/pi4-kitchen",
    }


async def test_a_backup_overwrites_no_file(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "farm.zip"
    file.write_text("kept")
    with pytest.raises(BackupError, match="exists; name a new file"):
        await machine.backup(file)
    assert file.read_text() == "kept"


async def test_a_folder_keeps_the_newest_backups_and_other_files(
    machine: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for name in ("piwheels-2026-01-01T000000Z.zip", "piwheels-2026-01-02T000000Z.zip", "notes"):
        (folder / name).touch()
    part = rotation.part_path(folder / "piwheels-2026-01-03T000000Z.zip")
    part.touch()
    done = await backup.write_backup(load(machine.config_file), folder, quiet, keep=2)
    assert [Path(name).name for name in done.deleted] == ["piwheels-2026-01-01T000000Z.zip"]
    names = {path.name for path in folder.iterdir()}
    assert names == {"notes", "piwheels-2026-01-02T000000Z.zip", Path(done.file).name}


async def test_a_failed_dump_leaves_no_file(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise BackupError("pg_dump failed")

    monkeypatch.setattr(backup, "dump_database", fail)
    with pytest.raises(BackupError):
        await machine.backup(tmp_path / "farm.zip")
    assert not list(tmp_path.glob("*farm.zip*"))


async def test_missing_programs_are_named(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_dump, "client_program_dirs", list)
    with pytest.raises(BackupError, match="pg_dump is not installed; install PostgreSQL's client"):
        await machine.backup(tmp_path / "farm.zip")


async def test_programs_of_an_older_version_are_named(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_dump, "major_version", lambda _: 9)
    message = r"pg_dump is installed in version 9.*, and the server is PostgreSQL \d+: install"
    with pytest.raises(BackupError, match=message):
        await machine.backup(tmp_path / "farm.zip")


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b"PGDMP") + 2000] ^= 1
    file.write_bytes(content)


def replace_by_text(file: Path) -> None:
    file.write_text("no archive")


def replace_by_dump(file: Path) -> None:
    file.write_bytes(b"PGDMP and so on")


def replace_by_other_zip(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme", "hello")


def write_as_newer(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        manifest = msgspec.json.decode(archive.read(archive_module.MANIFEST))
        content = msgspec.json.encode(manifest | {"schema_version": 999, "extra": 1})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(archive_module.MANIFEST, content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_off, "is no backup of piwheels, or it was cut off"),
        (flip_a_byte, r"is damaged \(database.dump\); use another backup"),
        (replace_by_text, "is no backup of piwheels"),
        (replace_by_dump, "is a file of pg_dump: restore it with pg_restore"),
        (replace_by_other_zip, "backup.json is missing"),
        (write_as_newer, "which is newer: install that version"),
    ],
)
async def test_an_archive_that_cannot_be_used_changes_nothing(
    file: Path, damage: Callable[[Path], None], message: str, empty_dsn: str, tmp_path: Path
) -> None:
    damage(file)
    other = Machine(tmp_path / "other", empty_dsn)
    with pytest.raises(BackupError, match=message):
        await other.restore(file)
    assert not other.folder.exists()


async def test_a_member_that_would_be_written_elsewhere_is_refused(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        content = archive.read(archive_module.MANIFEST)
        rest = {name: archive.read(name) for name in archive.namelist()}
    rest[archive_module.MANIFEST] = content.replace(b"keys/master.secret", b"keys/../../escape")
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in rest.items():
            archive.writestr(name, data)
    with pytest.raises(BackupError, match="a member that no backup has"):
        open_archive(file)


async def test_a_backup_of_an_empty_database_names_the_command(
    machine: Machine, empty_dsn: str, tmp_path: Path
) -> None:
    loaded = load(machine.config_file, options={"database.dsn": empty_dsn})
    with pytest.raises(Exception, match="run `piw db upgrade`"):
        await backup.write_backup(loaded, tmp_path / "farm.zip", quiet)


async def test_projects_are_restored(file: Path, empty_dsn: str, tmp_path: Path) -> None:
    await Machine(tmp_path / "other", empty_dsn).restore(file, allow_empty=True)
    async with await Database.connect(empty_dsn, role="test") as db:
        assert await catalog.existing_projects(db, ["demo"]) == {"demo"}
