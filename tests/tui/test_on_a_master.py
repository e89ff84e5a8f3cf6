"""Every action by its key, and what a real master and the builders on it did then."""

from collections.abc import AsyncIterator

import pytest

from piwheels.model import Outcome
from piwheels.protocol import messages as m
from piwheels.tui.actions import BY_NAME
from piwheels.tui.dialogs import ConfirmDialog
from piwheels.tui.link import Link
from tests.master.conftest import Builder, Master, idle_master, master, nothing_upstream
from tests.tui.stage import Stage, on_stage

__all__ = ["idle_master", "master", "nothing_upstream"]

pytestmark = pytest.mark.slow

YES = ("right", "enter")


@pytest.fixture
async def stage(master: Master) -> AsyncIterator[Stage]:
    async with on_stage(Link(master.control, who="ada@here")) as stage:
        await stage.until(lambda: stage.console.farm.known, "the farm is known")
        yield stage


async def do(stage: Stage, name: str, *keys: str) -> None:
    """Press an action's key, and answer what it asks."""
    known = len(stage.console.fates)
    await stage.press(BY_NAME[name].keys)
    if keys:
        await stage.until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        await stage.press(*keys)
    await stage.until(lambda: len(stage.console.fates) > known, "the command is sent")


async def applied(stage: Stage) -> str:
    """Wait for the last command's fate, which has to be good; gives the answer."""
    await stage.until(lambda: next(iter(stage.console.fates)).settled, "its fate is known")
    fate = next(iter(stage.console.fates))
    assert fate.turn == "applied", fate.line
    return fate.text


async def seen(stage: Stage, label: str, state: str) -> None:
    def so() -> bool:
        found = stage.console.farm.builders.get(label)
        return found is not None and found.view.state == state

    await stage.until(so, f"{label} is {state}")
    await stage.until(lambda: label in stage.keys, "it has a row")
    stage.table.table.move_cursor(label)
    await stage.pilot.pause()


async def busy(stage: Stage, master: Master, pi1: Builder, project: str = "demo") -> None:
    await master.release(project)
    await pi1.take()
    await seen(stage, "pi1", "building")


# --- the farm ---


async def test_pause_holds_jobs_back_until_resume(master: Master, stage: Stage) -> None:
    async with master.builder() as pi1:
        await do(stage, "pause")
        await applied(stage)
        await stage.until_shown("PAUSED")
        await master.release("demo")
        await pi1.idle()
        assert (await pi1.hear(m.Wait)).reason == "the farm is paused"
        await do(stage, "resume")
        assert (await pi1.hear(m.BuildJob)).job.project == "demo"
        await stage.until_shown("running")


async def test_quit_ends_the_master_and_the_console_waits(master: Master, stage: Stage) -> None:
    await do(stage, "quit_master", *"quit", "enter")
    assert master.process is not None
    await stage.until(lambda: master.process and master.process.poll() == 0, "it has ended")
    await stage.until_shown("LINK LOST")
    await master.start()
    await stage.until_shown("A new master answers")


# --- builders ---


async def test_sleep_lets_the_build_end_and_wake_lets_another_begin(
    master: Master, stage: Stage
) -> None:
    async with master.builder() as pi1:
        await busy(stage, master, pi1)
        await do(stage, "sleep")
        await applied(stage)
        await pi1.end()
        await master.release("next")
        await pi1.idle()
        assert (await pi1.hear(m.Wait)).reason == "asleep"
        await seen(stage, "pi1", "asleep")
        await do(stage, "wake")
        assert (await pi1.hear(m.BuildJob)).job.project == "next"


async def test_sleep_now_drops_the_build(master: Master, stage: Stage) -> None:
    async with master.builder() as pi1:
        await busy(stage, master, pi1)
        await do(stage, "sleep_now", *YES)
        assert (await pi1.hear(m.Abandon)).reason == "put to sleep by ada@here"
        await master.until("SELECT claimed_by IS NULL FROM jobs")


async def test_skip_build_drops_the_build_and_keeps_the_job(master: Master, stage: Stage) -> None:
    async with master.builder() as pi1:
        await busy(stage, master, pi1)
        await do(stage, "skip_build", *YES)
        assert (await pi1.hear(m.Abandon)).reason == "skipped by ada@here"
        await master.until("SELECT count(*) = 1 FROM builds")
    assert "demo" in await master.jobs()


async def test_drain_ends_a_builder_after_its_build(master: Master, stage: Stage) -> None:
    async with master.builder() as pi1:
        await busy(stage, master, pi1)
        await do(stage, "drain")
        assert (await pi1.hear(m.Stop)).after_build
        await seen(stage, "pi1", "draining")


async def test_drain_in_turn_takes_the_second_when_the_first_is_back(
    master: Master, stage: Stage
) -> None:
    async with master.builder() as pi1, master.builder("pi2") as pi2:
        await pi1.idle()
        await pi2.idle()
        await seen(stage, "pi1", "idle")
        await seen(stage, "pi2", "idle")
        await stage.press(BY_NAME["mark_all"].keys)
        await do(stage, "drain_rolling", *YES)
        await pi1.hear(m.Stop)
        await pi2.idle()
        await pi2.hear(m.Wait)  # it is not its turn yet
        await pi1.bye()
        await pi1.greet()
        await pi2.hear(m.Stop)


async def test_kill_ends_a_builder_at_once(master: Master, stage: Stage) -> None:
    async with master.builder() as pi1:
        await busy(stage, master, pi1)
        await do(stage, "kill", *"kill", "enter")  # it is the only one: all are meant
        stop = await pi1.hear(m.Stop)
        assert not stop.after_build
        await applied(stage)
    assert "demo" in await master.jobs()


# --- projects ---


async def test_retry_opens_what_failed_for_good(master: Master, stage: Stage) -> None:
    async with master.builder() as pi1:
        await busy(stage, master, pi1)
        await pi1.end(Outcome.FAILED)
        await master.until("SELECT count(*) = 0 FROM jobs")
        await stage.press("3")
        await stage.until_shown("it broke")
        await do(stage, "retry")
        await applied(stage)
        await master.until("SELECT count(*) = 1 FROM jobs")


async def test_a_project_is_skipped_for_a_reason_and_built_again(
    master: Master, stage: Stage
) -> None:
    async with master.builder() as pi1:
        await busy(stage, master, pi1)
        await do(stage, "skip_project", *"no ARM", "enter")
        await applied(stage)
        reason = await master.db.value("SELECT skip FROM projects WHERE project = 'demo'")
        assert reason == "no ARM"
        await do(stage, "unskip_project")
        await applied(stage)
        assert await master.db.value("SELECT skip IS NULL FROM projects WHERE project = 'demo'")


async def test_priority_brings_a_release_forward_and_back(master: Master, stage: Stage) -> None:
    async with master.builder() as pi1:
        await busy(stage, master, pi1)
        await do(stage, "raise_priority", *YES)
        await applied(stage)
        await master.until("SELECT due = queued_at - interval '24 hours' FROM jobs")
        await do(stage, "usual_priority")
        await applied(stage)
        await master.until("SELECT due = queued_at FROM jobs")
