"""Rows of failures do not move while they are read, and a key acts on the row that was read."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.protocol.messages import BuildsReply, FailuresReply, RetryReleases
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.kept_order import KeptOrder
from piwheels.tui.model.tables.table_model import Cell, Row
from piwheels.tui.screens import failures as failures_screen
from piwheels.tui.screens.dialogs import ConfirmDialog
from piwheels.tui.screens.failures import FailuresScreen
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import FAILURES, PROJECT_HITS, build_finished, snapshot
from tests.tui.static_source import StaticSource

KEYS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def rows(keys: Sequence[str]) -> list[Row]:
    return [Row(key, (Cell(key.upper()),)) for key in keys]


def keys_of(shown: Sequence[Row]) -> str:
    return "".join(row.key for row in shown)


def test_the_first_rows_keep_their_places_new_ones_follow_and_gone_ones_are_dimmed() -> None:
    order = KeptOrder()
    assert keys_of(order.apply(rows("abcd"), "")) == "abcd"
    shown = order.apply(rows("ebad"), "")
    assert keys_of(shown) == "abcde"
    assert [row.key for row in shown if row.cells[0].style == "muted"] == ["c"]
    assert order.changed == 3  # c is gone, e would be the first, b or a would be elsewhere
    order.forget()
    assert (keys_of(order.apply(rows("ebad"), "")), order.changed) == ("ebad", 0)


def test_another_arrangement_and_an_empty_table_take_the_order_of_now() -> None:
    order = KeptOrder()
    order.apply(rows("abc"), "usual")
    assert keys_of(order.apply(rows("cba"), "by name")) == "cba"
    assert order.apply([], "by name") == []
    assert keys_of(order.apply(rows("bc"), "by name")) == "bc"


@given(st.lists(KEYS, min_size=1))
def test_no_row_ever_moves(states: list[list[str]]) -> None:
    order = KeptOrder()
    before = ""
    for keys in states:
        shown = keys_of(order.apply(rows(keys), ""))
        if keys and before:
            assert shown.startswith(before)
            assert set(keys) <= set(shown)
        before = shown
        assert (order.changed == 0) == (shown == "".join(keys))


# --- on the screen ---


def other_order() -> FailuresReply:
    """The same groups, and the second has become the first."""
    first, second, *others = FAILURES.groups
    worse = msgspec.structs.replace(second, regressions=99)
    return msgspec.structs.replace(FAILURES, groups=(worse, first, *others))


def prepared_source() -> StaticSource:
    source = StaticSource(snapshot())
    source.replies[FailuresReply] = FAILURES
    source.replies[BuildsReply] = BuildsReply(
        builds=(build_finished(4707, "psycopg2", "failed", "fatal error: libpq-fe.h", 1),)
    )
    return source


async def ask_again(stage: AppHarness) -> None:
    screen = stage.console.current_screen
    assert isinstance(screen, FailuresScreen)
    screen._refresh_if_shown()


@pytest.mark.farm
async def test_rows_stay_while_they_are_read_and_escape_sorts_them() -> None:
    source = prepared_source()
    async with run_console(source, first_screen=ScreenName.FAILURES) as stage:
        await stage.wait_for_text("libpq-dev")
        await stage.press("down")
        read, cursor = stage.keys, stage.table.table.cursor
        source.replies[FailuresReply] = other_order()
        await ask_again(stage)
        await stage.wait_for_text("1 changed, Esc sorts")
        assert (stage.keys, stage.table.table.cursor) == (read, cursor)
        await stage.press("y")
        await stage.wait_until(
            lambda: isinstance(stage.console.screen, ConfirmDialog), "the sheet is there"
        )
        assert "missing-package: header libpq-fe.h" in stage.text
        await stage.press("escape")
        await stage.wait_until(lambda: stage.console.screen is stage.table, "it is closed")
        await stage.press("escape")
        await stage.wait_until(lambda: stage.keys == [read[1], read[0], *read[2:]], "it sorts")
        assert stage.console.current_screen.screen_name is ScreenName.FAILURES
        assert stage.table.table.cursor == cursor


@pytest.mark.farm
async def test_rows_are_sorted_when_nobody_has_pressed_a_key_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = prepared_source()
    async with run_console(source, first_screen=ScreenName.FAILURES) as stage:
        await stage.wait_for_text("libpq-dev")
        read = stage.keys
        source.replies[FailuresReply] = other_order()
        monkeypatch.setattr(failures_screen, "_KEPT_ORDER_S", -1.0)
        await ask_again(stage)
        await stage.wait_until(lambda: stage.keys == [read[1], read[0], *read[2:]], "it sorts")


@pytest.mark.farm
async def test_the_finder_knows_causes_and_opens_the_sheet_for_a_group() -> None:
    source = prepared_source()
    source.replies[type(PROJECT_HITS)] = PROJECT_HITS
    async with run_console(source, first_screen=ScreenName.BUILDERS) as stage:
        await stage.press("ctrl+k", *"libpq")
        await stage.wait_for_text("go to the failures for header libpq-fe.h")
        await stage.press("enter")
        await stage.wait_until(lambda: stage.console.current_screen.screen_name == "failures", "")
        await stage.wait_until(
            lambda: stage.table.table.cursor == "missing-package\nlibpq-dev", "it is on the group"
        )
        await stage.press("2", "ctrl+k", *"retry libpq")
        await stage.wait_for_text("Retry all: header libpq-fe.h, which asks first")
        assert not source.commands
        await stage.press("enter")
        await stage.wait_until(
            lambda: isinstance(stage.console.screen, ConfirmDialog), "the sheet is there"
        )
        assert "missing-package: header libpq-fe.h" in stage.text
        await stage.press("right", "enter")
        await stage.wait_until(lambda: source.commands, "it is sent")
        (sent,) = source.commands
        assert isinstance(sent, RetryReleases)
        assert [release[0] for release in sent.releases] == ["psycopg2"]
