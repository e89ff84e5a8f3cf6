"""Synchronization with a fake upstream and a real database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from piwheels.db import catalog, index_queries, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.index_client.client import SimpleIndex
from piwheels.model import BuildRequest, ProjectStatus
from piwheels.upstream.sync import SyncOptions, UpstreamSync, add_projects
from tests.db.scenario import RULES, TARGETS, complete_as_built, make_wheel
from tests.fake_index import FakeIndex, fake_index
from tests.timeouts import WAIT_S

#: After every release of the fake upstream, whose files are of January 2026.
QUICK = SyncOptions(
    poll_interval_s=0.05, changelog_interval_s=0.05, first_delay_s=0.05, max_delay_s=0.5
)
QUICK_POLL = SyncOptions(method="poll", poll_interval_s=0.05, first_delay_s=0.05, max_delay_s=0.5)


@dataclass
class SyncHarness:
    """A farm that follows an upstream."""

    db: Database
    upstream: FakeIndex

    async def add(self, *requirements: str) -> list[str]:
        """Follow projects; returns the problem of each, "" for none."""
        wanted = [BuildRequest(requirement=requirement) for requirement in requirements]
        async with SimpleIndex(self.upstream.simple) as index:
            added = await add_projects(self.db, index, wanted, RULES)
        return [item.problem for item in added]

    @asynccontextmanager
    async def running(self, options: SyncOptions = QUICK) -> AsyncIterator[UpstreamSync]:
        """Run the service, as in a master."""
        async with SimpleIndex(self.upstream.simple) as index:
            follower = UpstreamSync(self.db, index, RULES, options)
            task = asyncio.create_task(follower.run())
            try:
                yield follower
                assert not task.done(), "a fault of the upstream does not end the service"
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def queue(self) -> list[tuple[str, str]]:
        rows = await self.db.rows("SELECT project, version FROM jobs ORDER BY project, version")
        return [(row["project"], row["version"]) for row in rows]

    async def releases(self, project: str) -> dict[str, str | None]:
        """Versions, and why each is yanked."""
        known = await catalog.stored_releases(self.db, project)
        return {item.version: item.yanked for item in known}

    async def hidden(self) -> dict[str, str]:
        """Hidden releases, and whether each is missing or removed upstream."""
        rows = await self.db.rows(
            "SELECT version, removed_at FROM releases WHERE missing_since IS NOT NULL"
        )
        return {row["version"]: "removed" if row["removed_at"] else "missing" for row in rows}

    async def findings(self) -> dict[str, str]:
        """The result of each project's last check."""
        rows = await self.db.rows("SELECT project, check_result FROM projects")
        return {row["project"]: row["check_result"] for row in rows}

    async def wait_for_checks(self, project: str = "demo", looks: int = 4) -> None:
        """Wait for this number of further requests of the page."""
        path = f"/simple/{project}/"
        enough = self._asked(path) + looks

        async def asked() -> bool:
            return self._asked(path) >= enough

        await self.wait_until(asked, True)

    def _asked(self, path: str) -> int:
        return sum(requested == path for requested, _ in self.upstream.requests)

    async def build(self, project: str = "demo", version: str = "1.0") -> None:
        """Build a release that is queued."""
        job = await job_queue.claim(self.db, "builder", [TARGETS[1].name])
        assert job is not None
        assert (job.project, job.version) == (project, version)
        assert await complete_as_built(self.db, job, "builder", make_wheel(job, "py3-none-any"))

    async def wheels(self) -> set[str]:
        """Versions with files, listed or not."""
        rows = await self.db.rows("SELECT DISTINCT version FROM files")
        return {row["version"] for row in rows}

    async def listed(self, project: str = "demo") -> set[str]:
        """Versions that the index page here lists."""
        found = await index_queries.index_pages(self.db, [project])
        return {
            file.version
            for page in found.values()
            if page.status is not ProjectStatus.QUARANTINED
            for file in page.files
        }

    async def events(self) -> str:
        """All events."""
        rows = await self.db.rows("SELECT subject, text FROM events ORDER BY event_id")
        return "\n".join(f"{row['subject']}: {row['text']}" for row in rows)

    async def wait_until(
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
async def farm(database: Database, upstream: FakeIndex) -> SyncHarness:
    """A farm with one target."""
    await target_queries.add_target(database, TARGETS[1], RULES)
    await target_queries.recompute_jobs(database)
    return SyncHarness(database, upstream)
