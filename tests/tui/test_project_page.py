"""The page of a project: what it shows, and the commands that it sends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from piwheels.protocol.messages import (
    ExplainReply,
    ProjectHits,
    ProjectReply,
    Retry,
    ShowProject,
    Skip,
)
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.server import control_address
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import PROJECT_HITS, PROJECT_OVERVIEW, snapshot
from tests.tui.static_source import StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console


def prepared_source() -> StaticSource:
    source = StaticSource(snapshot())
    source.replies[ProjectHits] = PROJECT_HITS
    source.replies[ProjectReply] = ProjectReply(overview=PROJECT_OVERVIEW)
    source.replies[ExplainReply] = ExplainReply(answers=())
    return source


@pytest.mark.parametrize(
    "size", [(40, 20), (80, 24), pytest.param((200, 60), marks=pytest.mark.slow)], ids=str
)
async def test_it_shows_each_target_with_what_is_expected(size: tuple[int, int]) -> None:
    source = prepared_source()
    async with run_console(source, size=size) as stage:
        await stage.wait_until(lambda: stage.console.farm.has_snapshot, "the farm is known")
        await stage.press("ctrl+k", *"num")
        await stage.wait_for_text("numcodecs")
        await stage.press("enter")
        await stage.wait_for_text("1 of 3 targets")
        assert source.sent[-1] == ShowProject(project="numpy")
        assert "in 40m" in stage.text
        assert "about 2.0 GiB of memory" in stage.text or size[1] < 40


async def test_it_names_its_address_on_the_website() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_until(lambda: stage.console.farm.has_snapshot, "the farm is known")
        stage.console.navigate(ScreenName.EXPLAIN, ScreenFilter(project="numpy"))
        await stage.wait_for_text(f"Web page: {stage.console.web_links.release('numpy')}")
        assert stage.console.web_links.release("numpy").endswith("/project/numpy/")


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    async with SimFarm(control_address(tmp_path), FarmModel(builders=8), hz=0) as farm:
        yield farm


async def open_page(stage: AppHarness, project: str) -> None:
    stage.console.navigate(ScreenName.EXPLAIN, ScreenFilter(project=project))
    await stage.wait_for_text("Last builds")


async def test_its_actions_apply_to_the_project(farm: SimFarm) -> None:
    connection = MasterConnection(farm.address, operator_name="ada@here")
    async with run_console(connection) as stage:
        await stage.wait_until(lambda: stage.console.farm.has_snapshot, "the farm is known")
        project = farm.model.builds[-1].project
        await open_page(stage, project)
        await stage.press("y")
        await stage.wait_until(lambda: farm.received_commands, "the master was asked")
        bodies: list[object] = [Retry(project=project)]
        assert [command.body for command in farm.received_commands] == bodies
        await stage.press("i")
        await stage.wait_for_text("Cancel")
        await stage.press("ctrl+u", *"broken", "enter")
        await stage.wait_until(lambda: len(farm.received_commands) > 1, "the master was asked")
        bodies.append(Skip(project=project, reason="broken"))
        assert [command.body for command in farm.received_commands] == bodies
