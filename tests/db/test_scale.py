"""What a claim and a new release cost at a million releases, against a thousand."""

import random
import statistics
import time
from collections.abc import Awaitable, Callable

import pytest

from piwheels.db import catalog, jobs
from piwheels.db.database import Database
from piwheels.model import Job, Outcome
from tests.db.world import RULES, TARGETS, a_build, a_file, a_release, build

_ROUNDS = 300
#: Timings of a shared machine: the medians were within a fifth of each other.
_ALLOWED_RATIO = 2.0
_REQUIRES_PYTHON = ">=3.11"

_PROJECTS = """
    INSERT INTO projects (project, display)
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


async def _median_ms(work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


async def _costs(db: Database, label: str) -> dict[str, float]:
    numbers = iter(range(_ROUNDS * 2))
    names = [target.name for target in TARGETS]
    chance = random.Random(label)

    async def claim() -> None:
        job = await jobs.claim(db, "builder", names)
        assert job is not None
        claimed.append(job)

    async def settle() -> None:
        job = claimed.pop()
        if chance.random() < 0.7:
            await build(db, job, "builder", a_file(job, "py3-none-any"))
        else:
            await jobs.settle(db, a_build(job, "builder", Outcome.FAILED), [], RULES, None)

    async def new_release() -> None:
        await catalog.add_releases(db, [a_release("alpha", f"{label}.{next(numbers)}")], RULES)

    claimed: list[Job] = []
    return {
        "claim": await _median_ms(claim),
        "settle": await _median_ms(settle),
        "new release": await _median_ms(new_release),
    }


async def _plan(db: Database) -> str:
    await db.execute("SET plan_cache_mode = force_custom_plan")
    rows = await db.rows(
        "EXPLAIN " + jobs.CLAIM,
        {"builder": "builder", "targets": [target.name for target in TARGETS]},
    )
    return "\n".join(row["QUERY PLAN"] for row in rows)


@pytest.mark.slow
async def test_a_million_releases_cost_a_claim_what_a_thousand_do(database: Database) -> None:
    for target in TARGETS:
        await catalog.add_target(database, target, RULES)
    await catalog.add_project(database, "alpha", "alpha")
    await catalog.add_releases(
        database, [a_release("alpha", requires_python=_REQUIRES_PYTHON)], RULES
    )
    await _grow(database, 1, 100)
    few = await _costs(database, "1")
    await _grow(database, 101, 100_000)
    many = await _costs(database, "2")
    plan = await _plan(database)
    print({what: (few[what], many[what]) for what in few})
    assert await database.value("SELECT count(*) FROM releases") > 1_000_000
    assert "jobs_claimable" in plan
    assert "Seq Scan on jobs" not in plan
    assert "Sort" not in plan.split("jobs_claimable")[1], "the order comes from the index"
    for what, cost in few.items():
        assert many[what] < cost * _ALLOWED_RATIO, f"{what}: {cost:.2f} ms, then {many[what]:.2f}"
