"""How many jobs a claim looks at while thousands in front are left to other builders."""

import random
from dataclasses import replace

import pytest

from piwheels.db import job_queue, target_queries
from piwheels.db.database import Database
from piwheels.model import BuilderCapability, JobLength, JobPriority, OtherBuilder, TargetLimits
from piwheels.model.project_needs import rounded_up
from tests.claim_rule import WaitingJob
from tests.db.executed_plans import executed_plans, nodes, rows_read
from tests.db.scenario import RULES, TARGETS
from tests.db.waiting_jobs import store_jobs

_TARGET = TARGETS[0].name
_MIB, _GIB = 1 << 20, 1 << 30
#: A board of 1 GiB, which leaves to a board of 8 GiB what needs more than it has.
_SMALL = BuilderCapability(
    memory_bytes=_GIB,
    disk_bytes=8 * _GIB,
    others=(
        OtherBuilder(
            label="large", target=_TARGET, memory_bytes=8 * _GIB, disk_bytes=64 * _GIB, speed=1.0
        ),
    ),
    limits={
        _TARGET: TargetLimits(
            largest_memory_bytes=8 * _GIB,
            second_memory_bytes=8 * _GIB,
            largest_disk_bytes=64 * _GIB,
            second_disk_bytes=64 * _GIB,
        )
    },
)


@pytest.fixture
async def db(database: Database) -> Database:
    await target_queries.add_target(database, TARGETS[0], RULES)
    return database


def _job(number: int, **needs: int) -> WaitingJob:
    return replace(
        WaitingJob(
            name=f"p{number}",
            target=_TARGET,
            priority=JobPriority.BACKLOG,
            priority_time=float(number),
        ),
        **needs,  # type: ignore[arg-type]
    )


def _large_job(chance: random.Random, number: int) -> WaitingJob:
    """Of a project whose builds used more memory, or more disk, than the small board has."""
    memory, disk = chance.uniform(1.1, 8.0), chance.uniform(0.1, 8.0)
    if chance.random() < 0.3:
        memory, disk = 0.5, chance.uniform(8.1, 64.0)
    return _job(
        number,
        memory_over_bytes=rounded_up(int(memory * _GIB)) - 1,
        min_disk_bytes=rounded_up(int(disk * _GIB)),
        is_long=chance.random() < 0.3,
    )


async def _jobs_looked_at(db: Database, length: JobLength = JobLength.ANY) -> float:
    async def claim() -> None:
        assert await job_queue.claim(db, "small", [_TARGET], (), _SMALL, length=length) is None

    await db.execute("ANALYZE jobs")
    plans = await executed_plans(db, claim)
    return rows_read(plans, "jobs")


async def _queue_large_jobs(db: Database, numbers: range) -> None:
    chance = random.Random(numbers.start)
    await store_jobs(db, [_large_job(chance, number) for number in numbers])


async def test_a_claim_looks_at_as_many_jobs_whether_few_or_many_are_left_to_others(
    db: Database,
) -> None:
    await _queue_large_jobs(db, range(900))
    few = await _jobs_looked_at(db)
    await _queue_large_jobs(db, range(900, 3_000))
    kinds = await db.value("SELECT count(DISTINCT needs_hash) FROM jobs")
    for length in JobLength:
        many = await _jobs_looked_at(db, length)
        assert many <= 501 + kinds + 1, length
    assert few > 501, "the head and some kinds"
    assert kinds < 500, "of 3,000 projects"
    await store_jobs(db, [_job(9_000)])
    job = await job_queue.claim(db, "small", [_TARGET], (), _SMALL)
    assert job is not None
    assert job.project == "p9000", "behind all that are left to the other builder"


async def test_a_claim_looks_at_one_job_where_the_first_one_suits(db: Database) -> None:
    await store_jobs(db, [_job(-1), _job(-2)])
    await _queue_large_jobs(db, range(100))
    plans = await executed_plans(db, lambda: job_queue.claim(db, "small", [_TARGET], (), _SMALL))
    # The statement is executed once more to be explained, and takes the second job.
    (window,) = (node for plan in plans for node in nodes(plan) if node["Node Type"] == "WindowAgg")
    assert rows_read([window], "jobs") <= 2, "a window looks one row ahead"


async def test_a_job_that_another_transaction_has_is_passed_over(db: Database, dsn: str) -> None:
    await store_jobs(db, [_job(1), _job(2)])
    async with await Database.connect(dsn, role="test") as other, other.transaction():
        await other.execute("SELECT FROM jobs WHERE project = 'p1' FOR UPDATE")
        job = await job_queue.claim(db, "small", [_TARGET], (), _SMALL)
        assert job is not None
        assert job.project == "p2"
        assert await job_queue.claim(db, "small", [_TARGET], (), _SMALL) is None
    job = await job_queue.claim(db, "small", [_TARGET], (), _SMALL)
    assert job is not None
    assert job.project == "p1"
