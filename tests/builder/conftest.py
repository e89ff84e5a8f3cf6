"""Fixtures: an upstream with the tools that builds need, and interpreters."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from piwheels.builder.pip_provider import candidate_wheels
from piwheels.errors import PiwheelsError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import IndexFile
from piwheels.index_client.pip_config import pip_index_url
from piwheels.model import Interpreter
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.fake_index import FakeIndex, fake_index
from tests.session_cache import persistent_cache

OLDEST, NEWEST = requires.PYTHON_VERSIONS[0], requires.PYTHON_VERSIONS[-1]
_FILE_LIST = "files.json"


@pytest.fixture(scope="session")
def tools() -> list[tuple[IndexFile, bytes]]:
    """The pips and setuptools that every Python tested here needs, from the configured index."""
    try:
        folder = persistent_cache(
            "tools", requires.PYTHON_VERSIONS, lambda folder: asyncio.run(_fetch_tools(folder))
        )
    except PiwheelsError as error:
        requires.skip_or_fail(f"the tools for building cannot be fetched: {error}")
    files = msgspec.json.decode((folder / _FILE_LIST).read_bytes(), type=list[IndexFile])
    return [(file, (folder / file.filename).read_bytes()) for file in files]


async def _fetch_tools(folder: Path) -> None:
    found: dict[str, IndexFile] = {}
    async with SimpleIndex(pip_index_url()) as index:
        for project in ("pip", "setuptools"):
            page = await index.project(project)
            for python in requires.PYTHON_VERSIONS:
                file = next(iter(candidate_wheels(page, f"{python}.1")), None)
                if file is not None:
                    found[file.filename] = file
        for file in found.values():
            path = folder / file.filename
            await index.fetch(file.url, file.sha256, path, limit_bytes=1 << 26)
    (folder / _FILE_LIST).write_bytes(msgspec.json.encode(list(found.values())))


@pytest.fixture
def upstream(tools: list[tuple[IndexFile, bytes]]) -> Iterator[FakeIndex]:
    """An upstream that has pip and setuptools, and what the test adds."""
    with fake_index() as index:
        for file, content in tools:
            project = file.filename.partition("-")[0]
            extra = {"requires-python": file.requires_python}
            index.add(project, file.filename, content, **extra)
        yield index


@pytest.fixture(scope="session")
def oldest() -> Interpreter:
    """The oldest Python that wheels are built for."""
    return probe_interpreter(requires.find_python(OLDEST))


@pytest.fixture(scope="session")
def newest() -> Interpreter:
    """The newest Python that wheels are built for."""
    return probe_interpreter(requires.find_python(NEWEST))
