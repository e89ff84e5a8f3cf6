"""`piw classify` tells why a build failed, and what of its input it cannot read."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from piwheels.cli import cli
from piwheels.errors import UsageError

LOG = (
    "gcc -c a.c -o a.o\n  a.c:1:10: fatal error: ffi.h: No such file or directory\n"
    "      1 | #include <ffi.h>\n  error: command 'gcc' failed with exit code 1\n"
)


def run(*arguments: str, text: str = "") -> str:
    done = CliRunner().invoke(cli, ["classify", *arguments], input=text, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("compressed", [False, True])
def test_the_cause_of_a_file_is_told_in_words(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "build.log"
    path.write_bytes(gzip.compress(LOG.encode()) if compressed else LOG.encode())
    assert run(str(path), "--debian", "bookworm") == (
        f"{path}: missing-package: header ffi.h (libffi-dev)\n"
        "  line 2: a.c:1:10: fatal error: ffi.h: No such file or directory\n"
    )


def test_the_causes_of_several_logs_are_told_in_json(tmp_path: Path) -> None:
    path = tmp_path / "good.log"
    path.write_text("Successfully built demo\n")
    failed, built = json.loads(run("-", str(path), "--json", "--debian", "bookworm", text=LOG))
    assert failed == {
        "log": "-",
        "class": "missing-package",
        "missing": [{"kind": "header", "name": "ffi.h", "version": ""}],
        "packages": ["libffi-dev"],
        "line_number": 2,
        "line": "a.c:1:10: fatal error: ffi.h: No such file or directory",
    }
    assert (built["class"], built["line_number"]) == (None, None)
    assert "no failure" in run(str(path))


@pytest.mark.parametrize(
    "content",
    [None, b"\x1f\x8bnot gzip", gzip.compress(LOG.encode())[:20]],
    ids=["absent", "not gzip", "truncated"],
)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "build.log"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"build\.log cannot be read: ") as raised:
        run(str(path))
    assert "\n" not in str(raised.value)


def test_a_folder_and_an_unknown_release_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        run(str(tmp_path))
    with pytest.raises(UsageError, match=r"--debian potato: known are .*bookworm"):
        run("-", "--debian", "potato")
