"""Sdists that the upstream replaced: other bytes under the same name."""

from datetime import UTC, datetime

import pytest
from msgspec import structs

from piwheels.db import catalog, jobs, views
from piwheels.db.database import Database
from piwheels.farm.explain import explanations
from piwheels.model import Outcome, Sdist
from tests.db.world import RULES, TARGETS, a_build, a_file, a_release, build, sdist

CP39 = TARGETS[0].name


@pytest.fixture
async def farm(database: Database) -> Database:
    """One target, and a release whose sdist has a sha256."""
    await catalog.add_target(database, TARGETS[0], RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await catalog.converge(database)
    await upload(database)
    return database


async def upload(db: Database, **fields: object) -> int:
    """Look at the release again, when fields of its sdist have changed."""
    release = structs.replace(
        a_release("alpha"), sdist=structs.replace(sdist("alpha", "1.0"), **fields)
    )
    return await catalog.add_releases(db, [release], RULES)


async def queued(db: Database) -> bool:
    return bool(await db.value("SELECT count(*) FROM jobs"))


async def build_it(db: Database) -> None:
    job = await jobs.claim(db, "pi4", [CP39])
    assert job is not None
    assert await build(db, job, "pi4", a_file(job, "py3-none-any"))


async def explained(db: Database) -> str:
    facts = await views.project_facts(db, "alpha")
    answers = explanations(
        "alpha", facts, asked_version=None, asked_target=None, served=frozenset({CP39}),
        paused=False, now=datetime.now(UTC),
    )  # fmt: skip
    return " ".join(answer.text for answer in answers)


async def test_a_replaced_sdist_is_built_again_and_its_old_wheel_stays(farm: Database) -> None:
    await build_it(farm)
    assert not await queued(farm)
    assert await upload(farm, sha256="1" * 64) == 1
    assert await queued(farm)
    said = await explained(farm)
    assert "was built from an earlier sdist, which the upstream index replaced" in said
    assert "asked for" not in said
    await build_it(farm)
    assert not await queued(farm)
    assert await farm.value("SELECT count(*) FROM files") == 2
    assert "earlier sdist" not in await explained(farm)
    assert await upload(farm, sha256="1" * 64) == 0
    assert not await queued(farm)


async def test_a_build_of_the_earlier_sdist_that_ends_late_does_not_count(farm: Database) -> None:
    job = await jobs.claim(farm, "pi4", [CP39])
    assert job is not None
    await upload(farm, sha256="1" * 64)
    assert await build(farm, job, "pi4", a_file(job, "py3-none-any"))
    assert await queued(farm)
    assert "earlier sdist" in await explained(farm)
    again = await jobs.claim(farm, "pi4", [CP39])
    assert again is not None
    assert again.sdist.sha256 == "1" * 64


@pytest.mark.parametrize("late", [True, False], ids=["ends late", "ended before"])
async def test_a_failure_of_the_earlier_sdist_is_tried_again(farm: Database, late: bool) -> None:
    job = await jobs.claim(farm, "pi4", [CP39])
    assert job is not None
    if late:
        await upload(farm, sha256="1" * 64)
    await jobs.settle(farm, a_build(job, "pi4", Outcome.FAILED), [], RULES, None)
    if not late:
        assert not await queued(farm)
        await upload(farm, sha256="1" * 64)
    assert await queued(farm)


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
async def test_what_cannot_be_compared_counts_as_the_same(
    farm: Database, before: dict[str, object], after: dict[str, object], replaced: bool
) -> None:
    await farm.execute("DELETE FROM releases")
    await upload(farm, **before)
    await build_it(farm)
    await upload(farm, **(before | after))
    assert await queued(farm) == replaced


async def test_a_hash_that_is_no_longer_given_is_still_verified(farm: Database) -> None:
    await upload(farm, sha256="")
    job = await jobs.claim(farm, "pi4", [CP39])
    assert job is not None
    assert job.sdist == sdist("alpha", "1.0")


async def test_another_hash_reaches_the_builder(farm: Database) -> None:
    await upload(farm, sha256="", digest="md5=" + "1" * 32, url="http://elsewhere/a")
    job = await jobs.claim(farm, "pi4", [CP39])
    assert job is not None
    assert job.sdist == Sdist(
        filename="alpha-1.0.tar.gz", url="http://elsewhere/a", sha256="", digest="md5=" + "1" * 32
    )
    assert "only a hash by md5" in await explained(farm)
