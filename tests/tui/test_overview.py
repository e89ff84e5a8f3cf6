"""The overview: indicators against yesterday, lists that share the lines, rows that lead on."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from piwheels.model import (
    AlertRule,
    BuildHistory,
    FarmSeries,
    RefusedKey,
    SeriesBars,
    SeriesWindow,
)
from piwheels.protocol.messages import (
    BuilderCommand,
    CommandBuilders,
    FailuresReply,
    ReadSeries,
    SeriesReply,
    StatusChanged,
)
from piwheels.tui.model.bar_chart import bar_chart, bar_graph
from piwheels.tui.model.indicators import indicators
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.overview import builder_states, list_title, notice, share_lines
from piwheels.tui.model.source_events import Connected
from piwheels.tui.model.state import FarmState, from_snapshot
from piwheels.tui.screens.indicator_graphs import GraphSize, graph_lines
from piwheels.tui.settings import Settings
from piwheels.tui.widgets.table import RowTable
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import ALERTS, FAILURES, QUEUES, snapshot, status
from tests.tui.sample_series import SERIES
from tests.tui.static_source import NOON, StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console

EMPTY_QUEUES = tuple(replace(queue, pending=0, claimed=0, deferred=0) for queue in QUEUES)


def farm(**facts: object) -> FarmState:
    return from_snapshot(snapshot(**facts), NOON)


# --- indicators ---


def found(**values: tuple[float | None, float | None]) -> dict[str, SeriesBars]:
    """Series by their names, with a mean and that of the day before; bars are the mean."""
    return {
        FarmSeries[name.upper()]: SeriesBars(
            name=FarmSeries[name.upper()],
            means=(mean,) * 24,
            maxima=(mean,) * 24,
            mean=mean,
            mean_before=before,
        )
        for name, (mean, before) in values.items()
    }


@pytest.mark.parametrize(
    ("uptime_s", "before", "told"),
    [
        (180.0, 0, ("Built/h 3m", "40", 60.0)),  # two builds in three minutes
        (30.0, 0, ("Built/h 30s", "-", 60.0)),  # too short to tell
        (180.0, 7, ("Built/h", "2", 60.0)),  # an old farm whose master was restarted
        (7_200.0, 0, ("Built/h", "2", 60.0)),
    ],
)
def test_figure_and_bars_of_a_new_farm_are_of_the_time_that_it_ran(
    uptime_s: float, before: int, told: tuple[str, str, float]
) -> None:
    state = status(
        uptime_s=uptime_s,
        last_hour={"built": 2},
        build_history=BuildHistory(built=(before, 2), failed=(0, 0)),
    )
    built, *_ = indicators(state, found(built=(1, None), failed=(0, None)))
    assert (built.label, built.now, built.top) == told


def test_the_window_is_compared_with_the_period_before() -> None:
    built, good, *_ = indicators(status(), found(built=(1, 2), failed=(1, 0)))
    assert (built.mean, built.before, built.change) == ("60", "120", "-50%")
    assert (good.mean, good.before, good.change) == ("50%", "100%", "-50")
    assert built.is_worse
    assert good.is_worse


def test_a_little_less_than_before_is_not_worse() -> None:
    built, good, *_ = indicators(status(), found(built=(9, 10), failed=(0, 0)))
    assert (built.change, built.is_worse) == ("-10%", False)
    assert (good.change, good.is_worse) == ("0", False)


def test_a_young_farm_has_no_yesterday() -> None:
    built, good, *_ = indicators(status(), found(built=(1, None), failed=(0, None)))
    assert (built.before, built.change) == ("-", "")
    assert (good.before, good.change) == ("-", "")


def test_what_was_not_measured_is_unknown_and_not_zero() -> None:
    built, good, waiting, *_ = indicators(status(), found(built=(None, 2)))
    assert (built.mean, built.change, built.is_worse) == ("-", "", False)
    assert set(built.bars) == {None}
    assert (good.mean, good.bars) == ("-", ())
    assert (waiting.now, waiting.mean, waiting.top_text) == ("171", "-", "")


def test_a_full_bar_of_the_load_is_that_of_all_cores() -> None:
    host = replace(status().host, cores=4)
    *_, load = indicators(status(host=host), found(load=(1.0, 2.0)))
    assert (load.top, load.top_text, load.change) == (4, "4.0", "-50%")
    *_, load = indicators(status(host=host), found(load=(6.0, 0.0)))
    assert (load.top_text, load.change) == ("6.0", "")


def test_what_waits_is_worse_when_it_rises() -> None:
    *_, more = indicators(status(), found(waiting=(140, 100)))[:3]
    *_, fewer = indicators(status(), found(waiting=(40, 100)))[:3]
    assert (more.change, more.is_worse) == ("+40%", True)
    assert (fewer.change, fewer.is_worse) == ("-60%", False)


def test_no_value_is_above_its_top() -> None:
    series = found(built=(0.1, 1), waiting=(2, 2), load=(0.5, 1))
    built, _, waiting, _, load = indicators(status(), series)
    assert (built.now, built.top_text) == ("51", "51")
    assert (waiting.now, waiting.top_text) == ("171", "171")
    assert (load.now, load.top_text) == ("2.3", "2.3")


@pytest.mark.parametrize("width", [40, 41, 66])
@pytest.mark.parametrize("value", [9.0, 900.0, 20_000.0])
@pytest.mark.parametrize("window", SeriesWindow)
def test_a_graph_s_change_is_never_without_the_mean(
    width: int, value: float, window: SeriesWindow
) -> None:
    shown = indicators(status(), found(built=(value, value / 2), failed=(0, 1)))[:1]
    title = graph_lines(shown, window, GraphSize(width, height=4), ascii_only=False)[0]
    texts = [word.text for word in title]
    assert ("+100%" in texts) <= (f"mean {shown[0].mean}" in texts)
    assert "+100%" in texts
    assert sum(len(word.text) + word.gap_before for word in title) < width


@given(st.lists(st.floats(0, 1e9) | st.none(), max_size=60), st.integers(2, 8), st.booleans())
def test_a_graph_has_a_column_for_each_value_and_blanks_for_gaps(
    values: list[float | None], height: int, ascii_only: bool
) -> None:
    top = max((value for value in values if value is not None), default=0.0)
    lines = bar_graph(values, top=top, height=height, bar_cells=2, ascii_only=ascii_only)
    assert len(lines) == height
    assert all(len(line) == 2 * len(values) for line in lines)
    assert all(line.isascii() for line in lines) or not ascii_only
    for place, value in enumerate(values):
        column = "".join(line[2 * place] for line in lines)
        assert (not column.strip()) == (value is None)
        assert column.strip() == column.lstrip()  # no gap within a bar
        if value == 0:
            assert column.strip() == ("." if ascii_only else "▁")
        if value is not None and value == top > 0:
            assert len(column.strip()) == height


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
    assert counts["need you"] == 3  # overdue, silent, quarantined
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
    source.replies[FailuresReply] = FAILURES
    async with run_console(source, size=(80, 24), first_screen=ScreenName.OVERVIEW) as stage:
        await stage.wait_for_text("All built: 8,411 wheels for 9,120 releases of 1,204 projects.")
        assert "pip install --index-url http://wheels.example.org/simple/ NAME" in stage.text
        assert "Last wheel 1m ago: markupsafe 1.4.2" in stage.text
        await stage.wait_for_text("214 releases cannot be built, for 31 causes")
        assert "Waiting" not in stage.text
        source.emit_update(StatusChanged(status=status()))
        await stage.wait_until(lambda: "All built" not in stage.text, "there is work again")


def test_a_farm_without_builders_says_how_to_add_one() -> None:
    first, *others = notice(farm(builders=()), NOON)
    assert first == "No builder is connected; 171 jobs queued. To add one:"
    assert any("piw builder join" in line for line in others)


def test_a_farm_without_builders_says_which_keys_were_refused() -> None:
    at = datetime.fromtimestamp(NOON, UTC)
    keys = [RefusedKey("builder", f"{n}" * 64, at, f"192.0.2.{n}") for n in range(1, 8)]
    lines = notice(farm(builders=(), refused_keys=(keys[0],)), NOON)
    assert lines[-2:] == [
        "Not authorized yet: 1 key",
        "  builder key 1111111111111111 at 192.0.2.1",
    ]
    assert notice(farm(builders=(), refused_keys=tuple(keys)), NOON)[-1] == "  and 2 more"
    named = replace(keys[0], name="attic")
    lines = notice(farm(builders=(), refused_keys=(named,)), NOON)
    assert lines[-1] == "  builder attic, key 1111111111111111 at 192.0.2.1"


# --- graphs ---


def series_source() -> StaticSource:
    source = StaticSource(snapshot())
    source.replies[SeriesReply] = SERIES
    return source


def windows_asked(source: StaticSource) -> list[SeriesWindow]:
    return [body.window for body in source.sent if isinstance(body, ReadSeries)]


async def test_t_shows_the_next_window_and_keeps_it() -> None:
    source, kept = series_source(), list[Settings]()
    async with run_console(
        source,
        size=(80, 24),
        first_screen=ScreenName.OVERVIEW,
        save_settings=lambda it: kept.append(it) or "",  # type: ignore[func-returns-value]
    ) as stage:
        await stage.wait_for_text("bars of 1h")
        await stage.press("t")
        await stage.wait_for_text("bars of 6h")
        assert "7d before" in stage.text
        await stage.press("t")
        await stage.wait_for_text("bars of 1d")
        await stage.press("t")
        await stage.wait_for_text("bars of 2m")
        await stage.wait_until(lambda: len(windows_asked(source)) == 4, "each was asked for")
    assert windows_asked(source) == [
        SeriesWindow.DAY, SeriesWindow.WEEK, SeriesWindow.MONTH, SeriesWindow.HOUR
    ]  # fmt: skip
    assert [settings.window for settings in kept] == windows_asked(source)[1:]


async def test_the_window_of_the_last_run_is_shown() -> None:
    settings = Settings(window=SeriesWindow.WEEK)
    async with run_console(
        series_source(), size=(120, 40), first_screen=ScreenName.OVERVIEW, settings=settings
    ) as stage:
        await stage.wait_for_text("7d ago")
        assert stage.text.splitlines()[1].endswith("t 7d")


async def test_series_are_asked_for_again_after_a_reconnect() -> None:
    source = series_source()
    async with run_console(source, size=(80, 24), first_screen=ScreenName.OVERVIEW) as stage:
        await stage.wait_until(lambda: windows_asked(source), "it has asked")
        source.disconnect()
        await stage.wait_for_text("LINK LOST")
        source.emit(Connected("one", True))
        source.emit_update(snapshot())
        await stage.wait_until(lambda: len(windows_asked(source)) == 2, "it has asked again")


@pytest.mark.parametrize(("size", "graphs"), [((119, 40), 0), ((120, 40), 3), ((200, 60), 6)])
async def test_large_terminals_have_graphs(size: tuple[int, int], graphs: int) -> None:
    async with run_console(series_source(), size=size, first_screen=ScreenName.OVERVIEW) as stage:
        await stage.wait_for_text("█")
        assert stage.text.count("24h ago") == graphs
        assert ("bars of 1h" in stage.text) == (graphs == 0)


@pytest.mark.parametrize("window", SeriesWindow)
@pytest.mark.parametrize("width", [60, 70, 80, 110])
async def test_the_mean_stands_beside_its_change_at_every_width(
    width: int, window: SeriesWindow
) -> None:
    async with run_console(
        series_source(),
        size=(width, 24),
        first_screen=ScreenName.OVERVIEW,
        settings=Settings(window=window),
    ) as stage:
        await stage.wait_for_text("-12%")
        heading, built = stage.text.splitlines()[2:4]
        mean = built.split()[-3]
        end = heading.index("mean") + len("mean")
        assert built[:end].endswith(f" {mean}")
        assert built.rstrip().endswith("-12%")


async def test_a_narrow_terminal_says_what_its_changes_compare() -> None:
    async with run_console(
        series_source(), size=(40, 20), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("-12%")
        heading, built = stage.text.splitlines()[2:4]
        assert heading.rstrip().endswith("bars  mean vs before")
        assert len(heading.rstrip()) == len(built.rstrip())


@pytest.mark.parametrize("size", [(40, 20), (80, 24), (120, 40)])
async def test_lists_that_do_not_fit_say_so(size: tuple[int, int]) -> None:
    alerts = tuple(replace(ALERTS[0], alert_id=f"lost:pi{n}", subject=f"pi{n}") for n in range(30))
    queues = tuple(replace(QUEUES[0], target=f"cp3{n}-trixie-armv7l") for n in range(10, 40))
    source = StaticSource(snapshot(alerts=alerts, queues=queues))
    async with run_console(source, size=size, first_screen=ScreenName.OVERVIEW) as stage:
        await stage.wait_for_text("Built/h")
        for name in ("Alerts", "Queues"):
            shown = len(stage.console.screen.query_one(f"#{name.lower()}", RowTable).rows)
            title = list_title(name, 30, shown)
            assert f"{title} " in stage.text
            assert 0 < shown < 30
            assert len(title) <= 13


def test_the_title_of_a_list_tells_how_many_are_shown() -> None:
    assert list_title("Alerts", 7, 7) == "Alerts 7"
    assert list_title("Alerts", 7, 6) == "Alerts 6 of 7"
    assert list_title("Queues", 345, 12) == "Queues 12/345"


async def test_two_targets_differ_where_their_names_are_cut() -> None:
    names = ("cp311-bookworm-armv7l", "cp311-bookworm-aarch64")
    alerts = tuple(
        replace(ALERTS[0], alert_id=f"unserved:{name}", rule=AlertRule.UNSERVED, subject=name)
        for name in names
    )
    source = StaticSource(snapshot(alerts=alerts))
    async with run_console(source, size=(40, 20), first_screen=ScreenName.OVERVIEW) as stage:
        await stage.wait_for_text("unserved")
        subjects = [line.split()[-1] for line in stage.text.splitlines() if "unserved" in line]
        assert subjects == ["cp311-boo…rm-armv7l", "cp311-boo…m-aarch64"]


async def test_a_narrow_terminal_names_the_subjects_of_alerts() -> None:
    async with run_console(
        series_source(), size=(40, 20), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("Busy 4/9")
        assert "quarantined  1h35 pi4-loft" in stage.text


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
        assert sum(line.startswith(">") for line in stage.text.splitlines()) == 1


@pytest.mark.parametrize(
    ("downs", "screen_name", "subject"),
    [
        (0, ScreenName.BUILDER, "pi4-loft"),
        (1, ScreenName.QUEUE, "cp39-bullseye-armv7l"),
        (5, ScreenName.QUEUES, "cp311-trixie-aarch64"),
    ],
)
async def test_enter_goes_to_what_an_alert_or_a_queue_is_about(
    downs: int, screen_name: ScreenName, subject: str
) -> None:
    async with run_console(
        StaticSource(snapshot()), size=(80, 24), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("Longest now")
        await stage.press(*["down"] * downs, "enter")
        shown = stage.console.current_screen
        assert shown.screen_name is screen_name
        found = shown.screen_filter
        assert subject in {found.builder, found.target, shown.current_row()}
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
        await stage.wait_until(lambda: source.commands, "the command was sent")
    assert source.commands == [CommandBuilders(command=BuilderCommand.WAKE, builders=("pi4-loft",))]


async def test_a_click_is_the_cursor_and_a_double_click_opens_the_row() -> None:
    async with run_console(
        StaticSource(snapshot()), size=(80, 24), first_screen=ScreenName.OVERVIEW
    ) as stage:
        await stage.wait_for_text("Longest now")
        await stage.pilot.click("#queues", offset=(20, 2))
        assert cursor_of(stage) == ("queues", "cp311-trixie-aarch64")
        await stage.pilot.click("#queues", offset=(20, 2), times=2)
        assert stage.console.current_screen.screen_name is ScreenName.QUEUES


# --- the alerts screen ---


async def test_alerts_are_listed_the_worst_first_and_enter_goes_there() -> None:
    async with run_console(StaticSource(snapshot()), first_screen=ScreenName.ALERTS) as stage:
        await stage.wait_for_text("What is wrong")
        assert stage.keys == [
            "quarantined:pi4-loft", "unserved:cp39-bullseye-armv7l", "overdue:pi4-attic",
            "silent:pi4-hall", "heading Acknowledged 1, muted 1", "hot:pi5-roof",
            "disk:pi3-shed", "heading Cleared in 24h 1", "upstream",
        ]  # fmt: skip
        await stage.press("slash", *"armv7l", "enter")
        assert stage.keys == ["unserved:cp39-bullseye-armv7l"]
        await stage.press("enter")
        shown = stage.console.current_screen
        assert shown.screen_name is ScreenName.QUEUE
        assert shown.screen_filter.target == "cp39-bullseye-armv7l"


async def test_a_healthy_farm_has_no_alerts() -> None:
    source = StaticSource(snapshot(builders=(), queues=(), alerts=()))
    async with run_console(source, first_screen=ScreenName.ALERTS) as stage:
        await stage.wait_for_text("nothing needs your attention")
        assert "+ no alerts" in stage.text.splitlines()[0]
