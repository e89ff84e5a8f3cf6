"""Whether an sdist has sources that need a compiler."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from piwheels.wheel.isolated_read import needs_compiler


def sdist(folder: Path, *names: str) -> Path:
    path = folder / "demo-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(f"demo-1.0/{name}"), io.BytesIO())
    return path


@pytest.mark.parametrize("name", ["ext.c", "src/EXT.CPP", "demo/fast.pyx", "src/lib.rs", "a.f90"])
async def test_sources_need_a_compiler(tmp_path: Path, name: str) -> None:
    assert await needs_compiler(sdist(tmp_path, "setup.py", name))


async def test_pure_python_needs_no_compiler(tmp_path: Path) -> None:
    names = ("setup.py", "demo/__init__.py", "demo/data.csv", "README.c.md")
    assert not await needs_compiler(sdist(tmp_path, *names))


async def test_a_zip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo-1.0/ext.c", "")
    assert await needs_compiler(path)


async def test_an_unreadable_sdist_may_need_a_compiler(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0.tar.gz"
    path.write_bytes(b"\x1f\x8b no archive")
    assert await needs_compiler(path)
