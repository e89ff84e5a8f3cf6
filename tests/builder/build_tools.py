"""The pips and setuptools of builds in tests, from the configured index."""

import asyncio
from pathlib import Path

import msgspec

from piwheels.builder.pip_provider import candidate_wheels
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import IndexFile
from piwheels.index_client.pip_config import pip_index_url
from tests import requires
from tests.session_cache import persistent_cache

_FILE_LIST = "files.json"


def pip_and_setuptools() -> list[tuple[IndexFile, bytes]]:
    """The pips and setuptools that every Python tested here needs, from the configured index."""
    folder = persistent_cache(
        "tools", requires.PYTHON_VERSIONS, lambda folder: asyncio.run(_fetch_tools(folder))
    )
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
