"""Sdists that the upstream replaced: other bytes under the same name."""

from datetime import UTC, datetime

import pytest
from msgspec import structs

from piwheels.db import catalog, job_queue, status_queries, target_queries
from piwheels.db.database import Database
from piwheels.model import Outcome, Sdist
from piwheels.release_status import StatusContext, explain_with_upstream
from tests.db.scenario import (
    RULES,
    TARGETS,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_sdist,
    make_wheel,
)

CP39 = TARGETS[0].name


@pytest.fixture
async def farm(database: Database) -> Database:
    """One target, and a release whose sdist has a sha256."""
    await target_queries.add_target(database, TARGETS[0], RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await target_queries.recompute_jobs(database)
    await add_release(database)
    return database


async def add_release(db: Database, **fields: object) -> int:
    """Look at the release again, when fields of its sdist have changed."""
    release = structs.replace(
        make_release("alpha"), sdist=structs.replace(make_sdist("alpha", "1.0"), **fields)
    )
    return await catalog.add_releases(db, [release], RULES)


async def is_queued(db: Database) -> bool:
    return bool(await db.value("SELECT count(*) FROM jobs"))


async def build_job(db: Database) -> None:
    job = await job_queue.claim(db, "pi4", [CP39])
    assert job is not None
    assert await complete_as_built(db, job, "pi4", make_wheel(job, "py3-none-any"))


async def explain_text(db: Database) -> str:
    facts = await status_queries.project_status(db, "alpha")
    context = StatusContext(served_targets=frozenset({CP39}), now=datetime.now(UTC))
    answers = explain_with_upstream("alpha", facts, context, asked_version=None, asked_target=None)
    return " ".join(answer.as_text for answer in answers)


async def test_a_replaced_sdist_is_built_again_and_its_old_wheel_is_kept(farm: Database) -> None:
    await build_job(farm)
    assert not await is_queued(farm)
    assert await add_release(farm, sha256="1" * 64) == 1
    assert await is_queued(farm)
    message = await explain_text(farm)
    assert "was built from an earlier sdist, which the upstream index replaced" in message
    assert "asked for" not in message
    await build_job(farm)
    assert not await is_queued(farm)
    assert await farm.value("SELECT count(*) FROM files") == 2
    assert "earlier sdist" not in await explain_text(farm)
    assert await add_release(farm, sha256="1" * 64) == 0
    assert not await is_queued(farm)


async def test_a_late_result_for_an_earlier_sdist_is_ignored(farm: Database) -> None:
    job = await job_queue.claim(farm, "pi4", [CP39])
    assert job is not None
    await add_release(farm, sha256="1" * 64)
    assert await complete_as_built(farm, job, "pi4", make_wheel(job, "py3-none-any"))
    assert await is_queued(farm)
    assert "earlier sdist" in await explain_text(farm)
    again = await job_queue.claim(farm, "pi4", [CP39])
    assert again is not None
    assert again.sdist.sha256 == "1" * 64


@pytest.mark.parametrize("late", [True, False], ids=["ends late", "ended before"])
async def test_a_failure_of_an_earlier_sdist_is_retried(farm: Database, late: bool) -> None:
    job = await job_queue.claim(farm, "pi4", [CP39])
    assert job is not None
    if late:
        await add_release(farm, sha256="1" * 64)
    await complete_job_with_retry_after(
        farm, make_build(job, "pi4", Outcome.FAILED), [], RULES, None
    )
    if not late:
        assert not await is_queued(farm)
        await add_release(farm, sha256="1" * 64)
    assert await is_queued(farm)


@pytest.mark.parametrize(
    ("before", "after", "replaced"),
    [
        ({}, {"url": "http://elsewhere/alpha-1.0.tar.gz"}, False),
        ({}, {"filename": "alpha-1.0.zip", "sha256": "1" * 64}, False),
        ({}, {"sha256": ""}, False),
        ({}, {"sha256": "", "digest": "md5=" + "1" * 32}, False),
        ({"sha256": "", "digest": "md5=" + "1" * 32}, {"digest": "md5=" + "2" * 32}, True),
        ({"sha256": "", "digest": "md5=" + "1" * 32}, {"digest": "sha1=" + "2" * 40}, False),
        ({"sha256": "", "size_bytes": 7}, {"size_bytes": 8}, True),
        ({"sha256": "", "size_bytes": 7}, {"size_bytes": None}, False),
        ({"sha256": ""}, {"sha256": "1" * 64}, False),
    ],
)  # fmt: skip
async def test_sdists_without_a_common_hash_count_as_identical(
    farm: Database, before: dict[str, object], after: dict[str, object], replaced: bool
) -> None:
    await farm.execute("DELETE FROM releases")
    await add_release(farm, **before)
    await build_job(farm)
    await add_release(farm, **(before | after))
    assert await is_queued(farm) == replaced


async def test_a_hash_that_is_no_longer_listed_is_still_verified(farm: Database) -> None:
    await add_release(farm, sha256="")
    job = await job_queue.claim(farm, "pi4", [CP39])
    assert job is not None
    assert job.sdist == make_sdist("alpha", "1.0")


async def test_a_changed_hash_is_sent_to_the_builder(farm: Database) -> None:
    await add_release(farm, sha256="", digest="md5=" + "1" * 32, url="http://elsewhere/a")
    job = await job_queue.claim(farm, "pi4", [CP39])
    assert job is not None
    assert job.sdist == Sdist(
        filename="alpha-1.0.tar.gz", url="http://elsewhere/a", sha256="", digest="md5=" + "1" * 32
    )
    assert "only a hash by md5" in await explain_text(farm)
