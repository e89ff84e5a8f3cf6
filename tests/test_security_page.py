"""Every promise of SECURITY.md names tests, and these exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

_GUARDS = "| guard | stops | does not stop | tests |"
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises(page: Path) -> list[list[str]]:
    """The rows of the tables of guards, as their cells."""
    rows: list[list[str]] = []
    in_table = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line == _GUARDS:
            in_table = True
        elif not line.startswith("|"):
            in_table = False
        elif in_table and not line.startswith("|---"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    """The names of the test functions of a file."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(it.name for it in module.body if isinstance(it, functions))


def test_every_promise_names_tests_that_exist(repository: Path) -> None:
    rows = promises(repository / "SECURITY.md")
    assert rows
    for guard, stops, *_, tests in rows:
        named = _TEST.findall(tests)
        assert stops, guard
        assert named, f"no test is named for: {guard}"
        for path, name in named:
            assert name.startswith("test_")
            assert name in names_of_tests(repository / path), f"{path}::{name} of: {guard}"
        assert not _TEST.sub("", tests).strip(", "), f"more than tests: {tests}"


def test_every_table_of_the_defenses_is_one_of_guards(repository: Path) -> None:
    _, _, defenses = (
        (repository / "SECURITY.md").read_text("utf-8").partition("## What is defended")
    )
    parts = re.split(r"^### ", defenses, flags=re.MULTILINE)[1:]
    assert len(parts) > 5
    for part in parts:
        assert _GUARDS in part, part.partition("\n")[0]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("| a wall | climbing | ladders | |", "no test is named for: a wall"),
        ("| a wall | climbing | | `tests/test_security_page.py::test_absent` |", "test_absent of"),
    ],
)
def test_a_promise_without_a_test_is_found(tmp_path: Path, row: str, fault: str) -> None:
    (tmp_path / "SECURITY.md").write_text(f"{_GUARDS}\n|---|---|---|---|\n{row}\n")
    (tmp_path / "tests").symlink_to(Path(__file__).parent)
    with pytest.raises(AssertionError, match=fault):
        test_every_promise_names_tests_that_exist(tmp_path)
