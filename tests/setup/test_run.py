"""Steps are carried out once, go on after a failure, and do the same as the printed script."""

import os
import subprocess
from pathlib import Path

import pytest

from piwheels.setup import steps as step_module
from piwheels.setup.errors import SetupError
from piwheels.setup.machine import closed_folder
from piwheels.setup.run import State, run_steps, state_of
from piwheels.setup.steps import (
    TOKEN_VARIABLE,
    Command,
    Step,
    command,
    file_step,
    removal_step,
    script,
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose files the steps of these tests write."""
    (tmp_path / "backups").mkdir()
    monkeypatch.setattr(step_module, "BACKUP_DIR", str(tmp_path / "backups"))
    return tmp_path


def steps_in(machine: Path, content: str = "site") -> list[Step]:
    folder = machine / "etc"
    return [
        Step(title="folder", commands=(command("mkdir", str(folder)),), done=f"test -d {folder}"),
        file_step("file", f"{folder}/site", "printf", "%s\\n", content),
    ]


def run(steps: list[Step]) -> list[str]:
    """Carry steps out; returns the state that each was in."""
    states: list[str] = []
    run_steps(steps, lambda _number, _step, state: states.append(str(state)), print)
    return states


def tree(machine: Path) -> dict[str, tuple[int, str]]:
    """Each file with the time of its last change and its content."""
    return {
        str(path.relative_to(machine)): (
            path.stat().st_mtime_ns,
            path.read_text() if path.is_file() else "",
        )
        for path in sorted(machine.rglob("*"))
    }


def test_a_second_run_changes_nothing(machine: Path) -> None:
    assert run(steps_in(machine)) == ["to do", "to do"]
    after = tree(machine)
    assert run(steps_in(machine)) == ["done", "done"]
    assert tree(machine) == after


def test_a_file_that_differs_is_replaced_and_kept(machine: Path) -> None:
    run(steps_in(machine))
    assert run(steps_in(machine, "new")) == ["done", "differs"]
    assert (machine / "etc" / "site").read_text() == "new\n"
    assert (machine / "backups" / "site.old").read_text() == "site\n"
    assert sorted(path.name for path in (machine / "etc").iterdir()) == ["site"]


def test_a_failed_step_names_its_error_and_the_next_run_goes_on_from_it(machine: Path) -> None:
    wanted = machine / "repaired"
    script_of_step = f"echo one; test -e {wanted} || {{ echo 'E: no disk' >&2; echo end; exit 7; }}"
    steps = steps_in(machine)
    steps.insert(
        1,
        Step(
            title="third party",
            commands=(command("sh", "-c", script_of_step), command("touch", f"{wanted}.done")),
            done=f"test -e {wanted}.done",
        ),
    )
    with pytest.raises(SetupError, match="the step `third party` failed with code 7: E: no disk"):
        run(steps)
    assert not (machine / "etc" / "site").exists()
    wanted.touch()
    assert run(steps) == ["done", "to do", "to do"]


def test_the_error_repeats_the_line_that_names_one(machine: Path) -> None:
    del machine
    step = Step(
        title="packages",
        commands=(command("sh", "-c", "echo begin; echo 'Error: no space'; echo end; exit 1"),),
        done="false",
    )
    with pytest.raises(SetupError, match="code 1: Error: no space"):
        run([step])


def test_a_warning_of_an_earlier_command_is_not_the_error_of_a_later_one(machine: Path) -> None:
    del machine
    update = "echo 'W: Failed to fetch http://deb.example/: Temporary failure resolving'"
    install = (
        "echo 'W: Some index files failed to download'; echo 'E: dpkg was interrupted, you must "
        'manually run "dpkg --configure -a"\'; echo end; exit 100'
    )
    step = Step(
        title="packages",
        commands=(command("sh", "-c", update), command("sh", "-c", install)),
        done="false",
    )
    with pytest.raises(SetupError, match="code 100: E: dpkg was interrupted"):
        run([step])


def test_the_error_of_a_service_is_what_it_has_logged(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = {
        "systemctl": "echo 'Job for web.service failed. See journalctl.' >&2; exit 1",
        "journalctl": (
            "echo 'Could not find its name: set ServerName to suppress this message'; "
            "echo '(98)Address already in use: could not bind to [::]:80'; echo end"
        ),
    }
    for name, line in programs.items():
        (machine / name).write_text(f"#!/bin/sh\n{line}\n")
        (machine / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{machine}:{os.environ['PATH']}")
    step = Step(
        title="web server", commands=(command("systemctl", "restart", "web"),), done="false"
    )
    with pytest.raises(SetupError, match=r"code 1: \(98\)Address already in use"):
        run([step])
    assert "could not bind" in capsys.readouterr().out


def test_commands_that_succeed_and_change_nothing_are_an_error() -> None:
    with pytest.raises(SetupError, match="is not done after its commands"):
        run([Step(title="idle", commands=(command("true"),), done="false")])


def test_a_file_is_not_replaced_by_what_a_failed_command_printed(machine: Path) -> None:
    file = machine / "unit"
    file.write_text("before")
    step = file_step("unit", str(file), "sh", "-c", "echo half; exit 1")
    assert state_of(step) is State.DIFFERS
    with pytest.raises(SetupError):
        run([step])
    assert file.read_text() == "before"


def test_the_printed_script_does_the_same(machine: Path) -> None:
    text = script(steps_in(machine))
    for _ in range(2):
        subprocess.run(["/bin/sh", "-c", text], check=True, timeout=60)
        assert run(steps_in(machine)) == ["done", "done"]


def test_what_is_removed_is_removed_once(machine: Path) -> None:
    (machine / "a").touch()
    step = removal_step("No a, no b", str(machine / "a"), str(machine / "b"))
    assert run([step]) == ["to do"]
    assert run([step]) == ["done"]


def test_a_folder_that_others_may_not_enter_is_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = home / "venv" / "bin" / "piw"
    program.parent.mkdir(parents=True)
    for folder in (*program.parents,):
        if folder.is_relative_to(home):
            folder.chmod(0o755)
    home.chmod(0o700)
    assert closed_folder(program) in {home, *home.parents}


def test_what_a_command_reads_is_an_argument_of_no_process(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "of the caller")
    seen, got = machine / "processes", machine / "got"
    look = f"cat > {got}; env > {got}.env; cat /proc/[0-9]*/cmdline > {seen} 2> /dev/null || true"
    step = Step(
        title="join",
        commands=(Command(argv=("sh", "-c", look), secret=TOKEN_VARIABLE),),
        done=f'test -s {got} && test -z "$(printenv {TOKEN_VARIABLE})"',
    )
    run_steps([step], lambda *_: None, print, {TOKEN_VARIABLE: "the secret of a token"})
    assert got.read_text() == "the secret of a token\n"
    assert b"the secret of a token" not in seen.read_bytes()
    assert "the secret" not in step.shell


def test_a_secret_that_is_missing_ends_the_step(machine: Path) -> None:
    del machine
    step = Step(
        title="join", commands=(Command(argv=("cat",), secret=TOKEN_VARIABLE),), done="false"
    )
    with pytest.raises(SetupError, match=TOKEN_VARIABLE):
        run([step])
