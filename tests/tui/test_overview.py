"""The overview: indicators against yesterday, lists that share the lines, rows that lead on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from piwheels.model import BuildHistory
from piwheels.protocol.messages import BuilderCommand, CommandBuilders, StatusChanged
from piwheels.tui.model.bar_chart import bar_chart
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.overview import builder_states, indicators, notice, share_lines
from piwheels.tui.model.state import FarmState, from_snapshot
from piwheels.tui.widgets.table import RowTable
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import QUEUES, snapshot, status
from tests.tui.static_source import NOON, StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console

EMPTY_QUEUES = tuple(replace(queue, pending=0, claimed=0, deferred=0) for queue in QUEUES)


def farm(**facts: object) -> FarmState:
    return from_snapshot(snapshot(**facts), NOON)


# --- indicators ---


def test_today_is_compared_with_yesterday() -> None:
    history = BuildHistory(built=(10,) * 24 + (5,) * 24, failed=(0,) * 24 + (5,) * 24)
    built, good, *_ = indicators(farm(build_history=history), 24)
    assert (built.today, built.yesterday, built.change) == ("120", "240", "-50%")
    assert (good.today, good.yesterday, good.change) == ("50%", "100%", "-50")
    assert built.is_worse
    assert good.is_worse


def test_a_little_less_than_yesterday_is_not_worse() -> None:
    history = BuildHistory(built=(10,) * 24 + (9,) * 24, failed=(0,) * 48)
    built, good, *_ = indicators(farm(build_history=history), 24)
    assert (built.change, built.is_worse) == ("-10%", False)
    assert (good.change, good.is_worse) == ("+0", False)


def test_a_young_farm_has_no_yesterday() -> None:
    history = BuildHistory(built=(0,) * 46 + (4, 8), failed=(0,) * 48)
    built, good, *_ = indicators(farm(build_history=history), 24)
    assert built.chart == " " * 22 + "▄█"
    assert (built.yesterday, built.change) == ("-", "")
    assert (good.yesterday, good.change) == ("-", "")


def test_a_master_that_sends_no_history_has_no_chart() -> None:
    built, good, *_ = indicators(farm(build_history=BuildHistory()), 24)
    assert (built.now, built.chart, built.top) == ("51", "", "")
    assert (good.now, good.chart) == ("-", "")


@given(st.lists(st.floats(0, 1e9) | st.none(), max_size=60), st.booleans())
def test_a_chart_has_a_cell_for_each_value_and_fills_the_highest(
    values: list[float | None], ascii_only: bool
) -> None:
    chart, top = bar_chart(values, ascii_only=ascii_only)
    assert len(chart) == len(values)
    assert chart.isascii() or not ascii_only
    full = "#" if ascii_only else "█"
    for value, bar in zip(values, chart, strict=True):
        assert (bar == " ") == (value is None)
        assert value != top or top == 0 or bar == full


def test_builders_in_trouble_are_counted_together() -> None:
    counts = {count.state: count.number for count in builder_states(farm())}
    assert counts["in trouble"] == 3  # overdue, silent, quarantined
    assert sum(counts.values()) == 9


# --- lines ---


@given(st.integers(-5, 80), st.lists(st.integers(0, 60), min_size=1, max_size=5))
def test_lists_share_the_lines_and_none_is_wasted(available: int, counts: list[int]) -> None:
    lines = share_lines(available, counts)
    assert sum(lines) <= max(0, available)
    assert all(0 <= height <= 1 + rows for height, rows in zip(lines, counts, strict=True))
    assert all(height != 1 for height in lines[1:])
    complete = [1 + rows if rows else height for height, rows in zip(lines, counts, strict=True)]
    assert sum(lines) >= available - 1 or lines == complete


@pytest.mark.parametrize("size", [(40, 20), (60, 10), (80, 24), (109, 30), (120, 40), (200, 60)])
async def test_everything_fits_at_every_size(size: tuple[int, int]) -> None:
    async with run_console(
        StaticSource(snapshot()), size=size, first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("Built/h")
        assert len(stage.text.splitlines()) == size[1]
        overview = stage.console.screen.query_one("#overview").region
        for table in stage.console.screen.query(RowTable):
            if table.display:
                assert overview.contains_region(table.region), table.id
                assert table.size.height >= 1 + len(table.rows)


# --- notices ---


async def test_when_all_is_built_it_says_so_and_how_to_install() -> None:
    source = StaticSource(snapshot(queues=EMPTY_QUEUES))
    async with run_console(source, size=(80, 24), first_screen=ScreenName.OVERVIEW) as stage:
        await stage.wait_for_text("All built: 8,411 wheels for 9,120 releases of 1,204 projects.")
        assert "pip install --index-url http://wheels.example.org/simple/ NAME" in stage.text
        source.emit_update(StatusChanged(status=status()))
        await stage.wait_until(lambda: "All built" not in stage.text, "there is work again")


def test_a_farm_without_builders_says_how_to_add_one() -> None:
    first, *others = notice(farm(builders=()))
    assert first == "No builder is connected; 171 jobs queued. To add one:"
    assert any("piw builder --master" in line for line in others)


# --- rows ---


def cursor_of(stage: AppHarness) -> tuple[str | None, str | None]:
    table = stage.console.screen.focused
    assert isinstance(table, RowTable)
    return table.id, table.cursor


async def test_the_cursor_goes_from_list_to_list() -> None:
    async with run_console(
        StaticSource(snapshot()), size=(80, 24), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("Longest now")
        visited = []
        for _ in range(9):
            visited.append(cursor_of(stage))
            await stage.press("down")
        assert visited[0] == ("alerts", "quarantined:pi4-loft")
        assert [name for name, _ in visited] == ["alerts"] * 4 + ["queues"] * 2 + [
            "longest"] * 2 + ["ended"]  # fmt: skip
        await stage.press("tab")
        await stage.press("up")
        assert stage.text.count("▸") == 1


@pytest.mark.parametrize(
    ("downs", "screen_name", "cursor"),
    [
        (0, ScreenName.BUILDERS, "pi4-loft"),
        (1, ScreenName.QUEUES, "cp39-bullseye-armv7l"),
        (5, ScreenName.QUEUES, "cp311-trixie-aarch64"),
    ],
)
async def test_enter_goes_to_what_an_alert_or_a_queue_is_about(
    downs: int, screen_name: ScreenName, cursor: str
) -> None:
    async with run_console(
        StaticSource(snapshot()), size=(80, 24), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("Longest now")
        await stage.press(*["down"] * downs, "enter")
        assert stage.console.current_screen.screen_name is screen_name
        assert stage.table.table.cursor == cursor
        await stage.press("escape")
        assert stage.console.current_screen.screen_name is ScreenName.OVERVIEW


@pytest.mark.parametrize(("downs", "build"), [(6, 4702), (8, 4708)])
async def test_enter_opens_the_log_of_a_running_or_ended_build(downs: int, build: int) -> None:
    async with run_console(
        StaticSource(snapshot()), size=(80, 24), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("Longest now")
        await stage.press(*["down"] * downs, "enter")
        await stage.wait_for_text(f"build {build}")


async def test_an_alert_s_builder_can_be_woken_from_the_overview() -> None:
    source = StaticSource(snapshot())
    async with run_console(source, size=(80, 24), first_screen=ScreenName.OVERVIEW) as stage:
        await stage.wait_for_text("Longest now")
        await stage.press("w")
        await stage.wait_until(lambda: source.sent, "the command was sent")
    assert source.sent == [CommandBuilders(command=BuilderCommand.WAKE, builders=("pi4-loft",))]


async def test_a_click_opens_the_row_under_the_cursor() -> None:
    async with run_console(
        StaticSource(snapshot()), size=(80, 24), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("Longest now")
        await stage.pilot.click("#queues", offset=(20, 2))
        assert cursor_of(stage) == ("queues", "cp311-trixie-aarch64")
        await stage.pilot.click("#queues", offset=(20, 2))
        assert stage.console.current_screen.screen_name is ScreenName.QUEUES


# --- the alerts screen ---


async def test_alerts_are_listed_the_worst_first_and_enter_goes_there() -> None:
    async with run_console(StaticSource(snapshot()), first_screen=ScreenName.ALERTS) as stage:
        await stage.wait_for_text("What is wrong")
        assert stage.keys == [
            "quarantined:pi4-loft", "unserved:cp39-bullseye-armv7l", "overdue:pi4-attic",
            "silent:pi4-hall", "heading Acknowledged: 1, muted: 1", "hot:pi5-roof",
            "disk:pi3-shed", "heading Cleared in 24h: 1", "upstream",
        ]  # fmt: skip
        await stage.press("slash", *"armv7l", "enter")
        assert stage.keys == ["unserved:cp39-bullseye-armv7l"]
        await stage.press("enter")
        assert stage.table.table.cursor == "cp39-bullseye-armv7l"


async def test_a_healthy_farm_has_no_alerts() -> None:
    source = StaticSource(snapshot(builders=(), queues=(), alerts=()))
    async with run_console(source, first_screen=ScreenName.ALERTS) as stage:
        await stage.wait_for_text("nothing needs your attention")
        assert "✓ no alerts" in stage.text.splitlines()[0]
