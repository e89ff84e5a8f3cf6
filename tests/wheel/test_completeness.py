"""Whether a wheel contains the modules of its release."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.wheel.completeness import (
    SdistContents,
    UpstreamWheel,
    check_completeness,
    sdist_contents,
    wheel_contents,
)
from piwheels.wheel.isolated_read import survey_wheel
from piwheels.wheel.sdist import read_sdist
from tests.wheel.factories import make_wheel

INFO = "demo-1.0.dist-info"
METADATA = [f"{INFO}/METADATA", f"{INFO}/WHEEL", f"{INFO}/RECORD", f"{INFO}/licenses/LICENSE"]


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("demo.py", "demo"),
        ("demo/__init__.py", "demo"),
        ("demo/sub/x.py", "demo.sub.x"),
        ("demo/_fast.cpython-311-x86_64-linux-gnu.so", "demo._fast"),
        ("demo/_fast.abi3.so", "demo._fast"),
        ("_demo.cp311-win_amd64.pyd", "_demo"),
        ("demo-1.0.data/purelib/demo/y.py", "demo.y"),
        ("demo-1.0.data/platlib/_z.so", "_z"),
    ],
)
def test_which_files_are_modules(name: str, module: str) -> None:
    contents = wheel_contents([name, *METADATA])
    assert contents.modules == {module}
    assert contents.has_files


@pytest.mark.parametrize(
    "name",
    [
        "demo-1.0.data/scripts/demo",
        "demo-1.0.data/data/share/x",
        "demo/data.json",
        "demo.libs/libz-1.so.1",
        "demo.pth",
        "e0b0__mypyc.cpython-311-x86_64-linux-gnu.so",
    ],
)
def test_which_installed_files_are_not_modules(name: str) -> None:
    contents = wheel_contents([name, *METADATA])
    assert contents.modules == frozenset()
    assert contents.has_files or "mypyc" in name


@pytest.mark.parametrize("beside", [[], ["LICENSE"], ["demo/"], ["README.md"]])
def test_which_wheels_are_empty(beside: list[str]) -> None:
    assert not wheel_contents([*beside, *METADATA]).has_files


def sdist(folder: Path, files: Mapping[str, str], name: str = "demo-1.0.tar.gz") -> Path:
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for place, text in files.items():
                archive.writestr(f"demo-1.0/{place}", text)
        return path
    with tarfile.open(path, "w:gz") as tar:
        for place, text in files.items():
            entry = tarfile.TarInfo(f"demo-1.0/{place}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return path


SETUPTOOLS = {"setup.py": "", "demo.egg-info/top_level.txt": "demo\n_demo\ntests\n"}
NOTHING = {"setup.py": "", "README": "", "demo.egg-info/top_level.txt": "\n", "tests/test_x.py": ""}


@pytest.mark.parametrize("name", ["demo-1.0.tar.gz", "demo-1.0.zip"])
def test_the_modules_of_an_sdist(tmp_path: Path, name: str) -> None:
    files = {**SETUPTOOLS, "src/demo/__init__.py": "", "src/demo/x.c": "", "docs/conf.py": ""}
    assert read_sdist("demo", sdist(tmp_path, files, name)) == SdistContents(
        top_level=frozenset({"demo", "_demo"}),
        packages=frozenset({"demo"}),
        first_source="src/demo/__init__.py",
    )


@pytest.mark.parametrize(
    ("files", "wheel", "declares", "refused", "lacks"),
    [
        (SETUPTOOLS, [], False, "the sdist has _demo, demo", ""),
        ({"src/demo/__init__.py": ""}, [], True, "the sdist has demo", ""),
        ({"demo.py": "", "pyproject.toml": ""}, [], True, "the sdist has demo", ""),
        ({"pyproject.toml": "", "backend.py": ""}, [], False, "the sdist has backend.py", ""),
        ({"pyproject.toml": "", "backend.py": ""}, [], True, "", ""),
        (NOTHING, [], False, "", ""),
        (NOTHING, [], True, "", ""),
        (SETUPTOOLS, ["demo/__init__.py", "_demo.abi3.so"], False, "", ""),
        (SETUPTOOLS, ["demo/__init__.py"], False, "", "lacks _demo, which the sdist's own"),
        (SETUPTOOLS, ["demo-1.0.data/scripts/demo"], False, "", "lacks _demo, demo, which"),
        (SETUPTOOLS, ["demo/_demo.abi3.so"], False, "", ""),
        (None, [], False, "", ""),
    ],
)
def test_which_missing_files_are_rejected_and_which_reported(  # noqa: PLR0917
    tmp_path: Path,
    files: dict[str, str] | None,
    wheel: list[str],
    declares: bool,
    refused: str,
    lacks: str,
) -> None:
    source = read_sdist("demo", sdist(tmp_path, files)) if files is not None else None
    verdict = check_completeness(
        wheel_contents([*wheel, *METADATA], declares=declares), source, None
    )
    assert refused in verdict.rejection
    assert bool(verdict.rejection) is bool(refused)
    assert lacks in verdict.missing
    assert bool(verdict.missing) is bool(lacks)


def test_what_the_upstream_wheel_has_in_addition() -> None:
    upstream = UpstreamWheel(
        filename="demo-1.0-cp311-abi3-manylinux_2_17_x86_64.whl",
        modules=frozenset({"demo", "demo._fast", "more", *(f"more.m{n}" for n in range(9))}),
    )
    verdict = check_completeness(wheel_contents(["demo/__init__.py"]), None, upstream)
    assert verdict.missing == (
        "the wheel lacks demo._fast, more, which the upstream's "
        "demo-1.0-cp311-abi3-manylinux_2_17_x86_64.whl has"
    )
    assert (
        "and the upstream's demo-1.0-cp"
        in check_completeness(wheel_contents([]), None, upstream).rejection
    )


def test_a_project_may_have_the_name_of_a_common_directory() -> None:
    source = sdist_contents("build", ["src/build/__init__.py", "tests/test_x.py"], ["build"])
    assert source.packages == source.top_level == {"build"}


@given(st.lists(st.text(max_size=30), max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_no_names_raise_an_exception(members: list[str], lines: list[str]) -> None:
    verdict = check_completeness(
        wheel_contents(members), sdist_contents("demo", members, lines), None
    )
    assert (verdict.rejection + verdict.missing).isprintable()


async def test_a_survey_reads_wheel_sdist_and_upstream_wheel(tmp_path: Path) -> None:
    made = make_wheel(tmp_path)
    (tmp_path / "upstream").mkdir()
    theirs = make_wheel(tmp_path / "upstream", files={"demo/__init__.py": b"", "demo/fast.so": b""})
    source = sdist(tmp_path, SETUPTOOLS)
    survey = await survey_wheel(made, source, upstream=(theirs.name, theirs.read_bytes()[-700:]))
    assert survey.info.project == "demo"
    assert "lacks demo.fast, which the upstream's demo-1.0-py3" in survey.completeness.missing
    survey = await survey_wheel(made, source, upstream=(theirs.name, b"PK\5\6 is no archive"))
    assert "lacks _demo" in survey.completeness.missing


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08 broken", b"PK\5\6" + bytes(18)])
def test_an_unreadable_sdist_gives_no_evidence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "demo-1.0.tar.gz"
    path.write_bytes(content)
    assert read_sdist("demo", path) in {None, SdistContents()}
