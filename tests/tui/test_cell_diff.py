"""A terminal that gets only changed cells shows the same as one that gets Textual's own updates."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.color import Color, ColorSystem
from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.app import App, ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.widgets import Button, Input, Label, Static

from piwheels.tui.model.tables.table_model import Cell, Column, Row
from piwheels.tui.terminal.cell_diff import CellDiff, _Position, cursor_move
from piwheels.tui.terminal.sgr import DEFAULT_SGR, SgrState, sgr_state, transition
from piwheels.tui.widgets.log_view import LogView
from piwheels.tui.widgets.table import CELL_STYLES, RowTable
from tests.tui.pyte_terminal import Terminal

WORDS = (
    "idle",
    "building",
    "日本語",
    "e\u0301t\u00e9",
    "▁▃▅▇",
    "a",
    "",
    "한글 wide",
    "numpy 2.1.0",
)
COLUMNS = (Column("a", "State", 9), Column("b", "Label", 7, stretch=True), Column("c", "Load", 5))


class Dialog(ModalScreen[None]):
    """A dialog with a translucent background."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > Static { width: 23; height: 5; border: round $primary; }
    """

    def compose(self) -> ComposeResult:
        yield Static("Really 本当に?")


class ComparedApp(App[None]):
    """Draws into two terminals: one gets Textual's own updates, the other the changed cells."""

    CSS = """
    Horizontal { height: 12; }
    #free { width: 1fr; border: heavy $accent; }
    #words { width: 17; height: 100%; background: $surface; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.console._color_system = ColorSystem.TRUECOLOR
        self.stock, self.diffed = Terminal(1, 1), Terminal(1, 1)
        self.cell_diff = CellDiff()
        self.stock_bytes = self.diffed_bytes = 0

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield RowTable(COLUMNS)
            yield VerticalScroll(Static(id="words"))
        yield Static(id="free")
        yield LogView()
        yield Input()
        yield Button("Press")

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if self.cell_diff.supports(renderable):
            if (self.stock.screen.columns, self.stock.screen.lines) != tuple(self.size):
                self.stock.resize(*self.size)
                self.diffed.resize(*self.size)
            stock = renderable.render_segments(self.console)
            system = self.console._color_system or ColorSystem.TRUECOLOR
            self.cell_diff.apply(renderable, system, self.size)
            lean = self.cell_diff.diff_bytes()
            self.stock.feed(stock)
            self.diffed.feed(lean)
            self.stock_bytes += len(stock)
            self.diffed_bytes += len(lean)
        super()._display(screen, renderable)

    def expected_cells(self) -> Terminal:
        """A fresh terminal with the whole screen, as Textual draws it."""
        terminal = Terminal(*self.size)
        compositor = self.screen._compositor
        update = compositor.render_update(full=True, screen_stack=self._background_screens)
        assert self.cell_diff.supports(update)
        terminal.feed(update.render_segments(self.console))
        return terminal

    async def settled(self, pilot: Pilot[None]) -> None:
        await pilot.pause()
        while self.screen._dirty_widgets or self.screen._compositor._dirty_regions:
            await pilot.pause(0.01)


Step = Callable[[ComparedApp, Pilot[None]], Coroutine[Any, Any, None]]


def differing_cells(one: Terminal, other: Terminal) -> list[tuple[int, int, Any, Any]]:
    return [
        (y, x, left, right)
        for y, (line, line2) in enumerate(zip(one.cells(), other.cells(), strict=True))
        for x, (left, right) in enumerate(zip(line, line2, strict=True))
        if left != right
    ]


@st.composite
def steps(draw: st.DrawFn) -> Step:
    kind = draw(st.sampled_from(["rows", "free", "words", "log", "scroll", "key", "modal", "more"]))
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6))
    number = draw(st.integers(0, 40))

    async def step(app: ComparedApp, pilot: Pilot[None]) -> None:
        base = app.screen_stack[0]
        if kind == "rows":
            styles = (*CELL_STYLES, "")
            rows = [
                Row(
                    f"{n}",
                    (Cell(word, styles[(n + number) % 7]), Cell(f"{word}{n % 3}"), Cell("1")),
                )
                for n, word in enumerate(words * 4)
            ]
            base.query_one(RowTable).set_rows(rows[number % 5 :])
        elif kind == "free":
            color = f"rgb({number * 6},{255 - number * 6},90)"
            content = Content.styled(" ".join(words), f"bold {color} on rgb(9,{number},99)")
            base.query_one("#free", Static).update(content)
        elif kind == "words":
            base.query_one("#words", Static).update("\n".join(words * number))
        elif kind == "log":
            base.query_one(LogView).append("\n".join([*words, ""]).encode())
        elif kind == "scroll":
            base.query_one(VerticalScroll).scroll_to(y=number, animate=False)
        elif kind == "key":
            keys = ["down", "up", "pagedown", "tab", "x", "space", "end", "home"]
            await pilot.press(keys[number % len(keys)])
        elif kind == "modal":
            await (
                app.push_screen(Dialog()) if number % 2 or app.screen is base else close_dialog(app)
            )
        else:
            await add_content(app, pilot, number)
        await app.settled(pilot)

    return step


async def close_dialog(app: ComparedApp) -> None:
    await app.pop_screen()


async def add_content(app: ComparedApp, pilot: Pilot[None], number: int) -> None:
    """Things that change all of the screen."""
    base = app.screen_stack[0]
    if number % 4 == 0:
        await pilot.resize_terminal(50 + number, 20 + number // 4)
    elif number % 4 == 1:
        app.theme = ["textual-dark", "textual-light", "ansi-dark", "nord"][number // 4 % 4]
    elif number % 4 == 2:
        await base.mount(Label(f"mounted {number} 語"), before="#free")
    else:
        base.query_one(Horizontal).display = not base.query_one(Horizontal).display


async def _check(many: list[Step]) -> None:
    app = ComparedApp()
    async with app.run_test(size=(70, 30)) as pilot:
        await app.settled(pilot)
        for step in many:
            await step(app, pilot)
            assert differing_cells(app.diffed, app.expected_cells()) == []


MANY = st.lists(steps(), min_size=3, max_size=14)


@settings(max_examples=2)
@given(MANY)
def test_random_updates_give_the_same_screen_as_textual(many: list[Step]) -> None:
    asyncio.run(_check(many))


@pytest.mark.slow
@settings(max_examples=40)
@given(MANY)
def test_many_random_updates_give_the_same_screen_as_textual(many: list[Step]) -> None:
    asyncio.run(_check(many))


async def test_a_changed_cell_costs_a_few_bytes_and_an_unchanged_one_none() -> None:
    app = ComparedApp()
    async with app.run_test(size=(120, 30)) as pilot:
        table = app.query_one(RowTable)
        rows = [
            Row(str(n), (Cell("building", "success"), Cell(f"pi{n}"), Cell("0.50")))
            for n in range(9)
        ]
        table.set_rows(rows)
        await app.settled(pilot)
        app.stock_bytes = app.diffed_bytes = 0
        table.set_rows([Row(row.key, (*row.cells[:2], Cell("0.51"))) for row in rows])
        await app.settled(pilot)
        assert 0 < app.diffed_bytes < 9 * 35
        assert app.stock_bytes > 5 * app.diffed_bytes
        app.diffed_bytes = 0
        app.screen.refresh()
        await app.settled(pilot)
        assert app.diffed_bytes == 0


def layout(*lines: list[Segment]) -> LayoutUpdate:
    strips = [[Strip(line)] for line in lines]
    width = max(strip.cell_length for line in strips for strip in line)
    return LayoutUpdate(strips, Region(0, 0, width, len(lines)))  # type: ignore[arg-type]


def test_a_half_overwritten_wide_character_leaves_a_blank() -> None:
    diff, terminal = CellDiff(), Terminal(6, 1)
    diff.apply(layout([Segment("日本語")]), ColorSystem.TRUECOLOR, (6, 1))
    terminal.feed(diff.diff_bytes())
    diff._write(0, 1, Strip([Segment("ab")]), ColorSystem.TRUECOLOR)
    terminal.feed(diff.diff_bytes())
    assert terminal.text() == [" ab 語"]
    diff._write(0, 2, Strip([Segment("日")]), ColorSystem.TRUECOLOR)
    terminal.feed(diff.diff_bytes())
    assert terminal.text() == [" a日語"]


def test_everything_is_sent_again_after_invalidate() -> None:
    diff = CellDiff()
    diff.apply(layout([Segment("one")], [Segment("two")]), ColorSystem.TRUECOLOR, (3, 2))
    first = diff.diff_bytes()
    assert diff.diff_bytes() == ""
    diff.invalidate()
    assert diff.has_pending
    assert diff.diff_bytes() == first


def test_unsent_updates_are_combined() -> None:
    diff, terminal = CellDiff(), Terminal(5, 1)
    for word in ("first", "other", "third"):
        diff.apply(layout([Segment(word)]), ColorSystem.TRUECOLOR, (5, 1))
    frame = diff.diff_bytes()
    terminal.feed(frame)
    assert terminal.text() == ["third"]
    assert len(frame) < 10
    diff.apply(layout([Segment("other")]), ColorSystem.TRUECOLOR, (5, 1))
    diff.apply(layout([Segment("third")]), ColorSystem.TRUECOLOR, (5, 1))
    assert diff.diff_bytes() == ""


COLORS = st.one_of(
    st.none(),
    st.just(Color.parse("default")),
    st.integers(0, 255).map(Color.from_ansi),
    st.tuples(*[st.integers(0, 255)] * 3).map(lambda rgb: Color.from_rgb(*rgb)),
)
ATTRIBUTES = (
    "bold", "dim", "italic", "underline", "blink", "blink2", "reverse", "conceal", "strike",
    "underline2", "frame", "encircle", "overline",
)  # fmt: skip
STYLES = st.builds(
    lambda color, bgcolor, on: Style(
        color=color, bgcolor=bgcolor, **cast("Any", dict.fromkeys(on, True))
    ),
    COLORS,
    COLORS,
    st.sets(st.sampled_from(ATTRIBUTES), max_size=4),
)


def apply_sgr(state: SgrState, data: str) -> SgrState:
    """What a terminal writes with after these bytes: a reading of ECMA-48 of the test's own."""
    ends = {
        22: "1 2",
        23: "3",
        24: "4 10",
        25: "5 6",
        27: "7",
        28: "8",
        29: "9",
        54: "11 12",
        55: "13",
    }
    starts = {**{n: n for n in range(1, 10)}, 21: 10, 51: 11, 52: 12, 53: 13}
    attributes, foreground, background = state.attributes, state.foreground, state.background
    for sequence in data.split("\x1b[")[1:]:
        codes = [int(code or 0) for code in sequence.removesuffix("m").split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                attributes, foreground, background = 0, "", ""
            elif code in starts:
                attributes |= 1 << starts[code] - 1
            elif code in ends:
                for bit in ends[code].split():
                    attributes &= ~(1 << int(bit) - 1)
            else:
                length = {5: 2, 2: 4}[codes[0]] if code in {38, 48} else 0
                color = ";".join(map(str, [code, *codes[:length]]))
                del codes[:length]
                if code in {39, 49}:
                    color = ""
                if code in range(30, 40) or code in range(90, 98):
                    foreground = color
                else:
                    background = color
    return SgrState(attributes, foreground, background)


@given(STYLES, STYLES, st.sampled_from(list(ColorSystem)[:4]))
def test_one_style_is_changed_into_another(one: Style, other: Style, system: ColorSystem) -> None:
    old, new = sgr_state(one, system), sgr_state(other, system)
    assert apply_sgr(DEFAULT_SGR, transition(DEFAULT_SGR, old)) == old
    assert apply_sgr(old, transition(old, new)) == new
    assert apply_sgr(new, transition(new, DEFAULT_SGR)) == DEFAULT_SGR


def test_a_style_change_names_only_differences() -> None:
    red = sgr_state(Style.parse("bold #ff0000 on #101010"), ColorSystem.TRUECOLOR)
    blue = sgr_state(Style.parse("#0000ff on #101010"), ColorSystem.TRUECOLOR)
    assert transition(red, blue) == "\x1b[22;38;2;0;0;255m"
    assert transition(red, DEFAULT_SGR) == "\x1b[m"


def test_links_start_and_end() -> None:
    link = sgr_state(Style(link="http://x"), ColorSystem.TRUECOLOR)
    assert transition(DEFAULT_SGR, link) == "\x1b]8;;http://x\x1b\\"
    assert transition(link, DEFAULT_SGR) == "\x1b]8;;\x1b\\"


@given(*[st.integers(0, 19)] * 2, *[st.integers(0, 9)] * 2)
def test_the_cursor_moves_to_its_target(x: int, to_x: int, y: int, to_y: int) -> None:
    terminal = Terminal(20, 10)
    terminal.feed(cursor_move(None, x, y))
    assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (x, y)
    way = cursor_move(_Position(x, y), to_x, to_y)
    terminal.feed(way)
    assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (to_x, to_y)
    assert len(way) <= len(cursor_move(None, to_x, to_y))
