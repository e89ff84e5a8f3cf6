"""What the farm's account writes does not become an order to root."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from piwheels.audit.errors import AuditError
from piwheels.cli import cli
from piwheels.config.sources import to_toml
from piwheels.setup import farm, machine, master, removal
from piwheels.setup.errors import SetupError
from piwheels.setup.farm import Place
from piwheels.setup.run import State, run_steps, state_of
from piwheels.setup.steps import Step, command, script
from tests.unprivileged import NOBODY_UID, folder_of_nobody

_ACCOUNT = "nobody"
pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away"),
    pytest.mark.skipif(shutil.which("runuser") is None, reason="needs runuser"),
]


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of /etc/piwheels; nobody is the farm's account."""
    folder = tmp_path / "etc"
    monkeypatch.setattr(farm, "CONFIG_DIR", str(folder))
    monkeypatch.setattr(farm, "CONFIG_FILE", str(folder / "piwheels.toml"))
    for module in (farm, machine, master, removal):
        monkeypatch.setattr(module, "USER", _ACCOUNT)
    return folder


def run_all(*steps: Step) -> None:
    run_steps(steps, lambda *_: None, print)


def test_settings_that_the_account_could_write_end_the_setup_before_anything_else(
    etc: Path,
) -> None:
    etc.mkdir()
    file = etc / "piwheels.toml"
    file.write_text('[webroot]\nroot = "/etc"\n')
    run_all(farm.trust_step())
    for path in (file, etc):
        os.chown(path, NOBODY_UID, NOBODY_UID)
        with pytest.raises(SetupError, match=f"another account than root can write {file}"):
            run_all(farm.trust_step())
        os.chown(path, 0, 0)
        path.chmod(0o775)
        with pytest.raises(SetupError, match="look at what it says"):
            run_all(farm.trust_step())
        path.chmod(0o755)
    file.rename(etc / "other")
    file.symlink_to(etc / "other")
    with pytest.raises(SetupError, match="another account"):
        run_all(farm.trust_step())


def test_the_printed_script_ends_there_as_well(etc: Path, tmp_path: Path) -> None:
    etc.mkdir()
    os.chown(etc, NOBODY_UID, NOBODY_UID)
    touched = tmp_path / "touched"
    after = Step(title="after", commands=(command("touch", str(touched)),), done="false")
    done = subprocess.run(
        ["/bin/sh", "-c", script([farm.trust_step(), after])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "another account than root can write" in done.stderr
    assert not touched.exists()


def test_each_setup_begins_with_that(etc: Path) -> None:
    del etc
    options = master.MasterOptions(server_name="wheels.example.org")
    first = farm.trust_step().title
    assert master.master_steps(options, Place(program="/p"))[0].title == first
    purge = removal.removal_steps(Place(program="/p"), purge=True, local_database=True)
    assert purge[0].title == first


def test_a_configuration_is_roots_and_the_account_reads_it(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farm, "USER", "daemon")  # which has a group of its name
    run_all(farm.config_folder_step(), farm.config_file_step())
    found = (etc / "piwheels.toml").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o640)
    assert (etc.stat().st_uid, etc.stat().st_mode & 0o777) == (0, 0o755)
    assert state_of(farm.trust_step()) is State.DONE


def test_keys_of_an_earlier_setup_are_moved_without_following_links(
    etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("root's")
    secret.chmod(0o600)
    with folder_of_nobody() as home:
        former, keys = home / "etc-keys", home / "keys"
        former.mkdir()
        (former / "master.secret").write_text("a key")
        (former / "stolen").symlink_to(secret)
        for path in (former, former / "master.secret"):
            os.chown(path, NOBODY_UID, NOBODY_UID)
        monkeypatch.setattr(farm, "_FORMER_KEY_DIR", str(former))
        monkeypatch.setattr(farm, "KEY_DIR", str(keys))
        run_all(farm.key_folder_step())
        assert not former.exists()
        assert (keys / "master.secret").read_text() == "a key"
        assert (keys / "master.secret").stat().st_uid == NOBODY_UID
        assert (keys / "stolen").is_symlink()
    assert (secret.read_text(), secret.stat().st_uid) == ("root's", 0)
    assert not etc.exists()


def test_a_web_root_below_a_folder_of_the_account_is_made_and_removed_by_the_account(
    etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    (precious / "www").mkdir(parents=True)
    (precious / "www" / "file").write_text("kept")
    with folder_of_nobody() as home:
        (home / "link").symlink_to(precious)
        etc.mkdir()
        (etc / "piwheels.toml").write_text(f'[webroot]\nroot = "{home}/link/www"\n')
        monkeypatch.setattr(machine, "CONFIG_FILE", str(etc / "piwheels.toml"))
        place = machine.place()
        assert place.webroot_is_the_accounts
        with pytest.raises(SetupError):
            run_all(farm.webroot_trust_step(place), farm.webroot_step(place))
        purge = removal.removal_steps(place, purge=True, local_database=False)
        for step in purge:
            for each in step.commands:
                if each.argv[0] == "rm" and place.webroot in each.argv:
                    assert each.user == _ACCOUNT
                    subprocess.run(["/bin/sh", "-c", each.shell], check=False)
    assert (precious / "www" / "file").read_text() == "kept"
    assert (precious / "www").stat().st_uid == 0


def test_a_web_root_with_files_of_others_is_refused(etc: Path, tmp_path: Path) -> None:
    del etc
    folder = tmp_path / "www"
    folder.mkdir()
    step = farm.webroot_trust_step(Place(program="/p", webroot=str(folder)))
    run_all(step)
    (folder / "passwd").touch()
    with pytest.raises(SetupError, match="has files of another account"):
        run_all(step)


def test_a_program_that_the_account_can_change_is_refused(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del etc
    with folder_of_nobody() as home:
        monkeypatch.setattr(machine, "this_program", lambda: home / "bin" / "piw")
        with pytest.raises(SetupError, match="nobody can change what root would run"):
            machine.check_program("master")


@pytest.mark.parametrize(
    "words",
    [
        ["master"],
        ["builder", "run"],
        ["db", "backup", "/nonexistent/x"],
        ["audit", "--fix"],
        ["retention"],
    ],
    ids=lambda words: words[0],
)
def test_root_does_not_work_in_folders_of_the_account(words: list[str]) -> None:
    with folder_of_nobody() as home:
        config = home / "piwheels.toml"
        config.write_text(
            to_toml(
                {
                    "webroot.root": "www",
                    "master.key_dir": "keys",
                    "builder.key_dir": "keys",
                    "database.dsn": "host=/nonexistent",
                }
            )
        )
        done = CliRunner().invoke(cli, [*words, "--config", str(config)])
        assert done.exit_code == 2 or isinstance(done.exception, AuditError)
        assert "(sudo -u nobody piw ...)" in done.output + str(done.exception)
        assert not (home / "keys").exists()
