"""What becomes of commands: no turn is lost, none comes after the last."""

from hypothesis import given
from hypothesis import strategies as st

from piwheels.tui.model.command_status import (
    MAX_FINISHED,
    CommandHistory,
    CommandState,
    new_command,
)

_FINAL = {CommandState.APPLIED, CommandState.REJECTED, CommandState.UNKNOWN, CommandState.NOT_SENT}


@given(st.lists(st.sampled_from(CommandState)))
def test_a_final_turn_is_the_last(turns: list[CommandState]) -> None:
    fate = new_command("one", "pause", 1.0)
    for at, turn in enumerate(turns, 2):
        before, fate = fate, fate.advance(turn, float(at), str(at))
        if before.state in _FINAL:
            assert fate is before
        if fate is not before:
            assert (fate.state, fate.changed_at, fate.text) == (turn, float(at), str(at))
            assert turn is not CommandState.SENT
        assert (fate.command_id, fate.description, fate.sent_at) == ("one", "pause", 1.0)
        assert fate.is_final == (fate.state not in {CommandState.SENT, CommandState.ACCEPTED})


def test_a_late_answer_says_more_than_a_time_out() -> None:
    late = new_command("one", "pause", 1.0).advance(CommandState.TIMED_OUT, 2.0)
    assert late.advance(CommandState.APPLIED, 3.0, "paused").state is CommandState.APPLIED
    assert late.advance(CommandState.ACCEPTED, 3.0) is late


def test_a_fate_in_one_line() -> None:
    fate = new_command("one", "drain pi3", 1.0)
    assert fate.line == "drain pi3: sent"
    assert fate.advance(CommandState.APPLIED, 2.0, "drains after numpy").line == (
        "drain pi3: drains after numpy"
    )
    assert fate.advance(CommandState.REJECTED, 2.0, "no such builder").line == (
        "drain pi3: rejected (no such builder)"
    )
    assert [fate.advance(turn, 2.0).succeeded_or_pending for turn in CommandState] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip


def test_commands_under_way_are_never_forgotten() -> None:
    fates = CommandHistory()
    for number in range(3 * MAX_FINISHED):
        fate = new_command(str(number), "x", float(number))
        fates.update(fate)
        if number % 2:
            fates.update(fate.advance(CommandState.APPLIED, number + 0.5))
    assert [fate.command_id for fate in fates][:3] == ["599", "598", "597"]
    assert len(fates.pending) == 3 * MAX_FINISHED / 2
    assert len([fate for fate in fates if fate.is_final]) == MAX_FINISHED
