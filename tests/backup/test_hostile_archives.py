"""An archive and a web root that somebody else made: they choose no path, name or mode."""

import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from piwheels.backup import database_dump, rotation
from piwheels.backup.archive import CONFIG, DATABASE, KEYS, WHEELS, BackupError
from piwheels.backup.database_dump import programs_for_restore
from piwheels.backup.restore import RestoreOptions, restore_backup, restore_config
from piwheels.config.sources import DEFAULT_CONFIG_FILE, to_toml
from piwheels.db import restored
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.webroot import Webroot
from tests.backup.farm import Builds, Machine, quiet
from tests.backup.hostile import changed_archive
from tests.unprivileged import as_ordinary_account, folder_of_nobody

SHA = "ab" * 32


@pytest.fixture
async def archive(dsn: str, database: Database, tmp_path: Path) -> Path:
    """A backup of a farm without wheels."""
    old = Machine(tmp_path / "old", dsn)
    old.configure()
    (old.config_file.parent / "keys" / "invitations.json").write_text("{}")
    file = tmp_path / "farm.zip"
    await old.backup(file)
    return file


@pytest.fixture
def new(empty_dsn: str, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "new", empty_dsn)


def settings(machine: Machine, key_dir: Path | str) -> bytes:
    """A configuration whose keys are in this folder."""
    values = {
        "database.dsn": machine.dsn,
        "webroot.root": "../www",
        "master.key_dir": key_dir,
        "master.spool_dir": "../spool",
    }
    return to_toml(values).encode()


async def test_an_archive_does_not_choose_where_keys_are_written(
    new: Machine, archive: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    changed_archive(archive, {CONFIG: settings(new, elsewhere)})
    for dry_run in (True, False):
        with pytest.raises(BackupError, match=f"its keys in {elsewhere}.*--backup-key-dir"):
            await new.restore(archive, dry_run=dry_run)
    assert not elsewhere.exists()
    assert not new.folder.exists()
    await new.restore(archive, backup_key_dir=True)
    assert (elsewhere / "master.secret").is_file()


async def test_keys_are_written_where_this_machine_has_them(
    new: Machine, archive: Path, tmp_path: Path
) -> None:
    chosen = tmp_path / "chosen"
    new.config_file.parent.mkdir(parents=True)
    new.config_file.write_bytes(settings(new, chosen))
    changed_archive(archive, {CONFIG: settings(new, chosen) + b"\n"})
    await new.restore(archive, force=True)
    assert (chosen / "master.secret").is_file()


async def test_an_archive_does_not_choose_where_the_configuration_is_written(
    new: Machine, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setenv("HOME", str(empty))
    for name in ("XDG_CONFIG_HOME", "PIWHEELS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    overrides = {"database.dsn": new.dsn}
    options = RestoreOptions(dry_run=True, backup_key_dir=True)
    done = await restore_backup(archive, None, overrides, options, quiet)
    assert done.config_file == str(DEFAULT_CONFIG_FILE)


async def test_only_keys_are_written_and_for_their_account_alone(
    new: Machine, archive: Path
) -> None:
    others = ("authorized_keys", "builder/a/b", "bin/run", "master", f"builder/{'x' * 64}")
    contents = {f"{KEYS}{name}": b"x" for name in (*others, "pi.secret", "watch/desk", "pi.joined")}
    changed_archive(archive, {**contents, CONFIG: settings(new, "keys")}, mode=0o6777)
    done = await new.restore(archive)
    keys = new.config_file.parent / "keys"
    files = {path.relative_to(keys).as_posix() for path in keys.rglob("*") if path.is_file()}
    pairs = {"master.secret", "pi.secret", "pi.joined"}
    assert files == {*pairs, "builder/pi4-kitchen", "watch/desk"}
    assert set(done.left_out) == {f"{KEYS}{name}" for name in (*others, "invitations.json")}
    assert all(stat.S_IMODE((keys / name).stat().st_mode) == 0o600 for name in files)
    assert stat.S_IMODE(new.config_file.stat().st_mode) == 0o640


async def test_invitations_are_not_restored_and_those_of_this_machine_stay(
    new: Machine, archive: Path
) -> None:
    invitations = new.config_file.parent / "keys" / "invitations.json"
    invitations.parent.mkdir(parents=True)
    invitations.write_text("here")
    await new.restore(archive)
    assert invitations.read_text() == "here"


async def test_a_list_with_paths_elsewhere_changes_nothing(new: Machine, archive: Path) -> None:
    name = "demo-1.0-py3-none-any.whl"
    for row in (
        f"demo,../../../../victim.whl,{SHA},1",
        f"demo,/victim,{SHA},1",
        f"demo,{name},../../../victim,1",
        f"demo,{name},{SHA.upper()},1",
        f"demo,{name},{SHA}0,1",
    ):
        changed_archive(archive, {WHEELS: f"{row}\r\n".encode()})
        with pytest.raises(BackupError, match=r"is damaged \(wheels.csv\)"):
            await new.restore(archive)
    async with restored.locked_target(new.dsn, lock=True) as target:
        assert target.tables == 0


async def test_a_dump_runs_no_commands_of_psql(
    new: Machine, archive: Path, database: Database, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    comment = "a" * 300
    await database.execute(f"COMMENT ON TABLE key_values IS '{comment}'")
    machine = Machine(tmp_path / "old", database.dsn)
    await machine.backup(tmp_path / "commented.zip")
    with zipfile.ZipFile(tmp_path / "commented.zip") as made:
        dump = made.read(DATABASE)
    statement = f"COMMENT ON TABLE public.key_values IS '{comment}';\n".encode()
    assert statement in dump
    order = f"\\! touch {touched}\n".encode()  # of the same length: a dump has lengths
    hostile = dump.replace(statement, order + b"-" * (len(statement) - len(order) - 1) + b"\n")
    changed_archive(archive, {DATABASE: hostile})
    with pytest.raises(BackupError, match="restricted"):
        await new.restore(archive)
    assert not touched.exists()
    async with restored.locked_target(new.dsn, lock=True) as target:
        assert target.tables == 0


@pytest.mark.parametrize("version", ["13.21", "14.18", "15.13", "16.9", "17.5", "12.22"])
def test_programs_that_would_run_commands_of_a_dump_are_refused(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pg_restore", "psql"):
        program = tmp_path / name
        program.write_text(
            f"#!/bin/sh\necho '{name} (PostgreSQL) {version} (Debian {version}-1)'\n"
        )
        program.chmod(0o755)
    monkeypatch.setattr(database_dump, "client_program_dirs", lambda: [tmp_path])
    with pytest.raises(BackupError, match=rf"pg_restore {version} would run.*CVE-2025-8714.*upgr"):
        programs_for_restore(9, 9)
    major, minor = map(int, version.split("."))
    if major > 12:
        for name in ("pg_restore", "psql"):
            (tmp_path / name).write_text(
                f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.{minor + 1}'\n"
            )
        assert programs_for_restore(9, 9).version == major


async def test_a_configuration_alone_is_restored_and_its_changes_are_named(
    new: Machine, archive: Path
) -> None:
    await new.restore(archive)
    before = new.config_file.read_bytes()
    changed = to_toml({"webroot.root": "/etc", "database.dsn": "password=geheim"}).encode()
    changed_archive(archive, {CONFIG: changed})
    with pytest.raises(BackupError, match="--force"):
        restore_config(archive, new.config_file, RestoreOptions())
    seen = restore_config(archive, new.config_file, RestoreOptions(dry_run=True))
    assert new.config_file.read_bytes() == before
    done = restore_config(archive, new.config_file, RestoreOptions(force=True))
    assert seen == done
    assert f"webroot.root: {new.webroot.root} -> /etc" in done.changed
    assert "geheim" not in "".join(done.changed)
    assert new.config_file.read_bytes() == changed


async def test_a_configuration_that_root_writes_is_named_before_anything_is_restored(
    new: Machine, archive: Path
) -> None:
    with folder_of_nobody() as account:
        folder = account / "etc"
        folder.mkdir(mode=0o755)
        config_file = folder / "piwheels.toml"
        copy = account / "farm.zip"
        shutil.copy(archive, copy)
        values = {"database.dsn": new.dsn, "master.key_dir": str(account / "keys")}
        changed_archive(copy, {CONFIG: to_toml(values).encode()})
        copy.chmod(0o644)
        options = RestoreOptions(backup_key_dir=True, allow_empty=True)
        with as_ordinary_account(), pytest.raises(BackupError, match="--only-config, and repeat"):
            await restore_backup(copy, config_file, {"database.dsn": new.dsn}, options, quiet)
    async with restored.locked_target(new.dsn, lock=True) as target:
        assert target.tables == 0


async def test_links_in_folders_of_unknown_projects_are_moved_and_not_followed(
    new: Machine, archive: Path, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.write_text("private")
    private.chmod(0o600)
    for content in ("first", "second"):
        folder = new.webroot.simple_dir("unknown")
        folder.mkdir(parents=True)
        (folder / "to-folder").symlink_to(tmp_path)
        (folder / "to-file").symlink_to(private)
        (folder / "index.v1_json").symlink_to(tmp_path)
        (folder / "index.html").write_text(content)
        done = await new.restore(archive, force=True)
        assert not folder.exists()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    kept = sorted((Path(done.aside) / "simple").iterdir())
    assert [(folder / "index.html").read_text() for folder in kept] == ["first", "second"]
    assert (kept[0] / "to-folder").is_symlink()


async def test_what_is_no_file_where_a_wheel_was_is_moved_aside(
    dsn: str, database: Database, empty_dsn: str, tmp_path: Path
) -> None:
    old, new = Machine(tmp_path / "old", dsn), Machine(tmp_path / "new", empty_dsn)
    old.configure()
    builds = Builds(database, old.webroot, old.folder)
    await builds.add("demo")
    wheel = await builds.build()
    await old.backup(tmp_path / "farm.zip")
    path = new.webroot.wheel_path(wheel.sha256, wheel.filename)
    path.mkdir(parents=True)
    (path / "inside").write_text("kept")
    (path.parent / f"{wheel.filename}.metadata").symlink_to(tmp_path)
    (new.webroot.root / "packages" / "zz" / "no-hash").mkdir(parents=True)
    (new.webroot.root / "packages" / "zz" / "no-hash" / wheel.filename).write_text("other")
    done = await new.restore(tmp_path / "farm.zip")
    packages = Path(done.aside) / "packages"
    assert (packages / "zz" / "no-hash" / wheel.filename).read_text() == "other"
    assert (packages / path.relative_to(new.webroot.root / "packages") / "inside").exists()


def test_what_another_account_left_is_no_reason_to_make_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    monkeypatch.chdir(folder)  # the folders above are root's alone
    left = rotation.part_path(Path("piwheels-2026-01-03T000000Z.zip"))
    left.touch(mode=0o000)
    with as_ordinary_account():
        rotation.delete_leftovers(Path("piwheels-2026-01-04T000000Z.zip"))
    assert left.exists()
    assert [record.args[0] for record in caplog.records if record.args] == [left]  # type: ignore[index]


@pytest.mark.parametrize(
    ("sha256", "filename"),
    [
        ("../" + SHA[3:], "demo.whl"),
        (SHA[1:], "demo.whl"),
        (SHA.upper(), "demo.whl"),
        (SHA, "../demo.whl"),
        (SHA, "/demo.whl"),
        (SHA, ".."),
        (SHA, ""),
        (SHA, "demo\0.whl"),
    ],
)
def test_no_path_of_a_wheel_is_outside_of_the_web_root(
    tmp_path: Path, sha256: str, filename: str
) -> None:
    webroot = Webroot(tmp_path)
    with pytest.raises(RejectedError):
        webroot.wheel_path(sha256, filename)
