"""Every action by its key, and what a real master and the builders on it did then."""

import re
from collections.abc import AsyncIterator

import pytest

from piwheels.model import BuildPhase, FailureClass, FailureEvidence, HostMetrics, Outcome
from piwheels.protocol import messages as m
from piwheels.scheduler.reasons import FARM_PAUSED
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.screens.dialogs import ConfirmDialog
from tests.control.conftest import TARGET, Builder, Master, empty_upstream, idle_master, master
from tests.tui.app_harness import AppHarness, run_console

__all__ = ["empty_upstream", "idle_master", "master"]

pytestmark = pytest.mark.slow

CONFIRM_KEYS = ("right", "enter")


@pytest.fixture
async def stage(master: Master) -> AsyncIterator[AppHarness]:
    async with run_console(MasterConnection(master.control, operator_name="ada@here")) as stage:
        await stage.wait_until(lambda: stage.console.farm.has_snapshot, "the farm is known")
        yield stage


async def perform(stage: AppHarness, name: str, *keys: str) -> None:
    """Press an action's key, and answer its confirmation."""
    known = len(stage.console.command_history)
    await stage.act(name)
    if keys:
        await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        await stage.press(*keys)
    await stage.wait_until(
        lambda: len(stage.console.command_history) > known, "the command is sent"
    )


async def wait_until_applied(stage: AppHarness) -> str:
    """Wait until the last command is applied; returns its answer."""
    await stage.wait_until(
        lambda: next(iter(stage.console.command_history)).is_final, "its fate is known"
    )
    status = next(iter(stage.console.command_history))
    assert status.state == "applied", status.line
    return status.text


async def wait_for_state(stage: AppHarness, label: str, state: str) -> None:
    def so() -> bool:
        found = stage.console.farm.builders.get(label)
        return found is not None and found.view.state == state

    await stage.wait_until(so, f"{label} is {state}")
    await stage.wait_until(lambda: label in stage.keys, "it has a row")
    stage.table.table.move_cursor(label)
    await stage.pilot.pause()


async def build_on(stage: AppHarness, master: Master, pi1: Builder, project: str = "demo") -> None:
    await master.release(project)
    await pi1.take_job()
    await wait_for_state(stage, "pi1", "building")


# --- the farm ---


async def test_pause_assigns_no_jobs_until_resume(master: Master, stage: AppHarness) -> None:
    async with master.builder() as pi1:
        await perform(stage, "pause")
        await wait_until_applied(stage)
        await stage.wait_for_text("PAUSED")
        await master.release("demo")
        await pi1.send_idle()
        assert (await pi1.receive_type(m.NoJobAvailable)).reason == FARM_PAUSED
        await perform(stage, "resume")
        assert (await pi1.receive_type(m.StartBuild)).job.project == "demo"
        await stage.wait_for_text("running")


async def test_stop_ends_the_master_and_the_console_reconnects(
    master: Master, stage: AppHarness
) -> None:
    await perform(stage, "stop_master", *"stop", "enter")
    assert master.process is not None
    await stage.wait_until(lambda: master.process and master.process.poll() == 0, "it has ended")
    await stage.wait_for_text("LINK LOST")
    await master.start()
    await stage.wait_for_text("Reconnected; the master has restarted.")


# --- builders ---


async def test_sleep_lets_the_build_finish_and_wake_lets_another_start(
    master: Master, stage: AppHarness
) -> None:
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        await perform(stage, "sleep")
        await wait_until_applied(stage)
        await pi1.finish_build()
        await master.release("next")
        await pi1.send_idle()
        assert (await pi1.receive_type(m.NoJobAvailable)).reason == "asleep"
        await wait_for_state(stage, "pi1", "asleep")
        await perform(stage, "wake")
        assert (await pi1.receive_type(m.StartBuild)).job.project == "next"


async def test_an_immediate_sleep_cancels_the_build(master: Master, stage: AppHarness) -> None:
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        await perform(stage, "sleep_now", *CONFIRM_KEYS)
        assert (await pi1.receive_type(m.CancelBuild)).reason == "put to sleep by ada@here"
        await master.wait_for_query("SELECT claimed_by IS NULL FROM jobs")


async def test_cancel_build_cancels_the_build_and_keeps_the_job(
    master: Master, stage: AppHarness
) -> None:
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        await perform(stage, "cancel_build", *CONFIRM_KEYS)
        assert (await pi1.receive_type(m.CancelBuild)).reason == "canceled by ada@here"
        await master.wait_for_query("SELECT count(*) = 1 FROM builds")
    assert "demo" in await master.jobs()


async def test_drain_ends_a_builder_after_its_build(master: Master, stage: AppHarness) -> None:
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        await perform(stage, "drain", *CONFIRM_KEYS)
        assert (await pi1.receive_type(m.Shutdown)).after_build
        await wait_for_state(stage, "pi1", "draining")


async def test_a_rolling_restart_continues_when_the_first_builder_reconnects(
    master: Master, stage: AppHarness
) -> None:
    async with master.builder() as pi1, master.builder("pi2") as pi2:
        await pi1.send_idle()
        await pi2.send_idle()
        await wait_for_state(stage, "pi1", "idle")
        await wait_for_state(stage, "pi2", "idle")
        await stage.act("mark_all")
        await perform(stage, "drain", "1", "enter")
        await pi1.receive_type(m.Shutdown)
        await pi2.send_idle()
        await pi2.receive_type(m.NoJobAvailable)  # it is not its turn yet
        await pi1.say_goodbye()
        await pi1.say_hello()
        await pi2.receive_type(m.Shutdown)


async def test_kill_ends_a_builder_immediately(master: Master, stage: AppHarness) -> None:
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        await perform(stage, "kill", *"kill", "enter")  # it is the only one: all are meant
        stop = await pi1.receive_type(m.Shutdown)
        assert not stop.after_build
        await wait_until_applied(stage)
    assert "demo" in await master.jobs()


# --- projects ---


async def test_retry_queues_a_final_failure_again(master: Master, stage: AppHarness) -> None:
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        await pi1.finish_build(Outcome.FAILED)
        await master.wait_for_query("SELECT count(*) = 0 FROM jobs")
        await stage.press("3")
        await stage.wait_for_text("it broke")
        await perform(stage, "retry")
        await wait_until_applied(stage)
        await master.wait_for_query("SELECT count(*) = 1 FROM jobs")


async def test_a_group_of_failures_is_retried_and_skipped(
    master: Master, stage: AppHarness
) -> None:
    async with master.builder() as pi1:
        for project in ("one", "two"):
            await build_on(stage, master, pi1, project)
            await pi1.finish_build(Outcome.FAILED, f"{project}.c:3: error: it broke")
        await master.wait_for_query("SELECT count(*) = 0 FROM jobs")
        await stage.press("5")
        await stage.wait_for_text("2 releases for 1 cause")
        await perform(stage, "retry_group", *CONFIRM_KEYS)
        assert await wait_until_applied(stage) == "2 builds were queued again"
        await master.wait_for_query("SELECT count(*) = 2 FROM jobs")
        await stage.wait_for_text("2 retried")
        await perform(stage, "skip_group", *"no ARM", "enter")
        assert await wait_until_applied(stage) == "2 releases were skipped: no ARM"
        skipped = await master.db.rows("SELECT project, version, target, reason FROM target_skips")
        assert sorted(tuple(row.values()) for row in skipped) == [
            (project, "1.0", TARGET.name, "no ARM") for project in ("one", "two")
        ]
        await stage.wait_for_text("Nothing fails")


async def test_rows_of_failures_stay_while_they_are_read(master: Master, stage: AppHarness) -> None:
    async with master.builder() as pi1:

        async def fail(project: str, reason: str) -> None:
            await stage.press("2")
            await build_on(stage, master, pi1, project)
            await pi1.finish_build(Outcome.FAILED, f"{project}.c:3: error: {reason}")
            await master.wait_for_query("SELECT count(*) = 0 FROM jobs")

        await fail("one", "it broke")
        await stage.press("5")
        await stage.wait_for_text("1 release for 1 cause")
        read = stage.keys
        for project in ("two", "three"):
            await master.release(project)
            await pi1.take_job()
            await pi1.finish_build(Outcome.FAILED, f"{project}.c:3: error: it burst")
        await master.wait_for_query("SELECT count(*) = 0 FROM jobs")
        stage.console.current_screen.on_command_finished()  # it asks the master again
        await stage.wait_for_text("3 releases for 2 causes")
        assert stage.keys[:1] == read, "the larger group is below the one that was read"
        await stage.wait_for_text("changed, Esc sorts")
        await perform(stage, "retry_group", *CONFIRM_KEYS)
        assert await wait_until_applied(stage) == "1 build was queued again"
        await master.wait_for_query("SELECT array_agg(project) = '{one}' FROM jobs")
        await stage.press("2", "ctrl+k", *"retry it burst")
        await stage.wait_for_text("which asks first")
        await stage.press("enter")
        await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        await stage.press(*CONFIRM_KEYS)
        await master.wait_for_query("SELECT count(*) = 3 FROM jobs")


async def test_the_page_of_a_failed_build_and_its_log_tell_what_the_master_recorded(
    master: Master, stage: AppHarness
) -> None:
    lacking = FailureEvidence(
        missing=("header libpq-fe.h",), packages=("libpq-dev",), line_number=2
    )
    async with master.builder() as pi1:
        for project in ("one", "two"):
            await build_on(stage, master, pi1, project)
            assert pi1.job is not None
            build = pi1.job.build_id
            log = b"gcc\nfatal error: libpq-fe.h: No such file\n"
            await pi1.dealer.send(m.LogChunk(build=build, offset=0, data=log))
            await pi1.finish_build(
                Outcome.FAILED,
                "fatal error: libpq-fe.h: No such file",
                failure_class=FailureClass.MISSING_PACKAGE,
                evidence=lacking,
                build_inputs=("root bookworm-arm64",),
                phases=(BuildPhase(name="building", duration_s=60.0),),
            )
        await stage.press("3")
        await stage.wait_until(lambda: str(build) in stage.keys, "it has a row")
        stage.table.table.move_cursor(str(build))
        await stage.press("enter")
        await stage.wait_for_text("2 releases fail so (Enter: them)")
        await stage.wait_for_text("building")
        for told in ("1m  100%  building", "root bookworm-arm64", "fatal error: libpq-fe.h"):
            assert told in stage.text
        await stage.press("l")
        await stage.wait_for_text("all read")
        await stage.press("e")
        await stage.wait_for_text("missing-package: header libpq-fe.h, in libpq-dev")
        line = next(it for it in stage.text.splitlines() if it.startswith(">    2 "))
        assert re.match(r">    2 +[0-9.]+ ", line), "the master knows when it arrived"
        await stage.press("enter")
        await stage.wait_for_text("missing-package: libpq-dev")


async def test_a_package_is_added_to_the_builds_of_a_group(
    master: Master, stage: AppHarness
) -> None:
    lacking = FailureEvidence(missing=("header libpq-fe.h",), packages=("libpq-dev",))
    async with master.builder() as pi1:
        for project in ("one", "two"):
            await build_on(stage, master, pi1, project)
            await pi1.finish_build(
                Outcome.FAILED,
                "db.c:3: fatal error: libpq-fe.h: No such file or directory",
                failure_class=FailureClass.MISSING_PACKAGE,
                evidence=lacking,
            )
        await stage.press("5")
        await stage.wait_for_text("2 releases for 1 cause")
        await perform(stage, "add_packages", "end", *" libssl-dev", "enter")
        added = (
            "libpq-dev, libssl-dev added to the builds of 2 projects; 2 builds were queued again"
        )
        assert await wait_until_applied(stage) == added
        await pi1.send_idle()
        job = (await pi1.receive_type(m.StartBuild)).job
        assert job.recipe is not None
        assert job.recipe.packages == ("libpq-dev", "libssl-dev")
    audited = await master.db.value("SELECT text FROM events WHERE text LIKE '%libpq-dev%'")
    assert "add libpq-dev, libssl-dev to the builds of one, two" in audited


async def test_a_project_is_skipped_with_a_reason_and_unskipped(
    master: Master, stage: AppHarness
) -> None:
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        await perform(stage, "skip_project", *"no ARM", "enter")
        await wait_until_applied(stage)
        reason = await master.db.value("SELECT skip_reason FROM projects WHERE project = 'demo'")
        assert reason == "no ARM"
        await perform(stage, "unskip_project")
        await wait_until_applied(stage)
        assert await master.db.value(
            "SELECT skip_reason IS NULL FROM projects WHERE project = 'demo'"
        )


async def test_the_page_of_a_project_unskips_it_and_moves_its_jobs(
    master: Master, stage: AppHarness
) -> None:
    skipped = "SELECT skip_reason IS NOT NULL FROM projects WHERE project = 'demo'"
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        stage.console.navigate(ScreenName.EXPLAIN, ScreenFilter(project="demo", version="1.0"))
        await stage.wait_for_text("1 target")
        await perform(stage, "raise_priority", *CONFIRM_KEYS)
        await wait_until_applied(stage)
        await master.wait_for_query(
            "SELECT priority_time = queued_at - interval '24 hours' FROM jobs"
        )
        await perform(stage, "skip_project", *"no ARM", "enter")
        await wait_until_applied(stage)
        assert await master.db.value(skipped)
        await stage.wait_for_text("no ARM")
        await perform(stage, "unskip_project")
        await wait_until_applied(stage)
        assert not await master.db.value(skipped)
        await stage.wait_until(lambda: "no ARM" not in stage.text, "the page tells it")


async def test_priority_moves_a_release_ahead_and_back(master: Master, stage: AppHarness) -> None:
    async with master.builder() as pi1:
        await build_on(stage, master, pi1)
        await perform(stage, "raise_priority", *CONFIRM_KEYS)
        await wait_until_applied(stage)
        await master.wait_for_query(
            "SELECT priority_time = queued_at - interval '24 hours' FROM jobs"
        )
        await perform(stage, "reset_priority", *CONFIRM_KEYS)
        await wait_until_applied(stage)
        await master.wait_for_query("SELECT priority_time = queued_at FROM jobs")


# --- alerts ---


async def test_an_alert_is_acknowledged_and_muted_by_its_keys(
    master: Master, stage: AppHarness
) -> None:
    async with master.builder() as pi1:
        await pi1.send_idle(HostMetrics(disk_total=100 * 2**30, disk_free=2**30))
        await stage.press("6")
        await stage.wait_for_text("99% used, 1.0 GiB free")
        await perform(stage, "acknowledge", *"card ordered", "enter")
        assert await wait_until_applied(stage) == "disk:pi1 is acknowledged"
        await stage.wait_for_text("seen by ada@here: card ordered")
        await stage.wait_for_text("no alerts")
        stage.table.table.move_cursor("disk:pi1")
        await perform(stage, "mute", "enter")
        assert await wait_until_applied(stage) == "disk:pi1 is muted for 2h"
        (alert,) = (await master.ask(m.Status(), m.StatusReply)).alerts
        assert (alert.muted_by, alert.acknowledged_by) == ("ada@here", "")
        await stage.wait_for_text("muted until")
