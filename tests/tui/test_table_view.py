"""How a table is arranged: sorting, columns, scrolling, filters; and that it is kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.builders import BUILDER_COLUMNS, temperature_cell
from piwheels.tui.model.tables.row_filter import row_filter
from piwheels.tui.model.tables.table_model import Cell, Column, Row
from piwheels.tui.model.tables.table_view import TableView
from piwheels.tui.screens.builders import BuildersScreen
from piwheels.tui.settings import Settings, ViewSettings, view_file
from piwheels.tui.widgets.table_layout import Columns, layout_columns
from tests.tui.app_harness import run_console
from tests.tui.test_screens import prepared_source

COLUMNS = (
    Column("outcome", "Outcome", 8),
    Column("release", "Release", 8),
    Column("took", "Took", 8, 2),
    Column("target", "Target", 8, 1),
    Column("builder", "Builder", 8, 3),
)


def row(outcome: str, release: str, age_s: float | None) -> Row:
    return Row(release, (Cell(outcome), Cell(release)), False, f"{outcome} {release}", (), age_s)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", "abc"),
        ("numpy", "ab"),
        ("numpy failed", "b"),
        ("-numpy", "c"),
        ("state:failed", "bc"),
        ("outcome:fail -release:numpy", "c"),
        ("-state:failed", "a"),
        ("older:1h", "a"),
        ("newer:1h", "b"),
        ("-older:1h", "bc"),
        ("older:soon", ""),  # no duration: a word like any other
        ("no:column", ""),
        ("@mine", "bc"),
        ("@mine numpy", "b"),
        ("@others", ""),
    ],
)
def test_a_filter_keeps_the_rows_that_pass_all_its_words(text: str, kept: str) -> None:
    rows = {
        "a": row("built", "numpy 2.1", 7200.0),
        "b": row("failed", "numpy 2.2", 60.0),
        "c": row("failed", "lxml 6", None),
    }
    keep = row_filter(text, COLUMNS, {"mine": "state:failed"})
    assert "".join(name for name, it in rows.items() if keep(it)) == kept


def test_no_heading_of_builders_is_cut_by_its_mark_and_no_hot_temperature() -> None:
    widths = {
        column.key: BuildersScreen.MIN_WIDTHS.get(column.key, column.width)
        for column in BUILDER_COLUMNS
    }
    for column in BUILDER_COLUMNS:
        assert widths[column.key] > len(column.title)
    assert widths["temperature"] >= len(temperature_cell(84.0, False).shown)


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (Columns(COLUMNS), "outcome release target"),
        (Columns(COLUMNS, skipped=1), "outcome release took"),
        (Columns(COLUMNS, skipped=2), "outcome release builder"),
        (Columns(COLUMNS, by_priority=False), "outcome release took"),
        (Columns(COLUMNS[2:], (2, 3, 4), by_priority=False), "took target builder"),
    ],
)
def test_columns_scroll_beside_the_first_two(columns: Columns, shown: str) -> None:
    slots = layout_columns(columns, 30)
    assert " ".join(slot.column.key for slot in slots) == shown
    assert all(COLUMNS[slot.cell_index] is slot.column for slot in slots)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (79, "State Name Building Taken Load Temp Built/h"),
        (70, "State Name Building Taken Load Temp B/h"),
        (60, "State Name Building Taken Load"),
    ],
)
def test_a_column_is_shortened_rather_than_left_out(width: int, shown: str) -> None:
    """Beside the pane of a terminal of 120 columns there are 70."""
    widths = BuildersScreen.MIN_WIDTHS | {"label": 11}
    columns = tuple(
        replace(column, width=widths.get(column.key, column.width)) for column in BUILDER_COLUMNS
    )
    slots = layout_columns(Columns(columns), width)
    assert " ".join(slot.column.title for slot in slots) == shown
    assert slots[-1].end <= width


def test_what_another_version_kept_of_a_table_is_ignored() -> None:
    view = TableView(columns=("took", "gone", "took", "outcome"), sort="gone", filter="x")
    assert view.for_columns(COLUMNS) == TableView(columns=("took", "outcome"), filter="x")
    assert TableView().chosen(COLUMNS) == [0, 1, 2, 3, 4]


def test_the_arrangement_of_tables_is_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "console.toml"
    view = ViewSettings(tables={"builders": TableView(columns=("label",), filter="state:lost")})
    assert view_file(file).save(view) == ""
    assert view_file(file).load().values == view
    file.write_text("[tables.builders]\nsort = 3\n[tables.builds]\nsort = 'took'\n")
    loaded = view_file(file).load()
    assert loaded.values.tables == {"builds": TableView(sort="took")}
    assert "tables.builders is ignored" in loaded.problem


@pytest.mark.farm
async def test_columns_are_chosen_moved_and_scrolled_by_keys() -> None:
    async with run_console(prepared_source(), size=(80, 24)) as stage:
        await stage.wait_for_text("columns 1-7 of 15, arrows scroll")
        await stage.press("right", "right")
        await stage.wait_for_text("columns 5-")
        assert stage.text.splitlines()[2].split()[:2] == ["State", "Name"]
        await stage.press("left", "left", "left", "C")
        await stage.wait_for_text("Space Show or hide")
        await stage.press("right", "down", "space", "enter")  # State moves, Building is hidden
        view = stage.console.table_views["builders"]
        assert view.columns[:2] == ("label", "state")
        assert "release" not in view.columns
        await stage.wait_for_text("of 14, arrows scroll")
        assert stage.text.splitlines()[2].split()[:3] == ["Name", "State", "Phase"]
        await stage.press("C", "u")
        await stage.wait_for_text("of 15, arrows scroll")
        assert stage.console.table_views["builders"].columns == ()


@pytest.mark.farm
async def test_filters_are_saved_by_name_and_recalled() -> None:
    kept: list[Settings] = []
    source = prepared_source()
    async with run_console(source, save_settings=lambda it: kept.append(it) or "") as stage:  # type: ignore[func-returns-value]
        await stage.wait_for_text("pi5-roof")
        await stage.press("slash", *"state:over", "enter")
        assert stage.keys == ["pi4-attic"]
        await stage.wait_for_text("row 1 of 1, by trouble; filter: state:over")
        await stage.act("save_filter")
        await stage.wait_for_text("Name of the filter")
        await stage.press(*"late", "enter")
        await stage.wait_until(lambda: kept, "it is kept")
        assert kept[0].filters == {"late": "state:over"}
        await stage.press("escape")
        assert len(stage.keys) == 9
        await stage.press("slash", *"@late", "enter")
        assert stage.keys == ["pi4-attic"]
        await stage.press("escape")
        await stage.act("saved_filters")
        await stage.press("enter")
        await stage.wait_until(lambda: stage.keys == ["pi4-attic"], "it is recalled")


@pytest.mark.farm
async def test_a_table_opens_as_it_was_left() -> None:
    async with run_console(prepared_source(), first_screen=ScreenName.OVERVIEW) as stage:
        await stage.wait_for_text("Longest now")
        stage.console.table_views["builders"] = TableView(
            columns=("label", "load"), sort="label", reverse=True, filter="pi5"
        )
        await stage.press("2")
        await stage.wait_for_text("by Name, reversed; filter: pi5")
        assert stage.keys == sorted(stage.keys, reverse=True)
        assert stage.text.splitlines()[2].split()[:2] == ["Name▼", "Load"]
