"""The log view: it follows until one scrolls up, searches, finds errors, saves."""

from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip

from piwheels.errors import PiwheelsError
from piwheels.tui.widgets.log_buffer import LogBuffer
from piwheels.tui.widgets.log_file import save_log
from piwheels.tui.widgets.log_view import LogView


class LogViewApp(App[None]):
    """A log alone on a screen."""

    def __init__(self, *, wrap: bool = False, text: LogBuffer | None = None) -> None:
        super().__init__()
        self.log_view = LogView(wrap=wrap, log_buffer=text)
        self.messages: list[bool] = []

    def compose(self) -> ComposeResult:
        yield self.log_view

    def on_log_view_follow_changed(self, message: LogView.FollowChanged) -> None:
        self.messages.append(message.following)

    def lines(self) -> list[str]:
        view = self.log_view
        return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


async def rendered_app(app: LogViewApp, pilot: Pilot[None]) -> None:
    """Once what was appended is on the screen: a flood waits for the next frame."""
    while app.log_view._refresh_scheduled:
        await pilot.pause(0.005)
    await pilot.pause()


def numbered(start: int, end: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(start, end))


async def test_the_log_follows_its_end() -> None:
    app = LogViewApp()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await rendered_app(app, pilot)
        assert app.lines()[9] == "line 99"
        assert "following" in app.lines()[10]
        app.log_view.append(b"half a li")
        await rendered_app(app, pilot)
        assert app.lines()[9] == "half a li"


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("how", ["up", "pageup", "home", "wheel"])
async def test_scrolling_up_keeps_the_position_while_lines_are_added(how: str, wrap: bool) -> None:
    app = LogViewApp(wrap=wrap)
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await rendered_app(app, pilot)
        if how == "wheel":
            await pilot._post_mouse_events([events.MouseScrollUp], LogView, (5, 5), button=0)
        else:
            await pilot.press(how)
        assert not app.log_view.following
        before = app.lines()[:10]
        for number in range(100, 140, 20):
            app.log_view.append(numbered(number, number + 20))
            await rendered_app(app, pilot)
        await rendered_app(app, pilot)
        assert app.lines()[:10] == before
        assert "PAUSED: 40 new lines below" in app.lines()[10]
        await pilot.press("end")
        assert app.lines()[9] == "line 139"
        assert app.messages == [False, True]


async def test_scrolling_to_the_end_follows_again() -> None:
    app = LogViewApp()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await rendered_app(app, pilot)
        await pilot.press("up", "up", "down")
        assert not app.log_view.following
        await pilot.press("down")
        assert app.log_view.following


async def test_lines_dropped_at_the_top_do_not_move_the_view() -> None:
    app = LogViewApp(text=LogBuffer(max_lines=200))
    async with app.run_test(size=(90, 11)) as pilot:
        app.log_view.append(numbered(0, 200))
        await rendered_app(app, pilot)
        await pilot.press("pageup", "pageup")
        before = app.lines()[:10]
        app.log_view.append(numbered(200, 230))
        await rendered_app(app, pilot)
        assert app.log_view.log_buffer.first_line_number > 0
        assert app.lines()[:10] == before
        assert "were dropped" in app.lines()[10]


async def test_search_wraps_around_and_shows_its_position() -> None:
    app = LogViewApp()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 300))
        await rendered_app(app, pilot)
        await pilot.press("home")
        assert app.log_view.search("LINE 7") is False
        assert app.log_view.search("line 7")
        assert app.log_view.current_match == 7
        assert "line 7: 1 of 11" in app.lines()[10]
        assert app.log_view.search_next()
        assert app.log_view.current_match == 70
        assert "line 70" in app.lines()
        app.log_view.search_previous()
        app.log_view.search_previous()
        assert app.log_view.current_match == 79
        app.log_view.search_next()
        assert app.log_view.current_match == 7
        app.log_view.append(b"line 7 again\n")
        assert app.log_view.match_count == 12


async def test_a_match_on_the_last_page_stays_visible() -> None:
    app = LogViewApp()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await rendered_app(app, pilot)
        assert app.log_view.search("line 95")
        app.log_view.append(numbered(100, 150))
        await rendered_app(app, pilot)
        assert "line 95" in app.lines()


async def test_errors_are_found_in_order() -> None:
    app = LogViewApp()
    async with app.run_test(size=(60, 11)) as pilot:
        app.log_view.append(numbered(0, 50))
        assert not app.log_view.go_to_error(1)
        assert "errors" not in app.lines()[10]
        app.log_view.append(b"a.c:1:1: fatal error: no ffi.h\n" + numbered(50, 99) + b"error: x\n")
        await rendered_app(app, pilot)
        assert app.log_view.go_to_error(1)
        assert app.log_view.current_line == 50
        assert "line 51 of 101 so far; errors 1 of 2" in app.lines()[10]
        assert any("ffi.h" in line for line in app.lines())
        app.log_view.go_to_error(1)
        assert app.log_view.current_line == 100
        app.log_view.go_to_error(1)
        assert app.log_view.current_line == 50
        app.log_view.go_to_error(-1)
        assert app.log_view.current_line == 100


async def test_long_lines_wrap_or_scroll_horizontally() -> None:
    app = LogViewApp()
    async with app.run_test(size=(40, 11)) as pilot:
        app.log_view.append(b"0123456789" * 7 + "日本語".encode() * 20 + b"\nnext\n")
        await rendered_app(app, pilot)
        assert app.lines()[1] == "next"
        await pilot.press("right")
        assert app.lines()[0].startswith("6789")
        app.log_view.set_wrap(True)
        await pilot.pause()
        assert app.lines()[0] == "0123456789" * 4
        assert app.lines()[1].startswith("0123456789" * 3 + "日本語日本")
        assert app.lines().index("next") == 5
        await pilot.resize_terminal(71, 11)
        await pilot.pause()
        assert app.lines().index("next") == 3


async def test_a_log_is_saved_completely_or_the_error_is_reported(tmp_path: Path) -> None:
    app = LogViewApp()
    async with app.run_test(size=(40, 11)):
        app.log_view.append(b"one\n\x1b[31mtwo\x1b[0m\nthr")
        save_log(app.log_view.log_buffer, tmp_path / "log.txt")
        assert (tmp_path / "log.txt").read_text() == "one\ntwo\nthr\n"
        with pytest.raises(PiwheelsError, match=r"exists"):
            save_log(app.log_view.log_buffer, tmp_path / "log.txt")
        with pytest.raises(PiwheelsError, match=r"cannot save to .*No such file"):
            save_log(app.log_view.log_buffer, tmp_path / "nowhere" / "log.txt")
        assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


async def test_a_cleared_log_starts_again() -> None:
    app = LogViewApp()
    async with app.run_test(size=(40, 11)) as pilot:
        app.log_view.append(numbered(0, 100))
        await pilot.press("home")
        app.log_view.search("line 5")
        app.log_view.clear()
        app.log_view.append(b"another\n")
        app.log_view.end()
        await rendered_app(app, pilot)
        assert app.lines()[0] == "another"
        assert "line 1 of 1, all read" in app.lines()[10]


async def test_only_the_visible_lines_of_a_long_log_are_rendered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = LogViewApp()
    rendered: list[int] = []
    render_line = LogView.render_line

    def counting(view: LogView, y: int) -> Strip:
        rendered.append(y)
        return render_line(view, y)

    async with app.run_test(size=(120, 40)) as pilot:
        await rendered_app(app, pilot)
        monkeypatch.setattr(LogView, "render_line", counting)
        app.log_view.append(
            b"".join(b"gcc -c file number %06d of build/lib/package\n" % n for n in range(100_000))
        )
        await rendered_app(app, pilot)
        assert len(rendered) <= 10 * 40
        assert "99999" in app.lines()[38]


@pytest.mark.parametrize("wrap", [False, True])
async def test_lines_have_their_numbers_on_a_wide_view(wrap: bool) -> None:
    app = LogViewApp(wrap=wrap, text=LogBuffer(max_lines=16))
    async with app.run_test(size=(80, 11)) as pilot:
        app.log_view.append(numbered(0, 20) + b"x" * 100 + b"\n")
        app.log_view.end()
        await rendered_app(app, pilot)
        after = [" " * 16 + "x" * 37] if wrap else []
        last = ["    20          line 19", "    21          " + "x" * 63, *after]
        assert [line[:79] for line in app.lines()[10 - len(last) : 10]] == last
        assert "line 21 of 21, all read" in app.lines()[10]
        assert "so far" not in app.lines()[10]
        assert app.log_view.go_to_line(19)
        await rendered_app(app, pilot)
        assert ">   19          line 18" in app.lines()
        assert not app.log_view.following
        assert [app.log_view.go_to_line(number) for number in (0, 1, 22)] == [False] * 3


async def test_warnings_and_errors_are_distinguished() -> None:
    app = LogViewApp()
    async with app.run_test(size=(80, 6)) as pilot:
        app.log_view.append(b"a.c:1: warning: unused\na.c:2: error: wrong\nwarningless\n")
        await rendered_app(app, pilot)
        styles = [list(app.log_view.render_line(y))[2].style for y in range(3)]
        assert len(set(styles)) == 3
        assert [line[14] for line in app.lines()[:2]] == ["▲", "×"]
        assert "3 so far; errors 1, warnings 1" in app.lines()[5]


# --- folds and times ---

PIP = b"".join(b"  Collecting project-%d\n" % number for number in range(30))
PHASES = b"--- building ---\n" + PIP + b"gcc -c a.c\n" + PIP[:92] + b"a.c:1:1: error: no\n"


@pytest.mark.parametrize("wrap", [False, True])
async def test_noise_is_one_row_until_it_is_opened(wrap: bool) -> None:
    app = LogViewApp(wrap=wrap)
    async with app.run_test(size=(80, 41)) as pilot:
        for at in range(0, len(PHASES), 100):  # chunks end anywhere
            app.log_view.append(PHASES[at : at + 100])
        await rendered_app(app, pilot)
        lines = [line[16:].strip() for line in app.lines() if line.strip()][:-1]
        assert lines[:3] == [
            "--- building ---", "v 30 lines of fetching (o opens)", "gcc -c a.c",
        ]  # fmt: skip
        assert lines[-1] == "a.c:1:1: error: no"
        assert app.lines()[2].startswith("    32 "), "lines keep their numbers"
        app.log_view.set_folding(folding=False)
        await rendered_app(app, pilot)
        assert app.lines()[1].endswith("Collecting project-0")
        app.log_view.set_folding(folding=True)
        await rendered_app(app, pilot)
        assert app.lines()[1].endswith("(o opens)")


async def test_going_to_a_folded_line_opens_its_fold_alone() -> None:
    app = LogViewApp()
    async with app.run_test(size=(80, 41)) as pilot:
        app.log_view.append(PIP + b"one\n" + PIP + b"two\n")
        await rendered_app(app, pilot)
        assert app.log_view.go_to_line(5)
        app.log_view.append(b"three\n")
        await rendered_app(app, pilot)
        assert app.lines()[4].startswith(">    5 ")
        assert app.lines()[31].endswith("v 30 lines of fetching (o opens)")
        assert app.log_view.search("project-7")
        assert app.log_view.current_line == 7


async def test_folds_that_form_above_do_not_move_the_view() -> None:
    app = LogViewApp()
    async with app.run_test(size=(80, 11)) as pilot:
        app.log_view.append(numbered(0, 50))
        await rendered_app(app, pilot)
        await pilot.press("pageup", "pageup")
        before = app.lines()[:10]
        app.log_view.append(PIP + numbered(50, 60))
        await rendered_app(app, pilot)
        assert app.lines()[:10] == before


async def test_lines_have_the_time_of_their_arrival() -> None:
    app = LogViewApp()
    async with app.run_test(size=(80, 8)) as pilot:
        app.log_view.append(b"old\none\ntw", [(4, 0.4)])
        app.log_view.append(b"o\nthree\nfour\n", [(-3, 0.4), (2, 40.24), (8, 754.0)])
        await rendered_app(app, pilot)
        assert [line[1:20].rstrip() for line in app.lines()[:5]] == [
            "    1          old",
            "    2    0.4   one",
            "    3    0.4   two",
            "    4   40.2   thre",
            "    5  12:34   four",
        ]


async def test_progress_is_shown_while_a_log_is_read() -> None:
    app = LogViewApp()
    async with app.run_test(size=(80, 8)) as pilot:
        app.log_view.show_progress(0.25)
        app.log_view.append(numbered(0, 10))
        await rendered_app(app, pilot)
        assert "line 10 of 10, 25% read" in app.lines()[7]
        app.log_view.end()
        await rendered_app(app, pilot)
        assert "line 10 of 10, all read" in app.lines()[7]
