"""The table: the cursor keeps to its row, only what changed is drawn, and nothing is markup."""

from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.pilot import Pilot

from piwheels.tui.model.tables.table_model import Cell, Column, Row
from piwheels.tui.widgets.ascii_filter import AsciiFilter
from piwheels.tui.widgets.cell_text import pad_or_truncate, printable_text
from piwheels.tui.widgets.table import RowTable
from piwheels.tui.widgets.table_layout import Columns, layout_columns

COLUMNS = (
    Column("state", "State", 10, drop_order=1),
    Column("label", "Label", 12, drop_order=0, stretch=True),
    Column("load", "Load", 6, align="right", drop_order=7),
    Column("disk", "Disk", 6, align="right", drop_order=9),
)


def row(key: str, load: str = "0.5", style: str = "") -> Row:
    return Row(key, (Cell("building", style), Cell(key), Cell(load), Cell("9 GB")))


def rows(keys: str) -> list[Row]:
    return [row(key) for key in keys]


class TableApp(App[None]):
    """A table alone on a screen, and its messages."""

    def __init__(self, ascii_only: bool = False) -> None:
        super().__init__()
        self.table = RowTable(COLUMNS, ascii_only=ascii_only)
        self.messages: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def on_row_table_highlighted(self, message: RowTable.Highlighted) -> None:
        self.messages.append(message)

    def on_row_table_selected(self, message: RowTable.Selected) -> None:
        self.messages.append(message)

    def on_row_table_header_selected(self, message: RowTable.HeaderSelected) -> None:
        self.messages.append(message)

    def on_row_table_row_removed(self, message: RowTable.RowRemoved) -> None:
        self.messages.append(message)

    def on_row_table_marks_changed(self, message: RowTable.MarksChanged) -> None:
        self.messages.append(message)

    def messages_of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.messages if isinstance(message, kind)]

    def lines(self) -> list[str]:
        return [self.table.render_line(y).text for y in range(self.table.size.height)]


async def show_rows(pilot: Pilot[None], table: RowTable, shown: Sequence[Row]) -> None:
    table.set_rows(shown)
    await pilot.pause()


async def test_the_cursor_follows_its_row_when_the_order_changes() -> None:
    app = TableApp()
    async with app.run_test(size=(80, 12)) as pilot:
        await show_rows(pilot, app.table, rows("abcdef"))
        await pilot.press("down", "down")
        assert app.table.cursor == "c"
        await show_rows(pilot, app.table, rows("fedcba"))
        assert app.table.cursor == "c"
        assert app.lines()[4].startswith(">")
        await pilot.press("enter")
        [selected] = app.messages_of(RowTable.Selected)
        assert isinstance(selected, RowTable.Selected)
        assert selected.key == "c"


@pytest.mark.parametrize(
    ("left", "neighbor"), [("abde", "d"), ("ab", "b"), ("", None), ("xyz", "x")]
)
async def test_a_removed_row_moves_the_cursor_to_a_neighbor_and_reports_it(
    left: str, neighbor: str | None
) -> None:
    app = TableApp()
    async with app.run_test(size=(80, 12)) as pilot:
        await show_rows(pilot, app.table, rows("abcde"))
        app.table.move_cursor("c")
        await show_rows(pilot, app.table, rows(left))
        assert app.table.cursor == neighbor
        [gone] = app.messages_of(RowTable.RowRemoved)
        assert isinstance(gone, RowTable.RowRemoved)
        assert (gone.key, gone.neighbor) == ("c", neighbor)


async def test_the_view_follows_the_row_of_the_cursor() -> None:
    app = TableApp()
    async with app.run_test(size=(80, 8)) as pilot:
        keys = [f"builder{n:03}" for n in range(100)]
        await show_rows(pilot, app.table, [row(key) for key in keys])
        await show_rows(pilot, app.table, [row(key) for key in (*keys[1:], keys[0])])
        assert app.table.cursor == "builder000"
        assert any(line.startswith(">") and "builder000" in line for line in app.lines())


async def test_a_view_scrolled_away_from_the_cursor_stays() -> None:
    app = TableApp()
    async with app.run_test(size=(80, 8)) as pilot:
        keys = [f"builder{n:03}" for n in range(100)]
        await show_rows(pilot, app.table, [row(key) for key in keys])
        app.table.scroll_to(y=50, animate=False)
        await show_rows(pilot, app.table, [row(key, "0.7") for key in keys])
        assert app.table.scroll_offset.y == 50
        assert "builder050" in app.lines()[1]


async def test_only_changed_cells_are_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TableApp()
    async with app.run_test(size=(80, 12)) as pilot:
        await show_rows(pilot, app.table, rows("abc"))
        refreshed: list[Region] = []

        def refresh(*regions: Region, **_: object) -> None:
            refreshed.extend(regions or [app.table.size.region])

        monkeypatch.setattr(app.table, "refresh", refresh)
        app.table.set_rows(rows("abc"))
        assert refreshed == []
        app.table.set_rows([row("a"), row("b", "1.5"), row("c")])
        [region] = refreshed
        assert (region.y, region.width, region.height) == (2, 6, 1)
        assert app.table.render_line(2).crop(region.x, region.right).text == "   1.5"


async def test_marks_of_hidden_rows_are_kept() -> None:
    app = TableApp()
    async with app.run_test(size=(80, 12)) as pilot:
        await show_rows(pilot, app.table, rows("abcd"))
        await pilot.press("space", "space")
        assert app.table.marks == {"a", "b"}
        assert app.table.cursor == "c"
        await show_rows(pilot, app.table, rows("bc"))
        assert app.table.marks == {"a", "b"}
        assert app.lines()[1].startswith("•")


async def test_the_mouse_moves_the_cursor_opens_rows_marks_and_sorts() -> None:
    app = TableApp()
    async with app.run_test(size=(80, 12)) as pilot:
        await show_rows(pilot, app.table, rows("abcd"))
        await pilot.click(RowTable, offset=(20, 3))
        assert app.table.cursor == "c"
        await pilot.click(RowTable, offset=(20, 3))
        assert app.messages_of(RowTable.Selected) == []
        await pilot.click(RowTable, offset=(20, 3), times=2)
        assert len(app.messages_of(RowTable.Selected)) == 1
        await pilot.click(RowTable, offset=(0, 2))
        assert app.table.marks == {"b"}
        await pilot.click(RowTable, offset=(3, 0))
        [header] = app.messages_of(RowTable.HeaderSelected)
        assert isinstance(header, RowTable.HeaderSelected)
        assert header.column == "state"


async def test_keys_move_by_page_and_to_both_ends() -> None:
    app = TableApp()
    async with app.run_test(size=(80, 11)) as pilot:
        await show_rows(pilot, app.table, [row(f"{n:03}") for n in range(100)])
        await pilot.press("pagedown")
        assert app.table.cursor == "010"
        await pilot.press("end")
        assert app.table.cursor == "099"
        assert "099" in app.lines()[-1]
        await pilot.press("pageup", "home", "up")
        assert app.table.cursor == "000"
        assert "000" in app.lines()[1]


async def test_the_sorted_column_has_an_arrow() -> None:
    app = TableApp()
    async with app.run_test(size=(80, 12)) as pilot:
        await show_rows(pilot, app.table, rows("abcd"))
        app.table.show_sort("load", descending=True)
        assert "Load▼" in app.lines()[0]
        app.table.set_ascii(True)
        app.table.show_sort("load")
        assert "Load^" in app.lines()[0]


@pytest.mark.parametrize("width", [40, 20, 10, 3])
async def test_every_line_fills_the_width_exactly(width: int) -> None:
    app = TableApp()
    async with app.run_test(size=(width, 8)) as pilot:
        texts = [
            "日本語の長い名前です",
            "e\u0301te\u0301",
            "[bold]not markup[/]",
            "a\x1b[31mb\tc\n",
            "",
        ]
        await show_rows(pilot, app.table, [row(text) for text in texts])
        for y in range(8):
            strip = app.table.render_line(y)
            assert strip.cell_length == width
            assert sum(segment.cell_length for segment in strip) == width
            assert "\x1b" not in strip.text
        assert app.table.shown_columns[0] in {"state", "label"}


async def test_texts_are_never_markup_and_ascii_if_requested() -> None:
    app = TableApp(ascii_only=True)
    async with app.run_test(size=(80, 8)) as pilot:
        await show_rows(pilot, app.table, [row("[red]é日[/]")])
        assert "[red]e?[/]" in app.lines()[1]
        assert "".join(app.lines()).isascii()


def test_columns_with_the_highest_drop_order_are_dropped_first_if_they_do_not_fit() -> None:
    def kept(width: int) -> list[str]:
        return [slot.column.key for slot in layout_columns(Columns(COLUMNS), width)]

    assert kept(80) == ["state", "label", "load", "disk"]
    assert kept(37) == ["state", "label", "load"]
    assert kept(28) == ["state", "label"]
    assert kept(20) == ["label", "load"]  # no room for the state, which is wider
    assert kept(5) == ["label"]


def test_the_stretching_column_takes_the_remaining_width() -> None:
    slots = layout_columns(Columns(COLUMNS), 80)
    assert [slot.width for slot in slots] == [10, 54, 6, 6]
    assert slots[-1].end == 80


def test_widths_are_terminal_cells_and_not_characters() -> None:
    assert pad_or_truncate("日本語", 6) == "日本語"
    assert pad_or_truncate("日本語", 5) == "日本…"
    assert pad_or_truncate("日本語", 4) == "日 …"
    assert pad_or_truncate("7", 3, "right") == "  7"
    assert printable_text("a\x1b[2Jb") == "a?[2Jb"
    assert printable_text("name\u202egnp.exe") == "name\ufffdgnp.exe"


async def test_a_text_extends_over_empty_cells_and_is_truncated_when_they_fill() -> None:
    bench = TableApp()
    async with bench.run_test(size=(40, 6)) as pilot:
        reason = "quarantined for 5 failures, no space left"
        bare = Row("a", (Cell("lost"), Cell(reason, "error"), Cell(""), Cell("")))
        bench.table.set_rows([bare, row("b")])
        await pilot.pause()
        assert reason[:26] in bench.lines()[1]
        assert bench.lines()[1].endswith("…")
        assert len(bench.lines()[1]) == 40
        loaded = bare._replace(cells=(*bare.cells[:2], Cell("0.5"), Cell("")))
        bench.table.set_rows([loaded, row("b")])
        await pilot.pause()
        assert bench.lines()[1].rstrip().endswith("…    0.5")
        shown = bench.screen._compositor.render_strips()
        assert shown[1].text == bench.lines()[1]  # and so it stands on the screen


def test_the_ascii_filter_keeps_the_width_of_a_line() -> None:
    drawn = "▎Longest bui…  café 日本 ok"
    (segment,) = AsciiFilter().apply([Segment(drawn)], Color(0, 0, 0))
    assert segment.text == "?Longest bui~  cafe ???? ok"
    assert cell_len(segment.text) == cell_len(drawn)


async def test_the_cursor_skips_headings() -> None:
    app = TableApp()
    listed = [
        row("Active")._replace(is_heading=True), row("a"), row("b"),
        row("Seen")._replace(is_heading=True), row("c"), row("d"),
        row("Nothing")._replace(is_heading=True),
    ]  # fmt: skip
    async with app.run_test(size=(80, 12)) as pilot:
        app.table.set_rows(listed)
        assert app.table.cursor == "a"
        visited = []
        for key in ("down", "down", "up", "end", "down", "home", "up", "pagedown"):
            await pilot.press(key)
            visited.append(app.table.cursor)
        assert visited == ["b", "c", "b", "d", "d", "a", "a", "d"]
        await pilot.click(app.table, offset=(5, 4))
        assert app.table.cursor == "d", "a click on a heading moves nothing"
        assert not app.table.move_cursor("Seen")
        app.table.set_rows([each for each in listed if each.key not in {"c", "d"}])
        assert app.table.cursor == "b"
        app.table.set_rows([each for each in listed if each.is_heading])
        assert app.table.cursor is None


async def test_a_line_is_whole_before_the_table_is_told_of_its_new_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RowTable, "on_resize", lambda *_: None)
    app = TableApp()
    async with app.run_test(size=(14, 10)) as pilot:
        app.table.set_rows(rows("ab"))
        assert "9 GB" not in app.table.render_line(1).text
        await pilot.resize_terminal(60, 10)
        assert "9 GB" in app.table.render_line(1).text
