"""By mouse: what a key does, a click does, too."""

from pathlib import Path

import pytest
from textual import events
from textual.style import Style
from textual.widgets import Input, Static

from piwheels.protocol.messages import Pause
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.actions import TABS, action_named, actions_of
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.column_sheets import ColumnsSheet
from piwheels.tui.screens.dialogs import SheetScreen
from piwheels.tui.screens.finder import FinderScreen
from piwheels.tui.screens.help_screen import HelpScreen
from piwheels.tui.widgets.table import RowTable
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import builder, snapshot
from tests.tui.static_source import StaticSource

pytestmark = pytest.mark.farm

#: The screens of the default suite; the slow one has all of them.
_TRIED_FIRST = (ScreenName.OVERVIEW, ScreenName.BUILDERS)


def prepared_source() -> StaticSource:
    return StaticSource(snapshot(builders=(builder("pi-1", "idle"), builder("pi-2", "idle"))))


async def click(stage: AppHarness, words: str) -> None:
    """Click the first place with these words."""
    await stage.wait_for_text(words)
    lines = stage.text.splitlines()
    at = [number for number, line in enumerate(lines) if words in line]
    await stage.pilot.click(offset=(lines[at[0]].index(words) + 1, at[0]))
    await stage.pilot.pause()


async def open_help(stage: AppHarness) -> HelpScreen:
    await click(stage, "? Keys")
    await stage.wait_until(lambda: isinstance(stage.console.screen, HelpScreen), "the help")
    help_screen = stage.console.screen
    assert isinstance(help_screen, HelpScreen)
    return help_screen


def clickable_actions(help_screen: HelpScreen) -> set[str]:
    content = help_screen.query_one("#keyhelp Static", Static).content
    styles = [span.style for span in getattr(content, "spans", [])]
    return {str(it.meta["@click"]) for it in styles if isinstance(it, Style) and it.meta}


@pytest.mark.parametrize(
    "screen_name",
    [
        pytest.param(tab.opens, marks=[] if tab.opens in _TRIED_FIRST else [pytest.mark.slow])
        for tab in TABS
        if tab.opens
    ],
)
async def test_every_key_of_a_screen_is_a_line_of_the_help_that_can_be_clicked(
    screen_name: ScreenName, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_console(prepared_source(), size=(100, 90), first_screen=screen_name) as stage:
        console = stage.console
        await stage.wait_until(lambda: console.farm.has_snapshot, "the farm is known")
        available = [it for it in actions_of(screen_name) if console.is_available(it)]
        help_screen = await open_help(stage)
        expected = {f"screen.perform({str(action.name)!r})" for action in available}
        assert clickable_actions(help_screen) == expected
        performed: list[Action] = []
        monkeypatch.setattr(console, "perform", performed.append)
        seen = [it for it in available if console.help_for(it)[:20] in stage.text]
        await click(stage, console.help_for(seen[-1])[:20])
        assert performed == [seen[-1]]
        assert console.screen is console.current_screen


async def test_a_click_in_the_help_commands_the_farm() -> None:
    source = prepared_source()
    async with run_console(source, size=(100, 90)) as stage:
        await open_help(stage)
        await click(stage, stage.console.help_for(action_named("pause"))[:20])
        await stage.wait_until(lambda: source.commands, "a command")
        assert [type(body) for body in source.commands] == [Pause]


@pytest.mark.parametrize("keys", [("K",), ("C",), ("s",), ("X",), ("c",), ("ctrl+k",), ("?",)])
async def test_a_click_beside_a_sheet_closes_it_and_sends_nothing(keys: tuple[str, ...]) -> None:
    source = prepared_source()
    async with run_console(source, size=(100, 40)) as stage:
        await stage.wait_until(lambda: stage.keys, "rows")
        await stage.press(*keys)
        await stage.wait_until(
            lambda: isinstance(stage.console.screen, SheetScreen | FinderScreen | HelpScreen), "it"
        )
        await stage.pilot.click(offset=(1, 1))
        await stage.wait_until(
            lambda: stage.console.screen is stage.console.current_screen, "it is closed"
        )
        assert source.commands == []


async def test_columns_are_chosen_and_moved_by_mouse() -> None:
    async with run_console(prepared_source(), size=(100, 40)) as stage:
        await stage.wait_until(lambda: stage.keys, "rows")
        before = [column.key for column in stage.table.table.columns]
        await stage.press("C")
        await stage.wait_until(lambda: isinstance(stage.console.screen, ColumnsSheet), "the sheet")
        await click(stage, "+ Name")
        await stage.wait_for_text("- Name")
        await click(stage, "+ State")
        await click(stage, "- State")
        await click(stage, "→ Move")
        await click(stage, "→ Move")
        await click(stage, "Enter Accept")
        await stage.wait_until(
            lambda: stage.console.screen is stage.console.current_screen, "it is closed"
        )
        after = [column.key for column in stage.table.table.columns]
        assert set(before) - set(after) == {"label"}
        assert after.index("state") == 1


async def test_a_text_is_accepted_by_mouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with run_console(prepared_source(), size=(100, 40)) as stage:
        await stage.wait_until(lambda: stage.keys, "rows")
        await stage.press("X")
        await stage.wait_for_text("Enter Accept")
        await click(stage, "Enter Accept")
        await stage.wait_until((tmp_path / "builders.csv").exists, "the file")


async def test_a_filter_is_kept_by_mouse() -> None:
    async with run_console(prepared_source(), size=(100, 40)) as stage:
        await stage.wait_until(lambda: stage.keys, "rows")
        wanted = stage.keys[0]
        await stage.press("slash", *wanted)
        await click(stage, "Enter Keep")
        assert not stage.table.query_one(Input).display
        assert stage.keys == [wanted]


@pytest.mark.parametrize("wheel", [events.MouseScrollRight, events.MouseScrollDown])
async def test_the_wheel_scrolls_columns(wheel: type[events.MouseEvent]) -> None:
    async with run_console(prepared_source(), size=(40, 20)) as stage:
        await stage.wait_until(lambda: stage.keys, "rows")
        table = stage.table.table
        before = table.columns_place
        assert before
        await stage.pilot._post_mouse_events(
            [wheel], RowTable, (5, 5), button=0, shift=wheel is events.MouseScrollDown
        )
        await stage.wait_until(lambda: table.columns_place != before, "other columns")


def type_ahead(stage: AppHarness, *keys: str) -> None:
    """Press keys faster than the console answers: all have come before the first is read."""
    for key in keys:
        stage.console.post_message(events.Key(key, key if len(key) == 1 else None))


@pytest.mark.parametrize("opening", ["ctrl+k", "colon"])
async def test_what_is_typed_after_the_finders_key_is_for_the_finder(opening: str) -> None:
    source = prepared_source()
    async with run_console(source, size=(100, 40)) as stage:
        await stage.wait_until(lambda: stage.keys, "rows")
        type_ahead(stage, opening, *"pi-1")

        def typed() -> str:
            return "".join(line.value for line in stage.console.screen.query(Input))

        await stage.wait_until(lambda: typed() == "pi-1", "it is typed")
        assert isinstance(stage.console.screen, FinderScreen)
        assert source.commands == []
