"""The queue of a target: its next jobs, the page of one, and commands for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from piwheels.protocol.messages import ListQueue, Retry
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.navigation import ScreenName
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.server import control_address
from tests.tui.app_harness import SCREEN_SIZES, AppHarness, run_console

pytestmark = pytest.mark.farm  # each runs the whole console


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    async with SimFarm(control_address(tmp_path), FarmModel(builders=8), hz=0) as farm:
        yield farm


async def open_queue(stage: AppHarness, target: str) -> None:
    await stage.wait_until(lambda: target in stage.keys, "its queue has a row")
    stage.table.table.move_cursor(target)
    await stage.press("enter")
    await stage.wait_until(
        lambda: stage.console.current_screen.screen_name is ScreenName.QUEUE and stage.keys,
        "its jobs are listed",
    )


@pytest.mark.parametrize("size", SCREEN_SIZES, ids=str)
async def test_enter_on_a_queue_lists_its_next_jobs(farm: SimFarm, size: tuple[int, int]) -> None:
    build = farm.model.builds[0]
    connection = MasterConnection(farm.address, operator_name="ada@here")
    async with run_console(connection, size=size, first_screen=ScreenName.QUEUES) as stage:
        await open_queue(stage, build.target)
        assert farm.requests[-1].body == ListQueue(target=build.target)
        assert "Starts in" in stage.text
        release = stage.keys[0]
        await stage.press("y")
        await stage.wait_until(lambda: farm.received_commands, "the master was asked")
        project, version = release.split(" ", 1)
        assert [command.body for command in farm.received_commands] == [
            Retry(project=project, version=version, target=build.target)
        ]
        await stage.press("enter")
        await stage.wait_for_text("Last builds")
        await stage.press("escape")
        await stage.wait_until(lambda: release in stage.keys, "the queue is shown again")
        await stage.press("escape")
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_name is ScreenName.QUEUES, "all queues"
        )
