"""`piw config get` and `set`: one setting is changed, and all else in the file stays."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from piwheels.cli import cli
from piwheels.cli.edit_config import replace_text
from piwheels.errors import ConfigError, UsageError
from tests.unprivileged import NOBODY_UID

_TOML = """\
# The farm at home.
[master]
max_attempts = 3  # tries

[builder]
interpreters = ["python3.11"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "piwheels.toml"
    file.write_text(_TOML)
    return file


def piw(*arguments: str) -> str:
    """Run `piw config` in this process; errors are raised."""
    result = CliRunner().invoke(cli, ["config", *arguments], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_get_prints_only_the_value(file: Path) -> None:
    assert piw("get", "master.max_attempts", "--config", str(file)) == "3\n"
    assert piw("get", "builder.interpreters", "--config", str(file)) == "python3.11\n"


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("master.max_attempts", "5", "max_attempts = 5"),
        ("master.retry_delay_s", "1.5", "retry_delay_s = 1.5"),
        ("builder.interpreters", "a,b", 'interpreters = ["a", "b"]'),
        ("builder.sandbox", "false", "sandbox = false"),
        ("webroot.url", "http://wheels.example/", 'url = "http://wheels.example/"'),
    ],
)
def test_set_changes_one_line(file: Path, key: str, value: str, line: str) -> None:
    piw("set", key, value, "--config", str(file))
    lines = file.read_text().splitlines()
    assert line in lines
    assert "# The farm at home." in lines
    shown = piw("get", key, "--config", str(file)).strip()
    assert shown == value
    kept = set(_TOML.splitlines()) - set(lines)
    assert len(kept) <= 1, "only the line that was changed is gone"


@pytest.mark.parametrize(
    ("key", "value"), [("master.max_attempts", "many"), ("master.max_attempts", "0")]
)
def test_an_invalid_value_changes_nothing(file: Path, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        piw("set", key, value, "--config", str(file))
    assert file.read_text() == _TOML


def test_an_unknown_setting_is_named(file: Path) -> None:
    for command in (["get", "master.frob"], ["set", "master.frob", "1"]):
        with pytest.raises(UsageError, match=r"there is no setting master\.frob"):
            piw(*command, "--config", str(file))


def test_a_multi_line_value_is_not_edited(file: Path) -> None:
    text = _TOML.replace('["python3.11"]', '[\n    "python3.11",\n]')
    file.write_text(text)
    with pytest.raises(ConfigError, match="several lines"):
        piw("set", "builder.interpreters", "a", "--config", str(file))
    assert file.read_text() == text


def test_a_list_as_in_toml_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="items with commas between them"):
        piw("set", "builder.roots", '["host", "trixie-arm64"]', "--config", str(file))
    assert file.read_text() == _TOML


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change a file of another account")
def test_a_file_keeps_its_owner_and_mode(file: Path) -> None:
    os.chown(file, NOBODY_UID, NOBODY_UID)
    file.chmod(0o640)
    piw("set", "master.max_attempts", "5", "--config", str(file))
    found = file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (NOBODY_UID, NOBODY_UID, 0o640)


def test_a_new_file_is_not_for_everybody_and_no_link_beside_it_is_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    file = tmp_path / "piwheels.toml"
    file.with_name(f".{file.name}.{os.getpid()}").symlink_to(precious)
    replace_text(file, _TOML)
    assert file.stat().st_mode & 0o777 == 0o640
    assert (file.read_text(), precious.read_text()) == (_TOML, "kept")
