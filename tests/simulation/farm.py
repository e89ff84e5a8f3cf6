"""A master and builders without sockets: both state machines on an unreliable network.

One seeded random source decides when messages arrive, which of them are lost, when connections
break and processes restart, and how long builds take. Whatever it decides, the invariants of
`Farm.check` hold after each event.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from piwheels.builder import connection_events as b
from piwheels.builder import connection_instructions as instructions
from piwheels.builder.connection_state_machine import BuildStage, ConnectionStateMachine
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol import messages as m
from piwheels.scheduler import state_machine_events as s
from piwheels.scheduler.builder_record import BuilderRecord, OrphanedClaim
from piwheels.scheduler.builder_state_machine import BuilderStateMachine
from tests.scheduler.message_factories import build_finished, hello
from tests.simulation.database import SimulatedDatabase

BUILDER_TIMEOUT_S = 300.0
_LOG_BYTES, _LOG_PART_BYTES = 300_000, 100_000


class Clock:
    """Virtual time: callbacks in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._callbacks: list[tuple[float, int, Callable[[], None]]] = []

    def call_at(self, at: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._callbacks, (at, next(self._order), callback))

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.call_at(self.now + delay_s, callback)

    def run_until(self, end: float) -> Iterator[None]:
        """Run what is due; yields after each callback."""
        while self._callbacks and self._callbacks[0][0] <= end:
            self.now, _, callback = heapq.heappop(self._callbacks)
            callback()
            yield
        self.now = end


@dataclass
class Faults:
    """How unreliable the farm is: probabilities for each message, and mean times in seconds."""

    lost_message: float = 0.0
    max_delay_s: float = 0.2
    connection_loss_s: float = 0.0  # 0 is never
    builder_restart_s: float = 0.0
    master_restart_s: float = 0.0
    away_s: float = 20.0  # how long a connection or a process stays away, at most


@dataclass
class Link:
    """One connection of a builder: messages arrive in order, or are lost."""

    farm: "Farm"
    label: str
    number: int
    is_open: bool = True
    _to_master_at: float = 0.0
    _to_builder_at: float = 0.0

    def to_master(self, message: m.FromBuilder) -> None:
        self._to_master_at = at = self._arrival(self._to_master_at)
        if not self._is_lost():
            self.farm.clock.call_at(at, lambda: self._reach_master(message))

    def to_builder(self, message: m.ToBuilder) -> None:
        self._to_builder_at = at = self._arrival(self._to_builder_at)
        if not self._is_lost():
            self.farm.clock.call_at(at, lambda: self._reach_builder(message))

    def _arrival(self, earlier: float) -> float:
        delay_s = self.farm.random.uniform(0.0, self.farm.faults.max_delay_s)
        return max(earlier, self.farm.clock.now + delay_s)

    def _is_lost(self) -> bool:
        return not self.is_open or self.farm.random.random() < self.farm.faults.lost_message

    def _reach_master(self, message: m.FromBuilder) -> None:
        if self.is_open and self.farm.master is not None:
            self.farm.master.receive(self, message)

    def _reach_builder(self, message: m.ToBuilder) -> None:
        if self.is_open:
            self.farm.builders[self.label].receive(self, message)


@dataclass
class SimulatedBuilder:
    """A builder process around its state machine; the job directory outlives the process."""

    farm: "Farm"
    label: str
    machine: ConnectionStateMachine = field(init=False)
    is_running: bool = False
    exits: list[instructions.Exit] = field(default_factory=list)
    stored: tuple[Job, m.BuildFinished] | None = None
    link: Link | None = None
    _process: int = 0
    _timer: int = 0

    def start(self) -> None:
        if self.is_running:
            return
        self._process += 1
        self.is_running = True
        self.machine = ConnectionStateMachine(check_each_event=True)
        if self.stored is not None:
            self.handle(b.FinishedBuildRestored(*self.stored))
        self.handle(b.TimerExpired())

    def restart(self) -> None:
        """End the process by SIGTERM or SIGKILL, and start it again after a while."""
        if not self.is_running:
            return
        if self.farm.random.random() < 0.5:
            self.handle(b.TerminationRequested("the builder was stopped"))
        self.kill()
        away_s = self.farm.random.uniform(0.0, self.farm.faults.away_s)
        self.farm.clock.call_later(away_s, self.start)

    def kill(self) -> None:
        """End the process as SIGKILL does: a running build is lost, a finished one is stored."""
        self.is_running = False
        self._process += 1
        self.link = None

    def receive(self, link: Link, message: m.ToBuilder) -> None:
        if self.is_running and link is self.link:
            self.handle(b.MessageReceived(link.number, message))

    def lose_connection(self) -> None:
        """Break the connection; the builder notices at once, or by the master's silence."""
        link = self.link
        if link is not None and link.is_open:
            link.is_open = False
            if self.farm.random.random() < 0.5:
                self._later(1.0, b.ConnectionLost(link.number, "nobody answers"))

    def handle(self, event: b.Event) -> None:
        for instruction in self.machine.handle(event, self.farm.clock.now):
            self._execute(instruction)
        self._set_timer()

    def _set_timer(self) -> None:
        if not self.is_running:
            return
        self._timer += 1
        timer, process = self._timer, self._process
        at = max(self.machine.next_timer(), self.farm.clock.now)
        if at < math.inf:
            self.farm.clock.call_at(at, lambda: self._expire(timer, process))

    def _expire(self, timer: int, process: int) -> None:
        if (timer, process) == (self._timer, self._process):
            self.handle(b.TimerExpired())

    def _later(self, longest_s: float, event: b.Event) -> None:
        process = self._process

        def happen() -> None:
            if process == self._process:
                if isinstance(event, b.BuildEnded):
                    self._store(event.result)
                if isinstance(event, b.BuildRemoved):
                    self.stored = None
                self.handle(event)

        self.farm.clock.call_later(self.farm.random.uniform(0.0, longest_s), happen)

    def _store(self, result: m.BuildFinished) -> None:
        """Keep a finished build in the job directory, unless it is being removed."""
        current = self.machine.current
        if current is not None and current.stage is BuildStage.RUNNING:
            self.stored = (current.job, result)

    def _execute(self, instruction: instructions.Instruction) -> None:  # noqa: C901 - one case an instruction
        match instruction:
            case instructions.OpenConnection(number):
                self.link = Link(
                    self.farm, self.label, number, is_open=self.farm.master is not None
                )
            case instructions.CloseConnection():
                self.link = None
            case instructions.SendHello(current_build, last_build):
                instance = f"{self.label}-{self._process}"
                self._send(replace(hello(current_build), last_build=last_build, instance=instance))
                self.handle(b.HelloSent(self.machine.connection))
            case instructions.SendIdleHeartbeat(last_build):
                self._send(m.IdleHeartbeat(last_build=last_build, host=HostMetrics()))
            case instructions.SendBuildHeartbeat(build_id, phase, phase_s):
                host = HostMetrics()
                self._send(
                    m.BuildHeartbeat(build=build_id, phase=phase, phase_s=phase_s, host=host)
                )
            case instructions.SendBuildResult(result):
                self._send(result)
            case instructions.SendGoodbye(reason):
                self._send(m.Goodbye(reason=reason))
            case instructions.SendLog(build_id, offset, end):
                sent = min(end, offset + _LOG_PART_BYTES, _LOG_BYTES)
                if sent > offset:
                    self._send(m.LogChunk(build=build_id, offset=offset, data=bytes(100)))
                self.handle(b.LogSent(build_id, sent, complete=sent >= _LOG_BYTES))
            case instructions.RunBuild(job):
                self.farm.on_build_started(self.label, job)
                self._later(self.farm.max_build_s, b.BuildEnded(build_finished(job.build_id)))
            case instructions.UploadArtifacts(result):
                self._later(5.0, b.UploadEnded(result.build))
                self.farm.upload(self.label, result.build)
            case instructions.RemoveBuild(build_id):
                self.farm.on_build_removed(self, build_id)
                self._later(1.0, b.BuildRemoved(build_id))
            case instructions.Exit(restart=restart):
                self.exits.append(instruction)
                self.kill()
                if restart:
                    self.farm.clock.call_later(5.0, self.start)
            case instructions.FailPermanently(reason):
                raise AssertionError(reason)

    def _send(self, message: m.FromBuilder) -> None:
        if self.link is not None:
            self.link.to_master(message)


@dataclass
class SimulatedMaster:
    """The dispatcher around its state machine: routes, the database's work in order, uploads."""

    farm: "Farm"
    machine: BuilderStateMachine = field(init=False)
    routes: dict[str, Link] = field(default_factory=dict)
    uploads: dict[int, s.StartUpload] = field(default_factory=dict)
    _work_done_at: float = 0.0

    def start(self) -> None:
        self.machine = BuilderStateMachine(
            builder_timeout_s=BUILDER_TIMEOUT_S, check_invariants=True
        )
        now, database = self.farm.clock.now, self.farm.database
        for label, job in database.claims().items():
            self.machine.orphans[label] = OrphanedClaim(job, since=now, claimed_at=now)
        for label, suspension in database.suspensions.items():
            record = self.machine.records.setdefault(label, BuilderRecord())
            record.suspension, record.suspension_reason = suspension
        self._tick()

    @property
    def is_current(self) -> bool:
        return self.farm.master is self

    def receive(self, link: Link, message: m.FromBuilder) -> None:
        self.routes[link.label] = link
        if isinstance(message, m.Hello):
            self._work(lambda: self._greet(link.label, message))
        else:
            self.handle(s.MessageReceived(link.label, message))

    def _greet(self, label: str, message: m.Hello) -> None:
        build = message.current_build
        reclaimed = None
        if build is not None and self.machine.can_reclaim(label, build):
            reclaimed = self.farm.database.reclaim(label, build)
        self.handle(s.MessageReceived(label, message, 0, reclaimed))

    def handle(self, event: s.Event) -> None:
        for instruction in self.machine.handle(event, self.farm.clock.now):
            self._execute(instruction)

    def _tick(self) -> None:
        if self.is_current:
            self.handle(s.Tick())
            self.handle(s.JobsAvailable())
            self.farm.clock.call_later(1.0, self._tick)

    def _work(self, work: Callable[[], None]) -> None:
        """Do work on the database, in order; a master that ends takes undone work with it."""
        delay_s = self.farm.random.uniform(0.0, 0.1)
        self._work_done_at = at = max(self._work_done_at, self.farm.clock.now) + delay_s
        self.farm.clock.call_at(at, lambda: work() if self.is_current else None)

    def _execute(self, instruction: s.Instruction) -> None:
        match instruction:
            case s.SendMessage(label, message):
                if (link := self.routes.get(label)) is not None:
                    link.to_builder(message)
            case s.ClaimJob(label):
                self._work(
                    lambda: self.handle(s.JobClaimed(label, self.farm.database.claim(label)))
                )
            case s.UnclaimJob(label, build):
                self._work(lambda: self.farm.database.unclaim(label, build))
            case s.CompleteBuild(label, job, result):
                self.complete(label, job.build_id, result.outcome)
            case s.StartUpload(_, job):
                self.uploads[job.build_id] = instruction
            case s.CancelUpload(build):
                self.uploads.pop(build, None)
            case s.PersistSuspension(label, suspension, reason):
                if suspension is None:
                    self.farm.database.suspensions.pop(label, None)
                else:
                    self.farm.database.suspensions[label] = (suspension, reason)
            case _:
                pass

    def complete(self, label: str, build: int, outcome: Outcome) -> None:
        def store() -> None:
            stored = self.farm.database.complete(label, build, outcome)
            self.handle(s.BuildCompleted(label, build, outcome, stored))

        self._work(store)


@dataclass
class Farm:
    """Builders and their master, with one clock and one random source."""

    random: random.Random
    database: SimulatedDatabase
    faults: Faults
    max_build_s: float = 120.0
    clock: Clock = field(default_factory=Clock)
    builders: dict[str, SimulatedBuilder] = field(default_factory=dict)
    master: SimulatedMaster | None = None
    runs: list[tuple[str, Job]] = field(default_factory=list)  # by which builder, in order
    canceled: set[str] = field(default_factory=set)  # builders whose builds an operator ended

    @classmethod
    def create(cls, seed: int, faults: Faults, *, labels: str = "abc", jobs: int = 12) -> "Farm":
        farm = cls(random.Random(seed), SimulatedDatabase(jobs), faults)
        farm.start_master()
        for label in labels:
            builder = farm.builders[label] = SimulatedBuilder(farm, label)
            builder.start()
            farm._repeat(faults.connection_loss_s, builder.lose_connection)
            farm._repeat(faults.builder_restart_s, builder.restart)
        farm._repeat(faults.master_restart_s, farm.restart_master)
        return farm

    def run(self, duration_s: float) -> None:
        """Let time pass; the invariants are checked after each event."""
        for _ in self.clock.run_until(self.clock.now + duration_s):
            self.check()

    def run_until_built(self, longest_s: float) -> None:
        """Let time pass until everything is built, and the builders know it."""
        end = self.clock.now + longest_s
        while not (self.database.all_built and self.is_idle):
            assert self.clock.now < end, self.describe()
            self.run(10.0)

    def stop_faults(self) -> None:
        """From now on nothing is lost and nothing restarts; what is down is started."""
        self.faults = Faults()
        self.start_master()
        for builder in self.builders.values():
            builder.start()

    def command(self, command: m.BuilderCommand, *labels: str, immediately: bool = False) -> None:
        """Issue an operator's command, as soon as the master knows the builders."""
        # The master rejects a command to a builder that it does not know; an operator repeats it.
        while self.master is None or not all(map(self.master.machine.is_known, labels)):
            self.run(1.0)
        if command in {m.BuilderCommand.CANCEL_BUILD, m.BuilderCommand.KILL} or immediately:
            self.canceled.update(labels)
        self.master.handle(s.CommandIssued(command, labels, "ann", immediately=immediately))

    # --- processes ---

    def start_master(self) -> None:
        if self.master is None:
            self.master = SimulatedMaster(self)
            self.master.start()

    def restart_master(self) -> None:
        """End the master; what it had not stored is lost."""
        self.master = None
        self.clock.call_later(self.random.uniform(0.0, self.faults.away_s), self.start_master)

    def _repeat(self, mean_s: float, fault: Callable[[], None]) -> None:
        """Cause a fault again and again, at random times, as long as there are faults."""
        if not mean_s:
            return

        def happen() -> None:
            if self.faults != Faults():
                fault()
                self._repeat(mean_s, fault)

        self.clock.call_later(self.random.expovariate(1.0 / mean_s), happen)

    # --- what happens ---

    def upload(self, label: str, build_id: int) -> None:
        """The builder offers the files of a build; the master may not want or not get them."""

        def arrive() -> None:
            master = self.master
            if master is not None and master.uploads.pop(build_id, None) is not None:
                master.complete(label, build_id, Outcome.BUILT)

        if self.random.random() >= self.faults.lost_message:
            self.clock.call_later(self.random.uniform(0.0, 5.0), arrive)

    def on_build_started(self, label: str, job: Job) -> None:
        self.runs.append((label, job))

    def on_build_removed(self, builder: SimulatedBuilder, build_id: int) -> None:
        """A finished build is dropped only if it is stored, or is no longer this builder's."""
        current = builder.machine.current
        assert current is not None
        if current.result is None or builder.label in self.canceled:
            return
        claimed = self.database.is_claimed(builder.label, build_id)
        assert not claimed, f"build {build_id} of {builder.label} was dropped, and is claimed"

    # --- invariants ---

    def check(self) -> None:
        """Check what is always true after an event, regardless of what was lost."""
        if self.master is None:
            return
        sessions = self.master.machine.sessions
        jobs = [session.job for session in sessions.values() if session.job is not None]
        projects = [job.project for job in jobs]
        assert len(projects) == len(set(projects)), f"a job is built twice at once: {projects}"

    def check_repeated_builds(self) -> None:
        """A release was built again only if its builder had been silent for too long."""
        lost = sum(outcome is Outcome.LOST for outcome in self.database.completed.values())
        assert len(self.runs) == len(self.database.jobs) + lost, self.describe()

    @property
    def is_idle(self) -> bool:
        return all(builder.machine.current is None for builder in self.builders.values())

    def check_agreement(self) -> None:
        """When nothing is on the way, both sides know of the same builds."""
        assert self.master is not None
        sessions = self.master.machine.sessions
        for label, builder in self.builders.items():
            if builder.is_running:
                job, current = sessions[label].job, builder.machine.current
                here = current.job.build_id if current else None
                there = job.build_id if job else None
                assert here == there, self.describe()

    def describe(self) -> str:
        """The end of every builder's history, for a failed assertion."""
        lines = [str(job) for job in self.database.jobs if not job.built_by]
        for label, builder in self.builders.items():
            lines.append(f"{label}: {builder.machine.describe()}, running: {builder.is_running}")
            lines += [str(transition) for transition in builder.machine.transitions.of("")[-10:]]
        return "\n".join(lines)
