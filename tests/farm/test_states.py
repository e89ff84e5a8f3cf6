"""The states that operators see, each from the events that lead there and away."""

import pytest

from piwheels.farm import signals as s
from piwheels.farm.session import SILENT_AFTER_S, Orphan, Record
from piwheels.farm.sessions import LOST_KEPT_S, Sessions
from piwheels.model import Outcome
from piwheels.protocol import messages as m
from tests.farm.talk import building, built, deeds, hello, idle, job, kinds, replies, start

S = m.BuilderState


def state(farm: Sessions, now: float, label: str = "b") -> str:
    return farm.view(label, now).state


def settle(
    farm: Sessions, build: int, outcome: Outcome, at: float, reason: str = "it broke"
) -> list[s.Instruction]:
    farm.handle(s.Received("b", built(build, outcome, reason)), at)
    return farm.handle(s.Settled("b", build, outcome, stored=True), at)


# --- cleaning ---


def test_a_builder_cleans_up_between_its_build_and_its_next_question(farm: Sessions) -> None:
    start(farm)
    settle(farm, 7, Outcome.FAILED, 1.0)
    assert state(farm, 1.0) == S.CLEANING
    farm.handle(s.Received("b", idle(7)), 2.0)
    assert state(farm, 2.0) == S.IDLE


def test_an_abandoned_build_is_cleaned_up_too(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Ordered(m.Order.SKIP, ("b",), "ann"), 1.0)
    assert state(farm, 1.0) == S.CLEANING
    farm.handle(s.Received("b", hello()), 2.0)
    assert state(farm, 2.0) == S.IDLE


# --- to sleep ---


def test_a_builder_that_is_to_sleep_says_so_while_it_builds(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Ordered(m.Order.SLEEP, ("b",), "ann"), 1.0)
    assert state(farm, 1.0) == S.TO_SLEEP
    assert "sleeps after this build" in farm.view("b", 1.0).reason
    farm.handle(s.Ordered(m.Order.WAKE, ("b",), "ann"), 2.0)
    assert state(farm, 2.0) == S.BUILDING


# --- stuck ---


def test_a_build_far_over_the_longest_of_its_project_is_stuck(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Estimated("b", 7, longest_s=1000.0), 0.0)
    farm.handle(s.Received("b", building(7)), 2999.0)
    assert (state(farm, 2999.0), farm.view("b", 2999.0).expected_s) == (S.BUILDING, 3000.0)
    assert state(farm, 3001.0) == S.STUCK
    farm.handle(s.Received("b", built(7)), 3002.0)
    assert state(farm, 3002.0) == S.UPLOADING


def test_a_build_is_never_stuck_within_ten_minutes(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Estimated("b", 7, longest_s=1.0), 0.0)
    farm.handle(s.Received("b", building(7)), 599.0)
    assert state(farm, 599.0) == S.BUILDING
    assert state(farm, 601.0) == S.STUCK


def test_without_an_earlier_build_half_the_limit_is_expected(farm: Sessions) -> None:
    start(farm, limit_s=7200.0)
    assert farm.view("b", 0.0).expected_s == 3600.0
    farm.handle(s.Estimated("b", 7, longest_s=None), 0.0)
    farm.handle(s.Received("b", building(7)), 3601.0)
    view = farm.view("b", 3601.0)
    assert (view.state, view.expected_s, view.limit_s, view.build_s) == (
        S.STUCK, 3600.0, 7200.0, 3601.0,
    )  # fmt: skip


def test_of_a_builder_without_a_limit_nothing_is_expected(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Received("b", building(7)), 90_000.0)
    assert state(farm, 90_000.0) == S.BUILDING


def test_what_was_expected_of_an_earlier_build_says_nothing_of_the_next(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Estimated("b", 6, longest_s=1.0), 0.0)
    assert farm.view("b", 1.0).expected_s == 0.0


def test_every_job_is_estimated_after_it_was_handed_out(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Received("b", idle()), 0.0)
    handed = farm.handle(s.Claimed("b", job(7)), 0.0)
    assert handed.index(s.Estimate("b", job(7))) > handed.index(
        s.Reply("b", m.BuildJob(job=job(7)))
    )


def test_a_build_adopted_by_a_new_master_is_as_old_as_its_claim(farm: Sessions) -> None:
    farm.orphans["b"] = Orphan(job(7), since=0.0, claimed=-5000.0)
    adopted = farm.handle(s.Received("b", hello(busy=7)), 1.0)
    assert s.Estimate("b", job(7)) in adopted
    assert farm.view("b", 1.0).build_s == 5001.0


# --- silent, lost ---


def test_silence_is_told_when_it_begins_and_when_it_ends(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Tick(), 1.0)
    assert farm.handle(s.Tick(), SILENT_AFTER_S - 1) == []
    assert farm.handle(s.Tick(), SILENT_AFTER_S + 1) == [s.Changed("b")]
    assert state(farm, SILENT_AFTER_S + 1) == S.SILENT
    assert s.Changed("b") in farm.handle(s.Received("b", idle()), SILENT_AFTER_S + 2)
    assert state(farm, SILENT_AFTER_S + 2) == S.IDLE


def test_a_lost_builder_stays_in_view_with_its_last_facts(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Received("b", building(7)), 5.0)
    lost = farm.handle(s.Tick(), 306.0)
    assert s.Lost("b", "not heard for 300 s; its build 7 (a 1) went back") in lost
    view = farm.view("b", 307.0)
    assert (view.state, view.build, view.board, view.silent_s) == (S.LOST, None, "Pi", 302.0)
    assert "went back" in view.reason
    assert farm.labels() == ["b"]


def test_a_lost_builder_gets_no_jobs_and_no_orders(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Tick(), 301.0)
    assert deeds(farm.handle(s.JobsWaiting(), 302.0)) == []
    assert farm.objection(m.Order.DRAIN, "b") == "is lost"
    assert replies(farm.handle(s.Received("b", idle()), 303.0)) == [
        m.Refused(reason="say Hello first")
    ]


def test_a_lost_builder_that_returns_is_there_again(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Tick(), 301.0)
    back = replies(farm.handle(s.Received("b", hello(busy=7)), 400.0))
    assert [type(reply) for reply in back] == [m.Welcome, m.Abandon]
    assert state(farm, 400.0) == S.IDLE


def test_a_lost_builder_is_out_of_view_after_an_hour(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Tick(), 301.0)
    assert s.Gone not in kinds(farm.handle(s.Tick(), 300.0 + LOST_KEPT_S))
    assert s.Gone("b", "") in farm.handle(s.Tick(), 302.0 + LOST_KEPT_S)
    assert farm.labels() == []


def test_a_lost_builder_whose_key_is_revoked_is_out_of_view(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Tick(), 301.0)
    assert kinds(farm.handle(s.Revoked("b"), 302.0)) == [s.Gone]
    assert farm.labels() == []


# --- quarantined ---


def fail_of_itself(farm: Sessions, times: int, first: int = 7) -> list[s.Instruction]:
    done: list[s.Instruction] = []
    for build in range(first, first + times):
        farm.handle(s.Received("b", idle(build - 1)), 1.0)
        farm.handle(s.Claimed("b", job(build)), 1.0)
        done = settle(farm, build, Outcome.BUILDER_FAILED, 1.0, "no sandbox")
    return done


def test_a_builder_that_fails_of_itself_again_and_again_is_quarantined(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    reason = "3 builds in a row failed of the builder itself: no sandbox"
    assert s.Keep("b", S.QUARANTINED, reason) in fail_of_itself(farm, 3)
    asked = farm.handle(s.Received("b", idle(9)), 2.0)
    assert replies(asked) == [m.Wait(reason="quarantined")]
    view = farm.view("b", 2.0)
    assert (view.state, view.reason) == (S.QUARANTINED, reason)


def test_another_outcome_in_between_starts_the_count_anew(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    fail_of_itself(farm, 2)
    farm.handle(s.Received("b", idle(8)), 1.0)
    farm.handle(s.Claimed("b", job(9)), 1.0)
    settle(farm, 9, Outcome.FAILED, 1.0)
    fail_of_itself(farm, 2, first=10)
    farm.handle(s.Received("b", idle(11)), 2.0)
    assert state(farm, 2.0) == S.IDLE


def test_waking_lifts_a_quarantine_and_starts_the_count_anew(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    fail_of_itself(farm, 3)
    farm.handle(s.Received("b", idle(9)), 2.0)
    woken = farm.handle(s.Ordered(m.Order.WAKE, ("b",), "ann"), 3.0)
    assert s.Keep("b", None, "") in woken
    assert s.Claim in kinds(woken)
    farm.handle(s.Claimed("b", job(10)), 3.0)
    settle(farm, 10, Outcome.BUILDER_FAILED, 3.0)
    farm.handle(s.Received("b", idle(10)), 4.0)
    assert state(farm, 4.0) == S.IDLE


def test_a_quarantine_outlives_the_builders_restart(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    fail_of_itself(farm, 3)
    farm.handle(s.Received("b", m.Bye()), 2.0)
    farm.handle(s.Received("b", hello()), 3.0)
    assert replies(farm.handle(s.Received("b", idle(9)), 3.0)) == [m.Wait(reason="quarantined")]


def test_a_farm_can_do_without_quarantine() -> None:
    farm = Sessions(lost_after_s=300.0, quarantine_after=0)
    farm.handle(s.Received("b", hello()), 0.0)
    fail_of_itself(farm, 9)
    farm.handle(s.Received("b", idle(15)), 2.0)
    assert state(farm, 2.0) == S.IDLE


# --- what the last hour and the last minutes say ---


def test_builds_of_the_last_hour_are_counted_and_forgotten(farm: Sessions) -> None:
    farm.records["b"] = Record()
    farm.records["b"].ends.extend([(-3000.0, True), (-100.0, False)])
    start(farm)
    settle(farm, 7, Outcome.FAILED, 1.0)
    view = farm.view("b", 1.0)
    assert (view.built_last_hour, view.failed_last_hour, view.failed) == (1, 2, 1)
    farm.handle(s.Received("b", idle(7)), 605.0)
    assert s.Changed("b") in farm.handle(s.Tick(), 606.0)
    view = farm.view("b", 606.0)
    assert (view.built_last_hour, view.failed_last_hour, view.failed) == (0, 2, 1)


def test_a_killed_build_speaks_neither_for_nor_against_its_builder(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Ordered(m.Order.SKIP, ("b",), "ann"), 1.0)
    farm.handle(s.Settled("b", 7, Outcome.KILLED, stored=True), 1.0)
    assert farm.view("b", 1.0).failed_last_hour == 0


def test_loads_are_sampled_and_bounded_and_shown_on_demand(farm: Sessions) -> None:
    for second in range(1000):
        load = float(second // 10)
        farm.handle(s.Received("b", hello(load=load)), float(second))
        farm.handle(s.Tick(), float(second))
    assert farm.view("b", 1000.0).loads == ()
    loads = farm.view("b", 1000.0, loads=True).loads
    assert loads == tuple(float(number) for number in range(40, 100))


@pytest.mark.parametrize("paused", [False, True])
def test_idle_says_whether_it_is_for_a_pause(farm: Sessions, paused: bool) -> None:
    farm.handle(s.PauseChanged(paused=paused), 0.0)
    farm.handle(s.Received("b", hello()), 0.0)
    assert state(farm, 0.0) == (S.PAUSED if paused else S.IDLE)
