"""`piw recipe check`: exit codes, one line for each fault, JSON."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from piwheels.cli import cli


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["recipe", "check", *map(str, arguments)])


def test_valid_recipes_exit_with_0(tmp_path: Path) -> None:
    (tmp_path / "lxml.toml").write_text('packages = ["libxml2-dev"]\n')
    done = run(tmp_path)
    assert (done.exit_code, done.output) == (0, "1 recipe, 0 faults\n")


def test_faults_exit_with_1_and_are_lines(tmp_path: Path) -> None:
    (tmp_path / "lxml.toml").write_text('package = ["libxml2-dev"]\nskip = 1\n')
    done = run(tmp_path / "lxml.toml")
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        "lxml.toml: package: is no key; allowed: packages (did you mean that?)",
        "lxml.toml: skip: is no text; allowed: one line of text",
        "0 recipes, 2 faults",
    ]


def test_json_has_file_key_problem_and_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("skip = 1\n")
    (tmp_path / "b.toml").write_text("skip = 'x'\n")
    done = run(tmp_path, "--json")
    assert done.exit_code == 1
    assert json.loads(done.output) == {
        "recipes": ["b"],
        "faults": [
            {
                "file": "a.toml",
                "key": "skip",
                "problem": "is no text",
                "allowed": "one line of text",
            }
        ],
    }


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    done = run(tmp_path / "none")
    assert done.exception is not None
    assert "No such file" in str(done.exception)
