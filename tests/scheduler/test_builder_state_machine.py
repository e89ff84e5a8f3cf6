"""The life of a builder, event by event, without a socket."""

import random
from dataclasses import dataclass, field

import pytest

from piwheels.model import Job, Outcome
from piwheels.protocol import messages as m
from piwheels.scheduler import reasons
from piwheels.scheduler import state_machine_events as s
from piwheels.scheduler.builder_record import OrphanedClaim
from piwheels.scheduler.builder_state_machine import RESEND_AFTER_S, BuilderStateMachine
from tests.scheduler.message_factories import (
    TARGET,
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


def test_a_builder_without_welcome_is_told_to_send_hello(farm: BuilderStateMachine) -> None:
    assert replies(farm.handle(s.MessageReceived("b", idle()), 0.0)) == [
        m.Rejected(reason=reasons.HELLO_FIRST)
    ]


def test_an_idle_builder_gets_a_job_for_its_targets(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    instructions = farm.handle(s.MessageReceived("b", idle()), 0.0)
    assert without_publishing(instructions) == [s.ClaimJob("b", (TARGET.name,))]
    assert replies(farm.handle(s.JobClaimed("b", job(7)), 0.0)) == [m.StartBuild(job=job(7))]
    assert farm.view("b", 0.0).state == "building"


def test_a_second_heartbeat_does_not_claim_a_second_job(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.MessageReceived("b", idle()), 0.0)
    # It is answered all the same: a slow database must not look like a dead master.
    assert replies(farm.handle(s.MessageReceived("b", idle()), 0.1)) == [
        m.NoJobAvailable(reason=reasons.WAITING_FOR_DATABASE)
    ]


def test_an_idle_heartbeat_sent_before_the_job_arrived_changes_nothing(
    farm: BuilderStateMachine,
) -> None:
    start_build(farm)
    assert without_publishing(farm.handle(s.MessageReceived("b", idle(last_build=3)), 1.0)) == []


def test_a_job_that_did_not_arrive_is_sent_again(farm: BuilderStateMachine) -> None:
    start_build(farm)
    later = RESEND_AFTER_S + 1
    assert replies(farm.handle(s.MessageReceived("b", idle(3)), later)) == [
        m.StartBuild(job=job(7))
    ]


def test_a_builder_that_lost_its_job_requeues_it_and_gets_another(
    farm: BuilderStateMachine,
) -> None:
    start_build(farm)
    instructions = farm.handle(s.MessageReceived("b", idle(last_build=7)), 9.0)
    assert s.UnclaimJob("b", 7) in instructions
    assert without_publishing(instructions)[-1] == s.ClaimJob("b", (TARGET.name,))


def test_files_are_received_once_if_they_are_reported_repeatedly(farm: BuilderStateMachine) -> None:
    start_build(farm)
    first = farm.handle(s.MessageReceived("b", build_finished(7)), 1.0)
    again = farm.handle(s.MessageReceived("b", build_finished(7)), 2.0)
    assert types_of(without_publishing(first)) == [s.StartUpload, s.SendMessage]
    assert replies(again) == [m.UploadFiles(build=7)]
    assert s.StartUpload not in types_of(again)
    assert farm.view("b", 2.0).state == "uploading"


def test_a_failure_is_recorded_once_if_it_is_reported_repeatedly(farm: BuilderStateMachine) -> None:
    start_build(farm)
    first = farm.handle(s.MessageReceived("b", build_finished(7, Outcome.FAILED)), 1.0)
    again = farm.handle(s.MessageReceived("b", build_finished(7, Outcome.FAILED)), 2.0)
    assert types_of(first) == [s.CompleteBuild]
    assert s.CompleteBuild not in types_of(again)


def test_the_reason_of_a_builder_is_one_line_of_limited_length(farm: BuilderStateMachine) -> None:
    start_build(farm)
    reason = "error:\x1b[2J\nbuilt." + "x" * 1_000_000
    (settle,) = farm.handle(s.MessageReceived("b", build_finished(7, Outcome.FAILED, reason)), 1.0)
    assert isinstance(settle, s.CompleteBuild)
    assert settle.result.reason.startswith("error:?[2J?built.xxx")
    assert len(settle.result.reason) == 500


def test_a_recorded_build_frees_the_builder_and_is_counted(farm: BuilderStateMachine) -> None:
    start_build(farm)
    farm.handle(s.MessageReceived("b", build_finished(7)), 1.0)
    done = farm.handle(s.BuildCompleted("b", 7, Outcome.BUILT, stored=True), 2.0)
    assert replies(done) == [m.BuildAcknowledged(build=7)]
    view = farm.view("b", 2.0)
    assert (view.state, view.built, view.failed) == ("finishing", 1, 0)


def test_a_result_that_nobody_waits_for_is_acknowledged(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    (reply,) = replies(farm.handle(s.MessageReceived("b", build_finished(3)), 0.0))
    assert isinstance(reply, m.BuildAcknowledged)


def test_a_reconnected_builder_keeps_its_build(farm: BuilderStateMachine) -> None:
    start_build(farm)
    instructions = farm.handle(s.MessageReceived("b", hello(current_build=7), log_bytes=42), 60.0)
    assert replies(instructions) == [m.Welcome(label="b", log_offset=42)]
    assert farm.view("b", 60.0).build == 7


def test_a_new_master_adopts_the_build_of_a_builder(farm: BuilderStateMachine) -> None:
    farm.orphans["b"] = OrphanedClaim(job(7), 0.0)
    instructions = farm.handle(s.MessageReceived("b", hello(current_build=7)), 1.0)
    assert s.UnclaimJob not in types_of(instructions)
    assert farm.view("b", 1.0).build == 7
    assert s.StartUpload in types_of(farm.handle(s.MessageReceived("b", build_finished(7)), 2.0))


def test_a_new_master_requeues_the_job_of_a_builder_that_lost_it(
    farm: BuilderStateMachine,
) -> None:
    farm.orphans["b"] = OrphanedClaim(job(7), 0.0)
    assert s.UnclaimJob("b", 7) in farm.handle(s.MessageReceived("b", hello()), 1.0)


def test_a_build_that_was_reassigned_is_canceled(farm: BuilderStateMachine) -> None:
    instructions = farm.handle(s.MessageReceived("b", hello(current_build=3)), 1.0)
    assert m.CancelBuild(build=3, reason=reasons.NOT_ITS_BUILD) in replies(instructions)
    assert isinstance(
        replies(farm.handle(s.MessageReceived("b", building(3)), 2.0))[0], m.CancelBuild
    )


def test_a_silent_builder_is_lost_and_its_build_recorded_as_lost(farm: BuilderStateMachine) -> None:
    start_build(farm)
    assert without_publishing(farm.handle(s.Tick(), 299.0)) == []
    assert farm.view("b", 299.0).state == "silent"
    lost = farm.handle(s.Tick(), 301.0)
    assert [item.result.outcome for item in lost if isinstance(item, s.CompleteBuild)] == [
        Outcome.LOST
    ]
    assert s.PublishBuilderLost in types_of(lost)
    assert farm.sessions == {}
    farm.handle(s.BuildCompleted("b", 7, Outcome.LOST, stored=True), 302.0)
    farm.handle(s.MessageReceived("b", hello(current_build=7), reclaimed_job=job(7)), 310.0)
    assert farm.view("b", 310.0).failed == 0, "it has the build still, and may finish it"


def test_a_claim_of_a_builder_that_never_returns_is_lost(farm: BuilderStateMachine) -> None:
    farm.orphans["b"] = OrphanedClaim(job(7), 0.0)
    assert farm.handle(s.Tick(), 10.0) == []
    assert types_of(farm.handle(s.Tick(), 301.0)) == [s.CompleteBuild]
    assert farm.handle(s.Tick(), 302.0) == []


def test_goodbye_requeues_the_job_immediately(farm: BuilderStateMachine) -> None:
    start_build(farm)
    instructions = farm.handle(s.MessageReceived("b", m.Goodbye(reason="off")), 1.0)
    assert s.UnclaimJob("b", 7) in instructions
    assert farm.sessions == {}


def test_a_job_claimed_for_a_disconnected_builder_is_requeued(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.MessageReceived("b", idle()), 0.0)
    farm.handle(s.MessageReceived("b", m.Goodbye()), 0.0)
    assert farm.handle(s.JobClaimed("b", job(7)), 0.0) == [s.UnclaimJob("b", 7)]


def test_a_paused_farm_assigns_no_jobs_until_it_is_resumed(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.PauseChanged(paused=True), 0.0)
    assert isinstance(
        replies(farm.handle(s.MessageReceived("b", idle()), 0.0))[0], m.NoJobAvailable
    )
    assert farm.view("b", 0.0).state == "paused"
    assert s.ClaimJob in types_of(farm.handle(s.PauseChanged(paused=False), 1.0))


def test_a_job_claimed_during_a_pause_is_requeued(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    farm.handle(s.MessageReceived("b", idle()), 0.0)
    farm.handle(s.PauseChanged(paused=True), 0.0)
    assert s.UnclaimJob("b", 7) in farm.handle(s.JobClaimed("b", job(7)), 0.0)
    assert farm.view("b", 0.0).state == "paused"


def test_queued_jobs_wake_every_idle_builder(farm: BuilderStateMachine) -> None:
    for label in ("a", "b"):
        farm.handle(s.MessageReceived(label, hello()), 0.0)
        farm.handle(s.MessageReceived(label, idle()), 0.0)
        farm.handle(s.JobClaimed(label, None), 0.0)
    assert types_of(farm.handle(s.JobsAvailable(), 1.0)) == [s.ClaimJob, s.ClaimJob]


def test_jobs_that_are_queued_during_a_claim_are_claimed(farm: BuilderStateMachine) -> None:
    farm.handle(s.MessageReceived("b", hello()), 0.0)
    assert s.ClaimJob in types_of(farm.handle(s.MessageReceived("b", idle()), 0.0))
    assert types_of(farm.handle(s.JobsAvailable(), 0.1)) == []
    assert types_of(farm.handle(s.JobClaimed("b", None), 0.2)) == [s.ClaimJob]
    assert [type(reply) for reply in replies(farm.handle(s.JobClaimed("b", None), 0.3))] == [
        m.NoJobAvailable
    ]


def test_a_revoked_builder_is_disconnected_and_its_build_ended(farm: BuilderStateMachine) -> None:
    start_build(farm)
    instructions = farm.handle(s.KeyRevoked("b"), 1.0)
    assert s.CompleteBuild in types_of(instructions)
    assert any(isinstance(item, m.Rejected) and item.permanent for item in replies(instructions))
    assert farm.sessions == {}


def test_log_chunks_repeated_after_the_end_are_discarded(farm: BuilderStateMachine) -> None:
    start_build(farm, 7)
    lines = s.MessageReceived("b", m.LogChunk(build=7, offset=0, data=b"x"))
    assert types_of(farm.handle(lines, 1)) == [s.AppendLog]
    farm.handle(s.MessageReceived("b", build_finished(7, Outcome.FAILED)), 2)
    farm.handle(s.MessageReceived("b", hello(current_build=7)), 3)
    assert farm.handle(lines, 4) == []


def test_log_chunks_of_another_build_are_discarded(farm: BuilderStateMachine) -> None:
    start_build(farm)
    kept = farm.handle(s.MessageReceived("b", m.LogChunk(build=7, offset=0, data=b"x")), 1.0)
    other = farm.handle(s.MessageReceived("b", m.LogChunk(build=8, offset=0, data=b"x")), 1.0)
    assert (kept, other) == ([s.AppendLog(7, 0, b"x")], [])


@dataclass
class Simulation:
    """A queue, builders that crash, repeat themselves and lose messages, and orders, at random."""

    rng: random.Random
    machine: BuilderStateMachine = field(
        default_factory=lambda: BuilderStateMachine(builder_timeout_s=300.0)
    )
    now: float = 0.0
    queue: list[int] = field(default_factory=lambda: list(range(20)))
    next_build: int = 100
    job_of: dict[int, int] = field(default_factory=dict)  # build -> queue entry
    claim_owner: dict[int, str] = field(default_factory=dict)  # build -> label
    completed: set[int] = field(default_factory=set)
    running_build: dict[str, int] = field(default_factory=dict)  # label -> build
    last: dict[str, int] = field(default_factory=dict)
    shutting_down: set[str] = field(default_factory=set)  # those that stop after the running build
    pending: list[s.Event] = field(default_factory=list)

    def execute(self, instructions: list[s.Instruction], *, lossy: bool) -> None:
        for item in instructions:
            match item:
                case s.SendMessage(label, message):
                    if not (lossy and self.rng.random() < 0.2):
                        self.deliver(label, message)
                case s.ClaimJob(label, _):
                    self.pending.append(s.JobClaimed(label, self.claim(label)))
                case s.UnclaimJob(label, build):
                    self.unclaim(label, build)
                case s.CompleteBuild(label, task, result):
                    self.complete(label, task.build_id, result.outcome)
                case s.StartUpload(label, task, _):
                    self.complete(label, task.build_id, Outcome.BUILT)

    def deliver(self, label: str, message: m.ToBuilder) -> None:
        match message:
            case m.StartBuild(job=task):
                if label not in self.running_build:
                    self.running_build[label] = task.build_id
                    self.last[label] = max(self.last.get(label, 0), task.build_id)
            case m.BuildAcknowledged(build=build) | m.CancelBuild(build=build):
                if self.running_build.get(label) == build:
                    del self.running_build[label]
                    if label in self.shutting_down:
                        self.shut_down(label)
            case m.Shutdown(after_build=True) if label in self.running_build:
                self.shutting_down.add(label)
            case m.Shutdown():
                self.shut_down(label)

    def shut_down(self, label: str) -> None:
        """A builder ends, and its next process has no state."""
        self.running_build.pop(label, None)
        self.shutting_down.discard(label)
        self.pending.append(s.MessageReceived(label, m.Goodbye(reason="stopped")))

    def claim(self, label: str) -> Job | None:
        held = {self.job_of[build] for build in self.claim_owner}
        free = [entry for entry in self.queue if entry not in held and entry not in self.completed]
        if not free:
            return None
        self.next_build += 1
        self.job_of[self.next_build] = free[0]
        self.claim_owner[self.next_build] = label
        return job(self.next_build)

    def unclaim(self, label: str, build: int) -> bool:
        if self.claim_owner.get(build) != label:
            return False
        del self.claim_owner[build]
        return True

    def complete(self, label: str, build: int, outcome: Outcome) -> None:
        stored = self.unclaim(label, build)
        if stored and outcome in {Outcome.BUILT, Outcome.FAILED}:
            entry = self.job_of[build]
            assert entry not in self.completed, "a job was settled twice"
            self.completed.add(entry)
        self.pending.append(s.BuildCompleted(label, build, outcome, stored))

    def step(self, *, lossy: bool) -> None:
        self.now += self.rng.choice([0.1, 1.0, 6.0] + ([400.0] if lossy else []))
        self.execute(self.machine.handle(self.event(lossy=lossy), self.now), lossy=lossy)
        held = [task.job.build_id for task in self.machine.sessions.values() if task.job]
        assert len(held) == len(set(held)), "two builders hold one build"

    def event(self, *, lossy: bool) -> s.Event:
        if self.pending and self.rng.random() < 0.6:
            return self.pending.pop(0)
        label = self.rng.choice("abc")
        choice = self.rng.random()
        if lossy and choice < 0.05:
            self.running_build.pop(label, None)
            return s.MessageReceived(label, hello())
        if lossy and choice < 0.1:
            return self.command(label)
        if choice < 0.15 or label not in self.machine.sessions:
            return s.MessageReceived(label, hello(current_build=self.running_build.get(label)))
        if choice < 0.2:
            return s.Tick()
        if choice < 0.25:
            return s.JobsAvailable()
        if label not in self.running_build:
            return s.MessageReceived(label, idle(self.last.get(label, 0)))
        build = self.running_build[label]
        if choice < 0.6:
            return s.MessageReceived(label, building(build))
        return s.MessageReceived(
            label, build_finished(build, self.rng.choice([Outcome.BUILT, Outcome.FAILED]))
        )

    def command(self, label: str) -> s.Event:
        order = self.rng.choice(list(m.BuilderCommand))
        labels = self.rng.choice([(label,), ("a", "b", "c")])
        return s.CommandIssued(
            order,
            labels,
            "ann",
            immediately=self.rng.random() < 0.5,
            max_parallel=self.rng.choice([0, 1]),
        )


@pytest.mark.parametrize("seed", range(50))
def test_every_job_is_recorded_exactly_once_after_random_losses_repetitions_and_commands(
    seed: int,
) -> None:
    simulation = Simulation(random.Random(seed))
    for _ in range(400):
        simulation.step(lossy=True)
    for event in (
        s.CommandIssued(m.BuilderCommand.WAKE, ("a", "b", "c"), "ann"),
        s.PauseChanged(paused=False),
    ):
        simulation.execute(simulation.machine.handle(event, simulation.now), lossy=False)
    for _ in range(2000):
        simulation.step(lossy=False)
        if len(simulation.completed) == len(simulation.queue):
            break
    assert simulation.completed == set(simulation.queue)
