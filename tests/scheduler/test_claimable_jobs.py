"""Whatever a job requires, one of the builders that take jobs for its target gets it."""

import random
from collections.abc import Collection, Iterable
from dataclasses import replace as changed
from typing import LiteralString

import pytest
from msgspec.structs import replace

from piwheels.db import catalog, job_queue, reproductions, target_queries
from piwheels.db.database import Database
from piwheels.model import HostMetrics, JobPriority
from piwheels.scheduler.builder_capabilities import other_builders
from piwheels.scheduler.builder_record import BuilderRecord, PendingShutdown, Session
from piwheels.scheduler.farm_state import FarmState
from tests.claim_rule import WaitingJob
from tests.db.scenario import RULES, TARGETS, complete_as_built, make_release, make_wheel
from tests.db.waiting_jobs import store_jobs
from tests.scheduler.message_factories import hello

GIB = 1 << 30
_FIRST, _SECOND = TARGETS[0].name, TARGETS[1].name
_PACKAGES = ("libffi-dev", "cmake")


@pytest.fixture
async def db(database: Database) -> Database:
    for target in TARGETS:
        await target_queries.add_target(database, target, RULES)
    return database


def _session(
    label: str,
    targets: Collection[str] = (_FIRST,),
    *,
    memory_gib: int = 4,
    disk_gib: int | None = 10,
    speed: float = 1.0,
    bare: Iterable[str] = (),
) -> Session:
    """A builder; `disk_gib` None: its disk is unknown. `bare`: targets without a C compiler."""
    disk = (disk_gib or 0) * GIB
    host = HostMetrics(disk_total=disk, disk_free=disk)
    told = replace(
        hello(),
        targets=tuple(each for each in TARGETS if each.name in targets),
        host=host,
        memory_limit_bytes=memory_gib * GIB,
        speed=speed,
        targets_without_compiler=tuple(bare),
    )
    return Session(label, told, 0.0, host, BuilderRecord())


def _farm(*sessions: Session) -> FarmState:
    return FarmState(60.0, sessions={each.label: each for each in sessions})


def _job(name: str = "job", target: str = _FIRST, **needs: object) -> WaitingJob:
    job = WaitingJob(name=name, target=target, priority=JobPriority.NEW, priority_time=0.0)
    return changed(job, **needs)  # type: ignore[arg-type]


async def _claim(db: Database, farm: FarmState, session: Session) -> str | None:
    without = session.targets_without_compiler
    fitness = farm.fitness(session.label)
    job = await job_queue.claim(db, session.label, session.targets, without, fitness)
    return job.project if job else None


async def _takers(db: Database, farm: FarmState, job: WaitingJob) -> str:
    """The labels of the builders that get a job when they ask for one."""
    await store_jobs(db, [job])
    takers = ""
    for label, session in farm.sessions.items():
        if await _claim(db, farm, session):
            takers += label
            await db.execute(
                "UPDATE jobs SET claimed_by = NULL, claimed_at = NULL, build_id = NULL,"
                " attempts = %(attempts)s",
                {"attempts": int(job.is_tried)},
            )
    return takers


async def test_a_job_that_avoids_the_builder_with_the_most_is_taken(db: Database) -> None:
    farm = _farm(_session("a", disk_gib=30), _session("b", disk_gib=10))
    job = _job(avoid_builder="a", min_disk_bytes=28 * GIB, is_tried=True)
    assert await _takers(db, farm, job) == "ab", "nobody else has as much disk"


async def test_a_builder_to_avoid_gets_no_job_that_an_equal_one_can_take(db: Database) -> None:
    farm = _farm(*(_session(label) for label in "abcd"), _session("e", disk_gib=1))
    job = _job(avoid_builder="a", min_disk_bytes=5 * GIB, is_tried=True)
    assert await _takers(db, farm, job) == "bcd"
    assert len(farm.fitness("e").others) == 2, "the others are the same"


async def test_a_job_that_avoids_the_builder_with_the_most_memory_is_taken(db: Database) -> None:
    farm = _farm(_session("a", memory_gib=8), _session("b", memory_gib=2))
    job = _job(avoid_builder="a", memory_over_bytes=4 * GIB)
    assert await _takers(db, farm, job) == "a", "a build does not run where memory lacks"


async def test_builders_of_other_targets_do_not_count(db: Database) -> None:
    farm = _farm(
        _session("a", (_FIRST, _SECOND), memory_gib=4, disk_gib=40),
        _session("b", (_SECOND,), memory_gib=64, disk_gib=500, speed=9.0),
    )
    job = _job(min_disk_bytes=60 * GIB, memory_over_bytes=8 * GIB, min_speed=5.0, is_tried=True)
    assert await _takers(db, farm, job) == "a"
    await db.execute("DELETE FROM jobs")
    assert await _takers(db, farm, changed(job, name="second", target=_SECOND)) == "b"


async def test_what_no_builder_has_together_keeps_no_job(db: Database) -> None:
    farm = _farm(
        _session("a", memory_gib=16, disk_gib=40), _session("b", memory_gib=4, disk_gib=500)
    )
    job = _job(min_disk_bytes=60 * GIB, memory_over_bytes=8 * GIB, is_tried=True)
    assert await _takers(db, farm, job) == "a"


async def test_memory_and_packages_that_no_builder_has_together_keep_no_job(db: Database) -> None:
    farm = _farm(
        *(_session(label, memory_gib=gib) for label, gib in zip("abcd", (2, 4, 4, 16), strict=True))
    )
    for label in "ab":
        session = farm.sessions[label]
        session.hello = replace(session.hello, layer_targets=(_FIRST,))
    farm.sessions["c"].installed_packages = frozenset(["cmake"])
    job = _job(memory_over_bytes=8 * GIB, required_packages=frozenset(["cmake"]))
    farm.note_required_packages([(_FIRST, ("cmake",))])
    assert await _takers(db, farm, job) == "bc", "the largest of those that have or add it"
    await db.execute("DELETE FROM jobs")
    farm.sessions["d"].installed_packages = frozenset(["cmake"])
    farm.note_required_packages([(_FIRST, ("cmake",))])
    assert await _takers(db, farm, changed(job, name="again")) == "d", "and now one has both"


async def test_memory_of_builders_without_a_compiler_is_not_waited_for(db: Database) -> None:
    await db.execute("UPDATE targets SET has_compiler = true")
    farm = _farm(_session("a", memory_gib=16, bare=[_FIRST]), _session("b", memory_gib=4))
    assert await _takers(db, farm, _job(memory_over_bytes=8 * GIB)) == "b"


async def test_an_unknown_disk_suits_and_is_no_reason_to_refuse_others(db: Database) -> None:
    farm = _farm(_session("a", disk_gib=None), _session("b", disk_gib=10))
    job = _job(min_disk_bytes=60 * GIB, is_tried=True)
    assert await _takers(db, farm, job) == "ab"


async def test_a_disk_that_one_builder_alone_has_is_required_after_another_failed(
    db: Database,
) -> None:
    farm = _farm(
        *(_session(label, disk_gib=free) for label, free in zip("abc", (500, 30, 10), strict=True))
    )
    job = _job(min_disk_bytes=60 * GIB)
    assert await _takers(db, farm, job) == "ab", "two builders, whatever one of them told"
    await db.execute("DELETE FROM jobs")
    assert await _takers(db, farm, changed(job, name="again", is_tried=True)) == "a"


def test_jobs_for_larger_disks_are_not_left_to_builders_on_demand() -> None:
    farm = _farm(
        *(_session(label, disk_gib=free) for label, free in zip("abc", (500, 90, 10), strict=True))
    )
    assert farm.on_demand_disk_bytes == {}
    started = farm.sessions["c"]
    started.hello = replace(started.hello, on_demand=True)
    assert farm.on_demand_disk_bytes == {_FIRST: 10 * GIB}
    del farm.sessions["c"]
    farm.remember_on_demand(started)
    assert farm.on_demand_disk_bytes == {_FIRST: 10 * GIB}, "it can be started again"
    del farm.sessions["a"]
    assert farm.on_demand_disk_bytes == {}, "it would be one of two that have the most"


async def test_a_reproduction_requires_only_what_two_builders_have(db: Database) -> None:
    await catalog.add_project(db, "demo", "demo", named=True)
    await catalog.add_releases(db, [make_release("demo")], RULES)
    job = await job_queue.claim(db, "a", [_FIRST])
    assert job is not None
    assert await complete_as_built(db, job, "a", make_wheel(job, "cp39-cp39-linux_armv7l"))
    files = await reproductions.files_of_release(db, "demo", "1.0", None)
    await reproductions.request(db, files, "ann")
    await db.execute("UPDATE projects SET min_disk_bytes = 1::bigint << 61, min_memory_bytes = 9e9")
    farm = _farm(
        _session("a", memory_gib=2**31, disk_gib=2**31),  # it lies
        _session("b", memory_gib=4, disk_gib=10),
        _session("c", memory_gib=1, disk_gib=40),
    )
    for label, expected in (("a", None), ("b", "demo"), ("c", "demo")):
        found = await reproductions.claim(
            db, label, [_FIRST], (), farm.fitness(label), asked_only=True
        )
        assert (found and found.project) == expected, label
        if found:
            await reproductions.unclaim(db, label)


def test_what_a_builder_is_compared_with_is_little_in_a_large_farm() -> None:
    chance = random.Random(1)
    farm = _farm(*(_random_session(chance, str(number)) for number in range(500)))
    assert all(len(farm.fitness(label).others) < 300 for label in list(farm.sessions)[:20])


def _random_session(chance: random.Random, label: str) -> Session:
    targets = [each.name for each in TARGETS if chance.random() < 0.6]
    session = _session(
        label,
        targets,
        memory_gib=chance.choice((1, 2, 4, 8, 16)),
        disk_gib=chance.choice((None, *range(1, 100))),
        speed=chance.choice((1.0, 5.0, chance.random() * 9)),
        bare=[name for name in targets if chance.random() < 0.2],
    )
    layered = tuple(name for name in targets if chance.random() < 0.2)
    session.hello = replace(session.hello, layer_targets=layered)
    session.installed_packages = frozenset(chance.sample(_PACKAGES, chance.randrange(3)))
    return session


def _random_farm(chance: random.Random) -> FarmState:
    """Some builders, of which some get no jobs; those have nothing that would be waited for."""
    farm = _farm(*(_random_session(chance, label) for label in "abcdef"[: chance.randrange(1, 7)]))
    for session in farm.sessions.values():
        if chance.random() < 0.2:
            session.shutdown = PendingShutdown("it is drained", restart=False)
            session.hello = replace(session.hello, memory_limit_bytes=0)
    farm.note_required_packages(
        [(target.name, (package,)) for target in TARGETS for package in _PACKAGES]
    )
    return farm


def _random_job(chance: random.Random, name: str) -> WaitingJob:
    packages = frozenset(chance.sample(_PACKAGES, chance.choice((0, 0, 1))))
    return WaitingJob(
        name=name,
        target=chance.choice(TARGETS).name,
        priority=chance.choice(list(JobPriority)),
        priority_time=float(chance.randrange(10**6)),
        is_held=chance.random() < 0.1,
        avoid_builder=chance.choice(("", *"abcdef")),
        memory_over_bytes=chance.choice((0, 1, 3, 7, 9, 30)) * GIB,
        min_disk_bytes=chance.choice((0, chance.randrange(100), 2**31)) * GIB,
        is_tried=chance.random() < 0.5,
        is_long=chance.random() < 0.3,
        min_speed=chance.choice((0.0, chance.random() * 12)),
        required_packages=packages,
    )


def _can_be_built(farm: FarmState, job: WaitingJob, equipped: Collection[str]) -> bool:
    """Whether a builder that takes jobs serves the target, with a compiler where one has it."""
    if job.target in equipped:
        takers = other_builders("", job.target, farm.sessions.values())
    else:
        there = farm.sessions.values()
        takers = [each for each in there if each.accepts_jobs and job.target in each.targets]
    return any(
        job.target in each.hello.layer_targets or job.required_packages <= each.installed_packages
        for each in takers
    )


async def _claim_all(db: Database, farm: FarmState) -> set[str]:
    taken = set()
    for session in farm.sessions.values():
        while session.accepts_jobs and (project := await _claim(db, farm, session)):
            taken.add(project)
    return taken


async def _check_farm(db: Database, seed: int) -> int:
    """Let the builders of a random farm claim random jobs; returns how many they got."""
    chance = random.Random(seed)
    farm = _random_farm(chance)
    equipped = {
        name
        for name in (target.name for target in TARGETS)
        if other_builders("", name, farm.sessions.values())
    }
    await db.execute(
        "UPDATE targets SET has_compiler = target = ANY (%(names)s)", {"names": list(equipped)}
    )
    jobs = [_random_job(chance, f"p{seed}-{number}") for number in range(25)]
    await store_jobs(db, jobs)
    expected = {job.name for job in jobs if not job.is_held and _can_be_built(farm, job, equipped)}
    assert await _claim_all(db, farm) == expected, seed
    await db.execute("DELETE FROM jobs")
    return len(expected)


@pytest.mark.parametrize(("looked_at", "seeds"), [("500", range(6)), ("0", range(6, 12))])
async def test_every_job_that_a_builder_serves_is_taken(
    db: Database, monkeypatch: pytest.MonkeyPatch, looked_at: LiteralString, seeds: range
) -> None:
    monkeypatch.setattr(job_queue, "_CLAIMS", job_queue._claims("true", looked_at))
    monkeypatch.setattr(job_queue, "_CLAIMS_OF_PURE", job_queue._claims("is_pure", looked_at))
    assert sum([await _check_farm(db, seed) for seed in seeds]) > 50


@pytest.mark.slow
async def test_every_job_of_many_farms_is_taken(db: Database) -> None:
    assert sum([await _check_farm(db, seed) for seed in range(100, 300)]) > 2000
