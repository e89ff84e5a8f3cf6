"""Two Debian releases in one farm: which targets are queued, and whose wheel serves where."""

import pytest

from piwheels.db import catalog, job_queue, target_queries
from piwheels.db.database import Database
from piwheels.model import Job, Outcome, Target
from piwheels.wheel.tags import make_target
from tests.db.scenario import (
    RULES,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_wheel,
)


def _target(minor: int, os: str, glibc: str) -> Target:
    return make_target(
        python_full=f"3.{minor}.1",
        implementation="cp",
        abi=f"cp3{minor}",
        arch="aarch64",
        os=os,
        glibc=glibc,
    )


BOOKWORM, TRIXIE = _target(13, "bookworm", "2.36"), _target(13, "trixie", "2.41")
OTHER = _target(12, "trixie", "2.41")
ALL_TARGETS = [target.name for target in (OTHER, BOOKWORM, TRIXIE)]


@pytest.fixture
async def farm(database: Database) -> Database:
    """Python 3.12 on trixie, 3.13 on bookworm and trixie, and a release that is to be built."""
    for target in (TRIXIE, BOOKWORM, OTHER):
        await target_queries.add_target(database, target, RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await catalog.add_releases(database, [make_release("alpha")], RULES)
    await target_queries.recompute_jobs(database)
    return database


async def queued_targets(db: Database) -> list[str]:
    rows = await db.rows("SELECT target FROM jobs JOIN targets USING (target) ORDER BY sort_order")
    return [row["target"] for row in rows]


async def claim_job(db: Database, target: Target) -> Job:
    job = await job_queue.claim(db, "builder", [target.name])
    assert job is not None
    return job


async def build_job(db: Database, target: Target, glibc: str, number: int = 0) -> None:
    job = await claim_job(db, target)
    tags = f"{target.abi}-{target.abi}-linux_aarch64"
    assert await complete_as_built(db, job, "builder", make_wheel(job, tags, glibc, number=number))


async def fail_job(db: Database, target: Target, *, without_compiler: bool = False) -> None:
    job = await claim_job(db, target)
    ended = make_build(job, "builder", Outcome.FAILED, without_compiler=without_compiler)
    assert await complete_job_with_retry_after(db, ended, [], RULES, None)


async def only_served(db: Database, *served: Target) -> None:
    """A day in which builders served only these targets."""
    names = [target.name for target in served]
    await target_queries.record_presence(db, names, [], target_queries.ABSENCE_THRESHOLD_S)
    await target_queries.recompute_jobs(db)


async def test_the_oldest_glibc_of_an_abi_and_architecture_is_built_first(farm: Database) -> None:
    assert await queued_targets(farm) == [OTHER.name]
    await build_job(farm, OTHER, "2.34")
    assert await queued_targets(farm) == [BOOKWORM.name]


async def test_a_wheel_for_the_oldest_glibc_covers_newer_ones(farm: Database) -> None:
    await build_job(farm, OTHER, "2.34")
    await build_job(farm, BOOKWORM, "2.34")
    assert await queued_targets(farm) == []


async def test_a_failure_for_the_oldest_glibc_unlocks_the_next(farm: Database) -> None:
    await build_job(farm, OTHER, "2.34")
    await fail_job(farm, BOOKWORM)
    assert await queued_targets(farm) == [TRIXIE.name]


async def test_a_target_without_a_builder_for_a_day_blocks_nothing(farm: Database) -> None:
    await only_served(farm, BOOKWORM, TRIXIE)
    assert await queued_targets(farm) == [OTHER.name, BOOKWORM.name], "as first target"
    await only_served(farm, OTHER, TRIXIE)
    await build_job(farm, OTHER, "2.34")
    assert await queued_targets(farm) == [BOOKWORM.name, TRIXIE.name], "nor of its ABI"
    await only_served(farm, OTHER, BOOKWORM, TRIXIE)
    assert await queued_targets(farm) == [BOOKWORM.name]


async def test_absence_of_builders_counts_only_while_the_master_runs(farm: Database) -> None:
    assert not await target_queries.record_presence(
        farm, [], [], target_queries.ABSENCE_THRESHOLD_S - 1
    )
    assert not await target_queries.record_presence(farm, ALL_TARGETS, [], 1.0)
    assert not await target_queries.record_presence(
        farm, [], [], target_queries.ABSENCE_THRESHOLD_S - 1
    )
    assert await target_queries.record_presence(farm, [], [], 1.0)


async def test_a_target_for_which_installers_choose_an_unloadable_wheel_is_rebuilt(
    farm: Database,
) -> None:
    await only_served(farm, OTHER, TRIXIE)
    await build_job(farm, OTHER, "2.34")
    await build_job(farm, BOOKWORM, "2.34", number=0)
    await farm.execute("UPDATE files SET rebuild_requested = true")  # trixie is to have its own
    await build_job(farm, OTHER, "2.34", number=1)
    await build_job(farm, TRIXIE, "2.38", number=1)
    await farm.execute("UPDATE files SET rebuild_requested = false")
    assert await queued_targets(farm) == [BOOKWORM.name], "pip prefers build number 1 there"
    await build_job(farm, BOOKWORM, "2.34", number=2)
    assert await queued_targets(farm) == []


async def test_a_wheel_that_installers_do_not_prefer_still_completes_the_job(
    farm: Database,
) -> None:
    await only_served(farm, OTHER, TRIXIE)
    await build_job(farm, OTHER, "2.34")
    await build_job(farm, TRIXIE, "2.38")
    job = await claim_job(farm, BOOKWORM)
    assert await complete_as_built(farm, job, "builder", make_wheel(job, "py3-none-any"))
    assert await queued_targets(farm) == [], "or it would be built forever"


async def test_the_requires_python_of_a_wheel_is_applied(farm: Database) -> None:
    job = await claim_job(farm, OTHER)
    wheel = make_wheel(job, "py3-none-any", requires_python="<3.13")
    assert await complete_as_built(farm, job, "builder", wheel)
    assert await queued_targets(farm) == [BOOKWORM.name]


async def test_compatibility_of_wheels_in_an_older_database_is_computed_once(
    farm: Database,
) -> None:
    job = await claim_job(farm, OTHER)
    wheel = make_wheel(job, "py3-none-any", requires_python="<3.13")
    assert await complete_as_built(farm, job, "builder", wheel)
    # As an upgrade leaves it.
    await farm.execute("DELETE FROM requires_python_specifiers WHERE requires_python = '<3.13'")
    await farm.execute("UPDATE wheel_compatibilities SET targets_computed = false")
    await farm.execute("UPDATE compatible_targets SET tag_rank = NULL")
    await farm.execute("UPDATE targets SET jobs_outdated = true")
    await target_queries.recompute_jobs(farm)
    assert await queued_targets(farm) == [], "what is not known keeps nobody out"
    assert await target_queries.compute_missing_compatibility(farm, RULES)
    await target_queries.recompute_jobs(farm)
    assert await queued_targets(farm) == [BOOKWORM.name]
    assert await farm.value("SELECT count(*) FROM compatible_targets WHERE tag_rank IS NULL") == 0
    assert not await target_queries.compute_missing_compatibility(farm, RULES)


async def test_a_release_can_be_skipped_for_one_target(farm: Database) -> None:
    await build_job(farm, OTHER, "2.34")
    assert await catalog.skip_for_target(farm, "alpha", "1.0", BOOKWORM.name, "too slow")
    assert await queued_targets(farm) == [TRIXIE.name]
    assert not await catalog.skip_for_target(farm, "alpha", "1.0", BOOKWORM.name, "too slow")
    assert not await catalog.skip_for_target(farm, "alpha", "9.0", BOOKWORM.name, "too slow")
    assert await catalog.skip_for_target(farm, "alpha", "1.0", BOOKWORM.name, None)
    assert await queued_targets(farm) == [BOOKWORM.name]


async def test_a_project_can_be_skipped_for_one_target(farm: Database) -> None:
    await catalog.add_releases(farm, [make_release("alpha", "2.0")], RULES)
    assert await catalog.skip_for_target(farm, "alpha", None, OTHER.name, "too slow")
    assert await queued_targets(farm) == [BOOKWORM.name] * 2
    await catalog.add_releases(farm, [make_release("alpha", "3.0")], RULES)
    assert await queued_targets(farm) == [BOOKWORM.name] * 3
    assert await catalog.skip_for_target(farm, "alpha", None, OTHER.name, None)
    assert await queued_targets(farm) == [OTHER.name] * 3


# --- builders without a compiler ---


async def serve_with_compiler(db: Database, *targets: Target) -> None:
    """Builders with a compiler serve these targets."""
    await target_queries.record_presence(db, ALL_TARGETS, [target.name for target in targets], 1.0)
    await target_queries.recompute_jobs(db)


async def build_without_compiler(db: Database) -> str:
    """A wheel without its extension, made where there is no compiler; its name."""
    job = await claim_job(db, OTHER)
    wheel = make_wheel(job, "py3-none-any")
    assert await complete_as_built(db, job, "builder", wheel, without_compiler=True)
    return wheel.filename


async def published_files(db: Database) -> set[str]:
    return {row["filename"] for row in await db.rows("SELECT filename FROM files")}


async def test_a_wheel_built_without_a_compiler_is_used_until_a_builder_has_one(
    farm: Database,
) -> None:
    wheel = await build_without_compiler(farm)
    assert await queued_targets(farm) == []
    await serve_with_compiler(farm, OTHER)
    assert await queued_targets(farm) == [OTHER.name]
    await build_job(farm, OTHER, "2.34")
    assert wheel in await published_files(farm), "it is all that Python 3.13 has"
    await serve_with_compiler(farm, *(OTHER, BOOKWORM))
    assert await queued_targets(farm) == [BOOKWORM.name]
    await build_job(farm, BOOKWORM, "2.34")
    assert wheel not in await published_files(farm)
    assert await farm.value("SELECT count(*) FROM file_deletions") == 1


async def test_an_identical_wheel_from_a_builder_with_a_compiler_is_final(farm: Database) -> None:
    job = await claim_job(farm, OTHER)
    wheel = make_wheel(job, "py3-none-any")
    assert await complete_as_built(farm, job, "builder", wheel, without_compiler=True)
    await serve_with_compiler(farm, OTHER, BOOKWORM, TRIXIE)
    assert await complete_as_built(farm, await claim_job(farm, OTHER), "builder", wheel)
    assert (await queued_targets(farm), await published_files(farm)) == ([], {wheel.filename})


async def test_a_failure_without_a_compiler_is_final_until_a_builder_has_one(
    farm: Database,
) -> None:
    await fail_job(farm, OTHER, without_compiler=True)
    assert await queued_targets(farm) == [BOOKWORM.name]
    await serve_with_compiler(farm, OTHER)
    assert await queued_targets(farm) == [OTHER.name]


async def test_after_a_day_without_a_compiler_wheels_built_without_one_count_again(
    farm: Database,
) -> None:
    await build_without_compiler(farm)
    await serve_with_compiler(farm, OTHER, BOOKWORM, TRIXIE)
    assert await queued_targets(farm) == [OTHER.name]
    await only_served(farm, OTHER, BOOKWORM, TRIXIE)
    assert await queued_targets(farm) == []


async def test_a_builder_without_a_compiler_leaves_compiled_projects_to_others(
    farm: Database,
) -> None:
    assert await job_queue.claim(farm, "pi", ALL_TARGETS, ALL_TARGETS) is not None, (
        "there is no other"
    )
    await job_queue.unclaim_all(farm, "pi")
    await serve_with_compiler(farm, OTHER)
    assert await job_queue.claim(farm, "pi", ALL_TARGETS, ALL_TARGETS) is None
    job = await job_queue.claim(farm, "pi4", ALL_TARGETS)
    assert job is not None
    assert await complete_as_built(farm, job, "pi4", make_wheel(job, "py3-none-any"))
    await catalog.add_releases(farm, [make_release("alpha", "2.0")], RULES)
    pure = await job_queue.claim(farm, "pi", ALL_TARGETS, ALL_TARGETS)
    assert pure is not None, "the project is known to have no compiled code"
    assert pure.version == "2.0"


async def test_a_project_that_turns_out_to_be_compiled_is_left_to_others(
    farm: Database,
) -> None:
    await catalog.add_releases(
        farm, [make_release("alpha", "2.0"), make_release("alpha", "3.0")], RULES
    )
    await serve_with_compiler(farm, OTHER)
    first = await claim_job(farm, OTHER)
    assert await complete_as_built(farm, first, "builder", make_wheel(first, "py3-none-any"))
    second = await claim_job(farm, OTHER)
    tags = "cp312-cp312-linux_aarch64"
    assert await complete_as_built(farm, second, "builder", make_wheel(second, tags, "2.34"))
    assert await job_queue.claim(farm, "pi", [OTHER.name], [OTHER.name]) is None
