"""The way through the console: screens, rows, filters, orders, problems, logs, settings."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from textual.widgets import Input

from piwheels.errors import RefusedError
from piwheels.protocol.messages import (
    BuilderChanged,
    BuilderGone,
    BuildsReply,
    Explain,
    ListBuilds,
    LogPiece,
    Pulse,
)
from piwheels.tui.actions import PLACES
from piwheels.tui.app import Look
from piwheels.tui.screens.log import LogScreen
from piwheels.tui.settings import Settings
from piwheels.tui.source import Connected
from tests.tui.farm import builder, ended, snapshot, status
from tests.tui.stage import Stage, on_stage
from tests.tui.stillsource import StillSource
from tests.tui.test_screens import LOG, prepared

FIRST = ["pi4-loft", "pi4-attic", "pi4-hall"]  # quarantined, stuck, silent: problems come first


async def test_numbers_lead_to_screens_and_escape_back() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        for number, place in enumerate(PLACES, 1):
            await stage.press(str(number))
            assert stage.console.farm_screen.place == place
        for place in reversed(PLACES[:-1]):
            await stage.press("escape")
            assert stage.console.farm_screen.place == place
        await stage.press("escape")
        assert stage.console.farm_screen.place == "builders"


async def test_enter_leads_from_a_builder_to_its_log_and_back_to_the_same_row() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("down", "enter")
        await stage.until_shown("build 4702")
        await stage.until_shown("fatal error: jpeglib.h")
        await stage.press("escape")
        assert stage.table.table.cursor == "pi4-attic"


async def test_a_queue_leads_to_its_builds_and_to_its_builders() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("2", "down", "enter")
        assert stage.console.farm_screen.place == "builds"
        await stage.until_shown("of cp311-trixie-aarch64")
        assert set(stage.keys) == {"4708", "4707", "4706", "4705"}
        await stage.press("escape", "b")
        assert stage.console.farm_screen.place == "builders"
        assert len(stage.keys) == 9
        await stage.press("escape", "home", "b")
        await stage.until_shown("Nothing here is so")  # nobody serves the first target


async def test_explain_asks_about_the_release_of_the_row() -> None:
    source = prepared()
    async with on_stage(source) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("down", "e")
        await stage.until_shown("jpeglib.h is missing")
        assert source.asked[-1] == Explain(
            project="grpcio", version="2.1.0", target="cp313-trixie-aarch64"
        )


# --- rows ---


async def test_a_filter_narrows_and_escape_widens_again() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("slash", *"pi5", "enter")
        assert all(key.startswith("pi5") for key in stage.keys)
        await stage.until_shown("filter: pi5")
        await stage.press("slash", *" no such", "enter")
        await stage.until_shown("No row holds")
        await stage.press("escape")
        assert len(stage.keys) == 9


async def test_problems_come_first_and_columns_sort_by_key_and_by_mouse() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        assert stage.keys[:3] == FIRST
        await stage.press("s", "s")
        assert stage.table.sort == "label"
        assert stage.keys == sorted(stage.keys)
        await stage.press("S")
        assert stage.keys == sorted(stage.keys, reverse=True)
        header = stage.text.splitlines()[2]
        for descending in (False, True):
            await stage.pilot.click("RowTable", offset=(header.index("State") + 1, 0))
            assert (stage.table.sort, stage.table.reverse) == ("state", descending)
        await stage.pilot.click("RowTable", offset=(header.index("State") + 1, 0))
        assert stage.table.sort == ""
        assert stage.keys[:3] == FIRST


async def test_the_cursor_stays_with_its_row_when_rows_move() -> None:
    source = prepared()
    async with on_stage(source) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("down", "down", "down")
        assert stage.table.table.cursor == "pi5-roof"
        source.say(BuilderChanged(builder=builder("pi1-new", "lost")))
        source.say(BuilderGone(label="pi4-loft"))
        source.say(BuilderChanged(builder=builder("pi5-roof", "idle")))
        await stage.until(lambda: stage.keys[0] == "pi1-new", "the rows have moved")
        assert stage.table.table.cursor == "pi5-roof"


async def test_n_goes_from_problem_to_problem_on_every_screen() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        places = []
        for _ in range(4):
            await stage.press("n")
            places.append((stage.console.farm_screen.place, stage.table.table.cursor))
        assert ("builders", "pi4-attic") in places
        assert ("queues", "cp39-bullseye-armv7l") in places


async def test_marks_stay_with_their_rows_and_go_with_them() -> None:
    source = prepared()
    async with on_stage(source) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("space", "space")
        assert stage.table.table.marks == {"pi4-loft", "pi4-attic"}
        source.say(BuilderGone(label="pi4-loft"))
        await stage.until(lambda: "pi4-loft" not in stage.keys, "it has gone")
        assert stage.table.table.marks == {"pi4-attic"}
        await stage.press("asterisk")
        assert len(stage.table.table.marks) == 8
        await stage.press("asterisk")
        assert not stage.table.table.marks


async def test_failed_builds_are_asked_of_the_master_too() -> None:
    source = prepared()
    source.answers[BuildsReply] = BuildsReply(builds=(ended(17, "old", "failed", "no cc", 900),))
    async with on_stage(source) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("3", "f")
        await stage.until(lambda: stage.keys == ["4707", "4705", "17"], "failures alone are shown")
        assert source.asked[-1] == ListBuilds(limit=500, failed=True)
        await stage.press("f")
        assert "4708" in stage.keys


async def test_older_builds_stand_behind_those_that_are_known() -> None:
    source = prepared()
    older = (ended(4707, "pillow", "failed", "jpeglib.h", 3), ended(17, "old", "failed", "cc", 900))
    source.answers[BuildsReply] = BuildsReply(builds=older)
    async with on_stage(source) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("3", "f")
        await stage.until(lambda: stage.keys == ["4707", "4705", "17"], "the newest come first")
        await stage.press("end", "enter")
        await stage.until_shown("build 17 old 1.4.2")  # though the master's news do not hold it
        await stage.press("escape", "f")
        assert "17" not in stage.keys  # not among all, where others of its age are missing


async def test_only_what_can_be_acted_upon_is_marked() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        for place in ("2", "5", "7"):
            await stage.press(place, "space")
            await stage.pilot.click("RowTable", offset=(1, 2))
            assert not stage.table.table.marks


async def test_all_problems_are_counted_that_n_leads_to() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        await stage.until_shown("4 to look at")  # three builders, and a queue that nobody serves


# --- what is heard, and what is not ---


def dimmed(stage: Stage) -> bool:
    return bool(stage.table.table.rich_style.dim)


async def test_a_lost_link_keeps_the_frame_dims_it_and_tells_its_age() -> None:
    source = prepared()
    async with on_stage(source) as stage:
        await stage.until_shown("pi5-roof")
        assert not dimmed(stage)
        source.lose("the connection ended")
        source.time += 185
        await stage.until_shown("LINK LOST, this is 3m 00s old")
        assert "pi5-roof" in stage.text
        assert dimmed(stage)
        source.tell(Connected("one", same_master=True))
        source.say(snapshot())
        await stage.until_shown("it is the same master")
        assert not dimmed(stage)


async def test_a_paused_farm_does_not_look_like_an_idle_one() -> None:
    source = prepared()
    async with on_stage(source) as stage:
        await stage.until_shown("running")
        source.say(Pulse(status=status(paused=True)))
        await stage.until_shown("PAUSED")
        assert "running" not in stage.text.splitlines()[0]


async def test_clocks_of_builds_advance_on_a_quiet_farm_and_stop_with_the_link() -> None:
    source = prepared()
    async with on_stage(source) as stage:
        await stage.until_shown("12m 34s")
        source.time += 61  # no message arrives
        await stage.until_shown("13m 35s")
        source.lose("the connection ended")
        await stage.until_shown("LINK LOST")
        source.time += 3600
        await stage.until_shown("LINK LOST, this is 1h")
        assert "1h 13m" not in stage.text


async def test_a_question_names_the_time_that_a_build_has_taken_by_now() -> None:
    source = prepared()
    async with on_stage(source) as stage:
        await stage.until_shown("12m 34s")
        source.time += 3600  # no message arrives
        await stage.press("asterisk", "K")
        await stage.until_shown("pi5-roof: 1h 14m of lxml")


async def test_counts_that_a_slow_database_made_old_show_their_age() -> None:
    source = prepared()
    async with on_stage(source) as stage:
        await stage.until_shown("running")
        assert "counted" not in stage.text
        source.say(Pulse(status=status(counts_age_s=134.0)))
        await stage.until_shown("waiting, counted 2m 00s ago")


async def test_nothing_is_drawn_when_nothing_changes() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        await stage.pilot.pause(0.5)
        drawn: list[object] = []
        stage.console._display = lambda *what: drawn.append(what)  # type: ignore[method-assign]
        for _ in range(5):
            stage.console.paint_soon()
            await stage.pilot.pause(0.3)
        assert drawn == []


# --- the log ---


async def in_log(stage: Stage) -> LogScreen:
    await stage.until_shown("pi5-roof")
    await stage.press("down", "enter")
    await stage.until_shown("82 lines")
    screen = stage.console.farm_screen
    assert isinstance(screen, LogScreen)
    return screen


async def test_a_log_is_searched_forth_and_back() -> None:
    async with on_stage(prepared(), size=(100, 30)) as stage:
        screen = await in_log(stage)
        await stage.press("slash", *"part_1", "enter")
        assert screen.view.matches == 11
        first = screen.view.current
        await stage.press("n")
        assert screen.view.current != first
        await stage.press("N")
        assert screen.view.current == first
        await stage.press("slash", *"nowhere", "enter")
        await stage.until_shown("is not in this log")
        await stage.press("E")
        assert screen.view.current == 80
        await stage.press("w")
        assert screen.view.wrap
        await stage.press("f")
        assert screen.view.following


async def test_a_log_is_saved_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with on_stage(prepared(), size=(100, 30)) as stage:
        await in_log(stage)
        for said in ("Saved as", "is there already"):
            await stage.press("s")
            await stage.until_shown("Save the log")
            await stage.press("ctrl+u", *"a.log", "enter")
            await stage.until_shown(said)
    assert (tmp_path / "a.log").read_bytes() == LOG


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("~nobody-of-this-name/a.log", "home directory"),
        ("x" * 300, "File name too long"),
        ("no/such/folder/a.log", "No such file"),
    ],
)
async def test_a_log_that_cannot_be_saved_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with on_stage(prepared(), size=(120, 30)) as stage:
        await in_log(stage)
        await stage.press("s")
        await stage.until_shown("Save the log")
        stage.console.screen.query_one(Input).value = name
        await stage.press("enter")
        await stage.until_shown(said)
        assert "82 lines" in stage.text


async def test_lines_that_were_read_stay_when_the_rest_of_a_log_cannot_be_had() -> None:
    source = prepared()

    async def breaks_off(build: int, **_: object) -> AsyncGenerator[LogPiece]:
        yield LogPiece(build=build, offset=0, data=LOG)
        raise RefusedError("the disk of the logs is gone")

    source.follow_log = breaks_off  # type: ignore[method-assign]
    async with on_stage(source) as stage:
        await in_log(stage)
        await stage.until_shown("the disk of the logs is gone")
        assert "jpeglib.h" in stage.text


async def test_a_list_on_a_tiny_terminal_does_not_end_the_console() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        for key, words in (("T", "Colours"), ("colon", "What is to be done?")):
            await stage.press(key)
            await stage.until_shown(words)
            for size in ((1, 1), (3, 20), (20, 5), (120, 40)):
                await stage.pilot.resize_terminal(*size)
            await stage.until_shown(words)
            await stage.press("escape")


async def test_a_palette_that_finds_nothing_has_no_pages_to_turn() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("colon", "pageup", "pagedown", *"no such thing", "pageup", "end", "enter")
        await stage.until_shown("no such thing")
        await stage.press("escape")
        await stage.until(lambda: stage.console.screen is stage.table, "it is closed")


# --- settings ---


async def test_a_theme_is_kept() -> None:
    kept: list[Settings] = []
    async with on_stage(prepared(), keep=lambda it: kept.append(it) or "") as stage:  # type: ignore[func-returns-value]
        await stage.until_shown("pi5-roof")
        await stage.press("T")
        await stage.until_shown("Colours")
        await stage.press("down", "enter")
        await stage.until(lambda: kept, "it is kept")
        assert stage.console.theme == kept[0].theme == "piwheels-light"


async def test_a_key_is_changed_works_at_once_and_is_kept() -> None:
    kept: list[Settings] = []
    source = prepared()
    async with on_stage(source, keep=lambda it: kept.append(it) or "") as stage:  # type: ignore[func-returns-value]
        await stage.until_shown("pi5-roof")
        await stage.press("k")
        await stage.until_shown("The key of which action?")
        await stage.press("enter")  # the first is the screen of builders
        await stage.until_shown("Press the key")
        await stage.press("f9")
        await stage.until(lambda: kept, "it is kept")
        assert kept[0].keys == {"builders": "f9"}
        await stage.press("2", "f9")
        assert stage.console.farm_screen.place == "builders"


async def test_a_key_that_is_taken_is_not_given_away() -> None:
    async with on_stage(prepared()) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("k", "enter", "p")
        await stage.until_shown("That is the key of pause")
        assert stage.console.settings == Settings()


async def test_kept_keys_and_theme_hold_from_the_start() -> None:
    settings = Settings(keys={"pause": "f5"})
    source = prepared()
    async with on_stage(source, settings=settings, look=Look(theme="nord")) as stage:
        await stage.until_shown("pi5-roof")
        assert stage.console.theme == "nord"
        await stage.press("p")
        assert source.asked == []
        await stage.press("f5")
        await stage.until(lambda: source.asked, "the farm is paused")
        await stage.press("question_mark")
        await stage.until_shown("f5")


async def test_under_piw_up_the_console_says_what_happens_to_the_farm() -> None:
    async with on_stage(prepared(), look=Look(run_by_up=True)) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("question_mark")
        await stage.until_shown("piw up then asks whether to stop the farm")
        assert "the farm goes on" not in stage.text
        await stage.press("escape", "ctrl+c")
        await stage.until_shown("q: Leave the console; piw up then asks")


async def test_help_says_once_what_builders_were_called() -> None:
    async with on_stage(prepared(), size=(100, 80)) as stage:
        await stage.until_shown("pi5-roof")
        await stage.press("question_mark")
        await stage.until_shown("Keys of builders")
        assert stage.text.count("slaves") == 1


@pytest.mark.parametrize("theme", ["piwheels", "piwheels-light", "ansi-dark", "nord"])
async def test_text_is_told_from_its_ground_in_every_theme(theme: str) -> None:
    async with on_stage(prepared(), look=Look(theme=theme)) as stage:
        await stage.until_shown("pi5-roof")
        strips = stage.console.screen._compositor.render_strips()
        for segment in (segment for strip in strips for segment in strip if segment.text.strip()):
            style = segment.style
            assert style is not None
            own = style.color is not None and not style.color.is_default
            assert not own or style.color != style.bgcolor, segment


async def test_source_is_used_as_told() -> None:
    source = StillSource(read_only=True)
    async with on_stage(source) as stage:
        await stage.until_shown("Waiting for a master")
        await stage.until_shown("read only")
