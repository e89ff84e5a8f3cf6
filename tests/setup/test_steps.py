"""The lists of steps: what is run for which options, and the script that they make."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from piwheels.cli import cli
from piwheels.config_templates import ROLES
from piwheels.errors import UsageError
from piwheels.protocol.invitation import Invitation
from piwheels.setup import machine
from piwheels.setup.builder import BuilderOptions, builder_steps
from piwheels.setup.errors import SetupError
from piwheels.setup.farm import Place
from piwheels.setup.firewall import nft_lines, ufw_line
from piwheels.setup.master import OPTIONS_FILE, MasterOptions, master_steps
from piwheels.setup.removal import removal_steps
from piwheels.setup.steps import Step, script

PLACE = Place(program="/opt/piwheels/bin/piw")
PORTS = (5555, 5556)
EACH_MASTER = [
    MasterOptions(server_name="wheels.example.org"),
    MasterOptions(server_name="wheels.example.org", web="apache"),
    MasterOptions(server_name="wheels.example.org", web="caddy"),
    MasterOptions(server_name="wheels.example.org", web="none", database="host=db password='a b'"),
]
_RULESET = """
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		tcp dport 22 accept
	}
	chain output {
		type filter hook output priority filter; policy drop;
	}
}
table ip nat {
	chain entry {
		type nat hook input priority 100; policy accept;
	}
}
"""

each_master = pytest.mark.parametrize("options", EACH_MASTER, ids=lambda options: options.web)


def shell_of(steps: list[Step]) -> str:
    return "\n".join(step.shell for step in steps)


def check_script(text: str) -> None:
    """The text is a POSIX shell script without known faults."""
    subprocess.run(["/bin/sh", "-n"], input=text, text=True, check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-s", "sh", "-"], input=text, text=True, check=True)


@each_master
def test_scripts_are_posix_shell(options: MasterOptions) -> None:
    check_script(script(master_steps(options, PLACE)))


@pytest.mark.parametrize("purge", [False, True])
def test_scripts_of_removals_are_posix_shell(purge: bool) -> None:
    check_script(script(removal_steps(PLACE, purge=purge, local_database=True)))


@each_master
def test_steps_have_names_of_their_own(options: MasterOptions) -> None:
    titles = [step.title for step in master_steps(options, PLACE)]
    assert len(set(titles)) == len(titles)


def test_a_database_elsewhere_is_a_setting_and_no_server_here() -> None:
    shell = shell_of(master_steps(EACH_MASTER[3], PLACE))
    assert "config set database.dsn - --config" in shell
    assert "createdb" not in shell
    assert "postgresql-client" in shell


def test_no_step_contains_the_password_of_a_database() -> None:
    text = script(master_steps(EACH_MASTER[3], PLACE))
    assert "a b" not in text
    assert "# It needs the variable PIWHEELS_SETUP_DATABASE, exported.\n" in text


@each_master
def test_the_options_of_a_setup_are_read_again(
    options: MasterOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = next(step for step in master_steps(options, PLACE) if OPTIONS_FILE in step.shell)
    printed = subprocess.run(step.commands[0].argv, capture_output=True, text=True, check=True)
    file = tmp_path / "options"
    file.write_text(printed.stdout)
    monkeypatch.setattr(machine, "OPTIONS_FILE", str(file))
    assert machine.remembered_options() == msgspec.structs.replace(options, database="")
    assert tomllib.loads(printed.stdout)["web"] == options.web


def test_a_removal_keeps_data_and_a_purge_does_not() -> None:
    kept = shell_of(removal_steps(PLACE, purge=False, local_database=True))
    assert "rm -rf" not in kept
    assert "dropdb" not in kept
    purged = shell_of(removal_steps(PLACE, purge=True, local_database=True))
    assert "rm -rf --one-file-system /etc/piwheels /var/lib/piwheels" in purged
    assert "rm -rf --one-file-system /var/www/piwheels" in purged
    assert "dropdb" in purged


def test_a_purge_leaves_a_database_elsewhere_alone() -> None:
    assert "dropdb" not in shell_of(removal_steps(PLACE, purge=True, local_database=False))


def test_a_removal_ends_every_service() -> None:
    shell = shell_of(removal_steps(PLACE, purge=False, local_database=True))
    for role in ROLES:
        assert f"systemctl disable -q --now piwheels-{role}" in shell
    for timed in ("backup", "scale"):
        assert f"systemctl disable -q --now piwheels-{timed}.timer" in shell
        assert f"rm -f /etc/systemd/system/piwheels-{timed}.service" in shell


def test_another_web_server_takes_the_site_from_the_former_one() -> None:
    former = MasterOptions(server_name="wheels.example.org")
    apache = msgspec.structs.replace(former, web="apache")
    removal = "rm -f /etc/nginx/sites-enabled/piwheels"
    assert removal in shell_of(master_steps(apache, PLACE, former))
    for same in (None, apache):
        assert removal not in shell_of(master_steps(apache, PLACE, same))


def test_an_active_firewall_gets_a_line_that_opens_the_ports() -> None:
    assert ufw_line("Status: active\n\nTo  Action\n", PORTS) == "ufw allow 5555,5556/tcp"
    assert ufw_line("Status: inactive\n", PORTS) == ""
    assert nft_lines(_RULESET, PORTS) == [
        "nft add rule inet filter input tcp dport '{ 5555, 5556 }' accept"
    ]
    assert nft_lines("", PORTS) == []


@pytest.mark.parametrize("bind", ["tcp://*:5555", "tcp://[::]:5555", "tcp://10.0.0.1:5555"])
def test_the_port_of_an_address_is_found(bind: str) -> None:
    assert machine.port_of(bind) == 5555


def piw(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["setup", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_print_prints_the_script_of_the_same_steps() -> None:
    text = piw("master", "--server-name", "wheels.example.org", "--web", "caddy", "--print")
    assert text.startswith("#!/bin/sh\n")
    check_script(text)
    assert "config caddy" in text


def test_a_dry_run_shows_each_step_with_its_state() -> None:
    lines = piw("remove", "--dry-run").splitlines()
    titles = [step.title for step in removal_steps(PLACE, purge=False, local_database=True)]
    shown = [line for line in lines if line.startswith("[")]
    assert len(shown) == len(titles)
    assert all(line.endswith((": done", ": to do", ": differs")) for line in shown)


def test_a_site_without_a_name_is_refused() -> None:
    result = CliRunner().invoke(cli, ["setup", "master", "--print"])
    assert result.exit_code == 2
    assert "--server-name" in result.output


def test_without_root_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="run it with sudo"):
        piw("remove", "--yes")


def test_a_program_without_the_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda _name: None)
    with pytest.raises(SetupError, match="lacks the extra `master`: install it where everybody"):
        machine.check_program("master")


def test_a_program_in_a_closed_folder_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "home"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0o700)
    monkeypatch.setattr(machine, "this_program", lambda: closed / "bin" / "piw")
    monkeypatch.setattr(machine, "closed_folder", lambda path: path.parents[1])
    with pytest.raises(SetupError, match="/opt/piwheels/bin/piw"):
        machine.check_program("master")


# --- a builder ---

INVITATION = Invitation(
    host="farm.local", builder_port=5555, upload_port=5556, master_key="ab" * 32, secret="cd" * 32
)
BUILDER = BuilderOptions(master_key=INVITATION.master_key)


def test_a_builder_joins_by_its_token_after_its_configuration_is_there() -> None:
    titles = [step.title for step in builder_steps(BUILDER, PLACE)]
    joins = next(step for step in builder_steps(BUILDER, PLACE) if "joined" in step.title)
    assert '"${PIWHEELS_TOKEN:?}" | /opt/piwheels/bin/piw builder join - --config' in joins.shell
    assert titles.index("Configuration /etc/piwheels/piwheels.toml") < titles.index(joins.title)
    assert titles.index(joins.title) < titles.index("Service piwheels-builder")


def test_a_builder_of_several_pythons_gets_the_headers_that_debian_has() -> None:
    options = msgspec.structs.replace(
        BUILDER, name="pi4", interpreters=("python3.11", "/usr/local/bin/python3.14")
    )
    shell = shell_of(builder_steps(options, PLACE))
    assert "python3-dev python3.11-dev\n" in shell
    assert "builder.interpreters python3.11,/usr/local/bin/python3.14" in shell
    assert " --name pi4 " in shell


def test_the_script_of_a_builder_is_posix_shell_without_its_token() -> None:
    text = piw("builder", str(INVITATION), "--print")
    check_script(text)
    assert str(INVITATION) not in text
    assert INVITATION.secret not in text


def test_a_token_is_read_from_a_file_standard_input_or_the_environment(tmp_path: Path) -> None:
    text = piw("builder", str(INVITATION), "--print")
    file = tmp_path / "token"
    file.write_text(f"{INVITATION}\n")
    assert piw("builder", "--token-file", str(file), "--print") == text
    runner = CliRunner()
    for words, options in (
        (["-"], {"input": f"{INVITATION}\n"}),
        (["--token-file", "-"], {"input": f"{INVITATION}\n"}),
        ([], {"env": {"PIWHEELS_TOKEN": str(INVITATION)}}),
    ):
        done = runner.invoke(cli, ["setup", "builder", *words, "--print"], **options)
        assert done.stdout == text
    with pytest.raises(UsageError, match="this is no token"):
        piw("builder", "frobnicate", "--print")


def test_a_machine_that_has_joined_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(cli, ["setup", "builder", "--print"])
    assert result.exit_code == 2
    assert "piw builder invite" in result.stderr
    monkeypatch.setattr(machine, "has_joined", lambda: True)
    text = piw("builder", "--print")
    check_script(text)
    assert "builder join" not in text
    assert "PIWHEELS_TOKEN" not in text


def test_the_database_is_read_from_a_file_standard_input_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn, file = "host=db password=geheim", tmp_path / "dsn"
    file.write_text(f"{dsn}\n")
    given: list[MasterOptions] = []

    def steps_of(options: MasterOptions, *_: object) -> list[Step]:
        given.append(options)
        return []

    monkeypatch.setattr("piwheels.setup.master.master_steps", steps_of)
    words = ["setup", "master", "--server-name", "wheels.example.org", "--print"]
    runner = CliRunner()
    by_argument = runner.invoke(cli, [*words, "--database", dsn])
    assert "other accounts can see the password" in by_argument.stderr
    for options, more in (
        (["--database-file", str(file)], {}),
        (["--database-file", "-"], {"input": f"{dsn}\n"}),
        ([], {"env": {"PIWHEELS_SETUP_DATABASE": dsn}}),
    ):
        done = runner.invoke(cli, [*words, *options], **more)
        assert done.exit_code == 0
        assert "password" not in done.output
    assert [it.database for it in given] == [dsn] * 4
