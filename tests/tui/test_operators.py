"""The console shows who else is connected: its own screen, the finder, the header."""

from datetime import UTC, datetime, timedelta

import pytest

from piwheels.protocol.messages import EventBatch, OperatorsChanged, OperatorSession
from piwheels.tui.model.state import FarmState, from_snapshot, to_snapshot
from piwheels.tui.model.tables.operators import operator_rows, others_text
from tests.tui.app_harness import run_console
from tests.tui.sample_farm import snapshot
from tests.tui.static_source import NOON, StaticSource

_AT = datetime.fromtimestamp(NOON, UTC)


def session(number: int, name: str, **facts: object) -> OperatorSession:
    known = {"origin": "this machine", "since": _AT - timedelta(hours=3)}
    return OperatorSession(session=number, name=name, **(known | facts))  # type: ignore[arg-type]


ADA = session(1, "ada@desk")
BEN = session(
    2,
    "ben@laptop (key laptop)",
    origin="192.0.2.7",
    since=_AT - timedelta(minutes=20),
    last_command="retry numpy",
    last_command_at=_AT - timedelta(minutes=4, seconds=20),
)


def farm(*operators: OperatorSession) -> FarmState:
    state = from_snapshot(snapshot(operators=(ADA,)), NOON)
    state.session = 1
    state.apply_update(EventBatch(events=(OperatorsChanged(operators=operators),)), NOON)
    return state


def test_a_row_says_since_when_from_where_and_what_somebody_did_last() -> None:
    own, other = operator_rows(farm(ADA, BEN), NOON)
    assert [cell.text for cell in own.cells] == [
        "ada@desk (this console)", "3h", "this machine", "-", "-",
    ]  # fmt: skip
    assert [cell.text for cell in other.cells] == [
        "ben@laptop (key laptop)", "20m", "192.0.2.7", "retry numpy", "4m",
    ]  # fmt: skip


def test_the_others_are_all_but_this_console() -> None:
    state = farm(ADA, BEN)
    assert state.other_operators == (BEN,)
    assert from_snapshot(to_snapshot(state, NOON), NOON).other_operators == (BEN,)


def test_the_header_has_each_name_once_and_not_too_many() -> None:
    assert others_text(()) == ""
    assert others_text((BEN, BEN)) == "with ben@laptop"
    many = tuple(session(number, f"o{number}") for number in range(5))
    assert others_text(many) == "with o0, o1, o2 +2"


def test_hostile_names_are_one_safe_line() -> None:
    evil = session(3, "\x1b[31meve\u202e\n" * 9, last_command="\x07boo\x1b]0;x\x07")
    for cell in operator_rows(farm(evil), NOON)[0].cells:
        assert cell.text.isprintable()
    assert others_text((evil,)).isprintable()


@pytest.mark.farm
async def test_the_screen_is_opened_from_the_finder() -> None:
    source = StaticSource(snapshot(operators=(ADA, BEN)))
    async with run_console(source, size=(80, 24)) as stage:
        await stage.press("ctrl+k", *"operators")
        await stage.wait_for_text("Show who is connected")
        await stage.press("enter")
        await stage.wait_for_text("ben@laptop (key laptop)")
        assert "192.0.2.7" in stage.text
        assert "retry numpy" in stage.text


@pytest.mark.farm
async def test_the_header_says_who_else_is_connected_where_there_is_room() -> None:
    source = StaticSource(snapshot(operators=(BEN,)))
    async with run_console(source, size=(200, 60)) as stage:
        await stage.wait_for_text("with ben@laptop")


@pytest.mark.farm
async def test_the_header_says_who_paused_the_farm() -> None:
    source = StaticSource(snapshot(paused=True, paused_by="ada@desk (key laptop)"))
    async with run_console(source, size=(120, 40)) as stage:
        await stage.wait_for_text("PAUSED by ada@desk  ")
