"""Byte code is written beside its source, and nowhere else."""

import io
import tarfile
from pathlib import Path

from piwheels.roots.bytecode import install_bytecode


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


def _archive(names: list[str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"code"))
    return content.getvalue()
