"""What a claim and a new release cost among 200,000 releases, against a thousand."""

import itertools
import random
import statistics
import time

import pytest

from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.db.rows import to_parameters
from piwheels.local.postgres import PrivatePostgres
from piwheels.model import BuilderCapability, Job, Outcome
from tests.conftest import create_database
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_wheel,
)

_ROUNDS = 300
#: Timings of a shared machine: the medians were within a fifth of each other.
_ALLOWED_RATIO = 2.0
_REQUIRES_PYTHON = ">=3.11"

_PROJECTS = """
    INSERT INTO projects (project, display_name)
    SELECT name, name FROM (SELECT 'bulk-' || n AS name FROM generate_series({first}, {last}) n) x
"""
#: Ten releases of each project.
_RELEASES = """
    INSERT INTO releases (project, version, released_at, requires_python,
                          sdist_filename, sdist_url, sdist_sha256, sdist_size)
    SELECT 'bulk-' || n, v || '.0', now(), '{requires_python}', 'x.tar.gz', 'http://upstream/x.tar.gz',
           repeat('0', 64), 1
      FROM generate_series({first}, {last}) n, generate_series(0, 9) v
"""


async def _grow(db: Database, first: int, last: int, step: int = 1000) -> None:
    """Add these projects as a follower would, triggers and all."""
    for start in range(first, last + 1, step):
        end = min(start + step - 1, last)
        await db.execute(_PROJECTS.format(first=start, last=end))
        await db.execute(_RELEASES.format(first=start, last=end, requires_python=_REQUIRES_PYTHON))
    for table in ("projects", "releases", "jobs"):
        await db.execute(f"VACUUM ANALYZE {table}")


class _Farm:
    """A farm of some size, and the operations that are timed."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.times_ms: dict[str, list[float]] = {}
        self._numbers = itertools.count(2)
        self._chance = random.Random(1)
        self._claimed: list[Job] = []

    async def claim(self) -> None:
        job = await job_queue.claim(self.db, "builder", [target.name for target in TARGETS])
        assert job is not None
        self._claimed.append(job)

    async def settle(self) -> None:
        job = self._claimed.pop()
        if self._chance.random() < 0.7:
            await complete_as_built(self.db, job, "builder", make_wheel(job, "py3-none-any"))
        else:
            await complete_job_with_retry_after(
                self.db, make_build(job, "builder", Outcome.FAILED), [], RULES, None
            )

    async def new_release(self) -> None:
        await catalog.add_releases(
            self.db, [make_release("alpha", f"{next(self._numbers)}.0")], RULES
        )

    async def timed(self, what: str) -> None:
        began = time.perf_counter()
        await getattr(self, what)()
        self.times_ms.setdefault(what, []).append((time.perf_counter() - began) * 1000)


async def _farm(db: Database, projects: int) -> _Farm:
    for target in TARGETS:
        await target_queries.add_target(db, target, RULES)
    await catalog.add_project(db, "alpha", "alpha")
    await catalog.add_releases(db, [make_release("alpha", requires_python=_REQUIRES_PYTHON)], RULES)
    await _grow(db, 1, projects)
    return _Farm(db)


async def _plan(db: Database) -> str:
    await db.execute("SET plan_cache_mode = force_custom_plan")
    rows = await db.rows(
        "EXPLAIN " + job_queue.CLAIM_SQL,
        {
            "builder": "builder",
            "targets": [target.name for target in TARGETS],
            **to_parameters(BuilderCapability()),
        },
    )
    return "\n".join(row["QUERY PLAN"] for row in rows)


@pytest.mark.slow
async def test_a_claim_among_many_releases_costs_as_much_as_among_a_thousand(
    database: Database, postgres: PrivatePostgres
) -> None:
    for dsn in create_database(postgres):
        async with await Database.connect(dsn, role="test") as little:
            small, large = await _farm(little, 100), await _farm(database, 20_000)
            # Alternately, so that other work of the machine affects both alike.
            for what in ("claim", "settle", "new_release"):
                for _ in range(_ROUNDS):
                    await small.timed(what)
                    await large.timed(what)
    plan = await _plan(database)
    costs = {
        what: (statistics.median(small.times_ms[what]), statistics.median(large.times_ms[what]))
        for what in small.times_ms
    }
    print(costs)
    assert await database.value("SELECT count(*) FROM releases") > 200_000
    assert "jobs_claimable" in plan
    assert "Seq Scan on jobs" not in plan
    assert "Sort" not in plan.split("jobs_claimable")[1], "the order comes from the index"
    for what, (few, many) in costs.items():
        assert many < few * _ALLOWED_RATIO, f"{what}: {few:.2f} ms, then {many:.2f}"
