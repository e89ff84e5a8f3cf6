"""The finder: what it lists, what Enter does, and that a slow master delays nothing."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from textual.widgets import Input

from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.messages import (
    BuilderCommand,
    CommandBuilders,
    Pause,
    ProjectHits,
    RequestBody,
    Retry,
    SearchProjects,
)
from piwheels.tui.app import DisplayOptions
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.finder import FinderEntry, Kind, match_rank
from piwheels.tui.model.finder_query import FinderQuery, parse_query
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.dialogs import ConfirmDialog
from piwheels.tui.screens.finder import FinderScreen
from piwheels.tui.widgets.finder_list import FinderList
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.server import control_address
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import PROJECT_HITS, snapshot
from tests.tui.static_source import StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console

_Reply = TypeVar("_Reply")


def prepared_source(**options: bool) -> StaticSource:
    source = StaticSource(snapshot(), **options)
    source.replies[ProjectHits] = PROJECT_HITS
    return source


async def open_finder(stage: AppHarness, key: str = "ctrl+k") -> None:
    await stage.wait_until(lambda: stage.console.farm.has_snapshot, "the farm is known")
    await stage.press(key)
    await stage.wait_for_text("Esc: close")


def found(stage: AppHarness) -> FinderList:
    return stage.console.screen.query_one(FinderList)


def highlighted(stage: AppHarness) -> str:
    entry = found(stage).highlighted
    return entry.name if entry else ""


async def test_it_starts_with_the_screens_and_without_a_highlight() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await open_finder(stage, "colon")
        assert highlighted(stage) == ""
        assert all(entry.action is None for entry in found(stage).entries)
        await stage.press("enter")
        assert isinstance(stage.console.screen, FinderScreen)
        await stage.press("down", "enter")
        await stage.wait_for_text("Longest now")  # the first screen is the overview
        assert not any(isinstance(body, SearchProjects) for body in source.sent)


async def test_projects_come_before_actions_and_enter_opens_the_project() -> None:
    source = prepared_source()
    async with run_console(source, size=(80, 24)) as stage:
        await open_finder(stage)
        await stage.press(*"num")
        await stage.wait_for_text("4 projects of 311,000")
        kinds = [entry.action is not None for entry in found(stage).entries]
        assert kinds == sorted(kinds)
        assert highlighted(stage) == "numpy"
        assert "2.3.5 on 6 of 7 targets  cp314" in stage.text
        assert "× build-requirement" in stage.text
        assert "Enter: open the page of numpy" in stage.text
        await stage.press("down", "tab")
        assert stage.console.screen.query_one(Input).value == "numexpr"
        await stage.wait_for_text("Enter: open the page of numexpr")
        await stage.press("enter")
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_filter.project == "numexpr", "its page"
        )


async def test_a_click_opens_an_entry() -> None:
    async with run_console(prepared_source(), size=(80, 24)) as stage:
        await open_finder(stage)
        await stage.press(*"num")
        await stage.wait_for_text("numba")
        names = [entry.name for entry in found(stage).entries]
        await stage.pilot.click("#found", offset=(12, names.index("numba")))
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_filter.project == "numba", "its page"
        )


@pytest.mark.parametrize(
    ("typed", "screen_name", "row"),
    [
        ("queues", ScreenName.QUEUES, ""),
        ("pi5-roof", ScreenName.BUILDER, "pi5-roof"),
        ("p5rf", ScreenName.BUILDER, "pi5-roof"),
        ("cp313-trixie-aarch64", ScreenName.QUEUES, "cp313-trixie-aarch64"),
        ("lxml 2.1.0", ScreenName.LOG, ""),
    ],
)
async def test_screens_builders_targets_and_builds_are_found_without_a_master(
    typed: str, screen_name: ScreenName, row: str
) -> None:
    source = StaticSource(snapshot())  # which answers no search
    async with run_console(source) as stage:
        await open_finder(stage)
        await stage.press(*typed.replace(" ", "~").replace("~", " "))
        await stage.wait_until(
            lambda: any(isinstance(body, SearchProjects) for body in source.sent),
            "the master was asked",
        )
        await stage.press("enter")
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_name is screen_name, "it is shown"
        )
        assert row in (stage.console.current_screen.current_row(), "")


async def test_without_results_page_keys_and_enter_do_nothing() -> None:
    async with run_console(StaticSource(snapshot())) as stage:
        await open_finder(stage)
        await stage.press("pageup", "pagedown", *"qqqqqq", "pageup", "down", "enter", "tab")
        assert isinstance(stage.console.screen, FinderScreen)
        await stage.wait_for_text("Nothing found here, and the master does not answer.")
        await stage.press("escape")
        await stage.wait_until(lambda: stage.console.screen is stage.table, "it is closed")


async def test_an_answer_without_a_project_is_told_and_not_confused_with_builders() -> None:
    source = prepared_source()
    source.replies[ProjectHits] = ProjectHits(hits=(), projects=311_000)
    async with run_console(source, size=(80, 24)) as stage:
        await open_finder(stage)
        await stage.press(*"PI05")
        await stage.wait_for_text("0 projects of 311,000")
        labels = [entry.name for entry in found(stage).entries if entry.kind is Kind.BUILDER]
        assert labels == ["pi5-cellar", "pi5-desk", "pi5-kitchen", "pi5-roof"]
        assert "Nothing found" not in stage.text
        await stage.press(*"qqqqqq")
        await stage.wait_for_text("Nothing found.")


@pytest.mark.parametrize("typed", ["pi-17", "pi17", "PI_017", "pi.17", "pi 17"])
@pytest.mark.parametrize("label", ["pi-17", "pi17", "pi017", "pi_0017"])
def test_a_builder_is_found_however_its_name_is_written(label: str, typed: str) -> None:
    assert match_rank(FinderEntry(Kind.BUILDER, label), typed) is not None
    assert match_rank(FinderEntry(Kind.BUILDER, label), "pi-170") is None
    assert match_rank(FinderEntry(Kind.BUILDER, "pi1070"), typed) in {None, 4}


async def test_in_ascii_every_cell_is_ascii() -> None:
    options = DisplayOptions(ascii_only=True)
    async with run_console(prepared_source(), display_options=options) as stage:
        await open_finder(stage)
        await stage.press(*"num")
        await stage.wait_for_text("x build-req")
        assert stage.text.isascii()


@pytest.mark.parametrize("size", [(40, 20), (80, 24), (120, 40), (200, 60)], ids=str)
async def test_it_fits(size: tuple[int, int]) -> None:
    async with run_console(prepared_source(), size=size) as stage:
        await open_finder(stage)
        await stage.press(*"num")
        await stage.wait_for_text("numcodecs")
        screen = stage.console.screen
        assert screen.region.contains_region(screen.query_one("#finder").region)
        assert "Enter: open the page of numpy" in stage.text


# --- the master ---


class SlowSource(StaticSource):
    """A source that answers a search when the test lets it."""

    def __init__(self) -> None:
        super().__init__(snapshot())
        self.waiting: dict[str, asyncio.Future[ProjectHits]] = {}

    async def request(self, body: RequestBody, reply_type: type[_Reply]) -> _Reply:
        if not isinstance(body, SearchProjects):
            return await super().request(body, reply_type)
        self.sent.append(body)
        self.waiting[body.text] = asyncio.get_running_loop().create_future()
        reply = await asyncio.shield(self.waiting[body.text])
        assert isinstance(reply, reply_type)
        return reply


async def test_a_slow_master_delays_no_key_and_old_answers_are_dropped() -> None:
    source = SlowSource()
    async with run_console(source) as stage:
        await open_finder(stage)
        await stage.press("n")
        await stage.wait_until(lambda: "n" in source.waiting, "the master was asked")
        await stage.press("u")
        assert stage.console.screen.query_one(Input).value == "nu"
        await stage.wait_until(lambda: "nu" in source.waiting, "it was asked again")
        source.waiting["n"].set_result(ProjectHits(hits=PROJECT_HITS.hits[:1], projects=7))
        await stage.pilot.pause(0.1)
        assert " of 7 ─" not in stage.text
        source.waiting["nu"].set_result(PROJECT_HITS)
        await stage.wait_for_text("4 projects of 311,000")


async def test_keys_in_quick_succession_are_one_question() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await open_finder(stage)
        stage.console.screen.query_one(Input).value = "n"
        stage.console.screen.query_one(Input).value = "num"
        await stage.wait_for_text("numcodecs")
        assert [body for body in source.sent if isinstance(body, SearchProjects)] == [
            SearchProjects(text="num")
        ]


async def test_enter_before_the_answer_opens_the_first_place_of_the_answer() -> None:
    source = SlowSource()
    async with run_console(source) as stage:
        await open_finder(stage)
        await stage.press(*"numpy", "enter")
        await stage.wait_until(lambda: "numpy" in source.waiting, "the master was asked")
        source.waiting["numpy"].set_result(PROJECT_HITS)
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_filter.project == "numpy", "its page"
        )


async def test_enter_before_the_answer_does_no_action() -> None:
    source = SlowSource()
    async with run_console(source) as stage:
        await open_finder(stage)
        await stage.press(*"pause", "enter")
        await stage.wait_until(lambda: "pause" in source.waiting, "the master was asked")
        source.waiting["pause"].set_result(ProjectHits(hits=(), projects=7))
        await stage.wait_for_text("Enter: Pause, which asks first")
        await stage.press("enter")
        await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        assert not source.commands


async def test_an_open_finder_draws_and_asks_nothing() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await open_finder(stage)
        await stage.pilot.pause(0.3)
        drawn: list[object] = []
        stage.console._display = lambda *what: drawn.append(what)  # type: ignore[method-assign]
        sent = len(source.sent)
        for _ in range(5):
            stage.console.schedule_refresh()
            await stage.pilot.pause(0.3)
        assert (drawn, len(source.sent)) == ([], sent)


# --- actions ---


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    async with SimFarm(control_address(tmp_path), FarmModel(builders=8), hz=0) as farm:
        yield farm


@pytest.fixture
async def stage(farm: SimFarm) -> AsyncIterator[AppHarness]:
    async with run_console(MasterConnection(farm.address, operator_name="ada@here")) as stage:
        await stage.wait_until(lambda: "pi007" in stage.keys, "it has a row")
        stage.table.table.move_cursor("pi007")
        await stage.pilot.pause()
        yield stage


async def choose_entry(stage: AppHarness, typed: str, name: str) -> None:
    """Type a text, and choose an entry by its name."""
    await open_finder(stage)
    await stage.press(*typed)
    await stage.wait_until(lambda: re.search(r"projects? of \d", stage.text), "the master answers")
    for _ in range(40):
        if highlighted(stage) == name:
            break
        await stage.press("down")
    assert highlighted(stage) == name
    await stage.press("enter")
    await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")


async def received(farm: SimFarm, stage: AppHarness) -> list[RequestBody]:
    await stage.press("right", "enter")
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    return [command.body for command in farm.received_commands]


async def test_an_action_on_the_row_opens_its_dialog(farm: SimFarm, stage: AppHarness) -> None:
    await choose_entry(stage, "cancel build", "Cancel build")
    assert "Cancel build pi007" in stage.text
    assert await received(farm, stage) == [
        CommandBuilders(builders=("pi007",), command=BuilderCommand.CANCEL_BUILD)
    ]


async def test_an_action_that_a_key_does_at_once_is_asked_for(
    farm: SimFarm, stage: AppHarness
) -> None:
    await choose_entry(stage, "pause", "Pause")
    await stage.press("escape")
    await stage.wait_until(lambda: stage.console.screen is stage.table, "it is closed")
    assert not farm.received_commands
    await choose_entry(stage, "pause", "Pause")
    assert await received(farm, stage) == [Pause()]


async def test_an_action_on_a_project_that_was_found(farm: SimFarm, stage: AppHarness) -> None:
    project = min(build.project for build in farm.model.builds)
    await choose_entry(stage, project, f"Retry {project}")
    assert await received(farm, stage) == [Retry(project=project)]


@pytest.mark.parametrize(
    ("typed", "query"),
    [
        ("numpy", ("", "numpy", "")),
        ("Numpy 2.3", ("", "numpy", "2.3")),
        ("numpy==v2.3", ("", "numpy", "2.3")),
        ("retry numpy 2.3.5", ("retry", "numpy", "2.3.5")),
        ("raise priority numpy", ("raise priority", "numpy", "")),
        ("retry", ("", "retry", "")),
        ("2.3", ("", "2.3", "")),
        ("", ("", "", "")),
    ],
)
def test_a_text_names_an_action_a_project_and_a_release(
    typed: str, query: tuple[str, str, str]
) -> None:
    assert parse_query(typed, ["Retry", "Skip", "Raise priority"]) == FinderQuery(*query)


async def test_a_release_that_is_typed_is_found_with_its_actions() -> None:
    source = prepared_source()
    async with run_console(source, size=(120, 40)) as stage:
        await open_finder(stage)
        await stage.press(*"numpy 2.3")
        await stage.wait_for_text("Enter: open the page of numpy 2.3.5")
        assert [body for body in source.sent if isinstance(body, SearchProjects)][-1] == (
            SearchProjects(text="numpy")
        )
        names = [entry.name for entry in found(stage).entries]
        assert names[:2] == ["numpy 2.3.5", "numpy"]
        assert "Retry numpy 2.3.5" in names
        assert "Skip project numpy" in names, "it skips the whole project"
        await stage.press("enter")
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_filter.version == "2.3.5", "its page"
        )


async def test_an_action_that_is_typed_with_a_release_opens_its_dialog() -> None:
    source = prepared_source()
    async with run_console(source, size=(120, 40)) as stage:
        await open_finder(stage)
        assert highlighted(stage) == ""
        await stage.press(*"retry numpy 2.3")
        await stage.wait_for_text("Enter: Retry numpy 2.3.5, which asks first")
        await stage.press("enter")
        await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        await stage.press("right", "enter")
        await stage.wait_until(lambda: source.commands, "it is sent")
        assert source.commands == [Retry(project="numpy", version="2.3.5")]


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_console_that_may_change_nothing_offers_no_action_on_projects(
    read_only: bool,
) -> None:
    source = prepared_source(read_only=read_only)
    if not read_only:
        source.emit_update(msgspec.structs.replace(snapshot(), role=ControlRole.WATCH))
    async with run_console(source) as stage:
        await open_finder(stage)
        await stage.press(*"num")
        await stage.wait_for_text("numcodecs")
        assert not any(entry.target for entry in found(stage).entries)
