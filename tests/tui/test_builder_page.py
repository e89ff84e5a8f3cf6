"""The page of a builder: what it shows at each size, and what the keys do on it."""

from dataclasses import replace as with_fields

import pytest
from msgspec.structs import replace

from piwheels.model import HostMetrics, SeriesWindow
from piwheels.protocol.messages import (
    BuilderChanged,
    BuilderCommand,
    BuilderRemoved,
    BuilderState,
    CommandBuilders,
    EventBatch,
    LogTail,
    ReadSeries,
    ShowBuilder,
    TailLog,
)
from piwheels.tui.app import DisplayOptions
from piwheels.tui.model.builder_lines import (
    BuilderFacts,
    clock_text,
    health_text,
    machine_text,
    short_board,
    short_system,
    state_text,
)
from piwheels.tui.model.builder_page import page_lines
from piwheels.tui.model.builder_pane import builder_pane
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.sensor_graphs import graph_lines
from piwheels.tui.model.state import Builder
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_builder import BUILDS, HOT, HOT_ALERT, PAGE, hot_source, series
from tests.tui.static_source import NOON, StaticSource
from tests.tui.test_screens import check_snapshot

FACTS = BuilderFacts(
    builder=Builder(HOT, NOON),
    now=NOON,
    alerts=(HOT_ALERT,),
    builds=BUILDS,
    page=PAGE,
    series={it.name.rpartition("/")[2]: it for it in series(SeriesWindow.HOUR).series},
    log_lines=[f"line {number}" for number in range(40)],
)


def with_host(**facts: object) -> BuilderFacts:
    view = replace(HOT, host=replace(HOT.host, **facts))
    return with_fields(FACTS, builder=Builder(view, NOON))


# --- the lines ---


@pytest.mark.parametrize("width", [38, 78, 118])
def test_the_page_fits_at_every_size(width: int) -> None:
    for height in range(5, 60):
        lines = page_lines(FACTS, width, height)
        assert all(len(line.text) <= width for line in (*lines.about, *lines.tail[:1]))
        used = len(lines.about) + 1 + lines.build_rows + len(lines.tail)
        assert used <= max(height, 4)
        assert "pi-17" in lines.about[0].text


@pytest.mark.parametrize("width", [38, 48, 78])
def test_the_pane_has_the_same_blocks(width: int) -> None:
    shown = builder_pane(FACTS, width, 36)
    text = "\n".join(line.text for line in shown)
    for words in ("▲ hot 38m, building", "Why slow: 83C", "25m usual", "Load", "usual 58", "Targets",
                  "Roots", "pyzmq 27.1.0", "1 timed-out", "Log of 1958"):  # fmt: skip
        assert words in text, text
    assert len(builder_pane(FACTS, 48, 36)) <= 36


def test_what_is_unknown_is_no_zero() -> None:
    bare = BuilderFacts(builder=Builder(replace(HOT, host=HostMetrics()), NOON), now=NOON)
    graphs = graph_lines(bare, 78)
    assert [line.text.split()[:2] for line in graphs[1:]] == [
        ["Load", "0.0"], ["Temperature", "-"], ["Memory", "-"], ["Disk", "-"],
    ]  # fmt: skip
    assert not any(bar in line.text for line in graphs for bar in "▁▂▃▄▅▆▇█")
    assert machine_text(bare) == "Raspberry Pi 4B, Debian 12"
    unknown = replace(HOT, host=HostMetrics(), clock_offset_s=None)
    assert "clock" not in health_text(with_fields(bare, builder=Builder(unknown, NOON)))


@pytest.mark.parametrize(
    ("board", "short"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "Raspberry Pi 4B"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "Raspberry Pi 3B Plus"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "Raspberry Pi Zero 2 W Rev 1.0"),
        ("x86_64", "x86_64"),
        ("", ""),
    ],
)
def test_boards_have_short_names(board: str, short: str) -> None:
    assert short_board(board) == short


def test_systems_have_short_names() -> None:
    assert short_system("Debian GNU/Linux 12 (bookworm); roots bookworm-armv7l") == "Debian 12"
    assert short_system("Fedora 43") == "Fedora 43"


@pytest.mark.parametrize(
    ("offset_s", "text"),
    [(-0.2, "-0.2s"), (0.0, "+0.0s"), (130.0, "+2m10"), (-1e9, "-11574d")],
)
def test_clocks_are_ahead_or_behind(offset_s: float, text: str) -> None:
    assert clock_text(offset_s) == text


def test_a_state_has_its_age_and_an_alert_comes_before_it() -> None:
    calm = with_fields(FACTS, alerts=(), now=NOON + 120)
    assert state_text(calm) == "● building 50m"
    assert state_text(FACTS) == "▲ hot 38m, building"
    lost = replace(HOT, state=BuilderState.LOST, state_s=360.0)
    assert state_text(with_fields(FACTS, builder=Builder(lost, NOON))) == "× lost 6m"
    muted = replace(HOT_ALERT, acknowledged_by="ada")
    assert state_text(with_fields(FACTS, alerts=(muted,))).startswith("▲ hot")


def test_a_disk_that_fills_tells_when_it_is_full() -> None:
    day = {it.name.rpartition("/")[2]: it for it in series(SeriesWindow.DAY).series}
    lines = graph_lines(with_fields(FACTS, series=day, window=SeriesWindow.DAY), 78)
    assert lines[4].text.split()[-3:] == ["full", "in", "20d"]
    hour = graph_lines(FACTS, 78)
    assert "full" not in hour[4].text  # the files of a build fill it


def test_hostile_figures_are_shown_in_their_places() -> None:
    absurd = with_host(
        load=1e12, temperature=-1e12, throttled_s=1e12, cpu_hz=1e12, max_cpu_hz=1e12, uptime_s=1e12,
        disk_total=1, disk_free=2**62, memory_total=1, memory_free=2**62,
    )  # fmt: skip
    for lines in (builder_pane(absurd, 48, 36), page_lines(absurd, 78, 20).about):
        assert all(line.text.isprintable() for line in lines)


# --- the screen ---


async def opened(stage: AppHarness) -> None:
    """Open the page of the hot builder from the table, and wait until it shows everything."""
    await stage.wait_for_text("pi-17")
    stage.table.table.move_cursor("pi-17")
    await stage.press("enter")
    await stage.wait_until(
        lambda: stage.console.current_screen.screen_name is ScreenName.BUILDER, "the page is open"
    )
    await stage.wait_for_text("1.9x its")
    await stage.wait_for_text("84C")


@pytest.mark.farm
@pytest.mark.parametrize("size", [(40, 20), (80, 24), (120, 40), (200, 60)])
async def test_the_page_matches_its_kept_screen(size: tuple[int, int]) -> None:
    async with run_console(hot_source(), size=size) as stage:
        await opened(stage)
        if size[1] > 20:
            await stage.wait_for_text("[414/1204]")
        check_snapshot(f"builder-{size[0]}x{size[1]}", stage.text)


@pytest.mark.farm
async def test_the_pane_beside_the_table_matches_its_kept_screen() -> None:
    async with run_console(hot_source(), size=(120, 40)) as stage:
        await stage.wait_for_text("pi-17")
        stage.table.table.move_cursor("pi-17")
        await stage.wait_for_text("[414/1204]")
        await stage.wait_for_text("84C")
        check_snapshot("builders-pane-120x40", stage.text)


@pytest.mark.farm
async def test_the_page_is_ascii_where_the_terminal_is() -> None:
    options = DisplayOptions(ascii_only=True)
    async with run_console(hot_source(), size=(80, 24), display_options=options) as stage:
        await opened(stage)
        assert stage.text.isascii()


@pytest.mark.farm
async def test_keys_of_builders_act_on_the_page_with_their_confirmation() -> None:
    source = hot_source()
    async with run_console(source, size=(80, 24)) as stage:
        await opened(stage)
        await stage.press("K")
        await stage.wait_for_text("scipy 2.1.0")
        assert not source.commands
        await stage.press("escape")
        await stage.press("z")
        await stage.wait_until(lambda: source.commands, "it is put to sleep")
        (command,) = source.commands
        assert isinstance(command, CommandBuilders)
        assert (command.command, command.builders) == (BuilderCommand.SLEEP, ("pi-17",))


@pytest.mark.farm
async def test_enter_opens_a_build_l_the_running_one_and_t_another_window() -> None:
    source = hot_source()
    async with run_console(source, size=(80, 24)) as stage:
        await opened(stage)
        await stage.press("t")
        names = tuple(f"builder/pi-17/{kind}" for kind in ("load", "temperature", "memory", "disk",
                                                           "throttled"))  # fmt: skip
        week = ReadSeries(names=names, window=SeriesWindow.WEEK)
        await stage.wait_until(lambda: week in source.sent, "the series of a week are requested")
        await stage.wait_for_text("7d, 6h a bar")
        await stage.press("down", "enter")
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_filter.build == BUILDS[1].build_id,
            "the page of the build is open",
        )
        await stage.press("escape", "l")
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_filter.build == 1958,
            "the log of the running build is open",
        )


@pytest.mark.farm
async def test_brackets_turn_to_the_pages_of_other_builders() -> None:
    async with run_console(hot_source(), size=(80, 24)) as stage:
        await stage.wait_for_text("pi-17")
        keys = stage.keys
        await opened(stage)
        await stage.press("right_square_bracket")
        following = keys[keys.index("pi-17") + 1]
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_filter == ScreenFilter(builder=following),
            "the next builder is shown",
        )


@pytest.mark.farm
async def test_a_builder_that_leaves_is_told_and_the_log_follows_its_next_build() -> None:
    source = hot_source()
    async with run_console(source, size=(80, 24)) as stage:
        await opened(stage)
        await stage.wait_for_text("[414/1204]")
        source.replies[LogTail] = LogTail(offset=0, data=b"another\n", running=True)
        following = replace(HOT, build=1959, project="numpy")
        source.emit_update(EventBatch(events=(BuilderChanged(builder=following),)))
        await stage.wait_for_text("another")
        assert TailLog(build=1959) in source.sent
        assert "[414" not in stage.text
        source.emit_update(EventBatch(events=(BuilderRemoved(label="pi-17"),)))
        await stage.wait_for_text("pi-17 is not connected")


@pytest.mark.farm
async def test_a_master_that_answers_nothing_leaves_what_the_console_knows() -> None:
    source = hot_source()
    source.replies.clear()
    async with run_console(source, size=(80, 24)) as stage:
        await stage.wait_for_text("pi-17")
        stage.table.table.move_cursor("pi-17")
        await stage.press("enter")
        await stage.wait_until(
            lambda: ShowBuilder(builder="pi-17") in source.sent, "its page is requested"
        )
        await stage.wait_for_text("83C, throttled 38 of 60 min")
        assert "1h: 7 built, 1 failed" in stage.text
        await stage.wait_for_text("Its history is not known: nothing is known of that.")


@pytest.mark.farm
async def test_a_hidden_page_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piwheels.tui.screens.builder_loader._MIN_TAIL_S", 0.01)
    monkeypatch.setattr("piwheels.tui.screens.builder_loader._LINES_PER_S", 1000.0)
    monkeypatch.setattr("piwheels.tui.screens.builder_loader._TICK_S", 0.01)
    source: StaticSource = hot_source()
    async with run_console(source, size=(80, 24)) as stage:
        await opened(stage)
        asked = source.sent.count
        tail = TailLog(build=1958, known=0)
        await stage.wait_until(lambda: len(source.sent) > 20, "the log is asked for repeatedly")
        assert asked(tail) >= 1
        await stage.press("1")
        before = len(source.sent)
        for _ in range(20):
            await stage.pilot.pause(0.01)
        assert len(source.sent) == before
