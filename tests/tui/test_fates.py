"""What becomes of commands: no turn is lost, none comes after the last."""

from hypothesis import given
from hypothesis import strategies as st

from piwheels.tui.fates import REMEMBERED, Fates, Turn, sent

_FINAL = {Turn.APPLIED, Turn.REFUSED, Turn.UNKNOWN, Turn.NOT_SENT}


@given(st.lists(st.sampled_from(Turn)))
def test_a_final_turn_is_the_last(turns: list[Turn]) -> None:
    fate = sent("one", "pause", 1.0)
    for at, turn in enumerate(turns, 2):
        before, fate = fate, fate.turned(turn, float(at), str(at))
        if before.turn in _FINAL:
            assert fate is before
        if fate is not before:
            assert (fate.turn, fate.at, fate.text) == (turn, float(at), str(at))
            assert turn is not Turn.SENT
        assert (fate.identity, fate.what, fate.sent_at) == ("one", "pause", 1.0)
        assert fate.settled == (fate.turn not in {Turn.SENT, Turn.ACCEPTED})


def test_a_late_answer_says_more_than_a_time_out() -> None:
    late = sent("one", "pause", 1.0).turned(Turn.TIMED_OUT, 2.0)
    assert late.turned(Turn.APPLIED, 3.0, "paused").turn is Turn.APPLIED
    assert late.turned(Turn.ACCEPTED, 3.0) is late


def test_a_fate_in_one_line() -> None:
    fate = sent("one", "drain pi3", 1.0)
    assert fate.line == "drain pi3: sent"
    assert fate.turned(Turn.APPLIED, 2.0, "drains after numpy").line == (
        "drain pi3: drains after numpy"
    )
    assert fate.turned(Turn.REFUSED, 2.0, "no such builder").line == (
        "drain pi3: refused (no such builder)"
    )
    assert [fate.turned(turn, 2.0).went_well for turn in Turn] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip


def test_commands_under_way_are_never_forgotten() -> None:
    fates = Fates()
    for number in range(3 * REMEMBERED):
        fate = sent(str(number), "x", float(number))
        fates.take(fate)
        if number % 2:
            fates.take(fate.turned(Turn.APPLIED, number + 0.5))
    assert [fate.identity for fate in fates][:3] == ["599", "598", "597"]
    assert len(fates.under_way) == 3 * REMEMBERED / 2
    assert len([fate for fate in fates if fate.settled]) == REMEMBERED
