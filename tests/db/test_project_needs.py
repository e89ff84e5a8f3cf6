"""What builds of projects need is learned while others claim jobs: on several connections."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database, transactional
from piwheels.db.project_needs import learn_needs
from piwheels.model import LONG_BUILD_S, Build, JobLength, RetryDecision
from tests.db.scenario import RULES, TARGETS, make_build, make_release, unlike_their_projects
from tests.timeouts import WAIT_S

_PROJECTS = [f"p{number}" for number in range(12)]
_VERSIONS = ("1.0", "2.0", "3.0")
CP39 = TARGETS[0].name


@pytest.fixture
async def farm(database: Database) -> Database:
    await target_queries.add_target(database, TARGETS[0], RULES)
    for project in _PROJECTS:
        await catalog.add_project(database, project, project)
        releases = [make_release(project, version) for version in _VERSIONS]
        await catalog.add_releases(database, releases, RULES)
    return database


async def _learn(dsn: str, stop: asyncio.Event) -> int:
    """Builds of each project take long, then short, and so on; returns how often."""
    count = 0
    async with await Database.connect(dsn, role="learner") as db:
        job = await job_queue.claim(db, "learner", [CP39])
        assert job is not None
        while not stop.is_set():
            long = count % 2 == 0
            for project in _PROJECTS:
                build = replace(
                    make_build(job, "learner"),
                    project=project,
                    duration_s=100 * LONG_BUILD_S if long else 1.0,
                    peak_disk_bytes=count + 1,
                )
                await _learn_once(db, build)
            count += 1
    return count


@transactional
async def _learn_once(db: Database, build: Build) -> None:
    await catalog.lock_projects(db, [build.project])
    if build.duration_s == 1.0:
        await db.execute(
            "UPDATE projects SET expected_build_s = 0 WHERE project = %(project)s",
            {"project": build.project},
        )
    await learn_needs(db, build, RetryDecision(is_final=True))


async def _claim_all(dsn: str, number: int, claimed: list[tuple[str, str]]) -> None:
    """Claim short and long jobs in turn until there is none."""
    label = f"pi{number}"
    async with await Database.connect(dsn, role=label) as db:
        # A claim skips the jobs that are being changed.
        while await db.value("SELECT count(*) FROM jobs WHERE claimed_by IS NULL"):
            for length in (JobLength.SHORT, JobLength.LONG, JobLength.ANY):
                job = await job_queue.claim(db, label, [CP39], length=length)
                if job is not None:
                    claimed.append((job.project, job.version))


async def test_each_job_is_claimed_once_while_its_length_changes(farm: Database, dsn: str) -> None:
    claimed: list[tuple[str, str]] = []
    stop = asyncio.Event()
    learner = asyncio.create_task(_learn(dsn, stop))
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(_claim_all(dsn, number, claimed))
    stop.set()
    assert await learner > 0
    assert max(Counter(claimed).values()) == 1
    assert len(claimed) == len(_PROJECTS) * len(_VERSIONS) - 1, "all but that of the learner"
    assert await unlike_their_projects(farm) == []


async def test_a_claim_gets_only_jobs_of_its_length(farm: Database) -> None:
    job = await job_queue.claim(farm, "pi", [CP39])
    assert job is not None
    long = replace(make_build(job, "pi"), project="p5", duration_s=LONG_BUILD_S)
    await learn_needs(farm, long, RetryDecision(is_final=True))
    for _ in _VERSIONS:
        found = await job_queue.claim(farm, "pi", [CP39], length=JobLength.LONG)
        assert found is not None
        assert (found.project, found.expected_build_s) == ("p5", LONG_BUILD_S)
    assert await job_queue.claim(farm, "pi", [CP39], length=JobLength.LONG) is None
    found = await job_queue.claim(farm, "pi", [CP39], length=JobLength.SHORT)
    assert found is not None
    assert found.project != "p5"


async def test_other_values_than_recipes_are_no_json(farm: Database) -> None:
    await farm.execute("INSERT INTO key_values VALUES ('other', '92e65cb0-1')")
    for kind in ("indexscan", "bitmapscan", "indexonlyscan"):  # as where the table is small
        await farm.execute(f"SET enable_{kind} = off")
    job = await job_queue.claim(farm, "learner", [CP39])
    assert job is not None
    build = replace(make_build(job, "learner"), duration_s=100 * LONG_BUILD_S)
    await _learn_once(farm, build)
    expected = "SELECT expected_build_s FROM projects WHERE project = %(project)s"
    assert await farm.value(expected, {"project": build.project}) > LONG_BUILD_S
