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
def test_a_final_state_is_the_last(turns: list[CommandState]) -> None:
    status = new_command("one", "pause", 1.0)
    for at, turn in enumerate(turns, 2):
        before, status = status, status.advance(turn, float(at), str(at))
        if before.state in _FINAL:
            assert status is before
        if status is not before:
            assert (status.state, status.changed_at, status.text) == (turn, float(at), str(at))
            assert turn is not CommandState.SENT
        assert (status.command_id, status.description, status.sent_at) == ("one", "pause", 1.0)
        assert status.is_final == (status.state not in {CommandState.SENT, CommandState.ACCEPTED})


def test_a_late_reply_replaces_a_timeout() -> None:
    late = new_command("one", "pause", 1.0).advance(CommandState.TIMED_OUT, 2.0)
    assert late.advance(CommandState.APPLIED, 3.0, "paused").state is CommandState.APPLIED
    assert late.advance(CommandState.ACCEPTED, 3.0) is late


def test_a_command_status_is_one_line() -> None:
    status = new_command("one", "drain pi3", 1.0)
    assert status.line == "drain pi3: sent"
    assert status.advance(CommandState.APPLIED, 2.0, "drains after numpy").line == (
        "drain pi3: drains after numpy"
    )
    assert status.advance(CommandState.REJECTED, 2.0, "no such builder").line == (
        "drain pi3: rejected (no such builder)"
    )
    assert [status.advance(turn, 2.0).succeeded_or_pending for turn in CommandState] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip


def test_running_commands_are_never_dropped() -> None:
    statuses = CommandHistory()
    for number in range(3 * MAX_FINISHED):
        status = new_command(str(number), "x", float(number))
        statuses.update(status)
        if number % 2:
            statuses.update(status.advance(CommandState.APPLIED, number + 0.5))
    assert [status.command_id for status in statuses][:3] == ["599", "598", "597"]
    assert len(statuses.pending) == 3 * MAX_FINISHED / 2
    assert len([status for status in statuses if status.is_final]) == MAX_FINISHED
