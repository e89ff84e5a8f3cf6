"""The states that operators see, each from the events that lead there and away."""

import pytest

from piwheels.model import HostMetrics, Outcome
from piwheels.protocol import messages as m
from piwheels.scheduler import reasons
from piwheels.scheduler import state_machine_events as s
from piwheels.scheduler.builder_record import SILENT_AFTER_S, BuilderRecord, OrphanedClaim
from piwheels.scheduler.builder_state_machine import LOST_BUILDER_RETENTION_S, BuilderStateMachine
from tests.scheduler.message_factories import (
    build_finished,
    building,
    hello,
    idle,
    job,
    replies,
    start_build,
    types_of,
    without_publishing,
)

S = m.BuilderState


def state(machine: BuilderStateMachine, now: float, label: str = "b") -> str:
    return machine.view(label, now).state


def finish(
    machine: BuilderStateMachine, build: int, outcome: Outcome, at: float, reason: str = "it broke"
) -> list[s.Instruction]:
    machine.handle(s.MessageReceived("b", build_finished(build, outcome, reason)), at)
    return machine.handle(s.BuildCompleted("b", build, outcome, stored=True), at)


# --- finishing ---


def test_a_builder_cleans_up_between_its_build_and_its_next_request(
    farm: BuilderStateMachine,
) -> None:
    start_build(farm)
    finish(farm, 7, Outcome.FAILED, 1.0)
    assert state(farm, 1.0) == S.FINISHING
    farm.handle(s.MessageReceived("b", idle(7)), 2.0)
    assert state(farm, 2.0) == S.IDLE


def test_a_canceled_build_is_cleaned_up(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.CommandIssued(m.BuilderCommand.CANCEL_BUILD, ("b",), "ann"), 1.0)
    assert state(farm, 1.0) == S.FINISHING
    farm.handle(s.MessageReceived("b", hello()), 2.0)
    assert state(farm, 2.0) == S.IDLE


# --- to sleep ---


def test_a_builder_that_will_sleep_shows_it_during_its_build(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.CommandIssued(m.BuilderCommand.SLEEP, ("b",), "ann"), 1.0)
    assert state(farm, 1.0) == S.TO_SLEEP
    assert "sleeps after this build" in farm.view("b", 1.0).reason
    farm.handle(s.CommandIssued(m.BuilderCommand.WAKE, ("b",), "ann"), 2.0)
    assert state(farm, 2.0) == S.BUILDING


# --- overdue ---


def test_a_build_much_longer_than_earlier_ones_is_overdue(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.DurationEstimated("b", 7, longest_s=1000.0), 0.0)
    farm.handle(s.MessageReceived("b", building(7)), 2999.0)
    assert (state(farm, 2999.0), farm.view("b", 2999.0).expected_s) == (S.BUILDING, 3000.0)
    assert state(farm, 3001.0) == S.OVERDUE
    farm.handle(s.MessageReceived("b", build_finished(7)), 3002.0)
    assert state(farm, 3002.0) == S.UPLOADING


def test_a_build_is_never_overdue_within_ten_minutes(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.DurationEstimated("b", 7, longest_s=1.0), 0.0)
    farm.handle(s.MessageReceived("b", building(7)), 599.0)
    assert state(farm, 599.0) == S.BUILDING
    assert state(farm, 601.0) == S.OVERDUE


def test_without_an_earlier_build_half_of_the_limit_is_expected(farm: BuilderStateMachine) -> None:
    start_build(farm, build_timeout_s=7200.0)
    assert farm.view("b", 0.0).expected_s == 3600.0
    farm.handle(s.DurationEstimated("b", 7, longest_s=None), 0.0)
    farm.handle(s.MessageReceived("b", building(7)), 3601.0)
    view = farm.view("b", 3601.0)
    assert (view.state, view.expected_s, view.limit_s, view.build_s) == (
        S.OVERDUE, 3600.0, 7200.0, 3601.0,
    )  # fmt: skip


def test_without_a_limit_no_duration_is_expected(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.MessageReceived("b", building(7)), 90_000.0)
    assert state(farm, 90_000.0) == S.BUILDING


def test_the_expected_duration_of_a_build_is_not_used_for_the_next(
    farm: BuilderStateMachine,
) -> None:
    start_build(farm)
    farm.handle(s.DurationEstimated("b", 6, longest_s=1.0), 0.0)
    assert farm.view("b", 1.0).expected_s == 0.0


def test_every_job_is_estimated_after_it_was_assigned(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.MessageReceived("b", idle()), 0.0)
    handed = farm.handle(s.JobClaimed("b", job(7)), 0.0)
    assert handed.index(s.EstimateDuration("b", job(7))) > handed.index(
        s.SendMessage("b", m.StartBuild(job=job(7)))
    )


def test_the_age_of_an_adopted_build_is_that_of_its_claim(farm: BuilderStateMachine) -> None:
    farm.orphans["b"] = OrphanedClaim(job(7), since=0.0, claimed_at=-5000.0)
    adopted = farm.handle(s.MessageReceived("b", hello(current_build=7)), 1.0)
    assert s.EstimateDuration("b", job(7)) in adopted
    assert farm.view("b", 1.0).build_s == 5001.0


# --- silent, lost ---


def test_the_start_and_end_of_a_silence_are_reported(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.Tick(), 1.0)
    assert farm.handle(s.Tick(), SILENT_AFTER_S - 1) == []
    assert farm.handle(s.Tick(), SILENT_AFTER_S + 1) == [s.PublishBuilder("b")]
    assert state(farm, SILENT_AFTER_S + 1) == S.SILENT
    assert s.PublishBuilder("b") in farm.handle(s.MessageReceived("b", idle()), SILENT_AFTER_S + 2)
    assert state(farm, SILENT_AFTER_S + 2) == S.IDLE


def test_a_lost_builder_is_listed_with_its_last_facts(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.MessageReceived("b", building(7)), 5.0)
    lost = farm.handle(s.Tick(), 306.0)
    assert s.PublishBuilderLost("b", reasons.lost(300.0, job(7))) in lost
    assert reasons.lost(300.0, None) == "lost after 300 s without a message"  # however old it is
    view = farm.view("b", 307.0)
    assert (view.state, view.build, view.board, view.since_last_message_s) == (
        S.LOST,
        None,
        "Pi",
        302.0,
    )
    assert "was queued again" in view.reason
    assert (view.project, view.release_version) == (job(7).project, job(7).version)
    assert farm.labels() == ["b"]


def test_a_lost_builder_gets_no_jobs_and_no_commands(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.Tick(), 301.0)
    assert without_publishing(farm.handle(s.JobsAvailable(), 302.0)) == []
    assert farm.rejection_reason(m.BuilderCommand.DRAIN, "b") == reasons.IS_LOST
    assert replies(farm.handle(s.MessageReceived("b", idle()), 303.0)) == [
        m.Rejected(reason=reasons.HELLO_FIRST)
    ]


def test_a_lost_builder_that_returns_is_connected(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.Tick(), 301.0)
    back = replies(farm.handle(s.MessageReceived("b", hello(current_build=7)), 400.0))
    assert [type(reply) for reply in back] == [m.Welcome, m.CancelBuild]
    assert state(farm, 400.0) == S.IDLE


def test_a_lost_builder_is_removed_after_an_hour(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.Tick(), 301.0)
    assert s.PublishBuilderRemoved not in types_of(
        farm.handle(s.Tick(), 300.0 + LOST_BUILDER_RETENTION_S)
    )
    assert s.PublishBuilderRemoved("b", "") in farm.handle(
        s.Tick(), 302.0 + LOST_BUILDER_RETENTION_S
    )
    assert farm.labels() == []


def test_a_lost_builder_with_a_revoked_key_is_removed(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.Tick(), 301.0)
    assert types_of(farm.handle(s.KeyRevoked("b"), 302.0)) == [s.PublishBuilderRemoved]
    assert farm.labels() == []


# --- quarantined ---


def fail_because_of_builder(
    machine: BuilderStateMachine, times: int, first: int = 7
) -> list[s.Instruction]:
    done: list[s.Instruction] = []
    for build in range(first, first + times):
        machine.handle(s.MessageReceived("b", idle(build - 1)), 1.0)
        machine.handle(s.JobClaimed("b", job(build)), 1.0)
        done = finish(machine, build, Outcome.BUILDER_FAILED, 1.0, "no sandbox")
    return done


def test_a_builder_with_repeated_builder_failures_is_quarantined(
    farm: BuilderStateMachine,
) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    reason = reasons.quarantined(3, "no sandbox")
    assert s.PersistSuspension("b", S.QUARANTINED, reason) in fail_because_of_builder(farm, 3)
    instructions = farm.handle(s.MessageReceived("b", idle(9)), 2.0)
    assert replies(instructions) == [m.NoJobAvailable(reason="quarantined")]
    view = farm.view("b", 2.0)
    assert (view.state, view.reason) == (S.QUARANTINED, reason)


def test_another_outcome_resets_the_count_of_failures(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    fail_because_of_builder(farm, 2)
    farm.handle(s.MessageReceived("b", idle(8)), 1.0)
    farm.handle(s.JobClaimed("b", job(9)), 1.0)
    finish(farm, 9, Outcome.FAILED, 1.0)
    fail_because_of_builder(farm, 2, first=10)
    farm.handle(s.MessageReceived("b", idle(11)), 2.0)
    assert state(farm, 2.0) == S.IDLE


def test_wake_ends_a_quarantine_and_resets_the_count(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    fail_because_of_builder(farm, 3)
    farm.handle(s.MessageReceived("b", idle(9)), 2.0)
    woken = farm.handle(s.CommandIssued(m.BuilderCommand.WAKE, ("b",), "ann"), 3.0)
    assert s.PersistSuspension("b", None, "") in woken
    assert s.ClaimJob in types_of(woken)
    farm.handle(s.JobClaimed("b", job(10)), 3.0)
    finish(farm, 10, Outcome.BUILDER_FAILED, 3.0)
    farm.handle(s.MessageReceived("b", idle(10)), 4.0)
    assert state(farm, 4.0) == S.IDLE


def test_a_quarantine_is_kept_across_a_restart_of_the_builder(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    fail_because_of_builder(farm, 3)
    farm.handle(s.MessageReceived("b", m.Goodbye()), 2.0)
    farm.handle(s.MessageReceived("b", hello()), 3.0)
    assert replies(farm.handle(s.MessageReceived("b", idle(9)), 3.0)) == [
        m.NoJobAvailable(reason="quarantined")
    ]


def test_quarantine_can_be_disabled() -> None:
    farm = BuilderStateMachine(builder_timeout_s=300.0, quarantine_after=0)
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    fail_because_of_builder(farm, 9)
    farm.handle(s.MessageReceived("b", idle(15)), 2.0)
    assert state(farm, 2.0) == S.IDLE


# --- what the last hour and the last minutes say ---


def test_builds_of_the_last_hour_are_counted_and_forgotten(farm: BuilderStateMachine) -> None:
    farm.records["b"] = BuilderRecord()
    farm.records["b"].results.extend([(-3000.0, True), (-100.0, False)])
    start_build(farm)
    finish(farm, 7, Outcome.FAILED, 1.0)
    view = farm.view("b", 1.0)
    assert (view.built_last_hour, view.failed_last_hour, view.failed) == (1, 2, 1)
    farm.handle(s.MessageReceived("b", idle(7)), 605.0)
    assert s.PublishBuilder("b") in farm.handle(s.Tick(), 606.0)
    view = farm.view("b", 606.0)
    assert (view.built_last_hour, view.failed_last_hour, view.failed) == (0, 2, 1)


def test_a_killed_build_does_not_count_as_a_success_or_failure_of_its_builder(
    farm: BuilderStateMachine,
) -> None:
    start_build(farm)
    farm.handle(s.CommandIssued(m.BuilderCommand.CANCEL_BUILD, ("b",), "ann"), 1.0)
    farm.handle(s.BuildCompleted("b", 7, Outcome.CANCELED, stored=True), 1.0)
    assert farm.view("b", 1.0).failed_last_hour == 0


def test_load_samples_are_limited_and_shown_on_demand(farm: BuilderStateMachine) -> None:
    for second in range(0, 6000, 10):
        load = float(second // 60)
        farm.handle(s.MessageReceived("b", hello(load=load)), float(second))
        farm.handle(s.Tick(), float(second))
    assert farm.view("b", 6000.0).load_history == ()
    loads = farm.view("b", 6000.0, load_history=True).load_history
    assert loads == tuple(float(number) for number in range(40, 100))


@pytest.mark.parametrize("paused", [False, True])
def test_an_idle_builder_shows_whether_the_farm_is_paused(
    farm: BuilderStateMachine, paused: bool
) -> None:
    farm.handle(s.PauseChanged(paused=paused), 0.0)
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    assert state(farm, 0.0) == (S.PAUSED if paused else S.IDLE)


def heartbeat_at(farm: BuilderStateMachine, builder_s: float | None, master_s: float) -> None:
    beat = m.IdleHeartbeat(last_build=0, host=HostMetrics(clock_s=builder_s))
    farm.handle(s.MessageReceived("b", beat, clock_s=master_s), 1.0)


def test_the_offset_of_a_clock_is_that_of_the_heartbeat_with_the_least_delay(
    farm: BuilderStateMachine,
) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    assert farm.view("b", 1.0).clock_offset_s is None
    heartbeat_at(farm, 1000.0, 1000.5)
    heartbeat_at(farm, 1005.0, 1095.0)  # it waited for the network
    assert farm.view("b", 1.0).clock_offset_s == -0.5
    for beat in range(6):
        heartbeat_at(farm, 500.0 + beat, 1000.0 + beat)
    assert farm.view("b", 1.0).clock_offset_s == -500.0
    heartbeat_at(farm, 2000.0, 1006.0)
    assert farm.view("b", 1.0).clock_offset_s == 994.0
    heartbeat_at(farm, None, 1007.0)  # a builder of another version
    assert farm.view("b", 1.0).clock_offset_s is None


def test_a_view_says_for_how_long_a_builder_is_in_its_state(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.Tick(), 1.0)
    assert farm.view("b", 11.0).state_s == 10.0
    farm.handle(s.PauseChanged(True), 20.0)
    farm.handle(s.MessageReceived("b", idle()), 20.0)
    farm.handle(s.Tick(), 21.0)
    assert (farm.view("b", 26.0).state, farm.view("b", 26.0).state_s) == ("paused", 5.0)
    farm.handle(s.Tick(), 2000.0)
    assert (farm.view("b", 2060.0).state, farm.view("b", 2060.0).state_s) == ("lost", 60.0)
