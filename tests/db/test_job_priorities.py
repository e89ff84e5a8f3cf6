"""Which class of priority jobs have, and that claims follow the rule of the classes."""

import random
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import pytest
from msgspec.structs import replace

from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.db.popular_projects import MIN_DOWNLOADS, update_popular_projects
from piwheels.model import BuilderCapability, JobLength, JobPriority, OtherBuilder, TargetLimits
from tests.claim_rule import JobQueue, WaitingJob
from tests.db.scenario import RULES, TARGETS, make_release
from tests.db.waiting_jobs import store_jobs

NAMES = [target.name for target in TARGETS]
_GIB = 1 << 30


@pytest.fixture
async def farm(database: Database) -> Database:
    for target in TARGETS:
        await target_queries.add_target(database, target, RULES)
    return database


async def _add(db: Database, project: str, *, named: bool = False, age_days: int = 100) -> None:
    released_at = datetime.now(UTC) - timedelta(days=age_days)
    await catalog.add_project(db, project, project, named=named)
    release = make_release(project)
    await catalog.add_releases(db, [replace(release, released_at=released_at)], RULES)


async def _priorities(db: Database) -> dict[str, JobPriority]:
    rows = await db.rows("SELECT project, priority_class FROM jobs")
    return {row["project"]: JobPriority(row["priority_class"]) for row in rows}


async def _download(db: Database, project: str, count: int) -> None:
    await db.execute(
        "INSERT INTO downloads_monthly_by_project (month, project, downloads, days)"
        " VALUES (date_trunc('month', now()), %(project)s, %(count)s, ARRAY[%(count)s::int])",
        {"project": project, "count": count},
    )


async def test_projects_and_releases_decide_the_class(farm: Database) -> None:
    await _add(farm, "old")
    await _add(farm, "new", age_days=1)
    await _add(farm, "asked", named=True)
    await _add(farm, "liked")
    await _download(farm, "liked", MIN_DOWNLOADS)
    await _download(farm, "old", MIN_DOWNLOADS - 1)
    assert await update_popular_projects(farm) == 1
    assert await _priorities(farm) == {
        "old": JobPriority.BACKLOG,
        "new": JobPriority.NEW,
        "asked": JobPriority.NAMED,
        "liked": JobPriority.POPULAR,
    }
    assert await update_popular_projects(farm) == 0


async def test_a_project_that_is_no_longer_popular_loses_its_class(farm: Database) -> None:
    await _add(farm, "liked")
    await _download(farm, "liked", MIN_DOWNLOADS)
    await update_popular_projects(farm)
    await farm.execute("DELETE FROM downloads_monthly_by_project")
    assert await update_popular_projects(farm) == 1
    assert await _priorities(farm) == {"liked": JobPriority.BACKLOG}


async def test_a_followed_project_that_an_operator_adds_comes_first(farm: Database) -> None:
    await _add(farm, "old")
    await catalog.add_project(farm, "old", "old")
    assert await _priorities(farm) == {"old": JobPriority.NAMED}
    await catalog.add_project(farm, "old", "old", named=False)
    assert await _priorities(farm) == {"old": JobPriority.NAMED}


async def test_a_job_that_is_moved_ahead_is_first_until_its_order_is_restored(
    farm: Database,
) -> None:
    await _add(farm, "old")
    await job_queue.prioritize(farm, "old", None, timedelta(days=1))
    assert await _priorities(farm) == {"old": JobPriority.NAMED}
    await job_queue.prioritize(farm, "old", None, timedelta())
    assert await _priorities(farm) == {"old": JobPriority.BACKLOG}


async def test_a_turn_of_a_class_takes_its_job_and_falls_back_to_the_highest(
    farm: Database,
) -> None:
    for project in ("first", "second"):
        await _add(farm, project, named=True)
    await _add(farm, "old")
    taken = [
        await job_queue.claim(farm, "pi", NAMES, first=first)
        for first in (JobPriority.BACKLOG, JobPriority.BACKLOG, JobPriority.NAMED)
    ]
    assert [job and job.project for job in taken] == ["old", "first", "second"]


def _random_job(chance: random.Random, name: str) -> WaitingJob:
    return WaitingJob(
        name=name,
        target=chance.choice(NAMES),
        priority=chance.choice(list(JobPriority)),
        priority_time=float(chance.randrange(10**6)),
        is_held=chance.random() < 0.1,
        avoid_builder=chance.choice(("", "", "pi")),
        memory_over_bytes=chance.choice((0, 0, _GIB - 1, 4 * _GIB - 1)),
        min_disk_bytes=chance.choice((0, 0, _GIB, 4 * _GIB)),
        is_tried=chance.random() < 0.5,
        is_long=chance.random() < 0.3,
        min_speed=chance.choice((0.0, 0.0, 5.0)),
        required_packages=frozenset(chance.sample(("libffi-dev", "cmake"), chance.randrange(2))),
    )


def _random_capability(chance: random.Random) -> BuilderCapability:
    return BuilderCapability(
        memory_bytes=chance.choice((0, _GIB, 4 * _GIB, 8 * _GIB)),
        disk_bytes=chance.choice((0, _GIB - 1, _GIB, 8 * _GIB)),
        speed=chance.choice((1.0, 9.0)),
        layer_targets=chance.choice(((), (NAMES[1],))),
        available_packages=chance.choice(((), ("cmake",), ("cmake", "libffi-dev"))),
        others=tuple(_random_other(chance) for _ in range(chance.randrange(4))),
        limits={name: _random_limits(chance) for name in NAMES},
    )


def _random_other(chance: random.Random) -> OtherBuilder:
    return OtherBuilder(
        label=chance.choice(("pi", "other", "third")),
        target=chance.choice(NAMES),
        memory_bytes=chance.choice((0, _GIB, 4 * _GIB)),
        disk_bytes=chance.choice((0, _GIB, 8 * _GIB)),
        speed=chance.choice((1.0, 9.0)),
        adds_packages=chance.random() < 0.5,
    )


def _random_limits(chance: random.Random) -> TargetLimits:
    sizes = sorted(chance.choices((0, _GIB - 1, _GIB, 4 * _GIB, 8 * _GIB), k=2))
    return TargetLimits(
        largest_memory_bytes=chance.choice((0, _GIB, 4 * _GIB)),
        largest_disk_bytes=sizes[1],
        second_disk_bytes=sizes[0],
        memory_with_packages={("cmake",): _GIB} if chance.random() < 0.5 else {},
    )


async def _walk(db: Database, seed: int, steps: int) -> int:
    """Queue and claim at random, and compare each claim with the rule; returns how many."""
    chance, waiting, claims = random.Random(seed), JobQueue(), 0
    for step in range(steps):
        if chance.random() < 0.35:
            jobs = [_random_job(chance, f"p{seed}-{step}-{n}") for n in range(chance.randrange(4))]
            await store_jobs(db, jobs)
            for each in jobs:
                waiting.add(each)
            continue
        builder = chance.choice(("pi", "other"))
        targets = chance.sample(NAMES, chance.randrange(1, len(NAMES) + 1))
        capability, first = _random_capability(chance), chance.choice(list(JobPriority))
        length = chance.choice(list(JobLength))
        expected = waiting.take(builder, targets, capability, first, length)
        job = await job_queue.claim(
            db, builder, targets, (), capability, first=first, length=length
        )
        assert (job and job.project) == (expected and expected.name), (step, expected)
        claims += expected is not None
    return claims


@pytest.mark.parametrize("looked_at", ["500", "0"])
async def test_each_claim_takes_the_job_of_the_rule(
    farm: Database, monkeypatch: pytest.MonkeyPatch, looked_at: LiteralString
) -> None:
    monkeypatch.setattr(job_queue, "_CLAIMS", job_queue._claims("true", looked_at))
    assert await _walk(farm, seed=1, steps=300) > 80


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
async def test_thousands_of_claims_take_the_jobs_of_the_rule(farm: Database, seed: int) -> None:
    assert await _walk(farm, seed, steps=2_000) > 500
