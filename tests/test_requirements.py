"""What is asked for, from words and from requirements files."""

from pathlib import Path

import pytest

from piwheels.errors import ConfigError
from piwheels.model import Wanted
from piwheels.requirements import wanted


def names(*requirements: str, files: tuple[Path, ...] = (), latest: int = 1) -> list[str]:
    return [item.requirement for item in wanted(requirements, files, latest=latest)]


def written(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_words_keep_their_order_and_come_once() -> None:
    assert names("b", "a==1.0", "b", "c>=2,<3") == ["b", "a==1.0", "c<3,>=2"]
    assert wanted(["a"], [], latest=3) == [Wanted(requirement="a", latest=3)]


def test_a_file_is_read_as_pip_reads_it(tmp_path: Path) -> None:
    text = """\
# what we use
numpy==2.0  # pinned
pandas>=2 ; python_version >= "3"	# after a tab
nothere ; python_version < "3"
-c constraints.txt
--index-url https://index.example/simple
cryptography==42 \\
    --hash=sha256:0123 \\
    --hash=sha256:4567
requests[socks]
"""
    found = names(files=(written(tmp_path, text),))
    assert found == ["numpy==2.0", "pandas>=2", "cryptography==42", "requests"]


def test_a_mark_at_the_beginning_of_a_file_is_passed_over(tmp_path: Path) -> None:
    assert names(files=(written(tmp_path, "\ufeffnumpy\n"),)) == ["numpy"]


@pytest.mark.parametrize(
    "form", ["-r more.txt", "-r more.txt\t# a comment", "-rmore.txt", "--requirement=more.txt"]
)
def test_a_file_includes_another_beside_it(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    written(folder, "b\n", "more.txt")
    assert names("a", files=(written(folder, f"{form}\nc\n"),)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fine\n!!!\n", "requirements.txt, line 2: '!!!' is not a requirement"),
        ("a @ https://files.example/a.tar.gz\n", "line 1: a comes from an address"),
        ("-r gone.txt\n", "gone.txt: No such file"),
        ("-r requirements.txt\n", "include each other without an end"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        names(files=(written(tmp_path, text),))


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"requirements\.txt: is not UTF-8 text"):
        names(files=(path,))
