"""Tables are saved as CSV and JSON."""

import csv
import json
from pathlib import Path

import pytest

from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.table_export import rows_as_csv, rows_as_json
from piwheels.tui.model.tables.table_model import Cell, Column, Row
from tests.tui.app_harness import run_console
from tests.tui.sample_farm import snapshot
from tests.tui.static_source import StaticSource

COLUMNS = (Column("release", "Release", 8), Column("detail", "Error line", 8))


def row(*texts: str) -> Row:
    return Row(texts[0], tuple(Cell(text, "error", "x") for text in texts))


def test_texts_with_commas_quotes_and_formulas_stay_texts() -> None:
    rows = [row("a 1.0", 'error: "x", line 2'), row("b 2.0", "=HYPERLINK(1)"), row("c 3.0", "-")]
    read = list(csv.DictReader(rows_as_csv(COLUMNS, rows).splitlines()))
    assert [line["detail"] for line in read] == ['error: "x", line 2', "'=HYPERLINK(1)", "-"]
    assert json.loads(rows_as_json(COLUMNS, rows))[1] == {
        "release": "b 2.0",
        "detail": "=HYPERLINK(1)",
    }


@pytest.mark.farm
async def test_the_rows_that_match_the_filter_are_saved_and_no_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with run_console(StaticSource(snapshot()), first_screen=ScreenName.BUILDS) as stage:
        await stage.wait_for_text("pillow")
        await stage.press("slash", *"pillow", "enter")
        for answer in ("1 row saved as", "builds.csv exists"):
            await stage.press("X")
            await stage.wait_for_text("Save the table")
            await stage.press("enter")
            await stage.wait_for_text(answer)
        await stage.press("X")
        await stage.wait_for_text("Save the table")
        await stage.press("ctrl+u", *"a.json", "enter")
        await stage.wait_for_text("a.json")
    (saved,) = csv.DictReader((tmp_path / "builds.csv").read_text().splitlines())
    assert (saved["release"], saved["build"]) == ("pillow 1.4.2", "4707")
    assert json.loads((tmp_path / "a.json").read_text())[0]["outcome"] == "failed"
