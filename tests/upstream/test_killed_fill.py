"""A fill of the database is killed several times, and goes on each time."""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from piwheels.db import key_values, listed_projects
from tests.fake_index import FakeIndex
from tests.upstream.conftest import SyncHarness

_PROJECTS = 240
_KILLS = 3


@contextlib.asynccontextmanager
async def filling(farm: SyncHarness) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that fills the database; killed by SIGKILL at the end of the context."""
    arguments = ("-m", "tests.upstream.filling_process", farm.db.dsn, farm.upstream.simple)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    try:
        yield process
        assert process.returncode is None, "it still runs"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.slow
async def test_a_killed_fill_loses_nothing_and_goes_on(
    farm: SyncHarness, upstream: FakeIndex
) -> None:
    names = [f"p{number:03}" for number in range(_PROJECTS)]
    for name in names:
        upstream.add(name, f"{name}-1.0.tar.gz", name.encode())
    upstream.add_event(names[0], "create", 10)
    upstream.listing_serial, upstream.slow_s = 10, 0.02

    async def stored() -> int:
        return int(await farm.db.value("SELECT count(*) FROM projects"))

    for kill in range(1, _KILLS + 1):
        before = await stored()
        async with filling(farm):

            async def advanced(before: int = before) -> bool:
                return await stored() > before

            await farm.wait_until(advanced, True)
        # Reported while nothing reads the changelog.
        upstream.add(names[kill], f"{names[kill]}-2.0.tar.gz", b"new")
        upstream.add_event(names[kill], "new release", 10 + kill)
    assert 0 < await listed_projects.count_unread(farm.db) < _PROJECTS, "killed before the end"
    async with filling(farm):
        newer = [(names[kill], "2.0") for kill in range(1, _KILLS + 1)]
        await farm.wait_until(farm.queue, sorted([*((name, "1.0") for name in names), *newer]))

        async def remaining() -> int:
            return await listed_projects.count_unread(farm.db)

        await farm.wait_until(remaining, 0)
    assert await key_values.get_value(farm.db, "upstream/listing/projects") == str(_PROJECTS)
    paths = Counter(path for path, _ in upstream.requests)
    assert paths["/simple/"] == 1, "the list was read once"
    unchanged = [name for name in names if name not in {project for project, _ in newer}]
    assert max(paths[f"/simple/{name}/"] for name in unchanged) <= _KILLS + 1
