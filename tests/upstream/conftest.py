"""A follower on a fake upstream and a real database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from piwheels.db import catalog
from piwheels.db.database import Database
from piwheels.model import Wanted
from piwheels.simpleapi import SimpleIndex
from piwheels.upstream.follow import Follower, FollowOptions, add
from tests.db.world import RULES, TARGETS
from tests.fakeindex import FakeIndex, fake_index
from tests.patience import WAIT_S

#: After every release of the fake upstream, whose files are of January 2026.
_QUICK = FollowOptions(poll_interval_s=0.05, changelog_every_s=0.05, first_delay_s=0.05)


@dataclass
class Following:
    """A farm that follows an upstream."""

    db: Database
    upstream: FakeIndex

    async def add(self, *requirements: str) -> list[str]:
        """Follow projects; gives what is wrong with each, "" for nothing."""
        wanted = [Wanted(requirement=requirement) for requirement in requirements]
        async with SimpleIndex(self.upstream.simple) as index:
            added = await add(self.db, index, wanted, RULES)
        return [item.problem for item in added]

    @asynccontextmanager
    async def running(self, options: FollowOptions = _QUICK) -> AsyncIterator[Follower]:
        """The duty at work, as in a master."""
        async with SimpleIndex(self.upstream.simple) as index:
            follower = Follower(self.db, index, RULES, options)
            task = asyncio.create_task(follower.run())
            try:
                yield follower
                assert not task.done(), "a fault of the upstream never ends the duty"
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def queue(self) -> list[tuple[str, str]]:
        rows = await self.db.rows("SELECT project, version FROM jobs ORDER BY project, version")
        return [(row["project"], row["version"]) for row in rows]

    async def releases(self, project: str) -> dict[str, str | None]:
        """Versions, and why each is yanked."""
        known = await catalog.known_releases(self.db, project)
        return {item.version: item.yanked for item in known}

    async def until(
        self, what: Callable[[], Awaitable[object]], wanted: object, timeout_s: float = WAIT_S
    ) -> None:
        found = await what()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while found != wanted:
                    await asyncio.sleep(0.02)
                    found = await what()
        assert found == wanted


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    with fake_index() as index:
        yield index


@pytest.fixture
async def farm(database: Database, upstream: FakeIndex) -> Following:
    """A farm with one target."""
    await catalog.add_target(database, TARGETS[1], RULES)
    await catalog.converge(database)
    return Following(database, upstream)
