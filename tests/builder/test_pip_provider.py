"""The pip that builds use."""

import asyncio
import hashlib
import importlib.metadata
import platform
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from piwheels.builder.file_cache import FileCache
from piwheels.builder.pip_provider import PipProvider
from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import SimpleIndex
from tests.fake_index import FakeIndex, fake_index

pytestmark = pytest.mark.farm  # interpreters compile each pip


def wheel(text: str, requires_python: str = "") -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("pip/__pip-runner__.py", text)
        if requires_python:
            fields = f"Metadata-Version: 2.1\nName: pip\nRequires-Python: {requires_python}\n\nx"
            archive.writestr(f"pip-{text}.dist-info/METADATA", fields)
    return content.getvalue()


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    with fake_index() as index:

        def add(version: str, requires_python: str, **extra: Any) -> None:
            extra["requires-python"] = requires_python
            index.add("pip", f"pip-{version}-py3-none-any.whl", wheel(version), **extra)

        add("9.0", "")
        add("25.1", ">=3.8")
        add("26.0", ">=3.9")
        add("26.10", ">=3.10")
        add("26.9", ">=3.10")
        add("27.0b1", ">=3.10")
        add("28.0", ">=3.10", yanked="broken")
        index.add("pip", "pip-99.tar.gz", b"an sdist")
        yield index


@pytest.fixture
async def pips(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[PipProvider]:
    cache = FileCache(tmp_path / "cache", max_bytes=1 << 20, max_file_bytes=1 << 20)
    async with SimpleIndex(upstream.simple) as index:
        yield PipProvider(index, cache, tmp_path / "pip")


@pytest.mark.parametrize(
    ("python", "version"),
    [("3.9.18", "26.0"), ("3.10.0", "26.10"), ("3.13.0", "26.10"), ("3.15.0a1", "26.10")],
)
async def test_each_python_gets_the_newest_pip_that_supports_it(
    pips: PipProvider, python: str, version: str
) -> None:
    pip = await pips.get(python)
    assert f" pip-{version}-" in pip.provenance
    assert pip.script.read_text() == version


async def test_metadata_is_used_if_a_page_has_no_requires_python(
    tmp_path: Path,
) -> None:
    cache = FileCache(tmp_path / "cache", max_bytes=1 << 20, max_file_bytes=1 << 20)
    with fake_index() as upstream:
        for version, requires_python in (("26.3", ">=3.10"), ("26.0", ">=3.9"), ("20.0", ">=2.7")):
            content = wheel(version, requires_python)
            upstream.add("pip", f"pip-{version}-py3-none-any.whl", content)
        async with SimpleIndex(upstream.simple) as index:
            pips = PipProvider(index, cache, tmp_path / "pip")
            chosen = [
                (await pips.get(python)).provenance for python in ("3.13.0", "3.9.18", "3.6.15")
            ]
    assert [name.split("-")[1] for name in chosen] == ["26.3", "26.0", "20.0"]


@pytest.mark.parametrize(
    "content", [b"", b"PK is no wheel", wheel("x")[:-30], wheel("x").replace(b"pip/", b"../x")]
)
async def test_an_invalid_pip_wheel_is_rejected_and_leaves_no_files(
    tmp_path: Path, content: bytes
) -> None:
    cache = FileCache(tmp_path / "cache", max_bytes=1 << 20, max_file_bytes=1 << 20)
    with fake_index() as upstream:
        upstream.add("pip", "pip-26.0-py3-none-any.whl", content)
        async with SimpleIndex(upstream.simple) as index:
            pips = PipProvider(index, cache, tmp_path / "pip")
            with pytest.raises(RejectedError):
                await pips.get("3.13.0")
    assert list((tmp_path / "pip").iterdir()) == []


async def test_the_cached_pip_is_used_while_the_upstream_is_unavailable(
    pips: PipProvider, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await pips.get("3.13.0")
    monkeypatch.setattr("piwheels.builder.pip_provider._FRESH_S", 0.0)
    upstream.faults[""] = 503
    assert await pips.get("3.13.0") == first
    with pytest.raises(TransientError):
        await pips.get("3.9.18")


async def test_a_pip_without_a_sha256_is_verified_by_other_hashes(
    pips: PipProvider, upstream: FakeIndex, tmp_path: Path
) -> None:
    for entry in upstream.projects["pip"]:
        content = upstream.files[upstream.file_url(entry).removeprefix(upstream.url[:-1])]
        entry["hashes"] = {"md5": hashlib.md5(content).hexdigest()}
    assert (await pips.get("3.13.0")).script.read_text() == "26.10"


async def test_an_upstream_without_pip_uses_another_index(
    upstream: FakeIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = FileCache(tmp_path / "cache", max_bytes=1 << 20, max_file_bytes=1 << 20)
    with fake_index() as bare:
        async with SimpleIndex(bare.simple) as index, SimpleIndex(upstream.simple) as other:
            pip = await PipProvider(index, cache, tmp_path / "pip", fallback_indexes=[other]).get(
                "3.13.0"
            )
    assert pip.script.read_text() == "26.10"
    (line,) = [record.getMessage() for record in caplog.records]
    assert bare.simple in line
    assert f"of {upstream.simple} is used" in line


async def test_without_pip_in_any_index_the_installed_pip_is_copied(
    pips: PipProvider, upstream: FakeIndex, tmp_path: Path
) -> None:
    upstream.projects.clear()
    here = platform.python_version()
    pip = await pips.get(here)
    assert pip.provenance == f"installed pip-{importlib.metadata.version('pip')}"
    assert [path.name for path in pip.folder.iterdir()] == ["pip"]
    command = [sys.executable, "-I", str(pip.script), "--version"]
    ran = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    message, _ = await ran.communicate()
    assert str(pip.folder).encode() in message


async def test_a_python_without_a_supporting_pip_is_reported(
    pips: PipProvider, upstream: FakeIndex
) -> None:
    upstream.projects.clear()
    with pytest.raises(RejectedError, match=r"no pip for Python 3\.3\.0, .*builder\.pip_index"):
        await pips.get("3.3.0")


async def test_an_unpacked_pip_is_world_readable(pips: PipProvider, tmp_path: Path) -> None:
    pip = await pips.get("3.13.0")
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in pip.folder.rglob("*"))
    assert [path.name for path in (tmp_path / "pip").iterdir()] == [pip.provenance.split()[0]]
