"""After the update of a root its wheels and failures are built again, if the setting says so."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from piwheels.db import (
    catalog,
    completed_builds,
    job_queue,
    key_values,
    root_rebuilds,
    target_queries,
)
from piwheels.db.database import Database
from piwheels.master.root_watch import RebuildPolicy, RootWatch
from piwheels.model import FailureClass, Job, Outcome, RetryDecision, RootState
from tests.db.scenario import RULES, TARGETS, make_build, make_release, make_wheel

ROOT = "bookworm-arm64"
OLD, NEW, NEWER = "aa", "bb", "cc"
START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CP39 = TARGETS[0]
COMPILED = "cp39-cp39-linux_aarch64"
#: The releases of the farm: the result of each, on the former state of the root.
WHEELS = {"compiled": COMPILED, "pure": "py3-none-any"}
FAILURES = {"no-header": FailureClass.MISSING_PACKAGE, "broken": FailureClass.METADATA}


class Farm:
    """A database with finished builds, builders that announce roots, and a clock."""

    def __init__(self, db: Database, policy: RebuildPolicy) -> None:
        self.db = db
        self.now = START
        self.events: list[str] = []
        self.builders: dict[str, tuple[RootState, ...]] = {}
        self.watch = RootWatch(db, policy, lambda: self.builders, self._record)

    async def _record(self, text: str) -> None:
        self.events.append(text)

    async def announce(self, **keys: str) -> None:
        """Some builders connect with these states of the root; the others stay as they are."""
        self.now += HOUR
        for label, key in keys.items():
            self.builders[label] = (RootState(name=ROOT, key=key, made_at=self.now),)
        await self.watch.check(self.now)

    async def finish(self, key: str, *names: str) -> list[Job]:
        """Build what is queued, on a state of the root; returns the jobs in their order."""
        done = []
        while (job := await job_queue.claim(self.db, "b1", [CP39.name])) is not None:
            assert not names or job.project in names
            await self._complete(job, key)
            done.append(job)
        return done

    async def _complete(self, job: Job, key: str) -> None:
        tags, failure_class = WHEELS.get(job.project, COMPILED), FAILURES.get(job.project)
        outcome = Outcome.FAILED if failure_class else Outcome.BUILT
        build = replace(
            make_build(job, "b1", outcome),
            build_inputs=(f"root {ROOT} {key} emulated bookworm Sat", "0 pip"),
            failure_class=failure_class,
        )
        files = [] if failure_class else [make_wheel(job, tags, number=job.build_id)]
        for file in files:
            assert await catalog.reserve_filename(self.db, file.filename, file.sha256)
        decision = RetryDecision(is_final=True)
        assert await completed_builds.complete_job(self.db, build, files, RULES, lambda _: decision)

    async def queued(self) -> list[str]:
        rows = await self.db.rows("SELECT DISTINCT project FROM jobs ORDER BY project")
        return [row["project"] for row in rows]


@pytest.fixture
async def farm(database: Database, policy: RebuildPolicy) -> Farm:
    """Two builders with the same root, on which everything was built."""
    await target_queries.add_target(database, CP39, RULES)
    farm = Farm(database, policy)
    for name in (*WHEELS, *FAILURES):
        await add_release(farm, name)
    await target_queries.recompute_jobs(database)
    await farm.announce(b1=OLD, b2=OLD)
    assert len(await farm.finish(OLD)) == 4
    return farm


async def add_release(farm: Farm, name: str) -> None:
    await catalog.add_project(farm.db, name, name)
    await catalog.add_releases(farm.db, [make_release(name)], RULES)


@pytest.mark.parametrize(
    ("policy", "queued"),
    [("never", []), ("failed", ["no-header"]), ("all", ["compiled", "no-header"])],
)
async def test_what_is_built_again_is_a_setting(farm: Farm, queued: list[str]) -> None:
    await farm.announce(b1=NEW, b2=NEW)
    assert await farm.queued() == queued
    assert farm.events[0].startswith(f"the root {ROOT} was updated on 2 builders: ")
    await farm.watch.check(farm.now)
    assert await farm.queued() == queued
    count = f"{len(queued)} build{'' if len(queued) == 1 else 's'}"
    ended = f"the update of the root {ROOT} queued {count} again"
    assert farm.events[1:] == ([ended] if queued else [])


@pytest.mark.parametrize("policy", ["all"])
async def test_a_wheel_is_built_once_for_each_update(farm: Farm) -> None:
    await farm.announce(b1=NEW, b2=NEW)
    assert len(await farm.finish(NEW, "compiled", "no-header")) == 2
    for after in (0 * DAY, DAY, 10 * DAY):
        farm.now += after
        await farm.announce(b1=NEW, b2=NEW)  # the builders connect again
        assert await farm.queued() == []
    farm.now += DAY
    await farm.announce(b1=NEWER, b2=NEWER)
    assert await farm.queued() == ["compiled", "no-header"]


@pytest.mark.parametrize("policy", ["all"])
async def test_thirty_builders_that_are_updated_one_after_another_cause_one_rebuild(
    farm: Farm,
) -> None:
    labels = [f"c{number}" for number in range(30)]
    await farm.announce(**dict.fromkeys(labels, OLD))
    await farm.announce(b1=NEW, b2=NEW)
    for number, label in enumerate(labels):
        assert await farm.queued() == []
        farm.builders.pop(label)  # it restarts
        await farm.announce()
        assert await farm.queued() == [], "a builder that is away counts as not updated"
        await farm.announce(**{label: NEW if number % 2 else NEWER})
    assert len(await farm.finish(NEW)) == 2
    farm.now += DAY
    await farm.announce(**dict.fromkeys(labels, NEWER))
    assert await farm.queued() == [], "those that were first have no new state"
    assert len(farm.events) == 2


@pytest.mark.parametrize("policy", ["all"])
async def test_nothing_is_built_again_for_what_is_seen_for_the_first_time(farm: Farm) -> None:
    await farm.announce(c1=NEW)
    assert (await farm.queued(), farm.events) == ([], [])
    await key_values.set_value(farm.db, f"root/{ROOT}", None)
    farm.now += DAY
    await farm.announce(b1=NEW, b2=NEW)
    assert (await farm.queued(), farm.events) == ([], [])


@pytest.mark.parametrize("policy", ["all"])
async def test_a_builder_that_never_comes_back_is_forgotten(farm: Farm) -> None:
    del farm.builders["b2"]
    farm.now += DAY
    await farm.announce(b1=NEW)
    assert await farm.queued() == []
    farm.now += 7 * DAY
    await farm.announce()
    assert await farm.queued() == ["compiled", "no-header"]


@pytest.mark.parametrize("policy", ["all"])
async def test_a_state_that_returns_or_changes_too_often_is_no_update(farm: Farm) -> None:
    farm.builders["b1"] = farm.builders["b2"] = (
        RootState(name=ROOT, key=NEW, made_at=START - DAY),
    )
    await farm.watch.check(farm.now)
    assert await farm.queued() == [], "it is older than the state that was there"
    await farm.announce(b1=NEW, b2=NEW)
    await farm.announce(b1=NEWER, b2=NEWER)
    await farm.announce(b1=NEW, b2=NEW)
    await farm.announce(b1=OLD, b2=OLD)
    assert len(farm.events) == 2, "once a day"


@pytest.mark.parametrize("policy", ["all"])
async def test_what_is_new_is_built_first(farm: Farm) -> None:
    await farm.announce(b1=NEW, b2=NEW)
    await add_release(farm, "zebra")
    await add_release(farm, "zoo")
    order = [job.project for job in await farm.finish(NEW)]
    assert order == ["zebra", "zoo", "compiled", "no-header"]


@pytest.mark.parametrize("policy", ["all"])
async def test_a_large_farm_is_rebuilt_in_small_parts(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await add_release(farm, f"more{number:02}")
    assert len(await farm.finish(OLD)) == 12
    monkeypatch.setattr(root_rebuilds, "_MAX_SCANNED", 5)
    monkeypatch.setattr(root_rebuilds, "_MAX_QUEUED", 2)
    monkeypatch.setattr("piwheels.master.root_watch._MAX_WAITING", 4)
    await farm.announce(b1=NEW, b2=NEW)
    built: list[str] = []
    while names := await farm.queued():
        assert len(names) <= 5
        built += [job.project for job in await farm.finish(NEW)]
        await farm.watch.check(farm.now)  # as a master that was started again does
    assert sorted(built) == ["compiled", *(f"more{number:02}" for number in range(12)), "no-header"]
    assert farm.events[-1] == f"the update of the root {ROOT} queued 14 builds again"


@pytest.mark.parametrize("policy", ["all"])
async def test_skipped_projects_are_left_alone(farm: Farm) -> None:
    await catalog.skip_project(farm.db, "compiled", "not wanted")
    await farm.announce(b1=NEW, b2=NEW)
    assert await farm.queued() == ["no-header"]
    assert await farm.db.value("SELECT count(*) FROM files WHERE rebuild_requested") == 0
