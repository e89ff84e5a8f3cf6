"""What a user of a private farm is given to type."""

import os
import sys
from pathlib import Path

import pytest

from piwheels.local.command_hints import pip_command_line, piw_command_line, shell_path

OWN = Path(sys.executable).with_name("piw")


def test_a_path_is_relative_and_quoted_for_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shell_path(tmp_path / "farm") == "farm"
    assert shell_path(tmp_path / "a farm") == "'a farm'"
    assert shell_path(Path("/somewhere/else")) == "/somewhere/else"


@pytest.mark.parametrize(
    ("on_path", "program"), [(f"/nowhere:{OWN.parent}", "piw"), ("/nowhere", str(OWN))]
)
def test_the_program_is_named_so_that_a_shell_finds_it(
    monkeypatch: pytest.MonkeyPatch, on_path: str, program: str
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("PATH", on_path)
    expected = program if program == "piw" else os.path.relpath(program)
    assert piw_command_line("status", Path("/x/f.toml")) == f"{expected} status --config x/f.toml"


def test_another_piw_on_the_path_is_not_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "piw").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(OWN.parent.parent)
    assert piw_command_line("tui", tmp_path / "f").startswith(f"{OWN.parent.name}/piw tui ")


def test_trusted_host_is_added_where_pip_needs_it() -> None:
    expected = (
        "pip install --trusted-host 192.0.2.7 --index-url http://192.0.2.7:8080/simple/ PROJECT"
    )
    assert pip_command_line("http://192.0.2.7:8080/") == expected
    assert "trusted" not in pip_command_line("http://127.0.0.1:8080/")
