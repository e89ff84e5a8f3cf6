"""Requested projects, from arguments and from requirements files."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pip._internal.exceptions import PipError
from pip._internal.network.session import PipSession
from pip._internal.req.req_file import parse_requirements as pip_parse_requirements

from piwheels.errors import ConfigError
from piwheels.model import BuildRequest
from piwheels.requirements import ParsedRequirements, parse_requirements, target_environments

CP311, CP313 = (
    target_environments("cp311-bookworm-aarch64"),
    target_environments("cp313-trixie-armv7l"),
)


def names(*requirements: str, files: tuple[Path, ...] = ()) -> list[str]:
    """What is wanted for two targets."""
    return wanted(parse_requirements(requirements, files))


def wanted(requested: ParsedRequirements) -> list[str]:
    return [item.requirement for item in requested.build_requests([CP311, CP313], latest=1)]


def written(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_requirements_keep_their_order_without_duplicates() -> None:
    assert names("b", "a==1.0", "b", "c>=2,<3") == ["b", "a==1.0", "c<3,>=2"]
    assert parse_requirements(["a"], []).build_requests([], latest=3) == [
        BuildRequest(requirement="a", release_count=3)
    ]


def test_a_file_is_read_as_pip_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIN", "1.5")
    text = """\
# what we use
numpy==2.0  # pinned
pandas>=2 ; python_version >= "3"	# after a tab
cryptography==42 \\
    --hash=sha256:0123 \\
    --hash=sha256:4567
requests[socks]
pinned==${PIN}
joined>=\\
2
"""
    found = names(files=(written(tmp_path, text),))
    assert found == [
        "numpy==2.0", "pandas>=2", "cryptography==42", "requests", "pinned==1.5", "joined>=2",
    ]  # fmt: skip


_LINES = st.sampled_from(
    ["a", "b==1 # c", "# only", "", " c>=2,<3 ", "d \\", "e==1 \\  ", "f ; python_version > '3'",
     "g[x]==2", "# h \\", "i --hash=sha256:00", "j#k", "l\t#m", "\\", "n==${NOVAR}.1", "-i http://x"]
)  # fmt: skip


@given(lines=st.lists(_LINES, max_size=6))
def test_whatever_pip_requests_is_requested(
    lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("r"), "\n".join(lines))
    try:
        theirs = [item.requirement for item in pip_parse_requirements(str(path), PipSession())]
    except PipError:
        return
    try:
        ours = wanted(parse_requirements([], [path]))
    except ConfigError:
        # pip parses the requirement itself later, and refuses it then.
        assert any("$" in text or "\\" in text or "#" in text or " " in text for text in theirs)
        return
    assert [text[0] for text in ours] == list(dict.fromkeys(text[0] for text in theirs))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes("numpy # größer\n".encode(encoding))
    assert names(files=(path,)) == ["numpy"]


def test_a_file_can_declare_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes("# -*- coding: latin-1 -*-\nnumpy # größer\n".encode("latin-1"))
    assert names(files=(path,)) == ["numpy"]


@pytest.mark.parametrize(
    "form", ["-r more.txt", "-r more.txt\t# a comment", "-rmore.txt", "--requirement=more.txt"]
)
def test_a_file_includes_a_relative_path(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    written(folder, "b\n", "more.txt")
    assert names("a", files=(written(folder, f"{form}\nc\n"),)) == ["a", "b", "c"]


def test_a_file_may_be_included_twice(tmp_path: Path) -> None:
    written(tmp_path, "b\n", "base.txt")
    written(tmp_path, "-r base.txt\nc\n", "more.txt")
    assert names(files=(written(tmp_path, "-r base.txt\n-r more.txt\n"),)) == ["b", "c"]


# --- markers and constraints ---


def test_markers_are_evaluated_for_each_target() -> None:
    requested = parse_requirements(
        [
            'old==1; python_version < "3.12"',
            'new==2; python_version >= "3.12"',
            'both; sys_platform == "linux" and implementation_name == "cpython"',
            'arm; platform_machine == "armv7l"',
            'late; python_full_version >= "3.13.4"',
            'windows; sys_platform == "win32"',
            'past; python_version < "3.8"',
            'socks; extra == "socks"',
        ],
        [],
    )
    assert wanted(requested) == ["old==1", "new==2", "both", "arm", "late"]
    assert len(requested.notes) == 3
    assert "windows is ignored; no target matches its marker" in requested.notes[0]


def test_a_known_interpreter_decides_exactly() -> None:
    target = target_environments("cp311-bookworm-aarch64", "3.11.2")
    requested = parse_requirements(
        ['a; python_full_version < "3.11.3"', 'b; python_full_version > "3.11.3"'], []
    )
    assert [item.requirement for item in requested.build_requests([target], latest=1)] == ["a"]


def test_without_a_target_nothing_is_left_out() -> None:
    requested = parse_requirements(['a; python_version < "3"'], [])
    assert [item.requirement for item in requested.build_requests([], latest=1)] == ["a"]
    assert requested.notes == []


def test_constraints_restrict_requirements(tmp_path: Path) -> None:
    limits = 'NumPy<2; python_version < "3.12"\nnumpy!=1.5\nunused==1\nextra[x]==3\n'
    written(tmp_path, limits, "constraints.txt")
    file = written(tmp_path, "-c constraints.txt\nnumpy>=1\n")
    assert names("typed", "numpy", "extra", files=(file,)) == [
        "typed", "numpy!=1.5,<2", "numpy!=1.5", "extra==3", "numpy!=1.5,<2,>=1", "numpy!=1.5,>=1",
    ]  # fmt: skip


def test_markers_of_constraints_need_the_targets_too(tmp_path: Path) -> None:
    written(tmp_path, 'a<2; python_version < "3.12"\n', "limits.txt")
    assert parse_requirements([], [written(tmp_path, "-c limits.txt\na\n")]).has_markers
    assert not parse_requirements(["a"], []).has_markers


# --- what is ignored ---


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("requests[socks,x]", "requests is built without its extras [socks,x]"),
        ("a==1 --hash=sha256:00 --hash=md5:00", "--hash of a==1 is ignored"),
        ("a --config-settings=x=y", "--config-settings of a is ignored"),
        ("-e ./here", "./here is not a release on the index; ignored"),
        ("--editable=git+https://x.example/y#egg=y", "git+https://x.example/y"),
        ("./folder", "./folder is not a release on the index; ignored"),
        ("wheels/a-1.0-py3-none-any.whl ; python_version > '3'", "is not a release on the index"),
        ("https://x.example/a-1.0.tar.gz", "is not a release on the index; ignored"),
        ("a @ https://x.example/a.tar.gz", "a has a URL and is not from the index"),
        ("a@https://x.example/a.tar.gz", "a has a URL and is not from the index"),
        ("--index-url https://x.example/simple", "--index-url is ignored"),
        ("-i https://x.example/simple", "-i is ignored"),
        ("--extra-index-url=https://x.example/", "--extra-index-url is ignored"),
        ("--pre", "--pre is ignored"),
        ("--no-binary :all:", "--no-binary is ignored"),
        ("-f 'a folder", "-f is ignored"),
        ("-r https://x.example/more.txt", "only local files are read"),
        ("-c https://x.example/limits.txt", "only local files are read"),
    ],
)
def test_unsupported_lines_are_ignored_with_a_note(tmp_path: Path, line: str, message: str) -> None:
    requested = parse_requirements([], [written(tmp_path, f"first\n{line}\nlast\n")])
    assert {"first", "last"} <= set(wanted(requested))
    (note,) = requested.notes
    assert note.startswith(f"{tmp_path}/requirements.txt, line 2: ")
    assert message in note


def test_an_unused_constraint_is_ignored(tmp_path: Path) -> None:
    written(tmp_path, "a @ https://x.example/a.tar.gz\n./b\n", "limits.txt")
    requested = parse_requirements([], [written(tmp_path, "-c limits.txt\na\n")])
    assert (wanted(requested), len(requested.notes)) == (["a"], 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fine\n!!!\n", "requirements.txt, line 2: '!!!' is not a requirement"),
        ("-r gone.txt\n", "gone.txt: No such file"),
        ("-r requirements.txt\n", "include each other in a cycle"),
        ("-c requirements.txt\n", "include each other in a cycle"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_requirements([], [written(tmp_path, text)])


def test_an_undecodable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\xff\xff\x00")
    with pytest.raises(ConfigError, match=r"requirements\.txt: not UTF-8 text"):
        parse_requirements([], [path])


@given(text=st.text(max_size=80) | _LINES.map(lambda line: f"-r {line}"))
def test_any_text_is_parsed_or_rejected(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("r") / "r.txt"
    path.write_bytes(text.encode(errors="replace"))
    with contextlib.suppress(ConfigError):
        wanted(parse_requirements([], [path]))
