"""The life of a builder, event by event, without a socket."""

import random
from dataclasses import dataclass, field

import pytest

from piwheels.farm import signals as s
from piwheels.farm.session import Orphan
from piwheels.farm.sessions import RESEND_AFTER_S, Sessions
from piwheels.model import Job, Outcome
from piwheels.protocol import messages as m
from tests.farm.talk import (
    TARGET,
    building,
    built,
    deeds,
    hello,
    idle,
    job,
    kinds,
    replies,
    start,
)

GONE = "its job was given to another builder, or is not wanted any more"


def test_a_builder_that_was_not_welcomed_is_told_to_say_hello(farm: Sessions) -> None:
    assert replies(farm.handle(s.Received("b", idle()), 0.0)) == [
        m.Refused(reason="say Hello first")
    ]


def test_an_idle_builder_gets_a_job_of_its_targets(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    asked = farm.handle(s.Received("b", idle()), 0.0)
    assert deeds(asked) == [s.Claim("b", (TARGET.name,))]
    assert replies(farm.handle(s.Claimed("b", job(7)), 0.0)) == [m.BuildJob(job=job(7))]
    assert farm.view("b", 0.0).state == "building"


def test_a_second_sign_of_life_does_not_claim_a_second_job(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Received("b", idle()), 0.0)
    # It is answered all the same: a slow database must not look like a dead master.
    assert replies(farm.handle(s.Received("b", idle()), 0.1)) == [
        m.Wait(reason="the queue has not answered yet")
    ]


def test_an_idle_sent_before_the_job_arrived_changes_nothing(farm: Sessions) -> None:
    start(farm)
    assert deeds(farm.handle(s.Received("b", idle(last_build=3)), 1.0)) == []


def test_a_job_that_did_not_arrive_is_sent_again(farm: Sessions) -> None:
    start(farm)
    later = RESEND_AFTER_S + 1
    assert replies(farm.handle(s.Received("b", idle(3)), later)) == [m.BuildJob(job=job(7))]


def test_a_builder_that_forgot_its_job_gives_it_back_and_gets_another(farm: Sessions) -> None:
    start(farm)
    instructions = farm.handle(s.Received("b", idle(last_build=7)), 9.0)
    assert s.Release("b", 7) in instructions
    assert deeds(instructions)[-1] == s.Claim("b", (TARGET.name,))


def test_files_are_taken_once_however_often_they_are_reported(farm: Sessions) -> None:
    start(farm)
    first = farm.handle(s.Received("b", built(7)), 1.0)
    again = farm.handle(s.Received("b", built(7)), 2.0)
    assert kinds(deeds(first)) == [s.Take, s.Reply]
    assert replies(again) == [m.Send(build=7)]
    assert s.Take not in kinds(again)
    assert farm.view("b", 2.0).state == "uploading"


def test_a_failure_is_settled_once_however_often_it_is_reported(farm: Sessions) -> None:
    start(farm)
    first = farm.handle(s.Received("b", built(7, Outcome.FAILED)), 1.0)
    again = farm.handle(s.Received("b", built(7, Outcome.FAILED)), 2.0)
    assert kinds(first) == [s.Settle]
    assert s.Settle not in kinds(again)


def test_a_builders_reason_is_one_line_of_bounded_length(farm: Sessions) -> None:
    start(farm)
    reason = "error:\x1b[2J\nbuilt." + "x" * 1_000_000
    (settle,) = farm.handle(s.Received("b", built(7, Outcome.FAILED, reason)), 1.0)
    assert isinstance(settle, s.Settle)
    assert settle.reason.startswith("error:?[2J?built.xxx")
    assert len(settle.reason) == 500


def test_a_settled_build_frees_the_builder_and_counts(farm: Sessions) -> None:
    start(farm)
    farm.handle(s.Received("b", built(7)), 1.0)
    done = farm.handle(s.Settled("b", 7, Outcome.BUILT, stored=True), 2.0)
    assert replies(done) == [m.Done(build=7)]
    view = farm.view("b", 2.0)
    assert (view.state, view.built, view.failed) == ("cleaning", 1, 0)


def test_a_result_that_nobody_waits_for_is_let_go(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    (reply,) = replies(farm.handle(s.Received("b", built(3)), 0.0))
    assert isinstance(reply, m.Done)


def test_a_builder_back_from_a_cut_link_keeps_its_build(farm: Sessions) -> None:
    start(farm)
    instructions = farm.handle(s.Received("b", hello(busy=7), log_bytes=42), 60.0)
    assert replies(instructions) == [m.Welcome(label="b", log_offset=42)]
    assert farm.view("b", 60.0).build == 7


def test_a_new_master_adopts_the_build_of_a_builder_that_has_it(farm: Sessions) -> None:
    farm.orphans["b"] = Orphan(job(7), 0.0)
    instructions = farm.handle(s.Received("b", hello(busy=7)), 1.0)
    assert s.Release not in kinds(instructions)
    assert farm.view("b", 1.0).build == 7
    assert s.Take in kinds(farm.handle(s.Received("b", built(7)), 2.0))


def test_a_new_master_takes_back_the_job_of_a_builder_that_lost_it(farm: Sessions) -> None:
    farm.orphans["b"] = Orphan(job(7), 0.0)
    assert s.Release("b", 7) in farm.handle(s.Received("b", hello()), 1.0)


def test_a_build_that_went_to_another_is_abandoned(farm: Sessions) -> None:
    instructions = farm.handle(s.Received("b", hello(busy=3)), 1.0)
    assert m.Abandon(build=3, reason=GONE) in replies(instructions)
    assert isinstance(replies(farm.handle(s.Received("b", building(3)), 2.0))[0], m.Abandon)


def test_a_silent_builder_is_lost_and_its_build_settled_so(farm: Sessions) -> None:
    start(farm)
    assert deeds(farm.handle(s.Tick(), 299.0)) == []
    assert farm.view("b", 299.0).state == "silent"
    lost = farm.handle(s.Tick(), 301.0)
    assert [item.outcome for item in lost if isinstance(item, s.Settle)] == [Outcome.LOST]
    assert s.Lost in kinds(lost)
    assert farm.sessions == {}
    farm.handle(s.Settled("b", 7, Outcome.LOST, stored=True), 302.0)
    farm.handle(s.Received("b", hello(busy=7), reclaimed=job(7)), 310.0)
    assert farm.view("b", 310.0).failed == 0, "it has the build still, and may finish it"


def test_a_claim_of_a_builder_that_never_comes_back_is_lost(farm: Sessions) -> None:
    farm.orphans["b"] = Orphan(job(7), 0.0)
    assert farm.handle(s.Tick(), 10.0) == []
    assert kinds(farm.handle(s.Tick(), 301.0)) == [s.Settle]
    assert farm.handle(s.Tick(), 302.0) == []


def test_goodbye_gives_the_job_back_at_once(farm: Sessions) -> None:
    start(farm)
    instructions = farm.handle(s.Received("b", m.Bye(reason="off")), 1.0)
    assert s.Release("b", 7) in instructions
    assert farm.sessions == {}


def test_a_job_claimed_for_a_builder_that_left_goes_back(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Received("b", idle()), 0.0)
    farm.handle(s.Received("b", m.Bye()), 0.0)
    assert farm.handle(s.Claimed("b", job(7)), 0.0) == [s.Release("b", 7)]


def test_a_paused_farm_hands_out_nothing_and_resumes(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.PauseChanged(paused=True), 0.0)
    assert isinstance(replies(farm.handle(s.Received("b", idle()), 0.0))[0], m.Wait)
    assert farm.view("b", 0.0).state == "paused"
    assert s.Claim in kinds(farm.handle(s.PauseChanged(paused=False), 1.0))


def test_a_job_claimed_while_pausing_goes_back(farm: Sessions) -> None:
    farm.handle(s.Received("b", hello()), 0.0)
    farm.handle(s.Received("b", idle()), 0.0)
    farm.handle(s.PauseChanged(paused=True), 0.0)
    assert s.Release("b", 7) in farm.handle(s.Claimed("b", job(7)), 0.0)
    assert farm.view("b", 0.0).state == "paused"


def test_waiting_jobs_wake_every_idle_builder(farm: Sessions) -> None:
    for label in ("a", "b"):
        farm.handle(s.Received(label, hello()), 0.0)
        farm.handle(s.Received(label, idle()), 0.0)
        farm.handle(s.Claimed(label, None), 0.0)
    assert kinds(farm.handle(s.JobsWaiting(), 1.0)) == [s.Claim, s.Claim]


def test_a_revoked_builder_is_turned_away_and_its_build_ended(farm: Sessions) -> None:
    start(farm)
    instructions = farm.handle(s.Revoked("b"), 1.0)
    assert s.Settle in kinds(instructions)
    assert any(isinstance(item, m.Refused) and item.fatal for item in replies(instructions))
    assert farm.sessions == {}


def test_log_lines_that_are_told_anew_after_the_end_are_not_kept(farm: Sessions) -> None:
    start(farm, 7)
    lines = s.Received("b", m.LogLines(build=7, offset=0, data=b"x"))
    assert kinds(farm.handle(lines, 1)) == [s.KeepLog]
    farm.handle(s.Received("b", built(7, Outcome.FAILED)), 2)
    farm.handle(s.Received("b", hello(busy=7)), 3)
    assert farm.handle(lines, 4) == []


def test_log_lines_of_another_build_are_not_kept(farm: Sessions) -> None:
    start(farm)
    kept = farm.handle(s.Received("b", m.LogLines(build=7, offset=0, data=b"x")), 1.0)
    other = farm.handle(s.Received("b", m.LogLines(build=8, offset=0, data=b"x")), 1.0)
    assert (kept, other) == ([s.KeepLog(7, 0, b"x")], [])


@dataclass
class Simulation:
    """A queue, builders that crash, repeat themselves and lose messages, and orders, at random."""

    rng: random.Random
    farm: Sessions = field(default_factory=lambda: Sessions(lost_after_s=300.0))
    now: float = 0.0
    queue: list[int] = field(default_factory=lambda: list(range(20)))
    next_build: int = 100
    job_of: dict[int, int] = field(default_factory=dict)  # build -> queue entry
    claims: dict[int, str] = field(default_factory=dict)  # build -> label
    settled: set[int] = field(default_factory=set)
    hands: dict[str, int] = field(default_factory=dict)  # label -> build
    last: dict[str, int] = field(default_factory=dict)
    stopping: set[str] = field(default_factory=set)  # those that end after the build in hand
    pending: list[s.Event] = field(default_factory=list)

    def carry_out(self, instructions: list[s.Instruction], *, lossy: bool) -> None:
        for item in instructions:
            match item:
                case s.Reply(label, message):
                    if not (lossy and self.rng.random() < 0.2):
                        self.hear(label, message)
                case s.Claim(label, _):
                    self.pending.append(s.Claimed(label, self.claim(label)))
                case s.Release(label, build):
                    self.unclaim(label, build)
                case s.Settle(label, task, outcome):
                    self.settle(label, task.build, outcome)
                case s.Take(label, task, _):
                    self.settle(label, task.build, Outcome.BUILT)

    def hear(self, label: str, message: m.ToBuilder) -> None:
        match message:
            case m.BuildJob(job=task):
                if label not in self.hands:
                    self.hands[label] = task.build
                    self.last[label] = max(self.last.get(label, 0), task.build)
            case m.Done(build=build) | m.Abandon(build=build):
                if self.hands.get(label) == build:
                    del self.hands[label]
                    if label in self.stopping:
                        self.end(label)
            case m.Stop(after_build=True) if label in self.hands:
                self.stopping.add(label)
            case m.Stop():
                self.end(label)

    def end(self, label: str) -> None:
        """A builder ends, and its next process knows nothing of before."""
        self.hands.pop(label, None)
        self.stopping.discard(label)
        self.pending.append(s.Received(label, m.Bye(reason="stopped")))

    def claim(self, label: str) -> Job | None:
        held = {self.job_of[build] for build in self.claims}
        free = [entry for entry in self.queue if entry not in held and entry not in self.settled]
        if not free:
            return None
        self.next_build += 1
        self.job_of[self.next_build] = free[0]
        self.claims[self.next_build] = label
        return job(self.next_build)

    def unclaim(self, label: str, build: int) -> bool:
        if self.claims.get(build) != label:
            return False
        del self.claims[build]
        return True

    def settle(self, label: str, build: int, outcome: Outcome) -> None:
        stored = self.unclaim(label, build)
        if stored and outcome in {Outcome.BUILT, Outcome.FAILED}:
            entry = self.job_of[build]
            assert entry not in self.settled, "a job was settled twice"
            self.settled.add(entry)
        self.pending.append(s.Settled(label, build, outcome, stored))

    def step(self, *, lossy: bool) -> None:
        self.now += self.rng.choice([0.1, 1.0, 6.0] + ([400.0] if lossy else []))
        self.carry_out(self.farm.handle(self.event(lossy=lossy), self.now), lossy=lossy)
        held = [task.job.build for task in self.farm.sessions.values() if task.job]
        assert len(held) == len(set(held)), "two builders hold one build"

    def event(self, *, lossy: bool) -> s.Event:
        if self.pending and self.rng.random() < 0.6:
            return self.pending.pop(0)
        label = self.rng.choice("abc")
        choice = self.rng.random()
        if lossy and choice < 0.05:
            self.hands.pop(label, None)
            return s.Received(label, hello())
        if lossy and choice < 0.1:
            return self.order(label)
        if choice < 0.15 or label not in self.farm.sessions:
            return s.Received(label, hello(busy=self.hands.get(label)))
        if choice < 0.2:
            return s.Tick()
        if choice < 0.25:
            return s.JobsWaiting()
        if label not in self.hands:
            return s.Received(label, idle(self.last.get(label, 0)))
        build = self.hands[label]
        if choice < 0.6:
            return s.Received(label, building(build))
        return s.Received(label, built(build, self.rng.choice([Outcome.BUILT, Outcome.FAILED])))

    def order(self, label: str) -> s.Event:
        order = self.rng.choice(list(m.Order))
        labels = self.rng.choice([(label,), ("a", "b", "c")])
        return s.Ordered(
            order, labels, "ann", at_once=self.rng.random() < 0.5, rolling=self.rng.choice([0, 1])
        )


@pytest.mark.parametrize("seed", range(50))
def test_whatever_is_lost_or_repeated_or_ordered_every_job_is_settled_exactly_once(
    seed: int,
) -> None:
    simulation = Simulation(random.Random(seed))
    for _ in range(400):
        simulation.step(lossy=True)
    for event in (s.Ordered(m.Order.WAKE, ("a", "b", "c"), "ann"), s.PauseChanged(paused=False)):
        simulation.carry_out(simulation.farm.handle(event, simulation.now), lossy=False)
    for _ in range(2000):
        simulation.step(lossy=False)
        if len(simulation.settled) == len(simulation.queue):
            break
    assert simulation.settled == set(simulation.queue)
