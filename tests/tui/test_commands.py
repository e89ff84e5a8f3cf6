"""Every action by its key, and what the simulated master was asked then."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from piwheels.protocol.messages import (
    Body,
    Order,
    OrderBuilders,
    Pause,
    Prioritise,
    Quit,
    Resume,
    Retry,
    Skip,
)
from piwheels.tui.actions import ACTIONS, BY_NAME
from piwheels.tui.app import Console
from piwheels.tui.dialogs import ConfirmDialog
from piwheels.tui.fates import Turn
from piwheels.tui.link import Link
from tests.simfarm import SimFarm, World
from tests.simfarm.server import socket_in
from tests.tui.stage import Stage, on_stage

YES = ("right", "enter")


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    """Eight builders that stand still, pi006 to pi008 with a build in hand."""
    async with SimFarm(socket_in(tmp_path), World(builders=8), hz=0) as farm:
        yield farm


@pytest.fixture
async def stage(farm: SimFarm) -> AsyncIterator[Stage]:
    async with on_stage(Link(farm.address, who="ada@here")) as stage:
        await stage.until_shown("pi007")
        yield stage


def bodies(farm: SimFarm) -> list[Body]:
    return [asked.body for asked in farm.asked]


async def at(stage: Stage, label: str) -> None:
    """Put the cursor on a builder."""
    stage.table.table.move_cursor(label)
    await stage.pilot.pause()


def order(what: Order, *labels: str, at_once: bool = False, rolling: int = 0) -> OrderBuilders:
    return OrderBuilders(order=what, builders=labels, at_once=at_once, rolling=rolling)


def release(farm: SimFarm, label: str) -> tuple[str, str, str]:
    view = next(view for view in farm.world.snapshot().status.builders if view.label == label)
    return view.project, view.version_built, view.target


@pytest.mark.parametrize(
    ("name", "keys", "body"),
    [
        ("pause", (), Pause()),
        ("resume", (), Resume()),
        ("quit_master", (*"quit", "enter"), Quit()),
        ("sleep", (), order(Order.SLEEP, "pi007")),
        ("sleep_now", YES, order(Order.SLEEP, "pi007", at_once=True)),
        ("wake", (), order(Order.WAKE, "pi007")),
        ("skip_build", YES, order(Order.SKIP, "pi007")),
        ("drain", (), order(Order.DRAIN, "pi007")),
        ("drain_rolling", YES, order(Order.DRAIN, "pi007", rolling=1)),
        ("kill", YES, order(Order.KILL, "pi007")),
    ],
)
async def test_keys_command_the_farm_and_its_builders(
    farm: SimFarm, stage: Stage, name: str, keys: tuple[str, ...], body: Body
) -> None:
    await at(stage, "pi007")
    await stage.press(BY_NAME[name].keys)
    if keys:
        await stage.until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        assert bodies(farm) == [], "nothing is sent before the answer"
        await stage.press(*keys)
    await stage.until(lambda: farm.asked, "the master was asked")
    assert bodies(farm) == [body]
    assert farm.asked[0].operator == "ada@here"
    assert farm.asked[0].identity
    # A rolling drain is under way until the builder has gone and come.
    told = {Turn.ACCEPTED, Turn.APPLIED} if name == "drain_rolling" else {Turn.APPLIED}
    await stage.until(lambda: next(iter(stage.console.fates)).turn in told, "its fate is known")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("retry", ()),
        ("skip_project", YES),
        ("unskip_project", ()),
        ("raise_priority", ("ctrl+u", "2", "enter")),
        ("usual_priority", ()),
    ],
)
async def test_keys_command_projects(
    farm: SimFarm, stage: Stage, name: str, keys: tuple[str, ...]
) -> None:
    project, version, target = release(farm, "pi007")
    expected = {
        "retry": Retry(project=project, version=version, target=target),
        "skip_project": Skip(project=project, reason="by an operator"),
        "unskip_project": Skip(project=project, reason=None),
        "raise_priority": Prioritise(project=project, version=version, by_s=7200.0),
        "usual_priority": Prioritise(project=project, version=version, by_s=0.0),
    }
    await at(stage, "pi007")
    await stage.press(BY_NAME[name].keys)
    if keys:
        await stage.until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        await stage.press(*keys)
    await stage.until(lambda: farm.asked, "the master was asked")
    assert bodies(farm) == [expected[name]]


def test_every_action_that_changes_something_is_tried_above() -> None:
    tried = {
        *("pause", "resume", "quit_master", "sleep", "sleep_now", "wake", "skip_build", "drain"),
        *("drain_rolling", "kill", "retry", "skip_project", "unskip_project", "raise_priority"),
        "usual_priority",
    }
    assert {action.name for action in ACTIONS if action.changes} == tried


async def test_escape_and_cancel_send_nothing(farm: SimFarm, stage: Stage) -> None:
    await at(stage, "pi007")
    for answer in ("escape", "enter"):
        await stage.press("K")
        await stage.until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        await stage.press(answer)
        await stage.until(lambda: stage.console.screen is stage.table, "the dialog is gone")
    assert bodies(farm) == []


async def test_marked_rows_are_commanded_together_and_the_marks_come_off(
    farm: SimFarm, stage: Stage
) -> None:
    stage.table.table.set_marks({"pi006", "pi008"})
    await stage.press("d")
    await stage.until_shown("Drain 2 builders?")
    await stage.press(*YES)
    await stage.until(lambda: farm.asked, "the master was asked")
    (asked,) = bodies(farm)
    assert isinstance(asked, OrderBuilders)
    assert set(asked.builders) == {"pi006", "pi008"}
    assert stage.table.table.marks == frozenset()


async def test_a_dialog_keeps_the_targets_that_it_was_opened_on(
    farm: SimFarm, stage: Stage
) -> None:
    await at(stage, "pi006")
    await stage.press("K")
    await stage.until_shown("Kill pi006?")
    console: Console = stage.console
    before = console.farm.builders["pi006"].view
    await farm.step(30.0)  # builds end, rows move
    await stage.until(lambda: console.farm.builders["pi006"].view != before, "news came meanwhile")
    await stage.press(*YES)
    await stage.until(lambda: farm.asked, "the master was asked")
    assert bodies(farm) == [order(Order.KILL, "pi006")]


async def test_marks_that_the_filter_hides_are_counted(farm: SimFarm, stage: Stage) -> None:
    stage.table.table.set_marks({"pi006", "pi007"})
    await stage.press("slash", *"pi006", "enter")
    await stage.until(lambda: stage.keys == ["pi006"], "the filter holds")
    await stage.until_shown("1 hidden by the filter")
    await stage.press("K")
    await stage.until_shown("One of them is hidden by the filter.")
    await stage.press("escape")
    assert bodies(farm) == []


async def test_killing_all_wants_the_word(farm: SimFarm, stage: Stage) -> None:
    await stage.press("asterisk", "K")
    await stage.until_shown("Type kill to go on")
    await stage.press("right", "enter")  # the button is dead as yet: this is Cancel or nothing
    assert bodies(farm) == []
    if isinstance(stage.console.screen, ConfirmDialog):
        await stage.press("escape")
    await stage.press("K")
    await stage.until_shown("Type kill to go on")
    await stage.press(*"kill", "enter")
    await stage.until(lambda: farm.asked, "the master was asked")
    (asked,) = bodies(farm)
    assert isinstance(asked, OrderBuilders)
    assert len(asked.builders) == 8


async def test_a_refusal_is_shown_with_its_reason(farm: SimFarm, stage: Stage) -> None:
    farm.refuses = "the farm is being moved"
    await stage.press("p")
    await stage.until_shown("refused (the farm is being moved)")
    await stage.press("c")
    await stage.until_shown("the farm is being moved")
    assert stage.console.farm_screen.place == "fates"


async def test_a_command_to_a_master_that_is_away_fails_at_once_and_is_not_kept(
    farm: SimFarm, stage: Stage
) -> None:
    await farm.go()
    await stage.until_shown("LINK LOST")
    await stage.press("p")
    await stage.until_shown("pause: not sent")
    farm.come()
    await stage.until(lambda: stage.console.farm.connected, "the link is back")
    await stage.until_shown("it is the same master")
    assert bodies(farm) == []


async def test_a_new_master_is_told_from_the_old_one(farm: SimFarm, stage: Stage) -> None:
    await farm.go()
    await stage.until_shown("LINK LOST")
    farm.come(new=True)
    await stage.until_shown("A new master answers")


async def test_read_only_keys_are_dead_and_the_master_would_refuse_too(farm: SimFarm) -> None:
    async with on_stage(Link(farm.address, read_only=True)) as stage:
        await stage.until_shown("read only")
        await at(stage, "pi007")
        for action in ACTIONS:
            if action.changes:
                assert stage.console.able(action) in {None, False}
                await stage.press(action.keys)
        assert stage.console.screen is stage.table
        assert len(stage.console.fates) == 0
        assert bodies(farm) == []
        fate = await stage.console.source.command(Pause(), what="pause")
    assert fate.turn == "refused"
    assert not farm.world.paused


async def test_an_action_is_found_by_its_name(farm: SimFarm, stage: Stage) -> None:
    await at(stage, "pi007")
    await stage.press("colon")
    await stage.until_shown("What is to be done?")
    await stage.press(*"skip build")
    await stage.until_shown("Drop the build in hand")
    await stage.press("down", "enter")
    await stage.until_shown("Skip build pi007?")
    await stage.press(*YES)
    await stage.until(lambda: farm.asked, "the master was asked")
    assert bodies(farm) == [order(Order.SKIP, "pi007")]


async def test_enter_in_a_palette_without_a_search_changes_nothing(
    farm: SimFarm, stage: Stage
) -> None:
    await at(stage, "pi007")
    here = stage.console.screen
    await stage.press("colon")
    await stage.until_shown("Who builds what")
    await stage.press("enter")
    await stage.until(lambda: stage.console.screen is here, "the palette is closed")
    await stage.press("p")  # what the master is asked next is the first that it is asked
    await stage.until(lambda: farm.asked, "the master was asked")
    assert bodies(farm) == [Pause()]


async def test_what_is_typed_into_a_dialog_is_what_is_sent(farm: SimFarm, stage: Stage) -> None:
    await at(stage, "pi007")
    await stage.press(BY_NAME["skip_project"].keys)
    await stage.until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
    await stage.press("ctrl+u", *"broken", "enter")
    await stage.until(lambda: farm.asked, "the master was asked")
    project, _, _ = release(farm, "pi007")
    assert bodies(farm) == [Skip(project=project, reason="broken")]


async def test_the_bar_of_keys_can_be_clicked(farm: SimFarm, stage: Stage) -> None:
    await at(stage, "pi007")
    line = stage.text.splitlines()[-1]
    await stage.pilot.click("#keys", offset=(line.index("Drain"), 0))
    await stage.until(lambda: farm.asked, "the master was asked")
    assert bodies(farm) == [order(Order.DRAIN, "pi007")]
