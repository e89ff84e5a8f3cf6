"""Operators' commands, and what the state machine does with them."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from piwheels.model import HostMetrics, Outcome
from piwheels.protocol import messages as m
from piwheels.scheduler import ended_builders, reasons
from piwheels.scheduler import state_machine_events as s
from piwheels.scheduler.builder_record import SILENT_AFTER_S
from piwheels.scheduler.builder_state_machine import BuilderStateMachine
from piwheels.scheduler.ended_builders import ENDED_BUILDER_RETENTION_S, ON_DEMAND_RETENTION_S
from tests.scheduler.message_factories import (
    build_finished,
    hello,
    idle,
    job,
    replies,
    start_build,
    types_of,
    without_publishing,
)

S = m.BuilderState
C = m.BuilderCommand


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (C.CANCEL_BUILD, [m.CancelBuild(build=7, reason="canceled by ann")]),
        (
            C.KILL,
            [m.CancelBuild(build=7, reason="killed by ann"), m.Shutdown(reason="killed by ann")],
        ),
        (C.DRAIN, [m.Shutdown(reason="drained by ann", after_build=True)]),
        (C.RESTART, [m.Shutdown(reason="restarted by ann", after_build=True, restart=True)]),
        (C.SLEEP, []),
    ],
)
def test_commands_to_a_building_builder(
    farm: BuilderStateMachine, command: m.BuilderCommand, expected: list[m.ToBuilder]
) -> None:
    start_build(farm)
    instructions = farm.handle(s.CommandIssued(command, ("b",), "ann"), 5.0)
    assert replies(instructions) == expected
    completed = [item for item in instructions if isinstance(item, s.CompleteBuild)]
    assert [item.result.outcome for item in completed] == (
        [Outcome.CANCELED] if command in {C.CANCEL_BUILD, C.KILL} else []
    )


def test_an_immediate_restart_requeues_the_build_without_an_attempt(
    farm: BuilderStateMachine,
) -> None:
    start_build(farm)
    restarted = farm.handle(s.CommandIssued(C.RESTART, ("b",), "ann", immediately=True), 1.0)
    assert without_publishing(restarted) == [
        s.SendMessage("b", m.CancelBuild(build=7, reason="restarted by ann")),
        s.CancelUpload(7),
        s.UnclaimJob("b", 7),
        s.SendMessage("b", m.Shutdown(reason="restarted by ann", restart=True)),
    ]


@pytest.mark.parametrize(
    ("command", "restart"), [(C.KILL, False), (C.DRAIN, False), (C.RESTART, True)]
)
def test_a_lost_shutdown_is_repeated_unchanged(
    farm: BuilderStateMachine, command: m.BuilderCommand, restart: bool
) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    (shutdown,) = replies(farm.handle(s.CommandIssued(command, ("b",), "ann"), 1.0))
    assert replies(farm.handle(s.MessageReceived("b", idle()), 2.0)) == [shutdown]
    assert isinstance(shutdown, m.Shutdown)
    assert shutdown.restart is restart


def test_the_last_of_several_shutdown_commands_applies(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.CommandIssued(C.DRAIN, ("b",), "ann"), 1.0)
    farm.handle(s.CommandIssued(C.RESTART, ("b",), "bob"), 2.0)
    assert farm.view("b", 2.0).reason == "restarts after this build: restarted by bob"


def test_a_sleeping_builder_gets_no_jobs_until_it_is_woken(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.CommandIssued(C.SLEEP, ("b",), "ann"), 0.0)
    assert s.ClaimJob not in types_of(farm.handle(s.MessageReceived("b", idle()), 0.0))
    assert farm.view("b", 0.0).state == "asleep"
    assert s.ClaimJob in types_of(farm.handle(s.CommandIssued(C.WAKE, ("b",), "ann"), 1.0))


def test_sleep_lets_the_running_build_finish(farm: BuilderStateMachine) -> None:
    start_build(farm)
    slept = farm.handle(s.CommandIssued(C.SLEEP, ("b",), "ann"), 1.0)
    assert without_publishing(slept) == [s.PersistSuspension("b", S.ASLEEP, "put to sleep by ann")]
    view = farm.view("b", 1.0)
    assert (view.state, view.reason) == (S.TO_SLEEP, "sleeps after this build: put to sleep by ann")
    farm.handle(s.MessageReceived("b", build_finished(7, Outcome.FAILED)), 2.0)
    farm.handle(s.BuildCompleted("b", 7, Outcome.FAILED, stored=True), 2.0)
    assert replies(farm.handle(s.MessageReceived("b", idle(7)), 3.0)) == [
        m.NoJobAvailable(reason="asleep")
    ]
    assert farm.view("b", 3.0).state == S.ASLEEP


@pytest.mark.parametrize("uploading", [False, True])
def test_an_immediate_sleep_requeues_the_job_without_an_attempt(
    farm: BuilderStateMachine, uploading: bool
) -> None:
    start_build(farm)
    if uploading:
        farm.handle(s.MessageReceived("b", build_finished(7)), 0.5)
    slept = farm.handle(s.CommandIssued(C.SLEEP, ("b",), "ann", immediately=True), 1.0)
    assert without_publishing(slept) == [
        s.PersistSuspension("b", S.ASLEEP, "put to sleep by ann"),
        s.SendMessage("b", m.CancelBuild(build=7, reason="put to sleep by ann")),
        s.CancelUpload(7),
        s.UnclaimJob("b", 7),
    ]
    farm.handle(s.MessageReceived("b", idle(7)), 2.0)
    assert farm.view("b", 2.0).state == S.ASLEEP


def test_sleep_is_kept_across_a_restart_of_the_builder(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.CommandIssued(C.SLEEP, ("b",), "ann"), 0.0)
    farm.handle(s.MessageReceived("b", m.Goodbye()), 1.0)
    farm.handle(s.MessageReceived("b", hello()), 2.0)
    assert farm.view("b", 2.0).state == S.ASLEEP


def test_repeated_sleep_and_wake_change_nothing(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.CommandIssued(C.SLEEP, ("b",), "ann"), 0.0)
    assert without_publishing(farm.handle(s.CommandIssued(C.SLEEP, ("b",), "bob"), 1.0)) == []
    farm.handle(s.CommandIssued(C.WAKE, ("b",), "ann"), 2.0)
    assert without_publishing(farm.handle(s.CommandIssued(C.WAKE, ("b",), "bob"), 3.0)) == []


def test_a_drained_builder_ends_after_its_build(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.CommandIssued(C.DRAIN, ("b",), "ann"), 1.0)
    view = farm.view("b", 1.0)
    assert (view.state, view.reason) == (S.DRAINING, "ends after this build: drained by ann")
    farm.handle(s.MessageReceived("b", build_finished(7, Outcome.FAILED)), 2.0)
    farm.handle(s.BuildCompleted("b", 7, Outcome.FAILED, stored=True), 2.0)
    instructions = farm.handle(s.MessageReceived("b", idle(7)), 3.0)
    assert replies(instructions) == [m.Shutdown(reason="drained by ann")]
    left = farm.handle(s.MessageReceived("b", m.Goodbye(reason="drained by ann")), 3.0)
    assert s.PublishBuilderEnded("b", "drained by ann") in left
    view = farm.view("b", 63.0)
    assert (view.state, view.reason, view.state_s) == (S.ENDED, "drained by ann", 60.0)
    assert view.build is None
    assert farm.rejection_reason(C.WAKE, "b") == reasons.HAS_ENDED


def test_a_drained_builder_that_disconnects_without_goodbye_has_ended_and_is_not_lost(
    farm: BuilderStateMachine,
) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.CommandIssued(C.DRAIN, ("b",), "ann"), 0.0)
    gone = farm.handle(s.Tick(), SILENT_AFTER_S + 1)
    assert s.PublishBuilderEnded("b", "drained by ann") in gone
    assert farm.view("b", SILENT_AFTER_S + 1).state is S.ENDED


def test_a_builder_that_has_ended_is_listed_until_it_is_back(farm: BuilderStateMachine) -> None:
    end_builder(farm, C.KILL)
    back = farm.handle(s.MessageReceived("b", hello()), 9.0)
    assert s.PersistEndedBuilder("b", None) in back
    assert farm.view("b", 9.0).state is S.IDLE


def test_a_builder_that_has_ended_is_listed_for_some_days(farm: BuilderStateMachine) -> None:
    end_builder(farm, C.DRAIN)
    assert farm.handle(s.Tick(), ENDED_BUILDER_RETENTION_S) == []
    assert farm.handle(s.Tick(), ENDED_BUILDER_RETENTION_S + 2.0) == [
        s.PublishBuilderRemoved("b", ""),
        s.PersistEndedBuilder("b", None),
    ]
    assert farm.labels() == []


@pytest.mark.parametrize("command", [None, C.DRAIN, C.RESTART])
def test_a_builder_on_demand_has_ended_when_it_says_goodbye_and_its_job_is_returned(
    farm: BuilderStateMachine, command: m.BuilderCommand | None
) -> None:
    farm.handle(s.MessageReceived("b", replace(hello(), on_demand=True)), 0.0)
    farm.handle(s.MessageReceived("b", idle()), 0.0)
    farm.handle(s.JobClaimed("b", job(7)), 0.0)
    if command is not None:
        farm.handle(s.CommandIssued(command, ("b",), "ann"), 0.5)
    left = farm.handle(s.MessageReceived("b", m.Goodbye(reason="it was stopped")), 1.0)
    assert s.UnclaimJob("b", 7) in left
    assert s.PublishBuilderEnded("b", "it was stopped") in left
    view = farm.view("b", 1.0)
    asked = {None: "it was stopped", C.DRAIN: "drained by ann", C.RESTART: "restarted by ann"}
    assert (view.state, view.on_demand, view.reason) == (S.ENDED, True, asked[command])
    farm.handle(s.Tick(), ON_DEMAND_RETENTION_S)
    assert farm.labels() == ["b"]
    farm.handle(s.Tick(), ON_DEMAND_RETENTION_S + 2.0)
    assert farm.labels() == []


def test_what_a_builder_on_demand_could_do_counts_while_none_is_there(
    farm: BuilderStateMachine,
) -> None:
    could = replace(
        hello(), on_demand=True, memory_limit_bytes=2 << 30, installed_packages=("libx",)
    )
    target = could.targets[0].name
    assert not farm.can_supply(target, ["libx"])
    farm.handle(s.MessageReceived("b", could), 0.0)
    farm.handle(s.MessageReceived("b", m.Goodbye()), 1.0)
    assert farm.can_supply(target, ["libx"])
    assert farm.max_memory_bytes(target) == 2 << 30
    assert farm.seen_targets == {target}
    farm.pools = ((("*-aarch64",), 8 << 30), (("*-armv7l",), 16 << 30))
    assert farm.max_memory_bytes(target) == 8 << 30, "it can be started"
    farm.pools = ((("*-aarch64",), 1 << 30),)
    assert farm.max_memory_bytes(target) == 1 << 30, "no other one is started"
    farm.pools = ()
    farm.handle(s.Tick(), ON_DEMAND_RETENTION_S - 1.0)
    assert farm.max_memory_bytes(target) == 2 << 30
    farm.handle(s.Tick(), ON_DEMAND_RETENTION_S + 2.0)
    assert farm.max_memory_bytes(target) == 0
    assert farm.seen_targets == frozenset()


def test_a_bounded_number_of_builders_on_demand_is_remembered(farm: BuilderStateMachine) -> None:
    for number in range(1, 1100):
        could = replace(hello(), on_demand=True, memory_limit_bytes=number)
        farm.handle(s.MessageReceived("b", could), 0.0)
        farm.handle(s.MessageReceived("b", m.Goodbye()), 0.0)
    assert [memory for _, memory in farm.on_demand] == list(range(100, 1100))


def test_a_builder_that_restarts_or_whose_key_is_revoked_is_not_listed_as_ended(
    farm: BuilderStateMachine,
) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.CommandIssued(C.RESTART, ("b",), "ann"), 0.0)
    farm.handle(s.MessageReceived("b", m.Goodbye()), 1.0)
    assert farm.labels() == []
    end_builder(farm, C.DRAIN)
    gone = farm.handle(s.KeyRevoked("b"), 2.0)
    assert s.PublishBuilderRemoved("b", reasons.KEY_REVOKED) in gone
    assert s.PersistEndedBuilder("b", None) in gone
    farm.handle(s.MessageReceived("b", hello()), 3.0)
    farm.handle(s.CommandIssued(C.DRAIN, ("b",), "ann"), 3.0)
    assert s.PublishBuilderEnded not in types_of(farm.handle(s.KeyRevoked("b"), 4.0))
    assert farm.labels() == []


def test_what_is_stored_of_a_builder_that_has_ended_is_shown_after_a_restart(
    farm: BuilderStateMachine,
) -> None:
    end_builder(farm, C.DRAIN)
    view, at = farm.view("b", 1.0), datetime(2026, 11, 27, 12, tzinfo=UTC)
    texts = {"b": ended_builders.to_text(view, at), "c": "{}"}
    restored = ended_builders.from_texts(texts, at + timedelta(hours=1), now=50.0)
    assert list(restored) == ["b"], "what cannot be read is left out"
    assert restored["b"].view(50.0) == replace(view, state_s=3600.0)
    (earlier,) = ended_builders.from_texts(
        {"b": texts["b"]}, at - timedelta(hours=1), 50.0
    ).values()
    assert earlier.ended_at == 50.0, "the clock was set back"


def end_builder(farm: BuilderStateMachine, command: m.BuilderCommand) -> None:
    """A builder without a job is ended by an operator, one second after it connected."""
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.CommandIssued(command, ("b",), "ann"), 0.0)
    farm.handle(s.MessageReceived("b", m.Goodbye()), 1.0)


def test_a_job_claimed_for_a_builder_that_is_being_drained_is_requeued(
    farm: BuilderStateMachine,
) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.MessageReceived("b", idle()), 0.0)
    farm.handle(s.CommandIssued(C.DRAIN, ("b",), "ann"), 0.0)
    assert s.UnclaimJob("b", 7) in farm.handle(s.JobClaimed("b", job(7)), 0.0)


def test_a_command_names_the_builders_that_cannot_execute_it(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    assert farm.rejection_reason(C.CANCEL_BUILD, "b") == reasons.NO_RUNNING_BUILD
    assert farm.rejection_reason(C.KILL, "c") == reasons.NOT_CONNECTED
    assert farm.rejection_reason(C.KILL, "b") == ""


# --- a few at a time ---


class RollingRestartScenario:
    """Four builders that are restarted a few at a time."""

    def __init__(self, machine: BuilderStateMachine, max_parallel: int) -> None:
        self.machine = machine
        self.now = 0.0
        for label in "abcd":
            machine.handle(s.MessageReceived(label, hello()), self.now)
        self.stopped: list[str] = []
        self.apply(s.CommandIssued(C.RESTART, tuple("abcd"), "ann", max_parallel=max_parallel))

    def apply(self, event: s.Event) -> None:
        for item in self.machine.handle(event, self.now):
            if isinstance(item, s.SendMessage) and isinstance(item.message, m.Shutdown):
                self.stopped.append(item.label)

    def leave(self, label: str) -> None:
        self.apply(s.MessageReceived(label, m.Goodbye()))

    def join(self, label: str) -> None:
        self.apply(s.MessageReceived(label, hello()))

    def wait(self, seconds: float) -> None:
        """Let time pass; connected builders continue to send heartbeats."""
        for _ in range(int(seconds)):
            self.now += 1.0
            for label in list(self.machine.sessions):
                if label not in self.stopped:
                    self.apply(s.MessageReceived(label, m.LogChunk(build=0, offset=0, data=b"")))
            self.apply(s.Tick())


def test_a_rolling_restart_continues_when_a_builder_reconnects(farm: BuilderStateMachine) -> None:
    rolling = RollingRestartScenario(farm, 1)
    assert rolling.stopped == ["a"]
    rolling.leave("a")
    rolling.wait(10)
    assert rolling.stopped == ["a"], "it is not back yet"
    rolling.join("a")
    assert rolling.stopped == ["a", "b"]
    for label in "bcd":
        rolling.leave(label)
        rolling.join(label)
    assert rolling.stopped == ["a", "b", "c", "d"]
    assert farm.rolling_restarts == []
    assert {farm.view(label, rolling.now).state for label in "abcd"} == {S.IDLE}


def test_a_rolling_restart_continues_when_a_builder_is_removed(farm: BuilderStateMachine) -> None:
    rolling = RollingRestartScenario(farm, 2)
    assert rolling.stopped == ["a", "b"]
    rolling.leave("a")
    rolling.wait(299)
    assert rolling.stopped == ["a", "b"]
    rolling.wait(3)
    assert rolling.stopped[:3] == ["a", "b", "c"]


def test_a_rolling_restart_waits_for_a_long_build(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("a", hello()), 0.0)
    farm.handle(s.MessageReceived("a", idle()), 0.0)
    farm.handle(s.JobClaimed("a", job(7)), 0.0)
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    restart = s.CommandIssued(C.RESTART, ("a", "b"), "ann", max_parallel=1)
    assert replies(farm.handle(restart, 0.0)) == [
        m.Shutdown(reason="restarted by ann", after_build=True, restart=True)
    ]
    for minute in range(1, 5):
        assert replies(farm.handle(s.MessageReceived("a", m.BuildHeartbeat(
            build=7, phase="building", phase_s=1.0, host=HostMetrics())), minute * 60.0)
        ) == [m.Ack()]  # fmt: skip
        farm.handle(s.MessageReceived("b", m.LogChunk(build=0, offset=0, data=b"")), minute * 60.0)
        assert s.SendMessage not in types_of(farm.handle(s.Tick(), minute * 60.0))


def test_a_rolling_restart_skips_builders_that_disconnected(
    farm: BuilderStateMachine,
) -> None:
    rolling = RollingRestartScenario(farm, 1)
    rolling.leave("b")
    rolling.leave("a")
    rolling.join("a")
    assert rolling.stopped == ["a", "c"]


def test_a_lost_builder_does_not_delay_a_rolling_restart(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("a", hello()), 0.0)
    farm.handle(s.MessageReceived("a", idle()), 0.0)
    farm.handle(s.JobClaimed("a", job(7)), 0.0)
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.CommandIssued(C.RESTART, ("a", "b"), "ann", max_parallel=1), 0.0)
    farm.handle(s.MessageReceived("b", idle()), 300.0)
    lost = farm.handle(s.Tick(), 301.0)
    assert s.PublishBuilderLost in types_of(lost)
    assert s.SendMessage("b", m.Shutdown(reason="restarted by ann", restart=True)) in lost
