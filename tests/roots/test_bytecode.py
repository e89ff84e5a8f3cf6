"""Byte code is written beside its source, and nowhere else."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from piwheels.roots.bytecode import COMPILE_SCRIPT, CompileProgress, install_bytecode


def test_only_byte_code_of_folders_that_are_there_is_written(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib/python3.13/json").mkdir(parents=True)
    names = [
        "usr/lib/python3.13/__pycache__/os.cpython-313.pyc",
        "usr/lib/python3.13/json/__pycache__/decoder.cpython-313.pyc",
        "usr/lib/python3.13/absent/__pycache__/x.cpython-313.pyc",
        "usr/lib/python3.13/../../../../outside/__pycache__/x.pyc",
        "usr/lib/python3.13/os.py",
        "etc/passwd",
    ]
    assert install_bytecode(root, _archive(names)) == 2
    written = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert written == sorted(names[:2])
    assert list(tmp_path.iterdir()) == [root]


def test_progress_counts_files_that_are_done() -> None:
    fractions = list[float]()
    follow = CompileProgress(fractions.append)
    for output in (b"1", b"0\n", b"..", b"...."):
        follow(output)
    assert fractions == [0.2, 0.6]


def test_all_files_are_compiled_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    library, build = tmp_path / "lib", tmp_path / "build"
    (library / "json/tests").mkdir(parents=True)
    for name in ("os.py", "broken.py", "json/decoder.py", "json/tests/none.py"):
        (library / name).write_text("( unfinished" if name == "broken.py" else "x = 1\n")
    script = COMPILE_SCRIPT.replace("/build", str(build)).replace(
        'sysconfig.get_path("stdlib")', repr(str(library))
    )
    build.mkdir()
    subprocess.run([sys.executable, "-I", "-c", script], check=True)
    total, dots = capfd.readouterr().out.split("\n")
    assert (total, dots) == ("3", "...")
    with tarfile.open(build / "bytecode.tar") as tar:
        found = sorted(Path(name) for name in tar.getnames())
    tag = sys.implementation.cache_tag
    assert [str(path.relative_to(str(library).lstrip("/"))) for path in found] == [
        f"__pycache__/os.{tag}.pyc", f"json/__pycache__/decoder.{tag}.pyc",
    ]  # fmt: skip


def _archive(names: list[str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"code"))
    return content.getvalue()
