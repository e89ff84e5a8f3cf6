"""What is kept of each builder's transitions, and what is checked after each event."""

import pytest

from piwheels.model import Outcome
from piwheels.model.transitions import MAX_TRANSITIONS, InvariantError
from piwheels.protocol import messages as m
from piwheels.scheduler import state_machine_events as s
from piwheels.scheduler.builder_state_machine import BuilderStateMachine
from tests.scheduler.message_factories import (
    build_finished,
    building,
    hello,
    idle,
    job,
    start_build,
)


def steps(farm: BuilderStateMachine, label: str = "b") -> list[tuple[str, str, str, int | None]]:
    return [
        (item.event, item.before, item.after, item.build) for item in farm.transitions.of(label)
    ]


def test_the_transitions_of_a_build_are_recorded_in_order(farm: BuilderStateMachine) -> None:
    start_build(farm, 7)
    for second in range(3):
        farm.handle(s.MessageReceived("b", building(7)), float(second))
    farm.handle(s.MessageReceived("b", build_finished(7)), 3.0)
    farm.handle(s.BuildCompleted("b", 7, Outcome.BUILT, stored=True), 4.0)
    farm.handle(s.MessageReceived("b", idle(7)), 5.0)
    assert steps(farm) == [
        ("Hello", "disconnected", "idle", None),
        ("JobClaimed", "idle", "building", 7),
        ("BuildFinished", "building", "uploading", 7),
        ("BuildCompleted", "uploading", m.BuilderState.FINISHING, None),
        ("IdleHeartbeat", m.BuilderState.FINISHING, "idle", None),
    ]
    assert [item.at for item in farm.transitions.of("b")] == [0.0, 0.0, 3.0, 4.0, 5.0]


def test_commands_are_recorded_with_their_operator_even_if_they_change_nothing(
    farm: BuilderStateMachine,
) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    for command in (m.BuilderCommand.WAKE, m.BuilderCommand.DRAIN):
        farm.handle(s.CommandIssued(command, ("b",), "ann"), 1.0)
    farm.handle(s.MessageReceived("b", m.Goodbye(reason="drained by ann")), 2.0)
    assert steps(farm)[1:] == [
        ("wake by ann", "idle", "idle", None),
        ("drain by ann", "idle", "draining", None),
        ("Goodbye", "draining", "ended", None),
    ]


def test_silence_and_loss_are_recorded_with_their_reason(farm: BuilderStateMachine) -> None:
    start_build(farm, 7)
    farm.handle(s.Tick(), 31.0)
    farm.handle(s.Tick(), 301.0)
    silent, lost = farm.transitions.of("b")[-2:]
    assert (silent.event, silent.after, silent.build) == ("Tick", "silent", 7)
    assert (lost.before, lost.after) == ("silent", "lost")
    assert lost.reason == farm.lost["b"].reason


def test_a_rolling_restart_is_recorded_for_each_builder(farm: BuilderStateMachine) -> None:
    for label in "ab":
        farm.handle(s.MessageReceived(label, hello()), 0.0)
    restart = s.CommandIssued(m.BuilderCommand.RESTART, ("a", "b"), "ann", max_parallel=1)
    farm.handle(restart, 1.0)
    assert (len(steps(farm, "a")), len(steps(farm, "b"))) == (2, 1)
    farm.handle(s.MessageReceived("a", m.Goodbye()), 2.0)
    farm.handle(s.MessageReceived("a", hello()), 3.0)
    assert steps(farm, "b")[-1] == ("restart by ann", "idle", "draining", None)


def test_only_the_last_transitions_are_kept(farm: BuilderStateMachine) -> None:
    for turn in range(MAX_TRANSITIONS):
        farm.handle(s.MessageReceived("b", hello()), float(turn))
        farm.handle(s.MessageReceived("b", m.Goodbye()), float(turn))
    assert len(farm.transitions.of("b")) == MAX_TRANSITIONS
    assert farm.transitions.of("nobody") == ()


def test_an_event_that_violates_an_invariant_is_named(farm: BuilderStateMachine) -> None:
    start_build(farm, 7, label="a")
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.sessions["b"].job = job(7)
    with pytest.raises(InvariantError, match=r"after Tick.*build 7 is with 2 builders"):
        farm.handle(s.Tick(), 1.0)
    farm.check_invariants = False
    farm.handle(s.Tick(), 2.0)
