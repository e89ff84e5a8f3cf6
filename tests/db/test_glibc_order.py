"""Two Debian releases in one farm: which targets are queued, and whose wheel serves where."""

import pytest

from piwheels.db import catalog, jobs
from piwheels.db.database import Database
from piwheels.model import Job, Outcome, Target
from piwheels.wheel.tags import target as make_target
from tests.db.world import RULES, a_build, a_file, a_release, build


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
EVERY = [target.name for target in (OTHER, BOOKWORM, TRIXIE)]


@pytest.fixture
async def farm(database: Database) -> Database:
    """Python 3.12 on trixie, 3.13 on bookworm and trixie, and a release that is to be built."""
    for target in (TRIXIE, BOOKWORM, OTHER):
        await catalog.add_target(database, target, RULES)
    await catalog.add_project(database, "alpha", "Alpha")
    await catalog.add_releases(database, [a_release("alpha")], RULES)
    await catalog.converge(database)
    return database


async def queue(db: Database) -> list[str]:
    rows = await db.rows("SELECT target FROM jobs JOIN targets USING (target) ORDER BY position")
    return [row["target"] for row in rows]


async def claimed(db: Database, target: Target) -> Job:
    job = await jobs.claim(db, "builder", [target.name])
    assert job is not None
    return job


async def built(db: Database, target: Target, glibc: str, number: int = 0) -> None:
    job = await claimed(db, target)
    tags = f"{target.abi}-{target.abi}-linux_aarch64"
    assert await build(db, job, "builder", a_file(job, tags, glibc, number=number))


async def failed(db: Database, target: Target, *, lacking: bool = False) -> None:
    job = await claimed(db, target)
    ended = a_build(job, "builder", Outcome.FAILED, lacking=lacking)
    assert await jobs.settle(db, ended, [], RULES, None)


async def absent(db: Database, *served: Target) -> None:
    """A day in which builders served only these targets."""
    names = [target.name for target in served]
    await catalog.note_presence(db, names, [], catalog.ABSENCE_S)
    await catalog.converge(db)


async def test_of_one_abi_and_machine_the_oldest_glibc_is_built_first(farm: Database) -> None:
    assert await queue(farm) == [OTHER.name]
    await built(farm, OTHER, "2.34")
    assert await queue(farm) == [BOOKWORM.name]


async def test_the_wheel_of_the_oldest_serves_the_newer(farm: Database) -> None:
    await built(farm, OTHER, "2.34")
    await built(farm, BOOKWORM, "2.34")
    assert await queue(farm) == []


async def test_a_failure_of_the_oldest_unlocks_the_next(farm: Database) -> None:
    await built(farm, OTHER, "2.34")
    await failed(farm, BOOKWORM)
    assert await queue(farm) == [TRIXIE.name]


async def test_a_target_without_a_builder_for_a_day_holds_nobody_up(farm: Database) -> None:
    await absent(farm, BOOKWORM, TRIXIE)
    assert await queue(farm) == [OTHER.name, BOOKWORM.name], "as first target"
    await absent(farm, OTHER, TRIXIE)
    await built(farm, OTHER, "2.34")
    assert await queue(farm) == [BOOKWORM.name, TRIXIE.name], "nor of its ABI"
    await absent(farm, OTHER, BOOKWORM, TRIXIE)
    assert await queue(farm) == [BOOKWORM.name]


async def test_absence_counts_only_as_long_as_the_master_runs(farm: Database) -> None:
    assert not await catalog.note_presence(farm, [], [], catalog.ABSENCE_S - 1)
    assert not await catalog.note_presence(farm, EVERY, [], 1.0)
    assert not await catalog.note_presence(farm, [], [], catalog.ABSENCE_S - 1)
    assert await catalog.note_presence(farm, [], [], 1.0)


async def test_a_target_whose_installers_take_a_wheel_that_does_not_load_is_built_again(
    farm: Database,
) -> None:
    await absent(farm, OTHER, TRIXIE)
    await built(farm, OTHER, "2.34")
    await built(farm, BOOKWORM, "2.34", number=0)
    await farm.execute("UPDATE files SET superseded = true")  # trixie is to have its own
    await built(farm, OTHER, "2.34", number=1)
    await built(farm, TRIXIE, "2.38", number=1)
    await farm.execute("UPDATE files SET superseded = false")
    assert await queue(farm) == [BOOKWORM.name], "pip prefers build number 1 there"
    await built(farm, BOOKWORM, "2.34", number=2)
    assert await queue(farm) == []


async def test_a_wheel_that_installers_do_not_prefer_ends_it_all_the_same(farm: Database) -> None:
    await absent(farm, OTHER, TRIXIE)
    await built(farm, OTHER, "2.34")
    await built(farm, TRIXIE, "2.38")
    job = await claimed(farm, BOOKWORM)
    assert await build(farm, job, "builder", a_file(job, "py3-none-any"))
    assert await queue(farm) == [], "or it would be built for ever"


async def test_a_wheels_own_requires_python_counts(farm: Database) -> None:
    job = await claimed(farm, OTHER)
    wheel = a_file(job, "py3-none-any", requires_python="<3.13")
    assert await build(farm, job, "builder", wheel)
    assert await queue(farm) == [BOOKWORM.name]


async def test_kinds_and_specifiers_of_an_older_database_are_worked_out_once(
    farm: Database,
) -> None:
    job = await claimed(farm, OTHER)
    wheel = a_file(job, "py3-none-any", requires_python="<3.13")
    assert await build(farm, job, "builder", wheel)
    # As an upgrade leaves it.
    await farm.execute("DELETE FROM specifiers WHERE requires_python = '<3.13'")
    await farm.execute("UPDATE kinds SET resolved = false")
    await farm.execute("UPDATE kind_targets SET preference = NULL")
    await farm.execute("UPDATE targets SET converging = true")
    await catalog.converge(farm)
    assert await queue(farm) == [], "what is not known keeps nobody out"
    assert await catalog.resolve_left(farm, RULES)
    await catalog.converge(farm)
    assert await queue(farm) == [BOOKWORM.name]
    assert await farm.value("SELECT count(*) FROM kind_targets WHERE preference IS NULL") == 0
    assert not await catalog.resolve_left(farm, RULES)


async def test_a_release_is_skipped_for_one_target_alone(farm: Database) -> None:
    await built(farm, OTHER, "2.34")
    assert await catalog.skip_for_target(farm, "alpha", "1.0", BOOKWORM.name, "too slow")
    assert await queue(farm) == [TRIXIE.name]
    assert not await catalog.skip_for_target(farm, "alpha", "1.0", BOOKWORM.name, "too slow")
    assert not await catalog.skip_for_target(farm, "alpha", "9.0", BOOKWORM.name, "too slow")
    assert await catalog.skip_for_target(farm, "alpha", "1.0", BOOKWORM.name, None)
    assert await queue(farm) == [BOOKWORM.name]


async def test_a_project_is_skipped_for_one_target_alone(farm: Database) -> None:
    await catalog.add_releases(farm, [a_release("alpha", "2.0")], RULES)
    assert await catalog.skip_for_target(farm, "alpha", None, OTHER.name, "too slow")
    assert await queue(farm) == [BOOKWORM.name] * 2
    await catalog.add_releases(farm, [a_release("alpha", "3.0")], RULES)
    assert await queue(farm) == [BOOKWORM.name] * 3
    assert await catalog.skip_for_target(farm, "alpha", None, OTHER.name, None)
    assert await queue(farm) == [OTHER.name] * 3


# --- builders without a compiler ---


async def equip(db: Database, *targets: Target) -> None:
    """Builders with a compiler serve these targets."""
    await catalog.note_presence(db, EVERY, [target.name for target in targets], 1.0)
    await catalog.converge(db)


async def fallback(db: Database) -> str:
    """A wheel without its extension, made where there is no compiler; its name."""
    job = await claimed(db, OTHER)
    wheel = a_file(job, "py3-none-any")
    assert await build(db, job, "builder", wheel, lacking=True)
    return wheel.filename


async def files(db: Database) -> set[str]:
    return {row["filename"] for row in await db.rows("SELECT filename FROM files")}


async def test_a_wheel_made_without_a_compiler_serves_until_there_is_one(farm: Database) -> None:
    wheel = await fallback(farm)
    assert await queue(farm) == []
    await equip(farm, OTHER)
    assert await queue(farm) == [OTHER.name]
    await built(farm, OTHER, "2.34")
    assert wheel in await files(farm), "it is all that Python 3.13 has"
    await equip(farm, *(OTHER, BOOKWORM))
    assert await queue(farm) == [BOOKWORM.name]
    await built(farm, BOOKWORM, "2.34")
    assert wheel not in await files(farm)
    assert await farm.value("SELECT count(*) FROM removals") == 1


async def test_the_same_bytes_from_a_builder_that_lacks_nothing_are_final(farm: Database) -> None:
    job = await claimed(farm, OTHER)
    wheel = a_file(job, "py3-none-any")
    assert await build(farm, job, "builder", wheel, lacking=True)
    await equip(farm, OTHER, BOOKWORM, TRIXIE)
    assert await build(farm, await claimed(farm, OTHER), "builder", wheel)
    assert (await queue(farm), await files(farm)) == ([], {wheel.filename})


async def test_a_failure_without_a_compiler_is_final_only_until_there_is_one(
    farm: Database,
) -> None:
    await failed(farm, OTHER, lacking=True)
    assert await queue(farm) == [BOOKWORM.name]
    await equip(farm, OTHER)
    assert await queue(farm) == [OTHER.name]


async def test_a_day_without_a_compiler_and_such_wheels_serve_again(farm: Database) -> None:
    await fallback(farm)
    await equip(farm, OTHER, BOOKWORM, TRIXIE)
    assert await queue(farm) == [OTHER.name]
    await absent(farm, OTHER, BOOKWORM, TRIXIE)
    assert await queue(farm) == []


async def test_a_builder_without_a_compiler_leaves_what_needs_one_to_another(
    farm: Database,
) -> None:
    assert await jobs.claim(farm, "pi", EVERY, EVERY) is not None, "there is no other"
    await jobs.release_all(farm, "pi")
    await equip(farm, OTHER)
    assert await jobs.claim(farm, "pi", EVERY, EVERY) is None
    job = await jobs.claim(farm, "pi4", EVERY)
    assert job is not None
    assert await build(farm, job, "pi4", a_file(job, "py3-none-any"))
    await catalog.add_releases(farm, [a_release("alpha", "2.0")], RULES)
    pure = await jobs.claim(farm, "pi", EVERY, EVERY)
    assert pure is not None, "the project is known to have no compiled code"
    assert pure.version == "2.0"


async def test_a_project_that_has_compiled_code_after_all_is_left_to_others(
    farm: Database,
) -> None:
    await catalog.add_releases(farm, [a_release("alpha", "2.0"), a_release("alpha", "3.0")], RULES)
    await equip(farm, OTHER)
    first = await claimed(farm, OTHER)
    assert await build(farm, first, "builder", a_file(first, "py3-none-any"))
    second = await claimed(farm, OTHER)
    tags = "cp312-cp312-linux_aarch64"
    assert await build(farm, second, "builder", a_file(second, tags, "2.34"))
    assert await jobs.claim(farm, "pi", [OTHER.name], [OTHER.name]) is None
