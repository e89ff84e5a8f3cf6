"""Commands to builders and to the queue, with a real master: their effects."""

import pytest

from piwheels.errors import RejectedError
from piwheels.model import AuditEvent, Outcome
from piwheels.protocol import messages as m
from piwheels.scheduler.reasons import FARM_PAUSED, HAS_ENDED, NO_RUNNING_BUILD, NOT_CONNECTED
from tests.control.conftest import TARGET, Master
from tests.db.scenario import TARGETS

S, O = m.BuilderState, m.BuilderCommand  # noqa: E741 - as short as they are frequent

#: Long enough for a busy machine not to lose those that do speak.
BUILDER_TIMEOUT_S = 5.0


async def test_sleep_takes_effect_after_the_running_build(shared: Master) -> None:
    await shared.release("demo")
    async with shared.watch() as watcher, shared.builder() as pi1:
        await pi1.take_job()
        await shared.release("next")
        await shared.command_builders(O.SLEEP, "pi1")
        view = await watcher.wait_for_state("pi1", S.BUILDING)
        await pi1.finish_build()
        await pi1.send_idle()
        assert (await pi1.receive_type(m.NoJobAvailable)).reason == "asleep"
        view = await watcher.wait_for_state("pi1", S.ASLEEP)
        assert view.reason == "sleeps: put to sleep by ann@desk"
        assert (await shared.jobs())["next"]["claimed_by"] is None
        await shared.command_builders(O.WAKE, "pi1")
    assert [(row["project"], row["outcome"]) for row in await shared.builds()] == [
        ("demo", "failed")
    ]


async def test_an_immediate_sleep_does_not_count_as_an_attempt(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1:
        job = await pi1.take_job()
        assert (await shared.jobs())["demo"]["attempts"] == 1
        await shared.command_builders(O.SLEEP, "pi1", immediately=True)
        abandoned = await pi1.receive_type(m.CancelBuild)
        assert (abandoned.build, abandoned.reason) == (job.build_id, "put to sleep by ann@desk")
        await shared.wait_for_query("SELECT claimed_by IS NULL FROM jobs")
        row = (await shared.jobs())["demo"]
        assert (row["attempts"], row["retry_at"]) == (0, None)
        assert await shared.builds() == []
        await pi1.send_idle()
        assert (await pi1.receive_type(m.NoJobAvailable)).reason == "asleep"
        await shared.command_builders(O.WAKE, "pi1")
        assert (await pi1.receive_type(m.StartBuild)).job.project == "demo"


@pytest.mark.slow
async def test_sleep_is_kept_across_a_restart_of_the_master(master: Master) -> None:
    await master.release("demo")
    async with master.builder() as pi1:
        await master.command_builders(O.SLEEP, "pi1")
        await master.wait_for_query(
            "SELECT count(*) = 1 FROM key_values WHERE key = 'quarantine/pi1'"
        )
        master.stop()
        await master.start()
        await pi1.say_hello()
        await pi1.send_idle()
        assert (await pi1.receive_type(m.NoJobAvailable)).reason == "asleep"
        await master.command_builders(O.WAKE, "pi1")
        assert (await pi1.receive_type(m.StartBuild)).job.project == "demo"
        await master.wait_for_query(
            "SELECT count(*) = 0 FROM key_values WHERE key = 'quarantine/pi1'"
        )


async def test_cancel_keeps_the_job_for_a_retry(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1:
        job = await pi1.take_job()
        await shared.command_builders(O.CANCEL_BUILD, "pi1")
        assert (await pi1.receive_type(m.CancelBuild)).build == job.build_id
        await shared.wait_for_query("SELECT count(*) = 1 FROM builds")
    (build,) = await shared.builds()
    assert (build["outcome"], build["reason"]) == ("canceled", "canceled by ann@desk")
    row = (await shared.jobs())["demo"]
    assert (row["claimed_by"], row["attempts"]) == (None, 0), "a cancellation is no attempt"
    assert row["retry_at"] is not None


async def test_a_drained_builder_ends_after_its_build(shared: Master) -> None:
    await shared.release("demo")
    async with shared.watch() as watcher, shared.builder() as pi1, shared.builder("pi2") as pi2:
        await pi1.take_job()
        await shared.command_builders(O.DRAIN, "pi1", "pi2")
        assert (await pi1.receive_type(m.Shutdown)).after_build
        assert not (await pi2.receive_type(m.Shutdown)).after_build
        await watcher.wait_for_state("pi1", S.DRAINING)
        await pi1.finish_build()
        await pi1.send_idle()
        assert not (await pi1.receive_type(m.Shutdown)).after_build
        await pi1.say_goodbye()
        ended = await watcher.wait_for_state("pi1", S.ENDED)
        assert (ended.reason, ended.build) == ("drained by ann@desk", None)
    (build,) = await shared.builds()
    assert build["outcome"] == "failed", "the running build was not lost"


@pytest.mark.slow
async def test_a_drained_builder_is_listed_as_ended_until_it_is_back(master: Master) -> None:
    async with master.builder() as pi1:
        await master.command_builders(O.DRAIN, "pi1")
        await pi1.receive_type(m.Shutdown)
        await pi1.say_goodbye()
        await master.wait_for_query("SELECT count(*) = 1 FROM key_values WHERE key = 'ended/pi1'")
        master.stop()
        await master.start()
        (view,) = (await master.ask(m.Status(), m.StatusReply)).builders
        assert (view.label, view.state, view.reason) == ("pi1", S.ENDED, "drained by ann@desk")
        assert (view.targets, view.board) == ((TARGET.name,), "Pi")
        page = await master.ask(m.ShowBuilder(builder="pi1"), m.BuilderReply)
        assert page.page.builds == ()
        with pytest.raises(RejectedError, match=HAS_ENDED):
            await master.command_builders(O.WAKE, "pi1")
        await pi1.say_hello()
        await master.wait_for_query("SELECT count(*) = 0 FROM key_values WHERE key = 'ended/pi1'")
        (view,) = (await master.ask(m.Status(), m.StatusReply)).builders
        assert view.state is S.IDLE


async def test_a_rolling_restart_continues_when_a_builder_reconnects(shared: Master) -> None:
    async with (
        shared.watch() as watcher,
        shared.builder("pi1") as pi1,
        shared.builder("pi2") as pi2,
    ):
        await shared.command_builders(O.RESTART, "pi1", "pi2", max_parallel=1)
        await pi1.receive_type(m.Shutdown)
        await pi1.say_goodbye()
        await watcher.wait_for_event(m.BuilderRemoved, lambda event: event.label == "pi1")
        await pi2.send_idle()
        assert isinstance(await pi2.receive(), m.NoJobAvailable), "it is not its turn yet"
        await pi1.say_hello()
        assert (await pi2.receive_type(m.Shutdown)).reason == "restarted by ann@desk"


@pytest.mark.slow
async def test_a_rolling_restart_continues_when_a_builder_times_out(idle_master: Master) -> None:
    await idle_master.start(builder_timeout_s=BUILDER_TIMEOUT_S)
    async with (
        idle_master.builder("pi1") as pi1,
        idle_master.builder("pi2") as pi2,
        pi2.keep_alive(),
    ):
        async with pi1.keep_alive():
            await idle_master.command_builders(O.RESTART, "pi1", "pi2", max_parallel=1)
            await pi1.receive_type(m.Shutdown)
        await pi1.say_goodbye()
        await pi2.receive_type(m.Shutdown)


async def test_kill_ends_builder_and_build_immediately(shared: Master) -> None:
    await shared.release("one")
    await shared.release("two")
    async with shared.builder("pi1") as pi1, shared.builder("pi2") as pi2:
        jobs = {await pi1.take_job(), await pi2.take_job()}
        await shared.command_builders(O.KILL, "pi1", "pi2")
        for builder in (pi1, pi2):
            assert builder.job is not None
            assert (await builder.receive_type(m.CancelBuild)).build == builder.job.build_id
            assert await builder.receive_type(m.Shutdown) == m.Shutdown(reason="killed by ann@desk")
        await shared.wait_for_query("SELECT count(*) = 2 FROM builds")
    builds = await shared.builds()
    assert {row["build_id"] for row in builds} == {job.build_id for job in jobs}
    assert {(row["outcome"], row["reason"]) for row in builds} == {
        ("canceled", "killed by ann@desk")
    }
    assert {row["claimed_by"] for row in (await shared.jobs()).values()} == {None}


async def test_commands_to_disconnected_builders_name_them(shared: Master) -> None:
    async with shared.builder("pi1"):
        some = await shared.command_builders(O.WAKE, "pi1", "pi8", "pi9")
        assert (some.text, some.count) == (
            f"wake: pi1; pi8 {NOT_CONNECTED}; pi9 {NOT_CONNECTED}",
            1,
        )
        with pytest.raises(RejectedError, match=f"^pi8 {NOT_CONNECTED}; pi9 {NOT_CONNECTED}$"):
            await shared.command_builders(O.KILL, "pi8", "pi9")
        with pytest.raises(RejectedError, match=f"^pi1 {NO_RUNNING_BUILD}$"):
            await shared.command_builders(O.CANCEL_BUILD, "pi1")
        with pytest.raises(RejectedError, match="name a builder"):
            await shared.command_builders(O.KILL)


@pytest.mark.slow
async def test_repeated_builder_failures_quarantine_a_builder_until_it_is_woken(
    idle_master: Master,
) -> None:
    master = idle_master
    await master.start(quarantine_after=2, retry_delay_s=0.0)
    for name in ("one", "two", "three"):
        await master.release(name)
    async with master.watch() as watcher, master.builder() as pi1:
        for _ in range(2):
            await pi1.take_job()
            await pi1.finish_build(Outcome.BUILDER_FAILED, "no sandbox")
        await pi1.send_idle()
        assert (await pi1.receive_type(m.NoJobAvailable)).reason == "quarantined"
        view = await watcher.wait_for_state("pi1", S.QUARANTINED)
        assert view.failed_last_hour == 2
        await master.wait_for_query(
            "SELECT count(*) = 1 FROM events WHERE who = 'master'"
            " AND text LIKE '%quarantined%no sandbox; `piw builder wake pi1` ends that'"
        )
        master.stop()
        await master.start(quarantine_after=2, retry_delay_s=0.0)
        await pi1.say_hello()
        await pi1.send_idle()
        assert (await pi1.receive_type(m.NoJobAvailable)).reason == "quarantined"
        (view,) = (await master.ask(m.Status(), m.StatusReply)).builders
        assert (view.state, view.failed, view.failed_last_hour) == (S.QUARANTINED, 0, 2)
        await master.command_builders(O.WAKE, "pi1")
        await pi1.receive_type(m.StartBuild)


@pytest.mark.slow
async def test_a_lost_builder_is_still_listed_and_its_job_is_reassigned(
    idle_master: Master,
) -> None:
    master = idle_master
    await master.start(builder_timeout_s=BUILDER_TIMEOUT_S)
    await master.release("demo")
    async with master.watch() as watcher, master.builder("pi1") as pi1:
        async with pi1.keep_alive():
            await pi1.take_job()
        view = await watcher.wait_for_state("pi1", S.LOST)
        assert (view.build, view.board) == (None, "Pi")
        await watcher.wait_for_event(AuditEvent, lambda event: "pi1 is lost" in event.what)
        async with master.builder("pi2") as pi2, pi2.keep_alive():
            assert (await pi2.take_job()).attempt == 1, "the release had no part in the loss"
        async with pi1.keep_alive():
            await pi1.say_hello()
            await pi1.receive_type(m.CancelBuild)
            await watcher.wait_for_state("pi1", S.IDLE)
    assert [row["outcome"] for row in await master.builds()][:1] == ["lost"]


async def test_the_expected_duration_is_taken_from_earlier_builds(shared: Master) -> None:
    await shared.release("demo", "1.0")
    async with shared.watch() as watcher, shared.builder(build_timeout_s=7200.0) as pi1:
        await pi1.take_job()
        view = await watcher.wait_for_state("pi1", S.BUILDING)
        assert (view.expected_s, view.limit_s) == (3600.0, 7200.0)
        await pi1.finish_build()
        await shared.db.execute("UPDATE builds SET outcome = 'built', duration_s = 1000")
        # Without a wheel it is wanted once more.
        await pi1.take_job()
        message = await watcher.wait_for_event(
            m.BuilderChanged, lambda event: event.builder.expected_s == 3000.0
        )
        assert message.builder.state == S.BUILDING


# --- the queue ---


async def test_prioritized_jobs_are_built_first(shared: Master) -> None:
    for name in ("early", "late"):
        await shared.release(name)
    await shared.ask(m.Prioritize(project="late", advance_s=3600.0), m.CommandSucceeded)
    async with shared.builder() as pi1:
        assert (await pi1.take_job()).project == "late"
    with pytest.raises(RejectedError, match="nobody has no queued jobs"):
        await shared.ask(m.Prioritize(project="nobody", advance_s=1.0), m.CommandSucceeded)
    with pytest.raises(RejectedError, match="ten years"):
        await shared.ask(m.Prioritize(project="late", advance_s=1e9), m.CommandSucceeded)


async def test_retry_queues_a_final_failure_again(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1:
        await pi1.take_job()
        await pi1.finish_build(Outcome.FAILED)
        assert "demo" not in await shared.jobs()
        await shared.ask(m.Retry(project="demo"), m.CommandSucceeded)
        assert (await pi1.take_job()).attempt == 1


async def test_a_skipped_project_leaves_the_queue_until_it_is_unskipped(shared: Master) -> None:
    await shared.release("demo")
    await shared.ask(m.Skip(project="demo", reason="opted out"), m.CommandSucceeded)
    assert await shared.jobs() == {}
    await shared.ask(m.Skip(project="demo", reason=None), m.CommandSucceeded)
    assert list(await shared.jobs()) == ["demo"]


async def test_a_release_is_skipped_for_one_target_and_built_for_the_others(
    master: Master,
) -> None:
    other = TARGETS[2]
    await master.ask(m.AddTargets(targets=(other,)), m.CommandSucceeded)
    await master.release("demo")
    skip = m.Skip(project="demo", version="1.0", target=TARGET.name, reason="too slow")
    answer = await master.ask(skip, m.CommandSucceeded)
    assert answer.text == f"demo 1.0 for {TARGET.name} is skipped: too slow"
    targets = await master.db.rows("SELECT target FROM jobs")
    assert targets == [{"target": other.name}]
    explained = await master.ask(m.Explain(project="demo", target=TARGET.name), m.ExplainReply)
    assert explained.answers[0].state == "target-skipped"
    lift = f"`piw unskip demo==1.0 --target {TARGET.name}` builds it again"
    assert lift in explained.answers[0].text
    with pytest.raises(RejectedError, match="nothing changed"):
        await master.ask(skip, m.CommandSucceeded)
    await master.ask(m.Skip(project="demo", version="1.0", target=TARGET.name), m.CommandSucceeded)
    targets = await master.db.rows("SELECT target FROM jobs")
    assert targets == [{"target": TARGET.name}], "the first target again, and only that"


async def test_a_project_can_be_skipped_for_one_target(shared: Master) -> None:
    await shared.release("demo")
    skip = m.Skip(project="demo", target=TARGET.name, reason="too slow")
    await shared.ask(skip, m.CommandSucceeded)
    assert await shared.jobs() == {}
    explained = await shared.ask(m.Explain(project="demo", target=TARGET.name), m.ExplainReply)
    assert f"`piw unskip demo --target {TARGET.name}`" in explained.answers[0].text
    await shared.ask(m.Skip(project="demo", target=TARGET.name), m.CommandSucceeded)
    assert list(await shared.jobs()) == ["demo"]


async def test_a_failure_without_a_compiler_is_retried_on_a_builder_with_one(
    master: Master,
) -> None:
    await master.release("demo")
    async with master.builder("pi1", lacking=(TARGET.name,)) as pi1:
        job = await pi1.take_job()
        await pi1.dealer.send(
            m.BuildFinished(
                build=job.build_id, outcome=Outcome.FAILED, duration_s=1.0, without_compiler=True
            )
        )
        await pi1.receive_type(m.BuildAcknowledged)
        pi1.job = None
        assert await master.jobs() == {}
        async with master.builder("pi2") as pi2:
            again = await pi2.take_job()
            assert (again.project, again.build_id > job.build_id) == ("demo", True)
            await master.release("other")
            await pi1.send_idle()
            assert "nothing" in (await pi1.receive_type(m.NoJobAvailable)).reason, (
                "pi2 could build it"
            )


async def test_jobs_of_one_target_can_be_prioritized(shared: Master) -> None:
    await shared.release("demo")
    with pytest.raises(RejectedError, match="demo has no queued jobs"):
        await shared.ask(
            m.Prioritize(project="demo", target="cp27", advance_s=1.0), m.CommandSucceeded
        )
    only = m.Prioritize(project="demo", target=TARGET.name, advance_s=1.0)
    assert (await shared.ask(only, m.CommandSucceeded)).count == 1


async def test_a_paused_farm_assigns_no_jobs_until_it_is_resumed(shared: Master) -> None:
    await shared.ask(m.Pause(), m.CommandSucceeded)
    await shared.release("demo")
    async with shared.builder() as pi1:
        await pi1.send_idle()
        assert (await pi1.receive_type(m.NoJobAvailable)).reason == FARM_PAUSED
        assert (await shared.jobs())["demo"]["claimed_by"] is None
        await shared.ask(m.Resume(), m.CommandSucceeded)
        assert (await pi1.receive_type(m.StartBuild)).job.project == "demo"


async def test_a_revoked_builder_is_disconnected_and_its_job_requeued(
    shared: Master,
) -> None:
    await shared.release("demo")
    async with shared.builder("pi6") as pi6:
        await pi6.take_job()
        shared.keys.revoke("pi6")
        await pi6.send_progress("building")
        refusal = await pi6.receive_type(m.Rejected)
        assert (refusal.permanent, "revoked" in refusal.reason) == (True, True)
    await shared.wait_for_query("SELECT count(*) = 1 FROM builds WHERE outcome = 'canceled'")
    assert (await shared.jobs())["demo"]["claimed_by"] is None


async def test_a_rejected_file_is_a_failed_build_with_its_reason(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1:
        job = await pi1.take_job()
        offer = m.ArtifactInfo(filename="demo.exe", size_bytes=1, sha256="")
        await pi1.dealer.send(
            m.BuildFinished(
                build=job.build_id, outcome=Outcome.BUILT, duration_s=1.0, files=(offer,)
            )
        )
        assert (await pi1.receive_type(m.BuildAcknowledged)).build == job.build_id
    (build,) = await shared.builds()
    assert build["outcome"] == "refused"
    assert "demo.exe" in build["reason"]
    assert await shared.db.value("SELECT count(*) = 0 FROM files")
