"""The pip that builds use."""

import zipfile
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from piwheels.builder.cache import FileCache
from piwheels.builder.pips import Pips
from piwheels.errors import RefusedError, TransientError
from piwheels.simpleapi import SimpleIndex
from tests.fakeindex import FakeIndex, fake_index


def wheel(text: str) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("pip/__pip-runner__.py", text)
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
async def pips(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[Pips]:
    cache = FileCache(tmp_path / "cache", limit_bytes=1 << 20, file_limit_bytes=1 << 20)
    async with SimpleIndex(upstream.simple) as index:
        yield Pips(index, cache, tmp_path / "pip")


@pytest.mark.parametrize(
    ("python", "version"),
    [("3.9.18", "26.0"), ("3.10.0", "26.10"), ("3.13.0", "26.10"), ("3.15.0a1", "26.10")],
)
async def test_each_python_gets_the_newest_that_supports_it(
    pips: Pips, python: str, version: str
) -> None:
    pip = await pips.get(python)
    assert pip.file.version == version
    assert pip.runner.read_text() == version


async def test_an_upstream_in_trouble_leaves_the_pip_that_we_have(
    pips: Pips, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await pips.get("3.13.0")
    monkeypatch.setattr("piwheels.builder.pips._FRESH_S", 0.0)
    upstream.faults[""] = 503
    assert await pips.get("3.13.0") == first
    with pytest.raises(TransientError):
        await pips.get("3.9.18")


async def test_an_index_without_a_pip_says_so(pips: Pips, upstream: FakeIndex) -> None:
    upstream.projects.clear()
    with pytest.raises(RefusedError, match=r"has no pip for Python 3\.13\.0"):
        await pips.get("3.13.0")


async def test_an_unpacked_pip_is_readable_by_everybody(pips: Pips, tmp_path: Path) -> None:
    pip = await pips.get("3.13.0")
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in pip.folder.rglob("*"))
    assert [path.name for path in (tmp_path / "pip").iterdir()] == [pip.file.sha256]
