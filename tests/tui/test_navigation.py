"""The way through the console: screens, rows, filters, orders, problems, logs, settings."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from textual.widgets import Input, Static

from piwheels.errors import RejectedError
from piwheels.protocol.messages import (
    BuilderChanged,
    BuilderRemoved,
    BuildsReply,
    Explain,
    ListBuilds,
    LogChunk,
    StatusChanged,
)
from piwheels.tui.app import DisplayOptions
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.source_events import Connected
from piwheels.tui.screens.log import LogScreen
from piwheels.tui.settings import Settings
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import build_finished, builder, snapshot, status
from tests.tui.static_source import StaticSource
from tests.tui.test_screens import LOG, prepared_source

pytestmark = pytest.mark.farm  # each runs the whole console

TABS = list(ScreenName)[:8]
FIRST = ["pi4-loft", "pi4-attic", "pi4-hall"]  # quarantined, overdue, silent: problems come first


async def test_numbers_open_screens_and_escape_goes_back() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        for number, place in enumerate(TABS, 1):
            await stage.press(str(number))
            assert stage.console.current_screen.screen_name == place
        for place in reversed(TABS[:-1]):
            await stage.press("escape")
            assert stage.console.current_screen.screen_name == place
        await stage.press("escape")
        assert stage.console.current_screen.screen_name == "builders"


async def test_l_opens_the_log_of_a_builder_and_escape_returns_to_its_row() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("down", "l")
        await stage.wait_for_text("build 4702")
        await stage.wait_for_text("fatal error: jpeglib.h")
        await stage.press("escape")
        assert stage.table.table.cursor == "pi4-attic"


async def test_l_on_a_builder_without_a_build_says_so_and_stays() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi4-loft")
        stage.table.table.move_cursor("pi4-loft")
        await stage.press("l")
        await stage.wait_for_text("pi4-loft has no build whose log could be shown.")
        assert stage.console.current_screen.screen_name is ScreenName.BUILDERS


async def test_brackets_show_the_log_of_the_builder_before_and_after() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("j", "l")
        await stage.wait_for_text("build 4702")
        await stage.press("right_square_bracket")
        await stage.wait_for_text("build 4709")
        await stage.press("left_square_bracket")
        await stage.wait_for_text("build 4702")
        await stage.press("left_square_bracket")  # the row above has no build
        await stage.wait_for_text("There is no row before this one.")
        await stage.press("escape", "G")
        assert stage.table.table.cursor == stage.keys[-1]
        await stage.press("g", "j", "j", "k")
        assert stage.table.table.cursor == "pi4-attic"


async def test_a_queue_opens_its_next_jobs_and_its_builders() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("4", "down", "enter")
        assert stage.console.current_screen.screen_name == "queue"
        await stage.wait_for_text("cp311-trixie-aarch64 only")
        await stage.press("escape")
        await stage.act("show_builders")
        assert stage.console.current_screen.screen_name == "builders"
        assert len(stage.keys) == 9
        await stage.press("escape", "home")
        await stage.act("show_builders")
        await stage.wait_for_text("No matching rows")  # nobody serves the first target


async def test_explain_queries_the_release_of_the_row() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("down", "e")
        await stage.wait_for_text("jpeglib.h is missing")
        query = Explain(project="grpcio", version="2.1.0", target="cp313-trixie-aarch64")
        assert query in source.sent


# --- rows ---


async def test_a_filter_hides_rows_and_escape_shows_them() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("slash")
        await stage.wait_for_text("Filter: words that rows contain")
        assert stage.text.splitlines()[-1].strip() == "Enter Keep  Esc Clear"
        await stage.press(*"pi5", "enter")
        assert "Filter: " not in stage.text
        assert "? Keys" in stage.text
        assert all(key.startswith("pi5") for key in stage.keys)
        await stage.wait_for_text("filter: pi5")
        await stage.press("slash", *" no such", "enter")
        await stage.wait_for_text("No matching rows for")
        await stage.press("escape")
        assert len(stage.keys) == 9


async def test_problems_come_first_and_columns_sort_by_key_and_mouse() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        assert stage.keys[:3] == FIRST
        await stage.press("s")
        await stage.wait_for_text("the usual order: by trouble")
        await stage.press("down", "down", "enter")
        assert stage.table.view.sort == "label"
        assert stage.keys == sorted(stage.keys)
        await stage.act("reverse_sort")
        assert stage.keys == sorted(stage.keys, reverse=True)
        header = stage.text.splitlines()[2]
        for descending in (False, True):
            await stage.pilot.click("RowTable", offset=(header.index("State") + 1, 0))
            assert (stage.table.view.sort, stage.table.view.reverse) == ("state", descending)
        await stage.pilot.click("RowTable", offset=(header.index("State") + 1, 0))
        assert stage.table.view.sort == ""
        assert stage.keys[:3] == FIRST


async def test_sorting_by_a_figure_begins_with_the_highest() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        header = stage.text.splitlines()[2]
        for descending in (True, False):
            await stage.pilot.click("RowTable", offset=(header.index("Taken") + 1, 0))
            assert (stage.table.view.sort, stage.table.view.reverse) == ("time", descending)
            assert stage.keys[0 if descending else 3] == "pi4-attic"  # four builders have a build
        await stage.pilot.click("RowTable", offset=(header.index("Taken") + 1, 0))
        assert stage.table.view.sort == ""


async def test_the_cursor_stays_on_its_row_when_rows_move() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("down", "down", "down")
        assert stage.table.table.cursor == "pi5-roof"
        source.emit_update(BuilderChanged(builder=builder("pi1-new", "lost")))
        source.emit_update(BuilderRemoved(label="pi4-loft"))
        source.emit_update(BuilderChanged(builder=builder("pi5-roof", "idle")))
        await stage.wait_until(lambda: stage.keys[0] == "pi1-new", "the rows have moved")
        assert stage.table.table.cursor == "pi5-roof"


async def test_n_goes_to_the_next_problem_on_every_screen() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        places = []
        for _ in range(4):
            await stage.press("n")
            places.append((stage.console.current_screen.screen_name, stage.table.table.cursor))
        assert ("builders", "pi4-attic") in places
        assert ("queues", "cp39-bullseye-armv7l") in places


async def test_marks_stay_with_their_rows() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("space", "space")
        assert stage.table.table.marks == {"pi4-loft", "pi4-attic"}
        source.emit_update(BuilderRemoved(label="pi4-loft"))
        await stage.wait_until(lambda: "pi4-loft" not in stage.keys, "it has gone")
        assert stage.table.table.marks == {"pi4-attic"}
        await stage.press("asterisk")
        assert len(stage.table.table.marks) == 8
        await stage.press("asterisk")
        assert not stage.table.table.marks


async def test_failed_builds_are_also_queried_from_the_master() -> None:
    source = prepared_source()
    source.replies[BuildsReply] = BuildsReply(
        builds=(build_finished(17, "old", "failed", "no cc", 900),)
    )
    async with run_console(source) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("3")
        await stage.act("failed")
        await stage.wait_until(
            lambda: stage.keys == ["4707", "4705", "17"], "failures alone are shown"
        )
        assert ListBuilds(limit=500, failed=True) in source.sent
        await stage.act("failed")
        assert "4708" in stage.keys


async def test_older_builds_are_listed_after_known_ones() -> None:
    source = prepared_source()
    older = (
        build_finished(4707, "pillow", "failed", "jpeglib.h", 3),
        build_finished(17, "old", "failed", "cc", 900),
    )
    source.replies[BuildsReply] = BuildsReply(builds=older)
    async with run_console(source) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("3")
        await stage.act("failed")
        await stage.wait_until(
            lambda: stage.keys == ["4707", "4705", "17"], "the newest come first"
        )
        await stage.press("end", "enter")
        await stage.wait_for_text("build 17 old 1.4.2")  # though the master's news do not hold it
        await stage.press("escape")
        await stage.act("failed")
        assert "17" not in stage.keys  # not among all, where others of its age are missing


async def test_only_rows_with_actions_can_be_marked() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        for place in ("queues", "host", "events"):
            await stage.act(place)
            await stage.press("space")
            await stage.pilot.click("RowTable", offset=(0, 2))
            assert not stage.table.table.marks


async def test_all_problems_that_n_finds_are_counted() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.wait_for_text(
            "× 2 ▲ 2 alerts"
        )  # three builders, and a queue that nobody serves


# --- what is heard, and what is not ---


def is_dimmed(stage: AppHarness) -> bool:
    return bool(stage.table.table.rich_style.dim)


async def test_a_lost_connection_keeps_a_dimmed_screen_with_its_age() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await stage.wait_for_text("pi5-roof")
        assert not is_dimmed(stage)
        source.disconnect("the connection ended")
        source.time += 185
        await stage.wait_for_text("LINK LOST, this is 3m old")
        assert "pi5-roof" in stage.text
        assert is_dimmed(stage)
        source.emit(Connected("one", same_master=True))
        source.emit_update(snapshot())
        await stage.wait_for_text("Reconnected; the master did not restart")
        assert not is_dimmed(stage)


async def test_a_paused_farm_looks_different_from_an_idle_one() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await stage.wait_for_text("running")
        source.emit_update(StatusChanged(status=status(paused=True)))
        await stage.wait_for_text("PAUSED")
        assert "running" not in stage.text.splitlines()[0]


async def test_build_clocks_advance_without_events_and_stop_with_the_connection() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await stage.wait_for_text("  14m")
        source.time += 61  # no message arrives
        await stage.wait_for_text("  15m")
        source.disconnect("the connection ended")
        await stage.wait_for_text("LINK LOST")
        source.time += 3600
        await stage.wait_for_text("LINK LOST, this is 1h")
        assert "1h15" not in stage.text


async def test_a_confirmation_shows_the_current_duration_of_a_build() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await stage.wait_for_text("  14m")
        source.time += 3600  # no message arrives
        await stage.press("asterisk", "K")
        await stage.wait_for_text("1h14 of work is lost")


async def test_old_counts_of_a_slow_database_show_their_age() -> None:
    source = prepared_source()
    async with run_console(source) as stage:
        await stage.wait_for_text("running")
        assert " ago)" not in stage.text
        source.emit_update(StatusChanged(status=status(counts_age_s=134.0)))
        await stage.wait_for_text("waiting (2m ago)")


async def test_nothing_is_drawn_when_nothing_changes() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.pilot.pause(0.5)
        drawn: list[object] = []
        stage.console._display = lambda *what: drawn.append(what)  # type: ignore[method-assign]
        for _ in range(5):
            stage.console.schedule_refresh()
            await stage.pilot.pause(0.3)
        assert drawn == []


# --- the log ---


async def open_log(stage: AppHarness) -> LogScreen:
    await stage.wait_for_text("pi5-roof")
    await stage.press("down", "l")
    await stage.wait_for_text("of 82")
    screen = stage.console.current_screen
    assert isinstance(screen, LogScreen)
    return screen


async def test_a_log_is_searched_forward_and_backward() -> None:
    async with run_console(prepared_source(), size=(100, 30)) as stage:
        screen = await open_log(stage)
        await stage.press("slash", *"part_1", "enter")
        assert screen.log_view.match_count == 11
        first = screen.log_view.current_match
        await stage.press("n")
        assert screen.log_view.current_match != first
        await stage.press("N")
        assert screen.log_view.current_match == first
        await stage.press("colon", *"3", "enter")
        await stage.wait_for_text(">    3 ")
        await stage.press("slash", *":4", "enter")
        await stage.wait_for_text(">    4 ")
        await stage.press("slash", *":9999", "enter")
        await stage.wait_for_text("This log has no line 9999.")
        await stage.press("slash", *"nowhere", "enter")
        await stage.wait_for_text("in this log")
        await stage.press("n")
        assert screen.log_view.current_line == 80
        await stage.wait_for_text("line 81 of 82, all read; errors 1 of 2")
        await stage.press("o")
        assert not screen.log_view.folding
        await stage.press("W")
        assert screen.log_view.wrap
        await stage.press("f")
        assert screen.log_view.following


async def test_e_goes_to_the_line_that_the_record_of_a_failed_build_names() -> None:
    async with run_console(prepared_source(), first_screen=ScreenName.BUILDS) as stage:
        await stage.wait_for_text("pillow")
        stage.table.table.move_cursor("4707")
        await stage.press("l")
        await stage.wait_for_text("of 82, all read")
        screen = stage.console.current_screen
        assert isinstance(screen, LogScreen)
        await stage.press("g", "e")
        assert screen.log_view.current_line == 80
        await stage.press("1", "2")
        stage.table.table.move_cursor("pi5-kitchen")  # no record yet
        await stage.press("l")
        await stage.wait_for_text("numpy 2.1.0")
        await stage.wait_for_text("errors")
        await stage.press("e")
        await stage.wait_for_text("this line reports an error")


async def test_a_log_is_saved_and_never_overwrites_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with run_console(prepared_source(), size=(100, 30)) as stage:
        await open_log(stage)
        for message in ("Saved as", "a.log exists"):
            await stage.press("S")
            await stage.wait_for_text("Save the log")
            await stage.press("ctrl+u", *"a.log", "enter")
            await stage.wait_for_text(message)
    assert (tmp_path / "a.log").read_bytes() == LOG


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("~nobody-of-this-name/a.log", "home directory"),
        ("x" * 300, "File name too long"),
        ("no/such/folder/a.log", "No such file"),
    ],
)
async def test_an_error_while_saving_a_log_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with run_console(prepared_source(), size=(120, 30)) as stage:
        await open_log(stage)
        await stage.press("S")
        await stage.wait_for_text("Save the log")
        stage.console.screen.query_one(Input).value = name
        await stage.press("enter")
        await stage.wait_for_text(message)
        assert "of 82, all read" in stage.text


async def test_received_lines_are_kept_when_the_rest_of_a_log_is_unavailable() -> None:
    source = prepared_source()

    async def breaks_off(build: int, **_: object) -> AsyncGenerator[LogChunk]:
        yield LogChunk(build=build, offset=0, data=LOG)
        raise RejectedError("the disk of the logs is gone")

    source.follow_log = breaks_off  # type: ignore[method-assign]
    async with run_console(source) as stage:
        await open_log(stage)
        await stage.wait_for_text("the disk of the logs is gone")
        assert "jpeglib.h" in stage.text


async def test_a_list_on_a_tiny_terminal_does_not_crash() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        for action, words in (("theme", "Colors"), ("find", "Esc: close")):
            await stage.act(action)
            await stage.wait_for_text(words)
            for size in ((1, 1), (3, 20), (20, 5), (120, 40)):
                await stage.pilot.resize_terminal(*size)
            await stage.wait_for_text(words)
            await stage.press("escape")


# --- settings ---


async def test_a_theme_is_saved() -> None:
    kept: list[Settings] = []
    source = prepared_source()
    async with run_console(source, save_settings=lambda it: kept.append(it) or "") as stage:  # type: ignore[func-returns-value]
        await stage.wait_for_text("pi5-roof")
        await stage.act("theme")
        await stage.wait_for_text("Colors")
        await stage.press("down", "enter")
        await stage.wait_until(lambda: kept, "it is kept")
        assert stage.console.theme == kept[0].theme == "piwheels-light"


async def test_a_changed_key_works_immediately_and_is_saved() -> None:
    kept: list[Settings] = []
    source = prepared_source()
    async with run_console(source, save_settings=lambda it: kept.append(it) or "") as stage:  # type: ignore[func-returns-value]
        await stage.wait_for_text("pi5-roof")
        await stage.act("change_key")
        await stage.wait_for_text("Change the key of which action?")
        await stage.press("down", "enter")  # the second is the screen of builders
        await stage.wait_for_text("Press the new key")
        await stage.press("f9")
        await stage.wait_until(lambda: kept, "it is kept")
        assert kept[0].keys == {"builders": "f9"}
        await stage.press("4", "f9")
        assert stage.console.current_screen.screen_name == "builders"


async def test_a_used_key_cannot_be_assigned() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.act("change_key")
        await stage.wait_for_text("Change the key of which action?")
        await stage.press("enter", "p")
        await stage.wait_for_text("taken by pause")
        assert stage.console.settings == Settings()


async def test_saved_keys_and_theme_apply_from_the_start() -> None:
    settings = Settings(keys={"pause": "f5"})
    source = prepared_source()
    async with run_console(
        source, size=(120, 100), settings=settings, display_options=DisplayOptions(theme="nord")
    ) as stage:
        await stage.wait_for_text("pi5-roof")
        assert stage.console.theme == "nord"
        await stage.press("p")
        assert source.commands == []
        await stage.press("f5")
        await stage.wait_until(lambda: source.commands, "the farm is paused")
        await stage.press("question_mark")
        await stage.wait_for_text("f5")


async def test_under_piw_up_quitting_says_what_happens_to_the_farm() -> None:
    async with run_console(
        prepared_source(), size=(120, 100), display_options=DisplayOptions(started_by_up=True)
    ) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("question_mark")
        await stage.wait_for_text("piw up then asks whether to stop the farm")
        assert "the farm keeps running" not in stage.text
        await stage.press("escape", "ctrl+c")
        await stage.wait_for_text("q: Quit the console; piw up then asks")


async def test_help_names_the_former_term_for_builders_once() -> None:
    async with run_console(prepared_source(), size=(100, 120)) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("question_mark")
        await stage.wait_for_text("Keys of the Builders screen")
        assert stage.text.count("slaves") == 1


async def test_pages_of_the_help_leave_no_line_out() -> None:
    async with run_console(prepared_source(), first_screen=ScreenName.FAILURES) as stage:
        await stage.press("question_mark")
        await stage.wait_for_text("Keys of the Failures screen")
        keys = stage.console.screen.query_one("#keyhelp")
        seen = stage.text
        while keys.scroll_target_y < keys.max_scroll_y:
            await stage.press("pagedown")
            await stage.wait_until(lambda: keys.scroll_y == keys.scroll_target_y, "it has scrolled")
            await stage.pilot.pause()
            seen += stage.text
        content = keys.query_one(Static).render()
        for line in filter(str.strip, str(content).splitlines()):
            assert line.rstrip() in seen


async def test_help_tells_how_to_scroll_and_how_to_run_what_has_no_key() -> None:
    async with run_console(prepared_source()) as stage:
        await stage.wait_for_text("pi5-roof")
        await stage.press("question_mark")
        await stage.wait_for_text("Arrows Scroll  ^k Type the action's name in the finder")
        await stage.press("end")
        await stage.wait_for_text("^k     ")


@pytest.mark.parametrize("theme", ["piwheels", "piwheels-light", "ansi-dark", "nord"])
async def test_text_color_differs_from_its_background_in_every_theme(theme: str) -> None:
    async with run_console(prepared_source(), display_options=DisplayOptions(theme=theme)) as stage:
        await stage.wait_for_text("pi5-roof")
        strips = stage.console.screen._compositor.render_strips()
        for segment in (segment for strip in strips for segment in strip if segment.text.strip()):
            style = segment.style
            assert style is not None
            own = style.color is not None and not style.color.is_default
            assert not own or style.color != style.bgcolor, segment


async def test_read_only_is_shown_before_a_master_answers() -> None:
    source = StaticSource(read_only=True)
    async with run_console(source) as stage:
        await stage.wait_for_text("Waiting for a master")
        await stage.wait_for_text("read-only")
