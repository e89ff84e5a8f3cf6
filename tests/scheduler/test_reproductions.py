"""Which builder builds a published wheel again and when, and that nothing else changes by it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from piwheels.db import reproductions
from piwheels.db.database import Database
from piwheels.model import (
    Job,
    MemberChange,
    MemberDifference,
    Reproduction,
    ReproductionResult,
    WheelComparison,
)
from piwheels.model.job_priority import TURNS
from piwheels.protocol import messages as m
from piwheels.scheduler import reasons
from piwheels.scheduler.state_machine_events import ClaimJob
from tests.scheduler.simulation import TARGET, SimFarm, add_releases, sim_farm

_LONGEST_S = 3600.0
#: What a reproduction must not change, whatever comes of it.
_EVERYTHING_ELSE = ("builds", "files", "jobs", "projects", "releases", "reserved_filenames")


@pytest.fixture
async def sim(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimFarm:
    """Two builders, and a wheel that the first of them built."""
    farm = await sim_farm(database, tmp_path, monkeypatch, "ab")
    farm.builders["b"].disconnected = True
    await add_releases(farm, "demo")
    await farm.run_until_built(_LONGEST_S)
    farm.builders["b"].disconnected = False
    await farm.run(10.0)
    return farm


async def ask(farm: SimFarm, project: str = "demo", who: str = "ann") -> None:
    files = await reproductions.files_of_release(farm.db, project, "1.0", None)
    assert files
    await reproductions.request(farm.db, files, who)


async def newest(farm: SimFarm, project: str = "demo") -> Reproduction:
    (found,) = await reproductions.newest_of_release(farm.db, project, "1.0")
    return found


async def run_until_ended(farm: SimFarm) -> Reproduction:
    for _ in range(100):
        await farm.run(farm.step_s)
        if (found := await newest(farm)).result is not ReproductionResult.PENDING:
            return found
    raise AssertionError(found)


async def rows_of(farm: SimFarm) -> dict[str, list[dict[str, Any]]]:
    return {
        table: await farm.db.rows(f"SELECT * FROM {table} t ORDER BY t::text")
        for table in _EVERYTHING_ELSE
    }


async def test_another_builder_builds_it_again_and_nothing_else_changes(sim: SimFarm) -> None:
    before = await rows_of(sim)
    records = sim.dispatcher.state_machine.records
    counts = [(record.built, record.failed) for record in records.values()]
    await ask(sim)
    found = await run_until_ended(sim)
    assert (found.result, found.original_builder, found.builder) == ("same", "a", "b")
    assert found.summary == "another builder made the same bytes"
    assert (found.asked_by, found.attempts, found.rebuilt_sha256) == ("ann", 1, "1" * 64)
    assert await rows_of(sim) == before
    assert [(record.built, record.failed) for record in records.values()] == counts
    events = await sim.db.rows("SELECT text FROM events WHERE text LIKE 'reproduction of%'")
    assert [event["text"] for event in events] == [
        f"reproduction of {found.filename}: another builder made the same bytes"
    ]
    assert sim.builders["b"].job is None
    assert not list(sim.dispatcher.logs._folder.iterdir()), "its log is not kept"


async def test_a_builder_gets_a_plain_job_with_the_inputs_of_the_first_build(sim: SimFarm) -> None:
    sent: list[Job] = []
    deliver = sim.deliver

    def watched(label: str, message: m.ToBuilder) -> None:
        if isinstance(message, m.StartBuild):
            sent.append(message.job)
        deliver(label, message)

    inputs = [f"{'a' * 64} setuptools-80-py3-none-any.whl", "python 3.11.2 cp311"]
    await sim.db.execute("UPDATE builds SET build_inputs = %(inputs)s", {"inputs": inputs})
    sim.deliver = watched  # type: ignore[method-assign]
    await ask(sim)
    found = await run_until_ended(sim)
    assert [type(job) for job in sent] == [Job]
    assert sent[0].only_inputs == (inputs[0],)
    assert found.changed_inputs == (), "the second build tells none"


async def test_differences_are_kept_and_told(sim: SimFarm) -> None:
    changed = MemberDifference(
        member="demo.py", change=MemberChange.CONTENT, how="line 1: 'a' became 'b'"
    )
    sim.upload_server.comparison = WheelComparison(differences=(changed,), unlisted=2)
    await ask(sim)
    found = await run_until_ended(sim)
    assert found.result is ReproductionResult.DIFFERS
    assert found.differences == (changed,)
    assert found.summary == "another builder made a wheel with 3 members that differ"
    (shown,) = (await reproductions.ended_of_projects(sim.db, ["demo"])).values()
    assert shown == found


async def test_a_failed_build_ends_it_and_changes_nothing_of_the_release(sim: SimFarm) -> None:
    before = await rows_of(sim)
    sim.absent_requirements["demo"] = "gone"
    await ask(sim)
    found = await run_until_ended(sim)
    assert found.result is ReproductionResult.FAILED
    assert found.summary == "it could not be reproduced: it went wrong"
    assert await rows_of(sim) == before


async def test_a_fault_of_a_builder_is_no_result(sim: SimFarm) -> None:
    sim.builders["b"].is_broken = True
    await ask(sim)
    found = await run_until_ended(sim)
    assert (found.result, found.attempts) == (ReproductionResult.FAILED, 3)
    assert "it went wrong" in found.summary


async def test_the_same_builder_builds_it_again_where_there_is_no_other(sim: SimFarm) -> None:
    sim.builders["b"].disconnected = True
    await sim.dispatcher.command_builders(
        m.CommandBuilders(command=m.BuilderCommand.SLEEP, builders=("b",)), "ann"
    )
    await ask(sim)
    await sim.run(20.0)
    assert (await newest(sim)).builder == "", "another one could be restarting"
    await sim.db.execute("UPDATE reproductions SET asked_at = asked_at - interval '30 s'")
    found = await run_until_ended(sim)
    assert (found.builder, found.is_elsewhere) == ("a", False)
    assert found.summary == "the same builder made the same bytes"


async def test_another_builder_that_is_busy_is_waited_for_but_not_forever(sim: SimFarm) -> None:
    await add_releases(sim, "slow")
    sim.builders["a"].disconnected = True
    sim.build_duration_s = 3000.0
    await sim.run(20.0)
    assert sim.builders["b"].job is not None
    sim.builders["a"].disconnected = False
    await ask(sim)
    await sim.run(200.0)
    assert (await newest(sim)).builder == ""
    await sim.db.execute("UPDATE reproductions SET asked_at = asked_at - interval '1 hour'")
    await sim.run(20.0)
    assert (await newest(sim)).builder == "a"


async def test_what_an_operator_asks_for_comes_first_and_idle_work_last(sim: SimFarm) -> None:
    await sim.run(_LONGEST_S / 10)
    await add_releases(sim, "more", "others")
    await sim.db.execute("UPDATE jobs SET priority_class = 3")
    sim.builders["a"].disconnected = True
    (file,) = await reproductions.files_of_release(sim.db, "demo", "1.0", None)
    build = await sim.db.value("SELECT build_id FROM files")
    await reproductions.choose_for_idle_time(sim.db, build)
    await sim.run(30.0)
    running = sim.builders["b"].job
    assert running is not None
    assert running.project in {"more", "others"}
    await reproductions.request(sim.db, [file], "ann")
    started = [running.project]
    while len(started) < 3:
        await sim.run(sim.step_s)
        job = sim.builders["b"].job
        if job is not None and job.project not in started:
            started.append(job.project)
    assert started[1] == "demo", "before the other one, which was queued earlier and not named"


async def test_jobs_that_operators_named_go_first_in_all_claims_but_one_of_eight(
    sim: SimFarm,
) -> None:
    await ask(sim)
    await sim.db.execute("UPDATE reproductions SET asked_at = asked_at - interval '2 hours'")
    await add_releases(sim, "named")
    await sim.db.execute("UPDATE jobs SET priority_class = 0")
    claimed = []
    for _ in range(2 * len(TURNS)):  # each returns what the one before it got
        job = await sim.dispatcher.jobs.claim(ClaimJob("b", (TARGET.name,)))
        claimed.append(job.project if job else "")
    assert Counter(claimed) == {"named": 14, "demo": 2}
    await sim.db.execute("UPDATE jobs SET priority_class = 3")
    job = await sim.dispatcher.jobs.claim(ClaimJob("b", (TARGET.name,)))
    assert job is not None
    assert job.project == "demo", "before the rest of the queue"


async def test_it_does_not_wait_while_all_jobs_are_long(sim: SimFarm) -> None:
    sim.builders["b"].disconnected = True
    await add_releases(sim, "slow", "quick")
    await sim.db.execute("UPDATE projects SET expected_build_s = 9000 WHERE project = 'slow'")
    await sim.db.execute("UPDATE jobs SET is_long = project = 'slow', priority_class = 0")
    await add_releases(sim, "slow", version="2.0")
    await sim.run(10.0)
    assert sim.builders["a"].job is not None
    assert sim.builders["a"].job.project == "slow", "so that the other prefers short ones"
    jobs = sim.dispatcher.jobs
    for _ in range(2):
        job = await jobs.claim(ClaimJob("b", (TARGET.name,)))
        assert job is not None
        assert job.project == "quick"
    await ask(sim)
    await sim.db.execute("DELETE FROM jobs WHERE project = 'quick'")
    taken = [await jobs.claim(ClaimJob("b", (TARGET.name,))) for _ in TURNS]
    assert {job.project for job in taken if job} == {"slow", "demo"}


async def test_a_share_of_builds_is_chosen_and_the_backlog_is_bounded(
    sim: SimFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sim.dispatcher.jobs.reproductions
    await add_releases(sim, "none")
    await sim.run_until_built(_LONGEST_S)
    assert not await sim.db.value("SELECT count(*) FROM reproductions")
    store.percent = 100.0
    monkeypatch.setattr(reproductions, "MAX_IDLE_BACKLOG", 2)
    sim.dispatcher.state_machine.paused = False
    names = [f"p{number}" for number in range(6)]
    await add_releases(sim, *names)
    await sim.run_until_built(_LONGEST_S)
    chosen = await sim.db.value("SELECT count(*) FROM reproductions")
    assert 0 < chosen <= 4
    await sim.run(600.0)
    rows = await sim.db.rows("SELECT result, asked_by FROM reproductions")
    assert {(row["result"], row["asked_by"]) for row in rows} == {("same", "")}


async def test_it_is_built_again_after_its_builder_is_lost_three_times_at_most(
    sim: SimFarm,
) -> None:
    sim.builders["a"].disconnected = True
    await sim.run(400.0)
    await ask(sim)
    for attempt in (1, 2, 3):
        await sim.run(20.0)
        session = sim.dispatcher.state_machine.sessions["b"]
        assert session.job is not None
        assert (await newest(sim)).attempts == attempt
        sim.builders["b"].disconnected = True
        await sim.run(400.0)
        sim.builders["b"].job = None
        sim.builders["b"].disconnected = False
    found = await newest(sim)
    assert found.result is ReproductionResult.FAILED
    assert "stopped responding" in found.summary


async def test_a_canceled_one_ends_and_a_stopped_one_is_built_again(sim: SimFarm) -> None:
    await ask(sim)
    await sim.run(20.0)
    stop = m.CommandBuilders(command=m.BuilderCommand.RESTART, builders=("b",), immediately=True)
    await sim.dispatcher.command_builders(stop, "ann")
    await sim.run(sim.step_s)
    waiting = await newest(sim)
    assert (waiting.result, waiting.builder, waiting.attempts) == ("pending", "", 0)
    sim.dispatcher.state_machine.sessions["b"].shutdown = None
    await sim.run(20.0)
    assert (await newest(sim)).builder == "b"
    cancel = m.CommandBuilders(command=m.BuilderCommand.CANCEL_BUILD, builders=("b",))
    await sim.dispatcher.command_builders(cancel, "ann")
    found = await run_until_ended(sim)
    assert found.summary == "it could not be reproduced: canceled by ann"


async def test_a_restarted_master_goes_on_with_what_a_builder_has(sim: SimFarm) -> None:
    await ask(sim)
    await sim.run(20.0)
    session = sim.dispatcher.state_machine.sessions["b"]
    job = session.job
    assert job is not None
    sim.dispatcher.state_machine.sessions.clear()
    builds = await sim.dispatcher.jobs.restore(sim.now)
    await sim.run(10.0)
    (view,) = [it for it in sim.dispatcher.builder_views() if it.label == "b"]
    assert view.reason == reasons.BUILDS_AGAIN
    assert builds == {job.build_id}
    found = await run_until_ended(sim)
    assert (found.result, found.attempts) == ("same", 1)


async def test_it_ends_with_its_wheel_and_with_a_sdist_that_is_gone(sim: SimFarm) -> None:
    sim.builders["a"].disconnected = sim.builders["b"].disconnected = True
    await ask(sim)
    await sim.db.execute("UPDATE releases SET sdist_url = NULL")
    ((_, reason),) = await reproductions.end_overdue(sim.db)
    assert reason == "its release has no sdist any more"
    (file,) = await reproductions.files_of_release(sim.db, "demo", "1.0", None)
    assert file.obstacle == reason
    await sim.db.execute("DELETE FROM files")
    assert not await sim.db.value("SELECT count(*) FROM reproductions")


async def test_nobody_waits_for_a_builder_forever(sim: SimFarm) -> None:
    sim.builders["a"].disconnected = sim.builders["b"].disconnected = True
    await ask(sim)
    assert await reproductions.end_overdue(sim.db) == []
    await sim.db.execute("UPDATE reproductions SET asked_at = asked_at - interval '7 days'")
    ((_, reason),) = await reproductions.end_overdue(sim.db)
    assert reason == "no builder took it within 7 days"
