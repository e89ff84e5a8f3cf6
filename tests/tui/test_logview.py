"""The log: it follows until the reader scrolls up, searches, jumps to the error, saves."""

import time
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from piwheels.errors import PiwheelsError
from piwheels.tui.widgets.logtext import LogText
from piwheels.tui.widgets.logview import LogView


class Bench(App[None]):
    """A log alone on a screen."""

    def __init__(self, *, wrap: bool = False, text: LogText | None = None) -> None:
        super().__init__()
        self.log_view = LogView(wrap=wrap, text=text)
        self.heard: list[bool] = []

    def compose(self) -> ComposeResult:
        yield self.log_view

    def on_log_view_follow_changed(self, message: LogView.FollowChanged) -> None:
        self.heard.append(message.following)

    def lines(self) -> list[str]:
        view = self.log_view
        return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


async def drawn(app: Bench, pilot: Pilot[None]) -> None:
    """Once what was appended is on the screen: a flood waits for the next frame."""
    while app.log_view._waits:
        await pilot.pause(0.005)
    await pilot.pause()


def numbered(start: int, end: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(start, end))


async def test_the_log_follows_its_end() -> None:
    app = Bench()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await drawn(app, pilot)
        assert app.lines()[9] == "line 99"
        assert "following" in app.lines()[10]
        app.log_view.append(b"half a li")
        await drawn(app, pilot)
        assert app.lines()[9] == "half a li"


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("how", ["up", "pageup", "home", "wheel"])
async def test_a_reader_who_scrolls_up_stays_where_they_are(how: str, wrap: bool) -> None:
    app = Bench(wrap=wrap)
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await drawn(app, pilot)
        if how == "wheel":
            await pilot._post_mouse_events([events.MouseScrollUp], LogView, (5, 5), button=0)
        else:
            await pilot.press(how)
        assert not app.log_view.following
        before = app.lines()[:10]
        for number in range(100, 140, 20):
            app.log_view.append(numbered(number, number + 20))
            await drawn(app, pilot)
        await drawn(app, pilot)
        assert app.lines()[:10] == before
        assert "PAUSED: 40 new lines below" in app.lines()[10]
        await pilot.press("end")
        assert app.lines()[9] == "line 139"
        assert app.heard == [False, True]


async def test_scrolling_back_to_the_end_follows_again() -> None:
    app = Bench()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await drawn(app, pilot)
        await pilot.press("up", "up", "down")
        assert not app.log_view.following
        await pilot.press("down")
        assert app.log_view.following


async def test_lines_that_go_at_the_top_do_not_move_the_reader() -> None:
    app = Bench(text=LogText(max_lines=200))
    async with app.run_test(size=(90, 11)) as pilot:
        app.log_view.append(numbered(0, 200))
        await drawn(app, pilot)
        await pilot.press("pageup", "pageup")
        before = app.lines()[:10]
        app.log_view.append(numbered(200, 230))
        await drawn(app, pilot)
        assert app.log_view.text.first > 0
        assert app.lines()[:10] == before
        assert "are not kept" in app.lines()[10]


async def test_search_goes_round_and_says_where_it_is() -> None:
    app = Bench()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 300))
        await drawn(app, pilot)
        await pilot.press("home")
        assert app.log_view.search("LINE 7") is False
        assert app.log_view.search("line 7")
        assert app.log_view.current == 7
        assert "line 7: 1 of 11" in app.lines()[10]
        assert app.log_view.search_next()
        assert app.log_view.current == 70
        assert "line 70" in app.lines()
        app.log_view.search_previous()
        app.log_view.search_previous()
        assert app.log_view.current == 79
        app.log_view.search_next()
        assert app.log_view.current == 7
        app.log_view.append(b"line 7 again\n")
        assert app.log_view.matches == 12


async def test_a_match_on_the_last_page_does_not_run_away() -> None:
    app = Bench()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await drawn(app, pilot)
        assert app.log_view.search("line 95")
        app.log_view.append(numbered(100, 150))
        await drawn(app, pilot)
        assert "line 95" in app.lines()


async def test_the_first_error_is_jumped_to_and_the_next_follow() -> None:
    app = Bench()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 50))
        assert not app.log_view.first_error()
        assert "errors: not found" in app.lines()[10]
        app.log_view.append(b"a.c:1:1: fatal error: no ffi.h\n" + numbered(50, 99) + b"error: x\n")
        await drawn(app, pilot)
        assert app.log_view.first_error()
        assert app.log_view.current == 50
        assert any("ffi.h" in line for line in app.lines())
        app.log_view.search_next()
        assert app.log_view.current == 100


async def test_long_lines_wrap_or_are_looked_at_sideways() -> None:
    app = Bench()
    async with app.run_test(size=(40, 11)) as pilot:
        app.log_view.append(b"0123456789" * 7 + "日本語".encode() * 20 + b"\nnext\n")
        await drawn(app, pilot)
        assert app.lines()[1] == "next"
        await pilot.press("right")
        assert app.lines()[0].startswith("6789")
        app.log_view.set_wrap(True)
        await pilot.pause()
        assert app.lines()[0] == "0123456789" * 4
        assert app.lines()[1].startswith("0123456789" * 3 + "日本語日本")
        assert app.lines().index("next") == 5
        await pilot.resize_terminal(80, 11)
        await pilot.pause()
        assert app.lines().index("next") == 3


async def test_saving_is_whole_or_says_why_not(tmp_path: Path) -> None:
    app = Bench()
    async with app.run_test(size=(40, 11)):
        app.log_view.append(b"one\n\x1b[31mtwo\x1b[0m\nthr")
        app.log_view.save(tmp_path / "log.txt")
        assert (tmp_path / "log.txt").read_text() == "one\ntwo\nthr\n"
        with pytest.raises(PiwheelsError, match=r"is there already"):
            app.log_view.save(tmp_path / "log.txt")
        with pytest.raises(PiwheelsError, match=r"cannot save to .*No such file"):
            app.log_view.save(tmp_path / "nowhere" / "log.txt")
        with pytest.raises(PiwheelsError, match=r"cannot save to .*Is a directory"):
            app.log_view.save(tmp_path, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


async def test_a_cleared_log_begins_again() -> None:
    app = Bench()
    async with app.run_test(size=(40, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await pilot.press("home")
        app.log_view.search("line 5")
        app.log_view.clear()
        app.log_view.append(b"another\n")
        app.log_view.end()
        await drawn(app, pilot)
        assert app.lines()[0] == "another"
        assert "ended" in app.lines()[10]


async def test_a_hundred_thousand_lines_open_fast() -> None:
    app = Bench()
    async with app.run_test(size=(120, 40)) as pilot:
        data = b"".join(
            b"copying file number %06d to build/lib/package\n" % n for n in range(100_000)
        )
        began = time.process_time()
        app.log_view.append(data)
        await drawn(app, pilot)
        assert "99999" in app.lines()[38]
        assert time.process_time() - began < 1
